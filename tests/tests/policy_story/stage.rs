//! The servers and clients that all chapters share.

use meltemi_tests::until;

use super::peers::{Answer, Call, Client, Peers, Server};
use super::proxied::{Proxied, Rules};
use super::told::Told;

pub(crate) struct Stage {
    pub(crate) peers: Box<dyn Peers>,
    /// Two servers, whole between the chapters.
    pub(crate) a: Box<dyn Server>,
    pub(crate) b: Box<dyn Server>,
    pub(crate) libraries: Vec<Library>,
}

/// A client, and what it shows of errors.
pub(crate) struct Library {
    pub(crate) client: Box<dyn Client>,
    told: Told,
}

impl Stage {
    pub(crate) fn set(peers: Box<dyn Peers>) -> Self {
        let (a, b) = (peers.server("a"), peers.server("b"));
        let page = peers.page();
        let library = |(name, client)| Library {
            client,
            told: Told::of(page, name),
        };
        let libraries = peers.clients().into_iter().map(library).collect();
        Self {
            peers,
            a,
            b,
            libraries,
        }
    }

    /// Meltemi before servers on these ports, to which all clients connect with their next calls.
    pub(crate) fn before(&mut self, ports: &[u16], rules: Rules<'_>) -> Proxied {
        let proxied = Proxied::run(&*self.peers, ports, rules);
        for library in &mut self.libraries {
            library.client.connect(proxied.port());
        }
        proxied
    }

    /// How often a server has counted, as it says itself.
    pub(crate) fn counted(&mut self, port: u16) -> u64 {
        let client = &mut self.libraries.first_mut().expect("a library").client;
        client.connect(port);
        match client.call(Call::Counted) {
            Answer::Value(count) => count.parse().expect("a number"),
            error @ Answer::Error { .. } => panic!("{error:?}"),
        }
    }
}

impl Library {
    /// Makes a call that is to be answered with this.
    pub(crate) fn gets(&mut self, call: Call, value: &str) {
        assert_eq!(self.client.call(call), Answer::value(value), "{call:?}");
    }

    /// That an answer tells this status and reason.
    pub(crate) fn is_told(&self, answer: &Answer, status: &str, reason: &str) {
        self.told.assert(answer, status, reason);
    }

    /// Makes a call that is to be answered with an error.
    pub(crate) fn hears(&mut self, call: Call, status: &str, reason: &str) {
        let answer = self.client.call(call);
        self.is_told(&answer, status, reason);
    }

    /// Makes calls until one waits at a server that does not answer; how many were answered elsewhere.
    pub(crate) fn gets_stuck(
        &mut self,
        call: Call,
        proxied: &Proxied,
        server: &dyn Server,
    ) -> usize {
        let waiting = proxied.waiting_at(server);
        for elsewhere in 0.. {
            let answered = proxied.answered();
            self.client.begin(call);
            let is_stuck = until("the call is somewhere", || {
                let is_stuck = proxied.waiting_at(server) > waiting;
                (is_stuck || proxied.answered() > answered).then_some(is_stuck)
            });
            if is_stuck {
                return elsewhere;
            }
            let answer = self.client.answer();
            assert!(matches!(answer, Answer::Value(_)), "{answer:?}");
        }
        unreachable!("servers take turns")
    }
}
