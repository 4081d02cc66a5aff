//! What tunnels ask of sockets beyond what requests do.

use std::io;

use tracing::debug;

use super::link::token;
use super::worker::Worker;
use crate::engine::ConnectionId;

impl Worker {
    /// Tells the peer that nothing more will be sent.
    pub(super) fn shutdown(&mut self, id: ConnectionId) {
        if let Some(link) = self.links.get_mut(id) {
            link.shut();
        }
        self.end_shutdown(id);
    }

    /// Goes on with that, where the socket did not take it before.
    pub(super) fn end_shutdown(&mut self, id: ConnectionId) {
        let ended = self.links.get_mut(id).map(super::link::Link::end_shutdown);
        if let Some(Err(error)) = ended {
            self.broke(id, &error);
        }
    }

    /// Drops the socket so that its peer takes it for a failure.
    pub(super) fn reset(&mut self, id: ConnectionId) {
        if let Some(link) = self.links.remove(id)
            && let Err(error) = link.reset()
        {
            debug!(?id, %error, "a connection cannot be reset: it closes");
        }
    }

    /// From now on the poll tells of the connection under another name.
    pub(super) fn rename(&mut self, from: ConnectionId, to: ConnectionId) {
        let Some(mut link) = self.links.remove(from) else {
            return;
        };
        let renamed: io::Result<()> = link.renamed(self.poll.registry(), token(to));
        self.links.insert(to, link);
        match renamed {
            Ok(()) => self.resume(to),
            Err(error) => self.broke(to, &error),
        }
    }
}
