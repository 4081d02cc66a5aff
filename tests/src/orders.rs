//! A client process that obeys orders: a line of JSON each, and a line of JSON for its answers.

use serde_json::Value;

use crate::process::Process;

pub(crate) struct Orders {
    process: Process,
    /// The line after the last answers.
    seen: usize,
}

impl Orders {
    pub(crate) fn to(process: Process) -> Self {
        Self { process, seen: 0 }
    }

    /// Gives an order, and does not wait.
    pub(crate) fn give(&mut self, order: &Value) {
        self.process.tell(&order.to_string());
    }

    /// Waits for the answers to the next order.
    ///
    /// # Panics
    /// When it failed as a whole.
    pub(crate) fn answers(&mut self) -> Vec<Value> {
        let (line, seen) = self.process.line(self.seen, "its answers", |line| {
            serde_json::from_str::<Value>(line).ok()
        });
        self.seen = seen;
        match line.get("answers").and_then(Value::as_array) {
            Some(answers) => answers.clone(),
            None => panic!("{line}\n{}", self.process.said()),
        }
    }
}
