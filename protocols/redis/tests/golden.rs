//! Every recorded exchange through both codecs: a client sees what it saw without a proxy.
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    dead_code,
    reason = "a test fails by panicking, and does not use all that it shares"
)]

#[path = "support/golden.rs"]
mod golden;
#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/words.rs"]
mod words;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use meltemi_redis::resp::{Arguments, Reply, ReplyScan, RequestScan, Scanned, inline};
use proxy::{Peer, Proxy};

/// A server that says what was recorded.
#[derive(Default)]
struct Recorded {
    /// What a command is answered; by its bytes, as an array.
    answers: HashMap<Vec<u8>, VecDeque<Vec<u8>>>,
    pending: HashMap<usize, Vec<u8>>,
    /// Messages that answer nobody, for the connection that was written to last.
    pushes: Vec<u8>,
    last: usize,
}

impl Recorded {
    /// What a server says to what the recorded client never sent, or was never answered.
    fn usual(command: &[u8]) -> Vec<u8> {
        let arguments = Arguments::new(command).unwrap();
        let name = arguments.text(0).unwrap().to_ascii_lowercase();
        match name.as_slice() {
            b"command" => b"*1\r\n*-1\r\n".to_vec(),
            b"hello" => b"%1\r\n+proto\r\n:3\r\n".to_vec(),
            b"get" => b"$1\r\n1\r\n".to_vec(),
            _ => b"+OK\r\n".to_vec(),
        }
    }
}

impl Peer for Recorded {
    fn write(&mut self, link: usize, bytes: &[u8]) {
        self.last = link;
        for command in commands(bytes) {
            let recorded = self.answers.get_mut(&command).and_then(|answers| {
                // The proxy says it to open a connection, and then for the client.
                let hello = command.windows(5).any(|word| word == b"HELLO");
                if hello {
                    answers.front().cloned()
                } else {
                    answers.pop_front()
                }
            });
            let answer = recorded.unwrap_or_else(|| Self::usual(&command));
            self.pending.entry(link).or_default().extend(answer);
        }
    }

    fn read(&mut self, link: usize) -> Vec<u8> {
        let mut bytes = self.pending.remove(&link).unwrap_or_default();
        if link == self.last {
            bytes.append(&mut self.pushes);
        }
        bytes
    }
}

/// The commands of a stream, as arrays.
fn commands(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut commands = Vec::new();
    while !bytes.is_empty() {
        let Ok(Scanned::End(end)) = RequestScan::new(u64::MAX, false).feed(bytes) else {
            return commands;
        };
        let (command, rest) = bytes.split_at(end);
        let array = match command.first() {
            Some(b'*') => Some(command.to_vec()),
            _ => inline::to_array(command),
        };
        commands.extend(array.filter(|array| Arguments::new(array).is_some()));
        bytes = rest;
    }
    commands
}

fn replies(mut bytes: &[u8]) -> VecDeque<Vec<u8>> {
    let mut replies = VecDeque::new();
    while !bytes.is_empty() {
        let Ok(Scanned::End(end)) = ReplyScan::default().feed(bytes) else {
            panic!("{}", bytes.escape_ascii());
        };
        replies.push_back(bytes[..end].to_vec());
        bytes = &bytes[end..];
    }
    replies
}

/// Takes the replies to one command from those of its step.
fn take(command: &[u8], replies: &mut VecDeque<Vec<u8>>) -> Vec<u8> {
    let arguments = Arguments::new(command).unwrap();
    let name = arguments.text(0).unwrap().to_ascii_lowercase();
    let count = match (name.as_slice(), arguments.len() - 1) {
        (b"subscribe" | b"psubscribe", n) => n,
        (b"unsubscribe", 0) => replies.len(),
        // A push, and the answer.
        (b"debug", _) if replies.front().is_some_and(|reply| reply.starts_with(b">")) => 2,
        _ => 1,
    };
    (0..count)
        .filter_map(|_| replies.pop_front())
        .flatten()
        .collect()
}

#[test]
fn a_client_sees_what_it_saw_without_a_proxy() {
    for golden in golden::exchanges() {
        let mut proxy = Proxy::new(Arc::new(meltemi_redis::protocol()), Recorded::default());
        for (n, step) in golden.steps.iter().enumerate() {
            let mut left = replies(&step.recv);
            for command in commands(&step.send) {
                let answer = take(&command, &mut left);
                if !answer.is_empty() {
                    proxy
                        .peer
                        .answers
                        .entry(command)
                        .or_default()
                        .push_back(answer);
                }
            }
            let pushed: Vec<u8> = left.into_iter().flatten().collect();
            let unasked = matches!(
                Reply::parse(&pushed),
                Some(Reply::Push(_) | Reply::Array(_))
            );
            proxy.send(&step.send);
            if unasked {
                proxy.peer.pushes = pushed;
                proxy.peer.last = proxy.pinned().unwrap();
                proxy.work();
            }
            let seen = std::mem::take(&mut proxy.output);
            let (name, seen, was) = (&golden.name, seen.escape_ascii(), step.recv.escape_ascii());
            assert_eq!(seen.to_string(), was.to_string(), "{name}, step {n}");
        }
    }
}

#[test]
fn how_the_network_cuts_makes_no_difference() {
    for golden in golden::exchanges()
        .iter()
        .filter(|golden| golden.sent().len() < 2000)
    {
        let run = |pieces: usize| {
            let mut proxy = Proxy::new(Arc::new(meltemi_redis::protocol()), Recorded::default());
            for step in &golden.steps {
                let mut left = replies(&step.recv);
                for command in commands(&step.send) {
                    let answer = take(&command, &mut left);
                    if !answer.is_empty() {
                        proxy
                            .peer
                            .answers
                            .entry(command)
                            .or_default()
                            .push_back(answer);
                    }
                }
                for piece in step.send.chunks(pieces) {
                    proxy.send(piece);
                }
            }
            proxy.output
        };
        let whole = run(usize::MAX);
        for pieces in [1, 2, 7] {
            assert_eq!(
                run(pieces),
                whole,
                "{}, {pieces} bytes at a time",
                golden.name
            );
        }
    }
}
