//! Endpoints that the configuration no longer has, and connections that were made otherwise than it
//! asks for.
//!
//! Nothing new comes to them from one moment to the next. What is left of them goes a few at a time:
//! a service may have thousands, and to close a connection takes as long as to serve a request.

use std::time::Duration;

use super::{Engine, ServerKey, Timer, tables::HostKey};

/// So many connections close at a time, and so many endpoints are forgotten.
const CONNECTIONS: usize = 64;
const HOSTS: usize = 1024;
/// How long requests have the worker to themselves then, if not until the next tick of the timers.
const PAUSE: Duration = Duration::from_millis(1);

/// What is still to go.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    hosts: Vec<HostKey>,
    connections: Vec<ServerKey>,
    /// A timer is set for the next of them.
    is_timed: bool,
}

impl Engine {
    /// Connections of these endpoints take nothing new, and close once they are idle.
    pub(super) fn withdraw_hosts(&mut self, hosts: &[HostKey]) {
        let leaving = &mut self.leaving;
        leaving.hosts.extend(hosts);
        let hosts = hosts.iter().filter_map(|key| self.tables.hosts.get(*key));
        for key in hosts.flat_map(|host| &host.connections) {
            // One that is retiring already closes when it is idle, or waits for its turn here.
            let server = self.servers.get_mut(*key);
            if server.is_some_and(|it| !std::mem::replace(&mut it.retiring, true)) {
                leaving.connections.push(*key);
            }
        }
        let is_small = leaving.connections.len() <= CONNECTIONS && leaving.hosts.len() <= HOSTS;
        if leaving.is_timed {
            return;
        }
        // Of many, the first too wait until this turn's requests were served.
        match is_small {
            true => self.let_go(),
            false => self.let_go_soon(),
        }
    }

    /// Lets the next of them go.
    pub(super) fn let_go(&mut self) {
        for _ in 0..CONNECTIONS {
            let Some(key) = self.leaving.connections.pop() else {
                break;
            };
            self.retire_server(key);
        }
        for _ in 0..HOSTS {
            let Some(host) = self.leaving.hosts.pop() else {
                break;
            };
            self.tables.drop_host_if_unused(host);
        }
        self.leaving.is_timed = false;
        if !(self.leaving.connections.is_empty() && self.leaving.hosts.is_empty()) {
            self.let_go_soon();
        }
    }

    fn let_go_soon(&mut self) {
        self.leaving.is_timed = true;
        self.timers.set(self.now + PAUSE, Timer::Withdraw);
    }
}
