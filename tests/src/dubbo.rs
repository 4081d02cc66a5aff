//! Real Dubbo providers and consumers, of two generations of the library.

mod caller;
mod facts;
mod load;
pub mod wire;

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;

use crate::kubernetes::Image;
use crate::peers;
use crate::process::Process;

pub use caller::Caller;
pub use facts::{Fact, facts};
pub use load::{Counts, Load};

/// A generation of the Dubbo library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    V2_7_23,
    V3_3_6,
}

impl Generation {
    fn module(self) -> &'static str {
        match self {
            Self::V2_7_23 => "dubbo-2.7.23",
            Self::V3_3_6 => "dubbo-3.3.6",
        }
    }
}

/// The built peers.
pub struct Peers {
    home: PathBuf,
    hosts: TempDir,
}

/// A running provider.
pub struct Provider {
    process: Process,
    port: u16,
}

impl Peers {
    /// The peers, if they are built; else a line that says how to build them.
    ///
    /// # Panics
    /// When they are not built and `MELTEMI_REQUIRE_PEERS=1`.
    pub fn find() -> Option<Self> {
        let home = peers::home("dubbo")?;
        // Both libraries replace 127.0.0.1 by the machine's own address, but keep a name for it.
        let hosts = TempDir::with_prefix("meltemi-hosts-").expect("a temporary directory");
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let line = format!("127.0.0.1 loopback.test localhost {host}\n");
        std::fs::write(hosts.path().join("hosts"), line)
            .expect("a temporary directory can be written");
        Some(Self { home, hosts })
    }

    /// Starts a provider that names itself `label` in its answers, and waits until it serves.
    pub fn provider(&self, generation: Generation, label: &str) -> Provider {
        self.provider_with(generation, label, &[])
    }

    /// [`Self::provider`] with further arguments.
    pub fn provider_with(
        &self,
        generation: Generation,
        label: &str,
        arguments: &[&str],
    ) -> Provider {
        let mut command = self.java(generation, "meltemi.peer.Provider");
        let process = Process::spawn(label, command.args(["--label", label]).args(arguments));
        let (port, _) = process.line(0, "its port", |line| {
            let line: Value = serde_json::from_str(line).ok()?;
            u16::try_from(line.get("port")?.as_u64()?).ok()
        });
        Provider { process, port }
    }

    /// A consumer tells these stories against an address on loopback; its facts.
    pub fn tell(&self, generation: Generation, port: u16, stories: &[&str]) -> Vec<Fact> {
        let mut command = self.java(generation, "meltemi.peer.Consumer");
        command.args(["--address", &address(port), "--story", &stories.join(",")]);
        let name = format!("consumer {generation:?}");
        let mut process = Process::spawn(&name, &mut command);
        // Story by story, so that patience is for one of them.
        let mut from = 0;
        for story in stories {
            from = process
                .line(from, &format!("the end of {story}"), |line| {
                    facts::ends(line, story)
                })
                .1;
        }
        process.wait();
        facts(&process.lines())
    }

    /// A consumer with threads that call without pause; `lane` is sent as the attachment of that name.
    pub fn load(
        &self,
        generation: Generation,
        port: u16,
        threads: usize,
        lane: Option<&str>,
    ) -> Load {
        let mut command = self.java(generation, "meltemi.peer.Consumer");
        command.args(["--address", &address(port), "--load", &threads.to_string()]);
        if let Some(lane) = lane {
            command.args(["--lane", lane]);
        }
        let name = format!("load {generation:?}");
        Load::of(Arc::new(Process::spawn(&name, &mut command)))
    }

    /// A consumer that makes the calls that it is told to.
    pub fn caller(&self, generation: Generation) -> Caller {
        let mut command = self.java(generation, "meltemi.peer.Consumer");
        Caller::of(Process::spawn(
            &format!("caller {generation:?}"),
            &mut command,
        ))
    }

    /// What runs one of the peers' classes in a pod.
    #[must_use]
    pub fn image(&self, generation: Generation, main: &str) -> Image {
        let java = ["java".to_owned(), "-XX:-UsePerfData".to_owned()];
        let arguments = arguments(generation, "/run/image", main);
        Image {
            path: self.home.clone(),
            entry: java.into_iter().chain(arguments).collect(),
        }
    }

    fn java(&self, generation: Generation, main: &str) -> Command {
        let mut command = Command::new("java");
        let hosts = self.hosts.path().join("hosts");
        command.arg(format!("-Djdk.net.hosts.file={}", hosts.display()));
        let home = self.home.display().to_string();
        command.args(arguments(generation, &home, main));
        command
    }
}

/// What a machine is told, of peers in that directory.
fn arguments(generation: Generation, home: &str, main: &str) -> Vec<String> {
    let module = format!("{home}/{}", generation.module());
    let mut arguments = [
        "-Xmx512m",
        // Many short-lived machines on few cores: the cheap compiler and collector start fastest.
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-Djava.net.preferIPv4Stack=true",
        "-Ddubbo.service.shutdown.wait=3000",
    ]
    .map(str::to_owned)
    .to_vec();
    // 2.7.23 reads and writes private fields of these.
    for package in [
        "lang",
        "lang.reflect",
        "math",
        "util",
        "util.concurrent",
        "time",
        "io",
        "text",
        "net",
    ] {
        arguments.push(format!("--add-opens=java.base/java.{package}=ALL-UNNAMED"));
    }
    let class_path = format!("{module}/peer.jar:{module}/lib/*");
    arguments.extend(["-cp".to_owned(), class_path, main.to_owned()]);
    arguments
}

impl Provider {
    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn process(&self) -> &Process {
        &self.process
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

    /// SIGTERM, and its end: it announces that it leaves and finishes what it can.
    pub fn leave(mut self) {
        self.process.signal("TERM");
        self.process.wait();
    }
}

fn address(port: u16) -> String {
    format!("loopback.test:{port}")
}
