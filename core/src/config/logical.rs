//! One endpoint whose name may lead to another address for each connection.

use std::cmp::Ordering;
use std::fmt::{Display, Formatter};
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};

/// What Envoy's `LOGICAL_DNS` has for an endpoint. It is its name and its port; where these lead is for
/// the connections that are made from then on, and those that there are stay.
#[derive(Debug)]
pub struct Logical {
    name: Arc<str>,
    port: u16,
    /// Read when a connection is made.
    leads_to: RwLock<IpAddr>,
}

impl Logical {
    #[must_use]
    pub fn new(name: Arc<str>, port: u16, leads_to: IpAddr) -> Self {
        Self {
            name,
            port,
            leads_to: RwLock::new(leads_to),
        }
    }

    /// Where a connection that is made now leads.
    #[must_use]
    pub fn current(&self) -> SocketAddr {
        let leads_to = self.leads_to.read().unwrap_or_else(PoisonError::into_inner);
        SocketAddr::new(*leads_to, self.port)
    }

    /// Its name has a new address.
    pub fn lead_to(&self, address: IpAddr) {
        *self
            .leads_to
            .write()
            .unwrap_or_else(PoisonError::into_inner) = address;
    }

    fn key(&self) -> (&str, u16) {
        (&self.name, self.port)
    }
}

impl Display for Logical {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.name, self.port)
    }
}

impl PartialEq for Logical {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Logical {}

impl Hash for Logical {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl PartialOrd for Logical {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Logical {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}
