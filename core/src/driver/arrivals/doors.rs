//! Addresses at which clients speak TLS, and the listeners there: whose a client is, its first message says.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::listeners::Origin;
use crate::config::{Bind, Mode, ServerNames, Snapshot};
use crate::tls::{Tls, ToClients};

/// All of a configuration.
#[derive(Debug, Default)]
pub(super) struct Doors(HashMap<Key, Door>);

/// An address; where the system chooses the port, each listener has one of its own.
type Key = (Bind, Option<String>);

/// One address. There is a listener, or more.
#[derive(Debug, Default)]
struct Door(Vec<Behind>);

/// A listener with TLS.
#[derive(Clone, Debug)]
pub(super) struct Behind {
    names: ServerNames,
    pub(super) listener: Arc<str>,
    pub(super) tls: Arc<Tls<ToClients>>,
}

impl Doors {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let mut doors = HashMap::<Key, Door>::new();
        for listener in snapshot.listeners.values() {
            if let (Mode::Service(_), Some(tls)) = (&listener.mode, &listener.tls) {
                let key = key(&listener.bind, &listener.name);
                doors.entry(key).or_default().0.push(Behind {
                    names: listener.server_names.clone(),
                    listener: listener.name.as_str().into(),
                    tls: Arc::clone(tls),
                });
            }
        }
        Self(doors)
    }

    /// Whether clients that come in here have to say first whom they ask for.
    pub(super) fn ask(&self, origin: &Origin) -> bool {
        let door = self.at(origin);
        door.is_some_and(|door| door.sole().is_none())
    }

    /// The listener that clients are at who come in here, where that is the same for all.
    pub(super) fn sole(&self, origin: &Origin) -> Option<&Behind> {
        self.at(origin)?.sole()
    }

    /// Of several the first, which answers for what is not known to be another's.
    pub(super) fn first(&self, origin: &Origin) -> Option<&Behind> {
        self.at(origin)?.0.first()
    }

    /// Who is for a client that asks for this name, or for none.
    pub(super) fn best(&self, origin: &Origin, asked: Option<&str>) -> Option<&Behind> {
        let all = self.at(origin)?.0.iter();
        ServerNames::best(all.map(|behind| (&behind.names, behind)), asked)
    }

    fn at(&self, origin: &Origin) -> Option<&Door> {
        self.0.get(&key(&origin.bind, &origin.listener))
    }
}

impl Door {
    fn sole(&self) -> Option<&Behind> {
        match self.0.as_slice() {
            [only] if only.names.is_for_anybody() => Some(only),
            _ => None,
        }
    }
}

fn key(bind: &Bind, listener: &str) -> Key {
    let own = bind.is_left_open().then(|| listener.to_owned());
    (bind.clone(), own)
}
