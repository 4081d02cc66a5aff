//! Network namespaces, as many as there are nodes and pods. Each is held by a process that ends with ours, however that does.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::process::Process;

/// It ends with its owner, and with it the links that are in it.
pub(super) struct Namespace {
    holder: Process,
    path: PathBuf,
}

impl Namespace {
    /// Whether we may have one.
    pub(super) fn is_permitted() -> bool {
        let unshared = Command::new("unshare")
            .args(["--net", "--mount", "--uts", "true"])
            .stderr(Stdio::null())
            .status();
        unshared.is_ok_and(|status| status.success())
    }

    pub(super) fn new(name: &str) -> Self {
        let mut command = Command::new("unshare");
        // `cat` ends when nobody can write to it any more.
        let hold = "ip link set lo up; echo there; exec cat";
        command.args(["--net", "sh", "-c", hold]);
        let holder = Process::spawn(name, &mut command);
        let ((), _) = holder.line(0, "that it is there", |line| {
            (line == "there").then_some(())
        });
        let path = PathBuf::from(format!("/proc/{}/ns/net", holder.pid()));
        Self { holder, path }
    }

    /// What `ip link … netns` calls it.
    pub(super) fn pid(&self) -> u32 {
        self.holder.pid()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Runs lines of a shell in it.
    ///
    /// # Panics
    /// With what they say, when one fails.
    pub(super) fn run(&self, lines: &str) {
        self.feed(&["sh", "-e"], lines);
    }

    /// Runs a program in it that reads its input.
    ///
    /// # Panics
    /// With what it says, when it fails.
    pub(super) fn feed(&self, program: &[&str], input: &str) {
        let mut child = Command::new("nsenter")
            .arg(format!("--net={}", self.path.display()))
            .args(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("nsenter starts");
        let mut stdin = child.stdin.take().expect("standard input is piped");
        // It may end before it has read everything; then it says why.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program:?}: {said}\n{input}");
    }

    /// Does something in it: sockets that are made there stay there.
    pub(super) fn inside<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        let file = File::open(&self.path).expect("a namespace has a file");
        thread::scope(|scope| {
            let worker = scope.spawn(move || {
                let net = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(file.as_fd(), net).expect("it can be entered");
                act()
            });
            worker.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }
}
