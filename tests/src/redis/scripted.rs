//! Nodes of a cluster that answer what a test wants, when it wants.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::encode;
use crate::wait::PATIENCE;

/// What a node does with a command: the bytes of its reply, or `None` to think about it again once
/// something has changed.
type Answer = dyn Fn(&Asked<'_>) -> Option<Vec<u8>> + Send + Sync;

/// A command that a scripted node was sent.
pub struct Asked<'a> {
    /// Which node.
    pub node: usize,
    /// Its words, separated by spaces.
    pub words: &'a str,
    /// Turns of the script.
    pub stage: u32,
    /// How often this node was sent this very command, this time included.
    pub times: usize,
}

/// Nodes that follow a script in stages, which the test turns.
pub struct Scripted {
    addresses: Vec<SocketAddr>,
    shared: Arc<Shared>,
}

struct Shared {
    answer: Box<Answer>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    stage: u32,
    /// Who was sent what.
    log: Vec<(usize, String)>,
    /// Which node says to have which slots: first, last, node.
    shards: Vec<(u16, u16, usize)>,
}

impl Scripted {
    /// So many nodes; the first has all slots. They tell who has what themselves, and answer all else
    /// as `answer` says.
    ///
    /// # Panics
    /// When there are no ports.
    pub fn start(
        nodes: usize,
        answer: impl Fn(&Asked<'_>) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        let shared = Arc::new(Shared {
            answer: Box::new(answer),
            state: Mutex::new(State {
                shards: vec![(0, 16383, 0)],
                ..State::default()
            }),
            changed: Condvar::new(),
        });
        let listeners: Vec<_> = (0..nodes)
            .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port"))
            .collect();
        let addresses: Vec<_> = listeners
            .iter()
            .map(|listener| listener.local_addr().expect("it is bound"))
            .collect();
        for (node, listener) in listeners.into_iter().enumerate() {
            let (shared, addresses) = (Arc::clone(&shared), addresses.clone());
            // They end with the test's process.
            thread::spawn(move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    let (shared, addresses) = (Arc::clone(&shared), addresses.clone());
                    thread::spawn(move || shared.serve(node, &stream, &addresses));
                }
            });
        }
        Self { addresses, shared }
    }

    #[must_use]
    pub fn address(&self, node: usize) -> SocketAddr {
        self.addresses[node]
    }

    /// From now on these have those slots, as all of them say.
    pub fn set_shards(&self, shards: &[(u16, u16, usize)]) {
        self.shared.lock().shards = shards.to_vec();
    }

    /// The script goes on: what was thought about is thought about again.
    pub fn turn(&self) {
        self.shared.lock().stage += 1;
        self.shared.changed.notify_all();
    }

    /// What the nodes were sent, in its order, but for questions of who has what.
    #[must_use]
    pub fn log(&self) -> Vec<(usize, String)> {
        self.shared.lock().log.clone()
    }

    /// Waits until a node was sent this.
    pub fn until_sent(&self, node: usize, words: &str) {
        crate::wait::until("the node was sent it", || {
            let log = self.log();
            log.iter()
                .any(|(to, it)| *to == node && it == words)
                .then_some(())
        });
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, node: usize, stream: &TcpStream, addresses: &[SocketAddr]) {
        let mut reader = BufReader::new(stream);
        let mut writer = stream;
        while let Some(words) = command(&mut reader) {
            let reply = match words.as_str() {
                "CLUSTER SHARDS" => self.tell(addresses),
                _ => self.think(node, words),
            };
            if writer.write_all(&reply).is_err() {
                return;
            }
        }
    }

    fn think(&self, node: usize, words: String) -> Vec<u8> {
        let mut state = self.lock();
        state.log.push((node, words.clone()));
        let same = |sent: &&(usize, String)| sent.0 == node && sent.1 == words;
        let times = state.log.iter().filter(same).count();
        loop {
            let asked = Asked {
                node,
                words: &words,
                stage: state.stage,
                times,
            };
            if let Some(reply) = (self.answer)(&asked) {
                return reply;
            }
            let waited = self.changed.wait_timeout(state, PATIENCE);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// `CLUSTER SHARDS`; a node that does not exist is one that failed.
    fn tell(&self, addresses: &[SocketAddr]) -> Vec<u8> {
        let state = self.lock();
        let mut out = format!("*{}\r\n", state.shards.len()).into_bytes();
        for (from, to, node) in &state.shards {
            let (port, health) = match addresses.get(*node) {
                Some(address) => (address.port(), "online"),
                None => (1, "fail"),
            };
            out.extend(b"*4\r\n$5\r\nslots\r\n");
            out.extend(format!("*2\r\n:{from}\r\n:{to}\r\n$5\r\nnodes\r\n*1\r\n*8\r\n").bytes());
            out.extend(format!("$4\r\nport\r\n:{port}\r\n").bytes());
            for word in ["endpoint", "127.0.0.1", "role", "master", "health", health] {
                out.extend(format!("${}\r\n{word}\r\n", word.len()).bytes());
            }
        }
        out
    }
}

/// The next command; `None` where there is none.
fn command(reader: &mut BufReader<&TcpStream>) -> Option<String> {
    let mut line = String::new();
    let mut number = |reader: &mut BufReader<&TcpStream>| {
        line.clear();
        reader.read_line(&mut line).ok()?;
        line.trim_end().get(1..)?.parse::<usize>().ok()
    };
    let count = number(reader)?;
    let mut words = Vec::new();
    for _ in 0..count {
        let length = number(reader)?;
        let mut bytes = vec![0; length + 2];
        reader.read_exact(&mut bytes).ok()?;
        bytes.truncate(length);
        words.push(String::from_utf8_lossy(&bytes).into_owned());
    }
    Some(words.join(" "))
}

/// The bytes of a pipeline of commands.
#[must_use]
pub fn pipeline(commands: &[&str]) -> Vec<u8> {
    let commands = commands.iter().flat_map(|words| {
        let words: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
        encode(&words)
    });
    commands.collect()
}
