//! When names are asked for, and what is known of them.
//!
//! One owner keeps the [`Names`] of all clusters whose endpoints have names. It says which of them are
//! to be asked for when, and what an answer changes. What an answer means is as in Envoy
//! (`source/extensions/clusters/dns/dns_cluster.cc`): addresses replace those before; that there are
//! none is an answer where each address is an endpoint, and a failure where all of them are one; after
//! a failure the last addresses stay.

mod resolved;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::config::{Discovery, Dns, DnsKind, DnsTarget, Refresh, Snapshot};
pub(crate) use resolved::Resolved;

/// Of one name; an answer over UDP has fewer, and one that has more is not of a service.
pub const MOST_ADDRESSES: usize = 1024;
/// However short a refresh rate is.
const FASTEST: Duration = Duration::from_millis(100);
/// However long an answer says that it lives.
const SLOWEST: Duration = Duration::from_secs(60 * 60);

/// A name, and how it is asked for: clusters that ask the same share the answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    pub name: Arc<str>,
    pub kind: DnsKind,
    pub refresh: Refresh,
}

/// What a lookup came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    Addresses {
        addresses: Vec<IpAddr>,
        /// The shortest of theirs.
        ttl: Duration,
    },
    Nothing(Absent),
    /// Nobody could say, and why.
    Failed(String),
}

/// What there is not, by an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    Name,
    /// Of the families that were asked for.
    Addresses,
}

impl Absent {
    fn told(self) -> &'static str {
        match self {
            Self::Name => "there is no such name (NXDOMAIN)",
            Self::Addresses => "the name has no addresses",
        }
    }
}

/// How a lookup counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    Success,
    /// A success that says that there are no addresses.
    Empty,
    Failure,
}

/// What a lookup led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    pub update: Update,
    /// The addresses are others now.
    pub changed: bool,
    /// Addresses that nobody can be dialled at, or that were too many.
    pub dropped: usize,
}

/// What is known of a name.
#[derive(Clone, Debug)]
pub struct Known {
    /// Of the last answer, in a fixed order where each is an endpoint.
    pub addresses: Vec<IpAddr>,
    /// When it came. `None`: there was none yet.
    pub answered: Option<Instant>,
    /// Why the last lookup brought no addresses, whether or not it counts as a failure.
    pub error: Option<String>,
    /// No lookup has ended yet.
    pub awaited: bool,
    /// `None`: a lookup is under way.
    pub next: Option<Instant>,
    /// After how many failures in a row.
    failures: u32,
}

/// All names that somebody asks for.
///
/// Time only comes in by arguments; [`Self::due`] has to be called at [`Self::deadline`], and each
/// lookup that it asks for ends in [`Self::take`].
#[derive(Debug)]
pub struct Names {
    known: HashMap<Question, Known>,
    random: SmallRng,
}

impl Known {
    fn new(now: Instant) -> Self {
        Self {
            addresses: Vec::new(),
            answered: None,
            error: None,
            awaited: true,
            next: Some(now),
            failures: 0,
        }
    }

    fn succeeded(&mut self, addresses: Vec<IpAddr>, now: Instant) -> bool {
        self.error = None;
        self.answered = Some(now);
        let before = std::mem::replace(&mut self.addresses, addresses);
        before != self.addresses
    }
}

impl Names {
    /// `seed` is of the jitter.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            known: HashMap::new(),
            random: SmallRng::seed_from_u64(seed),
        }
    }

    /// Takes in what is asked for from now on. What stays keeps what is known of it; what is new is
    /// asked for at once.
    pub fn want(&mut self, wanted: impl IntoIterator<Item = Question>, now: Instant) {
        let mut before = std::mem::take(&mut self.known);
        for question in wanted {
            let known = before.remove(&question);
            self.known
                .entry(question)
                .or_insert_with(|| known.unwrap_or_else(|| Known::new(now)));
        }
    }

    /// The names that are to be asked for now, the longest due first, so that at most so many lookups
    /// are under way.
    pub fn due(&mut self, now: Instant, most: usize) -> Vec<Question> {
        let under_way = self.known.values().filter(|it| it.next.is_none()).count();
        let due = self.known.iter();
        let due = due.filter_map(|(question, known)| Some((known.next?, question)));
        let mut due: Vec<_> = due
            .filter(|(at, _)| *at <= now)
            .map(|(at, question)| (at, question.clone()))
            .collect();
        due.sort_by(|(a, one), (b, other)| (a, &one.name).cmp(&(b, &other.name)));
        due.truncate(most.saturating_sub(under_way));
        let due: Vec<_> = due.into_iter().map(|(_, question)| question).collect();
        for question in &due {
            if let Some(known) = self.known.get_mut(question) {
                known.next = None;
            }
        }
        due
    }

    /// When [`Self::due`] has something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.known.values().filter_map(|known| known.next).min()
    }

    /// Takes in how a lookup ended. `None`: nobody asks for it any more.
    pub fn take(&mut self, question: &Question, found: Found, now: Instant) -> Option<Taken> {
        let known = self.known.get_mut(question)?;
        known.awaited = false;
        let refresh = &question.refresh;
        let (update, changed, dropped, ttl) = match read(question.kind, found) {
            Read::Addresses {
                addresses,
                ttl,
                dropped,
            } => {
                let changed = known.succeeded(addresses, now);
                (Update::Success, changed, dropped, Some(ttl))
            }
            Read::Nothing(absent) => {
                let changed = known.succeeded(Vec::new(), now);
                known.error = Some(absent.told().to_owned());
                (Update::Empty, changed, 0, None)
            }
            Read::Failed { reason, dropped } => {
                known.error = Some(reason);
                (Update::Failure, false, dropped, None)
            }
        };
        let wait = match ttl {
            Some(ttl) => {
                known.failures = 0;
                let jitter = below(refresh.jitter, &mut self.random);
                after_answer(refresh, ttl) + jitter
            }
            // That there is no such name may be over as soon as a failure.
            None => {
                let whole = after_failures(refresh, known.failures);
                known.failures = known.failures.saturating_add(1);
                whole / 2 + below(whole / 2, &mut self.random)
            }
        };
        known.next = Some(now + wait.max(FASTEST));
        Some(Taken {
            update,
            changed,
            dropped,
        })
    }

    #[must_use]
    pub fn get(&self, question: &Question) -> Option<&Known> {
        self.known.get(question)
    }

    /// Whether no lookup of it has ended yet.
    #[must_use]
    pub fn is_awaited(&self, question: &Question) -> bool {
        self.get(question).is_some_and(|known| known.awaited)
    }

    /// The names of which no lookup has ended yet.
    pub fn awaited(&self) -> impl Iterator<Item = &str> {
        let awaited = self.known.iter().filter(|(_, known)| known.awaited);
        awaited.map(|(question, _)| &*question.name)
    }
}

