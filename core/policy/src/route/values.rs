//! What rules look at of one request: its values, and what regular expressions find in them.

use std::borrow::Cow;
use std::cell::RefCell;

use regex_automata::PatternID;
use smallvec::SmallVec;

use super::automaton::{Automaton, Steps, Undecided, Walk};

/// The values of one request, each fetched when it is first asked for.
pub(super) struct Values<'t, 'm, F> {
    lookup: F,
    slots: SmallVec<[Slot<'m>; 8]>,
    automata: &'t [Automaton],
    walks: &'t RefCell<Walks>,
    /// Its number among those whose values were searched; `None`: none was yet.
    request: Option<u64>,
    steps: &'t mut Steps,
}

/// What is known of one attribute: nothing yet, or its value if the request has one.
type Slot<'m> = Option<Option<Cow<'m, [u8]>>>;

/// The walks of a table's automata, of one thread; kept, so that a search allocates nothing.
#[derive(Debug, Default)]
pub(super) struct Walks {
    by_automaton: Vec<Option<Box<Walked>>>,
    /// How many requests there were.
    requests: u64,
}

#[derive(Debug)]
struct Walked {
    walk: Walk,
    /// Of which request it went over which attribute's value.
    over: (u64, usize),
}

impl<'t, 'm, F: FnMut(usize) -> Option<Cow<'m, [u8]>>> Values<'t, 'm, F> {
    pub(super) fn new(
        lookup: F,
        automata: &'t [Automaton],
        walks: &'t RefCell<Walks>,
        steps: &'t mut Steps,
    ) -> Self {
        Self {
            lookup,
            slots: SmallVec::new(),
            automata,
            walks,
            request: None,
            steps,
        }
    }

    #[inline]
    pub(super) fn value(&mut self, attribute: usize) -> Option<&[u8]> {
        let Self { lookup, slots, .. } = self;
        value(slots, lookup, attribute)
    }

    /// Whether the value of an attribute matches this pattern of an automaton, which answers for all of
    /// its patterns at once; `None` where the request has no value.
    pub(super) fn matches(
        &mut self,
        attribute: usize,
        (automaton, pattern): (usize, PatternID),
    ) -> Result<Option<bool>, Undecided> {
        let Some(value) = value(&mut self.slots, &mut self.lookup, attribute) else {
            return Ok(None);
        };
        let mut walks = self.walks.borrow_mut();
        let Walks {
            by_automaton,
            requests,
        } = &mut *walks;
        let request = *self.request.get_or_insert_with(|| {
            *requests += 1;
            *requests
        });
        if by_automaton.len() != self.automata.len() {
            by_automaton.resize_with(self.automata.len(), || None);
        }
        let walked = by_automaton[automaton].get_or_insert_with(|| {
            Box::new(Walked {
                walk: self.automata[automaton].walk(),
                over: (0, 0),
            })
        });
        if walked.over != (request, attribute) {
            self.automata[automaton].search(&mut walked.walk, value, self.steps)?;
            walked.over = (request, attribute);
        }
        Ok(Some(walked.walk.found(pattern)))
    }
}

#[inline]
fn value<'s, 'm>(
    slots: &'s mut SmallVec<[Slot<'m>; 8]>,
    lookup: &mut impl FnMut(usize) -> Option<Cow<'m, [u8]>>,
    attribute: usize,
) -> Option<&'s [u8]> {
    while slots.len() <= attribute {
        slots.push(None);
    }
    slots[attribute]
        .get_or_insert_with(|| lookup(attribute))
        .as_deref()
}
