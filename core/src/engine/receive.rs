//! Bytes arrive: what is whole is handled, what is not is kept.

use meltemi_codec::Size;

use super::{ClientKey, Engine, ServerKey};

impl Engine {
    pub(super) fn client_received(&mut self, key: ClientKey, bytes: &[u8]) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        client.last_read = self.now;
        let inbox = std::mem::take(&mut client.inbox);
        let rest = self.feed(inbox, bytes, |engine, input| {
            engine.client_input(key, input)
        });
        match self.clients.get_mut(key) {
            Some(client) => client.inbox = rest,
            None => self.buffered = self.buffered.saturating_sub(rest.len()),
        }
    }

    pub(super) fn server_received(&mut self, key: ServerKey, bytes: &[u8]) {
        let Some(server) = self.servers.get_mut(key) else {
            return;
        };
        server.last_read = self.now;
        let inbox = std::mem::take(&mut server.inbox);
        let rest = self.feed(inbox, bytes, |engine, input| {
            engine.server_input(key, input)
        });
        match self.servers.get_mut(key) {
            Some(server) => server.inbox = rest,
            None => self.buffered = self.buffered.saturating_sub(rest.len()),
        }
        self.server_settled(key);
    }

    /// Handles `inbox` and `bytes` as one; returns what is left. Bytes that complete no message are
    /// copied, all others are handled where they were read.
    fn feed(
        &mut self,
        mut inbox: Vec<u8>,
        bytes: &[u8],
        handle: impl FnOnce(&mut Self, &[u8]) -> usize,
    ) -> Vec<u8> {
        let before = inbox.len();
        if inbox.is_empty() {
            let consumed = handle(self, bytes);
            let rest = bytes.get(consumed..).unwrap_or_default();
            if !rest.is_empty() {
                inbox = self.spare.take();
                inbox.extend_from_slice(rest);
            }
        } else {
            inbox.extend_from_slice(bytes);
            let consumed = handle(self, &inbox);
            inbox.drain(..consumed.min(inbox.len()));
        }
        self.buffered = (self.buffered + inbox.len()).saturating_sub(before);
        if inbox.is_empty() {
            self.spare.give(std::mem::take(&mut inbox));
        }
        inbox
    }
}

/// The part of `input` that a message takes, and whether that is all of it.
pub(super) fn extent(size: Size, input: &[u8]) -> (&[u8], bool) {
    match size {
        Size::Known(size) => match usize::try_from(size)
            .ok()
            .and_then(|size| input.get(..size))
        {
            Some(frame) => (frame, true),
            None => (input, false),
        },
        Size::Streamed => (input, false),
    }
}
