//! Clients that read and write a few keys, and write down what they saw.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use meltemi_tests::history::{Action, Operation};
use meltemi_tests::redis::{Cluster, Wire};
use meltemi_tests::until;

pub(super) struct Load {
    pub(super) keys: Vec<String>,
    proxy: SocketAddr,
    start: Instant,
    pub(super) stop: AtomicBool,
    /// The primary that is to be killed, and the keys that it has.
    doomed: Option<(SocketAddr, Vec<usize>)>,
    /// When it was; 0: not yet.
    pub(super) dead: AtomicU64,
    seen: Vec<Mutex<Vec<Operation>>>,
    served: AtomicU64,
    /// The first answer of the doomed keys' next primary.
    again: AtomicU64,
    errors: Mutex<BTreeMap<String, u32>>,
}

/// What an operation came to.
enum Came {
    Of(Action),
    /// It may have happened.
    Perhaps(Action),
    ToNothing,
}

/// A client's connection and its chance.
struct Client {
    wire: Option<Wire>,
    direct: Option<Wire>,
    random: u64,
    /// Its last request was refused before a server had it.
    refused: bool,
    /// The next value that it writes: nobody else writes it, nor the next thousand.
    next: i64,
}

impl Load {
    /// Two keys of each primary.
    pub(super) fn of(cluster: &Cluster, proxy: SocketAddr) -> Self {
        let key = |n: usize| cluster.key_of(n % 3, &format!("linear:{n}:"));
        let keys: Vec<String> = (0..6).map(key).collect();
        Self {
            seen: keys.iter().map(|_| Mutex::default()).collect(),
            keys,
            proxy,
            start: Instant::now(),
            stop: AtomicBool::new(false),
            doomed: None,
            dead: AtomicU64::new(0),
            served: AtomicU64::new(0),
            again: AtomicU64::new(0),
            errors: Mutex::default(),
        }
    }

