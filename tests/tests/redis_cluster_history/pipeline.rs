//! A client that does not wait for answers: they are those of its requests in their order.

use std::sync::atomic::{AtomicBool, Ordering};

use meltemi_tests::redis::{Wire, encode};

/// Writes and reads two keys of one slot, which nobody else does, in pipelines.
pub(super) struct Pipeline {
    wire: Wire,
    /// Two keys, and their values as far as the answers tell.
    keys: [String; 2],
    values: [String; 2],
    next: u64,
    pub(super) batches: u64,
    pub(super) excused: u64,
}

impl Pipeline {
    pub(super) fn new(wire: Wire, tag: &str) -> Self {
        Self {
            wire,
            keys: ["a", "b"].map(|name| format!("{name}:{{{tag}}}")),
            values: ["0", "0"].map(str::to_owned),
            next: 0,
            batches: 0,
            excused: 0,
        }
    }

    /// Until told to stop.
    pub(super) fn run(mut self, stop: &AtomicBool) -> Self {
        let [a, b] = self.keys.clone();
        assert_eq!(self.wire.call(&format!("MSET {a} 0 {b} 0")), "+OK");
        while !stop.load(Ordering::SeqCst) {
            let mut batch = Vec::new();
            for _ in 0..8 {
                self.next += 1;
                batch.push(format!("SET {a} {}", self.next));
                batch.push(format!("MGET {a} {b}"));
                batch.push(format!("INCR {b}"));
                batch.push(format!("GET {a}"));
                batch.push(format!("GET {b}"));
            }
            self.batch(&batch);
        }
        self
    }

    fn batch(&mut self, batch: &[String]) {
        let mut bytes = Vec::new();
        for words in batch {
            let words: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
            bytes.extend(encode(&words));
        }
        self.wire.send(&bytes);
        for words in batch {
            let reply = self.wire.reply();
            self.check(words, &reply);
        }
        self.batches += 1;
    }

    fn check(&mut self, words: &str, reply: &str) {
        let late = reply.contains("within the deadline") || reply.contains("before it answered");
        assert!(
            !late,
            "{words}: {reply}: whether it was executed is not known"
        );
        let both = words.starts_with("MGET") && reply.starts_with("-TRYAGAIN ");
        if both || super::is_excused(reply) {
            self.excused += 1;
            return;
        }
        let [a, b] = &mut self.values;
        let expected = match words.split(' ').collect::<Vec<_>>()[..] {
            ["SET", _, value] => {
                value.clone_into(a);
                "+OK".to_owned()
            }
            ["INCR", _] => {
                *b = (b.parse::<u64>().expect("a number") + 1).to_string();
                format!(":{b}")
            }
            ["MGET", ..] => format!("[{a} {b}]"),
            ["GET", key] if key == self.keys[0] => a.clone(),
            _ => b.clone(),
        };
        assert_eq!(reply, expected, "{words}");
    }
}
