//! A client of a library that others wrote, which obeys orders.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::peers;
use crate::orders::Orders;
use crate::process::Process;

/// A client process with at most one connection.
///
/// An answer is an object with `value`, or `class` and `message` of what was thrown.
pub struct Client {
    orders: Orders,
}

impl Client {
    /// redis-py; none where it is not installed.
    #[must_use]
    pub fn redis_py() -> Option<Self> {
        let mut command = Command::new("python3");
        command
            .arg("-B")
            .arg(source("redis-py/client.py"))
            .env("PYTHONPATH", peers()?.join("redis-py"));
        Some(Self::start("redis-py", &mut command))
    }

    /// ioredis of this release, such as `ioredis-5`; none where it is not installed.
    #[must_use]
    pub fn ioredis(release: &str) -> Option<Self> {
        let mut command = Command::new("node");
        command
            .arg(source("ioredis/client.js"))
            .env("NODE_PATH", peers()?.join("ioredis/node_modules"))
            .env("IOREDIS", release);
        Some(Self::start(release, &mut command))
    }

    fn start(name: &str, command: &mut Command) -> Self {
        Self {
            orders: Orders::to(Process::spawn(name, command)),
        }
    }

    /// Orders these calls, each a list of words, on a new connection to the port, or on the one that it has; does not
    /// wait.
    pub fn order(&mut self, port: Option<u16>, calls: &Value) {
        let mut order = json!({ "calls": calls });
        if let Some(port) = port {
            order["port"] = json!(port);
        }
        self.orders.give(&order);
    }

    /// Waits for the answers to the last order.
    pub fn answers(&mut self) -> Vec<Value> {
        self.orders.answers()
    }
}

fn source(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("peers/redis")
        .join(file)
}
