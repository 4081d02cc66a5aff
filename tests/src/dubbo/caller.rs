//! A consumer that obeys orders.

use serde_json::Value;

use crate::process::Process;

/// A consumer, connected to one address at a time.
///
/// An answer is an object with `value`, or `class`, `code`, `message` and `cause` of what was thrown.
pub struct Caller {
    process: Process,
    /// The calls so far, by which their answers are known.
    made: u64,
}

impl Caller {
    pub(super) fn of(process: Process) -> Self {
        Self { process, made: 0 }
    }

    /// Makes a call at a port of loopback, and does not wait: the method, and behind a space its argument. Its number.
    pub fn order(&mut self, port: u16, call: &str) -> u64 {
        self.made += 1;
        let (number, address) = (self.made, super::address(port));
        self.process.tell(&format!("{number} {address} {call}"));
        number
    }

    /// Waits for the answer to the call of this number.
    pub fn answer(&self, number: u64) -> Value {
        let is_it = |line: &str| {
            let line: Value = serde_json::from_str(line).ok()?;
            (line.get("number")?.as_u64()? == number).then_some(line)
        };
        self.process.line(0, "its answer", is_it).0
    }
}
