//! What the story has to know of a protocol.

use meltemi_tests::{Manifests, Process};

/// What a client asks for, in whatever words its protocol has for it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Call {
    /// The label of the server that answers. Once or twice is the same.
    Who,
    /// Counts at the server. Twice is not once.
    Count,
    /// How often it has counted.
    Counted,
    /// What the server [`Peers::troubled`] cannot do, for reasons of its own, and others can.
    Demand,
}

/// What a library shows of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A value as a text; empty where there is none.
    Value(String),
    /// What it threw: its class, with the code that it has, and its message.
    Error { class: String, message: String },
}

impl Answer {
    pub(crate) fn value(text: &str) -> Self {
        Self::Value(text.to_owned())
    }
}

/// Real servers and clients of a protocol.
pub(crate) trait Peers {
    /// By its id, which is the name of the Gateway's server, too.
    fn protocol(&self) -> &'static str;

    /// The protocol's page among the docs.
    fn page(&self) -> &'static str;

    /// A directory with the Gateway `edge`.
    fn gateway(&self) -> Manifests;

    /// Whether a MetaRouter's routes say where requests go, or something else in the directory does.
    fn has_destinations(&self) -> bool {
        true
    }

    /// A server that says this when it is asked who it is.
    fn server(&self, label: &str) -> Box<dyn Server>;

    /// One that answers [`Call::Demand`] with an error of its own system.
    fn troubled(&self) -> Box<dyn Server>;

    /// A client of each library, by the name that it has in the docs.
    fn clients(&self) -> Vec<(&'static str, Box<dyn Client>)>;

    /// The attribute, and its value, that tells this call from the others.
    fn attribute(&self, call: Call) -> (&'static str, &'static str);
}

/// A running server.
pub(crate) trait Server {
    /// Of loopback.
    fn port(&self) -> u16;

    fn process(&self) -> &Process;

    /// It is there, and does nothing.
    fn freeze(&self) {
        self.process().signal("STOP");
    }

    /// It goes on.
    fn thaw(&self) {
        self.process().signal("CONT");
    }
}

/// A client, with one connection.
pub(crate) trait Client {
    /// Takes its next calls to this port of loopback.
    fn connect(&mut self, port: u16);

    /// Makes a call, and does not wait.
    fn begin(&mut self, call: Call);

    /// Waits for the answer to the call that it has begun.
    fn answer(&mut self) -> Answer;

    fn call(&mut self, call: Call) -> Answer {
        self.begin(call);
        self.answer()
    }
}
