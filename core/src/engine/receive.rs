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
        let need = |engine: &Self| engine.clients.get(key).map_or(0, |client| client.need);
        let rest = self.feed((inbox, bytes), need, |engine, input| {
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
        let need = |engine: &Self| engine.servers.get(key).map_or(0, |server| server.need);
        let rest = self.feed((inbox, bytes), need, |engine, input| {
            engine.server_input(key, input)
        });
        match self.servers.get_mut(key) {
            Some(server) => server.inbox = rest,
            None => self.buffered = self.buffered.saturating_sub(rest.len()),
        }
        self.server_settled(key);
    }

    /// Handles `inbox` and `bytes` as one; returns what is left. Bytes that complete no message, and
    /// those that complete what is in the inbox (`need` says how much that has to be), are copied; all
    /// others are handled where they were read.
    fn feed(
        &mut self,
        (mut inbox, bytes): (Vec<u8>, &[u8]),
        need: impl Fn(&Self) -> usize,
        handle: impl Fn(&mut Self, &[u8]) -> usize,
    ) -> Vec<u8> {
        let before = inbox.len();
        let mut bytes = bytes;
        let mut rounds = 0;
        // Without new bytes it is because what there is may be looked at now.
        while !inbox.is_empty() && (rounds == 0 || !bytes.is_empty()) {
            let missing = need(self).saturating_sub(inbox.len());
            let some = missing > 0 && rounds < COMPLETING;
            let (first, rest) = match bytes.split_at_checked(missing).filter(|_| some) {
                Some(parts) => parts,
                None => (bytes, &[][..]),
            };
            inbox.extend_from_slice(first);
            let consumed = handle(self, &inbox);
            inbox.drain(..consumed.min(inbox.len()));
            bytes = rest;
            rounds += 1;
        }
        if !bytes.is_empty() {
            let consumed = handle(self, bytes);
            let rest = bytes.get(consumed..).unwrap_or_default();
            if !rest.is_empty() {
                inbox = self.filled(inbox, rest);
            }
        }
        self.buffered = (self.buffered + inbox.len()).saturating_sub(before);
        if inbox.is_empty() {
            self.spare.give(std::mem::take(&mut inbox));
        }
        inbox
    }

    /// An inbox with these bytes.
    fn filled(&mut self, mut inbox: Vec<u8>, bytes: &[u8]) -> Vec<u8> {
        if inbox.capacity() == 0 {
            inbox = self.spare.take();
        }
        inbox.extend_from_slice(bytes);
        inbox
    }
}

/// How often it is asked what completes the message in an inbox: its head, then all of it. Codecs that
/// learn it byte by byte get all that there is.
const COMPLETING: u32 = 2;

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
