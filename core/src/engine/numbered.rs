//! A queue whose entries have numbers that are never used again: attempts in the order in which they
//! were sent, turns in the order in which their answers leave.

use std::collections::VecDeque;

/// The queue. An entry has one number, or several that follow each other.
#[derive(Debug)]
pub(super) struct Numbered<T> {
    entries: VecDeque<Entry<T>>,
    /// The number of what comes next.
    next: u64,
}

/// Its numbers end where those of the entry behind it begin.
#[derive(Debug)]
struct Entry<T> {
    first: u64,
    item: T,
}

impl<T> Numbered<T> {
    /// Empty; the first number is `next`.
    pub(super) fn from(next: u64) -> Self {
        Self {
            entries: VecDeque::new(),
            next,
        }
    }

    /// The number of what is pushed next.
    #[inline(always)]
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Returns the number of the new last entry.
    #[inline(always)]
    pub(super) fn push(&mut self, item: T) -> u64 {
        let first = self.next;
        self.entries.push_back(Entry { first, item });
        self.next += 1;
        first
    }

    /// The last entry gets `n` more numbers: the first of these.
    #[inline(always)]
    pub(super) fn extend(&mut self, n: u64) -> u64 {
        let number = self.next;
        self.next += n;
        number
    }

    /// The last `n` numbers of an entry go to a new one behind it, whose first number is returned.
    pub(super) fn split(&mut self, number: u64, n: u64, item: T) -> Option<u64> {
        let behind = self.index(number)? + 1;
        let end = self.entries.get(behind).map_or(self.next, |it| it.first);
        let first = end.checked_sub(n).filter(|first| *first > number)?;
        self.entries.insert(behind, Entry { first, item });
        Some(first)
    }

    #[inline(always)]
    fn index(&self, number: u64) -> Option<usize> {
        let front = self.entries.front()?.first;
        let most = usize::try_from(number.checked_sub(front)?).ok()?;
        if most == 0 {
            return Some(0);
        }
        // Where each has one number.
        let guess = self.entries.get(most);
        if guess.is_some_and(|entry| entry.first == number) {
            return Some(most);
        }
        (number < self.next).then(|| self.entries.partition_point(|it| it.first <= number) - 1)
    }

    #[inline(always)]
    pub(super) fn get(&self, number: u64) -> Option<&T> {
        Some(&self.entries.get(self.index(number)?)?.item)
    }

    #[inline(always)]
    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut T> {
        let index = self.index(number)?;
        Some(&mut self.entries.get_mut(index)?.item)
    }

    /// Whether no entry is before the one with this number.
    #[inline(always)]
    pub(super) fn is_front(&self, number: u64) -> bool {
        self.entries
            .get(1)
            .is_none_or(|second| number < second.first)
    }

    /// The first number of the last entry.
    #[inline(always)]
    pub(super) fn last(&self) -> Option<u64> {
        self.entries.back().map(|entry| entry.first)
    }

    #[inline(always)]
    pub(super) fn front(&self) -> Option<&T> {
        self.entries.front().map(|entry| &entry.item)
    }

    #[inline(always)]
    pub(super) fn front_mut(&mut self) -> Option<&mut T> {
        self.entries.front_mut().map(|entry| &mut entry.item)
    }

    #[inline(always)]
    pub(super) fn pop_front(&mut self) {
        self.entries.pop_front();
    }

    /// Each with its first number, from the oldest on.
    #[inline(always)]
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        self.entries.iter().map(|entry| (entry.first, &entry.item))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_found_by_each_of_its_numbers() {
        let mut queue = Numbered::from(1);
        assert_eq!((queue.push('a'), queue.push('b')), (1, 2));
        assert_eq!(queue.extend(2), 3);
        assert_eq!(queue.push('c'), 5);
        for (number, found) in [(0, None), (1, Some('a')), (2, Some('b')), (4, Some('b'))] {
            assert_eq!(queue.get(number).copied(), found, "{number}");
        }
        assert_eq!((queue.get(5), queue.get(6)), (Some(&'c'), None));
        queue.pop_front();
        assert_eq!((queue.get(1), queue.get(5)), (None, Some(&'c')));
        assert!(queue.is_front(4) && !queue.is_front(5));
    }

    #[test]
    fn a_split_entry_keeps_its_first_numbers() {
        let mut queue = Numbered::from(7);
        queue.push('a');
        queue.extend(2);
        queue.push('z');
        assert_eq!(queue.split(7, 2, 'b'), Some(8));
        assert_eq!(queue.split(8, 2, 'c'), None, "it would have none left");
        assert_eq!(queue.split(8, 1, 'c'), Some(9));
        let all: Vec<_> = queue.iter().map(|(first, item)| (first, *item)).collect();
        assert_eq!(all, [(7, 'a'), (8, 'b'), (9, 'c'), (10, 'z')]);
        assert_eq!(queue.last(), Some(10));
    }
}