    /// This node is to be killed.
    pub(super) fn doom(&mut self, cluster: &Cluster, node: usize) {
        let keys = (0..self.keys.len()).filter(|key| key % 3 == node).collect();
        self.doomed = Some((cluster.node(node).address(), keys));
    }

    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).expect("not for five hundred years")
    }

    /// Waits until so many further operations were served.
    pub(super) fn until_served(&self, more: u64) {
        let goal = self.served.load(Ordering::SeqCst) + more;
        until("the clients were served", || {
            (self.served.load(Ordering::SeqCst) >= goal).then_some(())
        });
    }

    pub(super) fn served_again(&self) -> Option<u64> {
        Some(self.again.load(Ordering::SeqCst)).filter(|again| *again > 0)
    }

    pub(super) fn histories(&self) -> Vec<Vec<Operation>> {
        let seen = self.seen.iter();
        seen.map(|seen| seen.lock().expect("nobody panicked").clone())
            .collect()
    }

    pub(super) fn report(&self) {
        println!("served {}", self.served.load(Ordering::SeqCst));
        for (error, times) in &*self.errors.lock().expect("nobody panicked") {
            println!("{times} times {error}");
        }
    }

    /// One client, until all are stopped.
    pub(super) fn client(&self, number: u64) {
        let mut client = Client {
            wire: None,
            direct: None,
            refused: false,
            random: (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15),
            next: i64::try_from(number + 1).expect("few") * 1_000_000_000,
        };
        while !self.stop.load(Ordering::SeqCst) {
            let key = client.chance(self.keys.len());
            let invoked = self.now();
            if client.wire.is_none() {
                client.wire = Wire::try_connect(self.proxy);
            }
            let came = self.operate(&mut client, key, invoked);
            let returned = self.now();
            match came {
                Came::ToNothing => {}
                Came::Perhaps(action) => self.note(key, action, invoked, None),
                Came::Of(action) => {
                    self.served.fetch_add(1, Ordering::SeqCst);
                    let known = self.is_known(&mut client, key, invoked);
                    self.note(key, action, invoked, known.then_some(returned));
                }
            }
        }
    }

    fn note(&self, key: usize, action: Action, invoked: u64, returned: Option<u64>) {
        let action = match (action, returned) {
            // Nobody knows what was read of what may be lost.
            (Action::Get(_), None) => return,
            (Action::Incr(_), None) => Action::Incr(None),
            (action, _) => action,
        };
        let operation = Operation {
            action,
            invoked,
            returned,
        };
        let mut seen = self.seen[key].lock().expect("nobody panicked");
        seen.push(operation);
    }

    /// Whether what was answered cannot be lost.
    fn is_known(&self, client: &mut Client, key: usize, invoked: u64) -> bool {
        let Some((address, _)) = self.doomed.as_ref().filter(|(_, keys)| keys.contains(&key))
        else {
            return true;
        };
        let dead = self.dead.load(Ordering::SeqCst);
        if dead > 0 && invoked > dead {
            let _ = self
                .again
                .compare_exchange(0, self.now(), Ordering::SeqCst, Ordering::SeqCst);
            return true;
        }
        let key = &self.keys[key];
        let mut confirmed = || {
            let direct = match &mut client.direct {
                Some(direct) => direct,
                none => none.insert(Wire::try_connect(*address)?),
            };
            let written = direct.try_call(&format!("INCR {{{key}}}:fence"))?;
            let replicas = direct.try_call("WAIT 1 500")?;
            Some(written.starts_with(':') && replicas == ":1")
        };
        confirmed().unwrap_or(false)
    }

    fn operate(&self, client: &mut Client, key: usize, invoked: u64) -> Came {
        let name = &self.keys[key];
        client.next += 1_000_000;
        let next = client.next;
        match client.chance(10) {
            0..4 => match self.ask(client, &format!("GET {name}")) {
                Some(value) => Came::Of(Action::Get(number(&value))),
                None => Came::ToNothing,
            },
            4..6 => match self.ask(client, &format!("SET {name} {next}")) {
                Some(told) => {
                    assert_eq!(told, "+OK");
                    Came::Of(Action::Set(next))
                }
                None => client.perhaps(Action::Set(next)),
            },
            6..8 => match self.ask(client, &format!("INCR {name}")) {
                Some(sum) => {
                    assert!(sum.starts_with(':'), "{sum}");
                    Came::Of(Action::Incr(number(&sum)))
                }
                None => client.perhaps(Action::Incr(None)),
            },
            _ => self.compare_and_set(client, key, (next, invoked)),
        }
    }

    fn compare_and_set(
        &self,
        client: &mut Client,
        key: usize,
        (next, invoked): (i64, u64),
    ) -> Came {
        let name = &self.keys[key];
        let mut old = None;
        let asked = [
            (format!("WATCH {name}"), "+OK"),
            (format!("GET {name}"), ""),
            ("MULTI".to_owned(), "+OK"),
            (format!("SET {name} {next}"), "+QUEUED"),
        ];
        for (words, expected) in asked {
            let Some(told) = self.ask(client, &words) else {
                // What is watched or queued ends with the connection.
                client.wire = None;
                return Came::ToNothing;
            };
            if expected.is_empty() {
                old = number(&told);
                let returned = self.now();
                let known = self.is_known(client, key, invoked);
                self.note(key, Action::Get(old), invoked, known.then_some(returned));
            } else {
                assert_eq!(told, expected, "{words}");
            }
        }
        match self.ask(client, "EXEC").as_deref() {
            Some("[+OK]") => Came::Of(Action::Cas(old, next)),
            Some("(nil)") => Came::ToNothing,
            Some(told) if told.starts_with("-EXECABORT ") => Came::ToNothing,
            Some(told) => panic!("EXEC of one SET: {told}"),
            None => {
                client.wire = None;
                client.perhaps(Action::Cas(old, next))
            }
        }
    }

    /// The reply, unless it is an error that may be while the cluster changes.
    fn ask(&self, client: &mut Client, words: &str) -> Option<String> {
        let reply = client.wire.as_mut().and_then(|wire| wire.try_call(words));
        client.refused = reply.as_deref().is_some_and(is_refused);
        let Some(reply) = reply else {
            client.wire = None;
            self.count("connection closed");
            return None;
        };
        if super::is_excused(&reply) {
            self.count(&reply);
            return None;
        }
        let aborted = words == "EXEC" && reply.starts_with("-EXECABORT ");
        assert!(aborted || !reply.starts_with('-'), "{words}: {reply}");
        Some(reply)
    }

    fn count(&self, error: &str) {
        let mut errors = self.errors.lock().expect("nobody panicked");
        *errors.entry(error.to_owned()).or_default() += 1;
    }
}

impl Client {
    /// What became of a write that was not answered.
    fn perhaps(&self, action: Action) -> Came {
        match self.refused {
            true => Came::ToNothing,
            false => Came::Perhaps(action),
        }
    }

    fn chance(&mut self, of: usize) -> usize {
        // Marsaglia's xorshift.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from(self.random >> 33).expect("31 bits") % of
    }
}

/// The number that a reply is; `None` where nothing is there.
fn number(reply: &str) -> Option<i64> {
    if reply == "(nil)" {
        return None;
    }
    let number = reply.trim_start_matches(':').parse();
    Some(number.unwrap_or_else(|_| panic!("a number, not {reply}")))
}

/// Whether nobody has executed what this is the answer to.
fn is_refused(reply: &str) -> bool {
    let nobody = reply.contains("no healthy endpoint") || reply.contains("can be reached");
    (reply.starts_with("-ERR proxy: ") && nobody)
        || reply.starts_with("-CLUSTERDOWN ")
        || reply.starts_with("-LOADING ")
}
