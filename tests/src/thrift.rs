//! Real Thrift servers and clients of Apache's libraries, and a client and a server that speak it by hand.

mod client;
mod form;
mod proxied;
pub mod wire;

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::peers;
use crate::process::Process;

pub use client::Client;
pub use form::{Form, Language};
pub use proxied::{HOST, Proxied};

/// The built peers.
pub struct Peers {
    home: PathBuf,
}

/// A running server, which serves each of some forms on a port of its own.
pub struct Server {
    process: Process,
    ports: Value,
    /// The line after the last that a test has looked at.
    seen: usize,
}

impl Peers {
    /// The peers, if they are built; else a line that says how to build them.
    ///
    /// # Panics
    /// When they are not built and `MELTEMI_REQUIRE_PEERS=1`.
    pub fn find() -> Option<Self> {
        let home = peers::home("thrift")?;
        Some(Self { home })
    }

    /// Starts a server that names itself `label` in its answers; it serves once a port is asked for.
    pub fn server(&self, language: Language, label: &str, forms: &[Form]) -> Server {
        self.server_at(language, label, forms, 0)
    }

    /// [`Self::server`] at a port, where there is one form.
    pub fn server_at(&self, language: Language, label: &str, forms: &[Form], port: u16) -> Server {
        let mut command = self.command(language, "server");
        command.args(["--label", label]);
        command.args(forms.iter().map(|form| format!("{form}@{port}")));
        let process = Process::spawn(label, &mut command);
        let (ports, seen) = process.line(0, "its ports", |line| {
            let mut line: Value = serde_json::from_str(line).ok()?;
            line.get_mut("ports").map(Value::take)
        });
        Server {
            process,
            ports,
            seen,
        }
    }

    /// Starts a client, without a connection yet.
    pub fn client(&self, language: Language) -> Client {
        let name = format!("client {language}");
        Client::of(Process::spawn(&name, &mut self.command(language, "client")))
    }

    /// Where a language's library lies, and the code that is generated for the peers.
    #[must_use]
    pub fn library(&self, language: Language) -> PathBuf {
        self.home.join(language.to_string())
    }

    fn command(&self, language: Language, peer: &str) -> Command {
        Command::new(self.library(language).join(peer))
    }
}

impl Server {
    /// Where it serves a form.
    ///
    /// # Panics
    /// When it was not started with it.
    pub fn port(&self, form: Form) -> u16 {
        let port = self.ports.get(form.to_string()).and_then(Value::as_u64);
        port.and_then(|port| u16::try_from(port).ok())
            .unwrap_or_else(|| panic!("no port of {form} among {}", self.ports))
    }

    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Waits until it has begun with another call of `slow`.
    pub fn has_begun(&mut self) {
        let begun = |line: &str| line.contains("\"slow\"").then_some(());
        self.seen = self.process.line(self.seen, "that a call began", begun).1;
    }

    /// SIGSTOP: it is there, and does nothing.
    pub fn freeze(&self) {
        self.process.signal("STOP");
    }

    /// It goes on.
    pub fn thaw(&self) {
        self.process.signal("CONT");
    }

    /// SIGKILL: it leaves without a word.
    pub fn crash(self) {
        drop(self);
    }
}
