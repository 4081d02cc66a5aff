//! A real redis-server, and connections to it.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread::yield_now,
    time::{Duration, Instant},
};

use meltemi_redis::resp::{ReplyScan, Scanned};
use tempfile::TempDir;

use crate::proxy::Peer;

/// A server that ends with the test.
pub struct RedisServer {
    child: Child,
    folder: TempDir,
}

impl RedisServer {
    /// Starts one, or says in one line what is skipped without it.
    pub fn start(skipped: &str, options: &[&str]) -> Option<Self> {
        let installed = Command::new("redis-server")
            .arg("--version")
            .output()
            .is_ok();
        let required = std::env::var("MELTEMI_REQUIRE_PEERS").is_ok_and(|value| value == "1");
        assert!(
            installed || !required,
            "redis-server is missing: apt-get install redis-server"
        );
        if !installed {
            let notice = format!("skipped: {skipped}; install redis-server\n");
            std::io::stderr().write_all(notice.as_bytes()).unwrap();
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new("redis-server")
            .current_dir(folder.path())
            .args(["--port", "0", "--unixsocket", "socket"])
            .args(["--save", "", "--appendonly", "no"])
            .args(options)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stdout.take().unwrap());
        let ready = log
            .lines()
            .map_while(Result::ok)
            .any(|line| line.contains("ready to accept connections"));
        let server = Self { child, folder };
        assert!(ready, "redis-server did not start");
        Some(server)
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    pub fn connect(&self) -> Direct {
        let stream = UnixStream::connect(self.path()).unwrap();
        stream.set_nonblocking(true).unwrap();
        Direct {
            stream,
            received: Vec::new(),
        }
    }

    /// Connections as a proxy opens them.
    pub fn links(&self) -> Links<'_> {
        Links {
            server: self,
            links: HashMap::new(),
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client's connection.
pub struct Direct {
    stream: UnixStream,
    pub received: Vec<u8>,
}

impl Direct {
    pub fn send(&mut self, bytes: &[u8]) {
        let mut left = bytes;
        while !left.is_empty() {
            match self.stream.write(left) {
                Ok(n) => left = &left[n..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => yield_now(),
                // The server has closed; what it said before tells why.
                Err(_) => return,
            }
        }
    }

    /// Takes what has come.
    pub fn poll(&mut self) {
        let mut buffer = [0; 16 * 1024];
        while let Ok(n @ 1..) = self.stream.read(&mut buffer) {
            self.received.extend_from_slice(&buffer[..n]);
        }
    }

    /// Sends a command and takes its one reply.
    pub fn ask(&mut self, command: &[u8]) -> Vec<u8> {
        self.send(command);
        wait("an answer", || {
            self.poll();
            messages(&self.received) == 1
        });
        std::mem::take(&mut self.received)
    }
}

/// A proxy's connections to one server.
pub struct Links<'a> {
    server: &'a RedisServer,
    links: HashMap<usize, Direct>,
}

impl Peer for Links<'_> {
    fn write(&mut self, link: usize, bytes: &[u8]) {
        let connect = || self.server.connect();
        self.links.entry(link).or_insert_with(connect).send(bytes);
    }

    fn read(&mut self, link: usize) -> Vec<u8> {
        let Some(link) = self.links.get_mut(&link) else {
            return Vec::new();
        };
        link.poll();
        std::mem::take(&mut link.received)
    }
}

/// How many whole replies these bytes are.
pub fn messages(mut bytes: &[u8]) -> usize {
    let mut count = 0;
    while let Ok(Scanned::End(end)) = ReplyScan::default().feed(bytes) {
        count += 1;
        bytes = &bytes[end..];
    }
    count
}

/// Waits until it is so.
pub fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "waited for {what}"
        );
        yield_now();
    }
}
