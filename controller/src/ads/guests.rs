//! How many connections each identity has: a proxy needs one, and whoever shows a token need not have all there are.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::identity::Identity;

/// Of one identity: with room for a proxy that comes again before its last connections are missed, which takes up to 40 s.
pub(super) const MOST: usize = 16;

/// Who has connections; a clone counts the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Guests(Arc<Mutex<HashMap<Identity, usize>>>);

/// That one of an identity's connections is there, until it is dropped.
#[derive(Debug)]
pub(super) struct Pass {
    identity: Identity,
    guests: Guests,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} has {MOST} connections already, and a proxy needs one: close some")]
pub(super) struct TooMany(Identity);

impl Guests {
    pub(super) fn enter(&self, identity: &Identity) -> Result<Pass, TooMany> {
        let mut guests = self.lock();
        let connections = guests.entry(identity.clone()).or_default();
        if *connections >= MOST {
            return Err(TooMany(identity.clone()));
        }
        *connections += 1;
        Ok(Pass {
            identity: identity.clone(),
            guests: self.clone(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Identity, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass {
    pub(super) fn is_of(&self, identity: &Identity) -> bool {
        self.identity == *identity
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut guests = self.guests.lock();
        if let Entry::Occupied(mut connections) = guests.entry(self.identity.clone()) {
            *connections.get_mut() -= 1;
            if *connections.get() == 0 {
                connections.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::identity::Pod;
    use super::*;

    fn identity(pod: &str) -> Identity {
        Identity {
            namespace: "shop".to_owned(),
            service_account: "edge".to_owned(),
            pod: Pod {
                name: pod.to_owned(),
                uid: pod.to_owned(),
            },
        }
    }

    #[test]
    fn one_has_no_more_than_its_share_and_leaves_others_theirs() {
        let guests = Guests::default();
        let mut own: Vec<_> = (0..MOST)
            .map(|_| guests.enter(&identity("a")).expect("there is room"))
            .collect();
        let refused = guests.enter(&identity("a")).expect_err("there is none");
        assert_eq!(
            refused.to_string(),
            "shop/a (edge) has 16 connections already, and a proxy needs one: close some"
        );
        let other = guests.enter(&identity("b")).expect("it is another");
        own.pop();
        let again = guests.enter(&identity("a")).expect("one has left");
        assert!(again.is_of(&identity("a")) && !again.is_of(&identity("b")));
        drop((own, other, again));
        assert!(guests.lock().is_empty());
    }
}
