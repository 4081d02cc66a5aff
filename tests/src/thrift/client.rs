//! A client process, which obeys orders.

use serde_json::{Value, json};

use super::Form;
use crate::orders::Orders;
use crate::process::Process;

/// A client of one of the libraries, with at most one connection.
///
/// An answer is an object with `value`, `refused` (the declared exception), `application` (a TApplicationException:
/// `type` and `message`) or `error` (what the library calls it).
pub struct Client {
    orders: Orders,
}

impl Client {
    pub(super) fn of(process: Process) -> Self {
        Self {
            orders: Orders::to(process),
        }
    }

    /// Connects to a port of loopback and makes these calls, each a list of the method and its arguments.
    pub fn session(&mut self, port: u16, form: Form, calls: &Value) -> Vec<Value> {
        self.order(&Self::connecting(port, form, calls));
        self.answers()
    }

    /// Makes these calls on the connection that it has.
    pub fn calls(&mut self, calls: &Value) -> Vec<Value> {
        self.order(&json!({ "calls": calls }));
        self.answers()
    }

    /// The order that [`Self::session`] gives, to be changed.
    pub fn connecting(port: u16, form: Form, calls: &Value) -> Value {
        let mut order = json!({
            "port": port,
            "transport": form.transport,
            "protocol": form.protocol,
            "calls": calls,
        });
        if form.multiplexed {
            order["service"] = json!("Probe");
        }
        order
    }

    /// Gives an order, and does not wait.
    pub fn order(&mut self, order: &Value) {
        self.orders.give(order);
    }

    /// Waits for the answers to the last order.
    pub fn answers(&mut self) -> Vec<Value> {
        self.orders.answers()
    }
}
