//! What kubectl says.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The end of a call.
pub struct Answer(Output);

impl Answer {
    pub(super) fn of(command: &mut Command, input: &str) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl starts");
        let mut stdin = child.stdin.take().expect("standard input is piped");
        // It may end before it has read everything; then its answer says why.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        Self(child.wait_with_output().expect("kubectl ends"))
    }

    #[must_use]
    pub fn is_success(&self) -> bool {
        self.0.status.success()
    }

    /// Whether the API server gave the request up, which it does after 34 s: little for a large object on a busy machine.
    #[must_use]
    pub fn is_late(&self) -> bool {
        let said = self.stderr();
        ["Timeout", "timed out"].iter().any(|it| said.contains(it))
    }

    #[must_use]
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    #[must_use]
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }

    /// What it printed, as JSON.
    ///
    /// # Panics
    /// When it failed, or printed something else.
    #[must_use]
    pub fn json(&self) -> Value {
        self.expect_success("it answers");
        serde_json::from_slice(&self.0.stdout).expect("JSON")
    }

    /// # Panics
    /// With what it says, when it failed.
    pub fn expect_success(&self, what: &str) {
        assert!(
            self.is_success(),
            "{what}: {}{}",
            self.stdout(),
            self.stderr()
        );
    }
}
