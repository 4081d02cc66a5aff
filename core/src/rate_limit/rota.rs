//! Which endpoint of a rate limit service is asked next: each in its turn, but those that broke or
//! could not be reached are let be for a while.

use std::time::{Duration, Instant};

use meltemi_credentials::Backoff;

use crate::config::Address;

/// However often an endpoint failed, it is tried again after this.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// The endpoints of one service, each with what its owner keeps of it.
#[derive(Debug)]
pub(super) struct Rota<T> {
    places: Vec<Place<T>>,
    turn: usize,
}

#[derive(Debug)]
struct Place<T> {
    address: Address,
    kept: T,
    backoff: Backoff,
    rests_until: Option<Instant>,
}

impl<T> Default for Rota<T> {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            turn: 0,
        }
    }
}

impl<T> Rota<T> {
    /// Takes other endpoints in. Those that stay keep what is kept of them.
    pub(super) fn update(
        &mut self,
        addresses: impl Iterator<Item = Address>,
        mut open: impl FnMut(&Address) -> T,
    ) {
        let mut before = std::mem::take(&mut self.places);
        self.places = addresses
            .map(|address| {
                let known = before.iter().position(|place| place.address == address);
                known.map(|i| before.swap_remove(i)).unwrap_or_else(|| {
                    let kept = open(&address);
                    Place::new(address, kept)
                })
            })
            .collect();
    }

    /// The next endpoint that may be asked.
    pub(super) fn next(&mut self, now: Instant) -> Option<(&Address, &T)> {
        let count = self.places.len();
        let turn = self.turn;
        let found = (0..count)
            .map(|i| (turn + i) % count)
            .find(|&i| self.places.get(i).is_some_and(|place| place.is_up(now)))?;
        self.turn = (found + 1) % count;
        let place = self.places.get(found)?;
        Some((&place.address, &place.kept))
    }

    /// An endpoint answered, whatever it said.
    pub(super) fn answered(&mut self, address: &Address) {
        if let Some(place) = self.find(address) {
            place.rests_until = None;
            place.backoff.succeeded();
        }
    }

    /// An endpoint broke the connection, or there was none; `random` is drawn from the whole range.
    /// What failed together counts once.
    pub(super) fn failed(&mut self, address: &Address, now: Instant, random: u32) {
        if let Some(place) = self.find(address).filter(|place| place.is_up(now)) {
            let rest = place.backoff.failed(random).min(LONGEST_REST);
            place.rests_until = Some(now + rest);
        }
    }

    fn find(&mut self, address: &Address) -> Option<&mut Place<T>> {
        let mut places = self.places.iter_mut();
        places.find(|place| place.address == *address)
    }
}

impl<T> Place<T> {
    fn new(address: Address, kept: T) -> Self {
        Self {
            address,
            kept,
            backoff: Backoff::default(),
            rests_until: None,
        }
    }

    fn is_up(&self, now: Instant) -> bool {
        self.rests_until.is_none_or(|until| until <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> Address {
        Address::Tcp(([127, 0, 0, 1], port).into())
    }

    /// An endpoint's number is kept of it.
    fn rota(ports: &[u16]) -> Rota<u16> {
        let mut rota = Rota::default();
        update(&mut rota, ports, 0);
        rota
    }

    fn update(rota: &mut Rota<u16>, ports: &[u16], more: u16) {
        let addresses = ports.iter().map(|port| address(*port));
        rota.update(addresses, |address| match address {
            Address::Tcp(address) => address.port() + more,
            _ => 0,
        });
    }

    fn turns(rota: &mut Rota<u16>, now: Instant, count: usize) -> Vec<u16> {
        let next = (0..count).filter_map(|_| rota.next(now).map(|(_, kept)| *kept));
        next.collect()
    }

    #[test]
    fn each_has_its_turn() {
        let now = Instant::now();
        assert!(turns(&mut rota(&[]), now, 2).is_empty());
        assert_eq!(turns(&mut rota(&[1]), now, 3), [1, 1, 1]);
        assert_eq!(turns(&mut rota(&[1, 2, 3]), now, 5), [1, 2, 3, 1, 2]);
    }

    #[test]
    fn what_broke_rests_longer_each_time_and_at_most_a_second() {
        let start = Instant::now();
        let mut rota = rota(&[1]);
        let mut now = start;
        let mut rests = vec![];
        for _ in 0..6 {
            rota.failed(&address(1), now, u32::MAX);
            // The others that were under way say nothing new.
            rota.failed(&address(1), now, u32::MAX);
            assert!(rota.next(now).is_none());
            let failed = now;
            while rota.next(now).is_none() {
                now += Duration::from_millis(1);
            }
            rests.push((now - failed).as_millis());
        }
        assert_eq!(rests, [100, 200, 400, 800, 1000, 1000]);
        rota.answered(&address(1));
        rota.failed(&address(1), now, u32::MAX);
        assert!(rota.next(now + Duration::from_millis(100)).is_some());
    }

    #[test]
    fn the_others_take_the_turns_of_one_that_rests() {
        let now = Instant::now();
        let mut rota = rota(&[1, 2, 3]);
        rota.failed(&address(2), now, u32::MAX);
        assert_eq!(turns(&mut rota, now, 4), [1, 3, 1, 3]);
        // One that is not there any more is nobody's business.
        rota.failed(&address(9), now, 0);
        rota.answered(&address(9));
    }

    #[test]
    fn what_stays_is_kept() {
        let now = Instant::now();
        let mut rota = rota(&[1, 2]);
        rota.failed(&address(2), now, u32::MAX);
        update(&mut rota, &[2, 3], 100);
        assert_eq!(turns(&mut rota, now, 2), [103, 103]);
        let later = now + LONGEST_REST;
        assert_eq!(turns(&mut rota, later, 2), [2, 103]);
    }
}