/// An answer as it counts.
enum Read {
    Addresses {
        addresses: Vec<IpAddr>,
        ttl: Duration,
        dropped: usize,
    },
    Nothing(Absent),
    Failed {
        reason: String,
        dropped: usize,
    },
}

fn read(kind: DnsKind, found: Found) -> Read {
    let (mut addresses, ttl) = match found {
        Found::Addresses { addresses, ttl } => (addresses, ttl),
        Found::Nothing(absent) if kind == DnsKind::Strict => return Read::Nothing(absent),
        Found::Nothing(absent) => {
            let reason = absent.told().to_owned();
            return Read::Failed { reason, dropped: 0 };
        }
        Found::Failed(reason) => return Read::Failed { reason, dropped: 0 },
    };
    let all = addresses.len();
    addresses.retain(can_be_dialled);
    let lies = all - addresses.len();
    if kind == DnsKind::Strict {
        // Servers turn the order with each answer.
        addresses.sort_unstable();
        addresses.dedup();
    }
    let too_many = addresses.len().saturating_sub(MOST_ADDRESSES);
    addresses.truncate(MOST_ADDRESSES);
    match addresses.is_empty() {
        true => Read::Failed {
            reason: "none of its addresses can be dialled".to_owned(),
            dropped: lies,
        },
        false => Read::Addresses {
            dropped: lies + too_many,
            addresses,
            ttl,
        },
    }
}

/// Filters say `0.0.0.0` for names that they block; dialled it would be this machine.
fn can_be_dialled(address: &IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !(address.is_unspecified() || address.is_multicast() || is_broadcast)
}

fn after_answer(refresh: &Refresh, ttl: Duration) -> Duration {
    match refresh.respects_ttl && !ttl.is_zero() {
        true => ttl.min(SLOWEST),
        false => refresh.rate,
    }
}

/// Doubles from the base up to the maximum.
fn after_failures(refresh: &Refresh, before: u32) -> Duration {
    let factor = 1u32.checked_shl(before).unwrap_or(u32::MAX);
    let grown = refresh.failure_base.saturating_mul(factor);
    grown.min(refresh.failure_max)
}

/// Envoy's draw: below the most, never all of it.
fn below(most: Duration, random: &mut SmallRng) -> Duration {
    match most {
        Duration::ZERO => Duration::ZERO,
        most => random.random_range(Duration::ZERO..most),
    }
}

/// What the clusters of a configuration ask for.
pub(crate) fn questions(snapshot: &Snapshot) -> impl Iterator<Item = Question> {
    let clusters = snapshot.clusters.values();
    let dns = clusters.filter_map(|cluster| match &cluster.discovery {
        Discovery::Dns(dns) => Some(dns),
        Discovery::Eds(_) => None,
    });
    dns.flat_map(|dns| questions_of(dns))
}

/// What one cluster asks for.
pub(crate) fn questions_of(dns: &Dns) -> impl Iterator<Item = Question> {
    let targets = dns.endpoints.hosts.iter();
    targets.filter_map(|target| match &target.address {
        DnsTarget::Name { name, .. } => Some(question(dns, name)),
        DnsTarget::Address(_) => None,
    })
}

fn question(dns: &Dns, name: &Arc<str>) -> Question {
    Question {
        name: Arc::clone(name),
        kind: dns.kind,
        refresh: dns.refresh,
    }
}
