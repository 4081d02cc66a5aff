//! What a server says of its own accord to the client that its connection belongs to.

use meltemi_codec::{Answers, Frame, Memo, Request};
use slotmap::{Key, KeyData};

use super::{
    ClientKey, Engine, ExchangeKey, ServerKey,
    client::{Call, CallKey, Held},
};

impl Engine {
    pub(super) fn push_to_owner(&mut self, key: ServerKey, frame: &[u8]) {
        let Some(owner) = self.servers.get(key).and_then(|server| server.owner) else {
            return;
        };
        let Some(client) = self.clients.get_mut(owner) else {
            return;
        };
        client.last_told = self.now;
        // Not into the middle of a large answer.
        let out = if !client.large.is_empty() {
            client.held.push(Held {
                exchange: ExchangeKey::default(),
                bytes: Vec::new(),
                done: true,
            });
            client.held.last_mut().map(|held| &mut held.bytes)
        } else {
            Some(client.outbox.append(&mut self.spare))
        };
        if let Some(out) = out {
            let before = out.len();
            client.codec.push(frame, out);
            self.buffered += out.len() - before;
        }
        self.flush_client(owner);
    }

    /// A request of the server's: to the client that its connection belongs to, or refused.
    pub(super) fn call_client(
        &mut self,
        key: ServerKey,
        request: &Request,
        frame: &[u8],
        whole: bool,
    ) {
        let Some(server) = self.servers.get(key) else {
            return;
        };
        let owner = server
            .owner
            .filter(|_| whole)
            .and_then(|owner| self.clients.get_mut(owner).map(|client| (owner, client)))
            .filter(|(_, client)| client.pin == Some(key) && client.writing.is_none());
        let Some((owner, client)) = owner else {
            if request.answers != Answers::None {
                self.say_to_server(key, |codec, out| codec.refuse(request, out));
            }
            return;
        };
        let id = if request.answers == Answers::None {
            0
        } else {
            let call = client.calls.insert(Call {
                server: key,
                id: request.id,
            });
            call.data().as_ffi()
        };
        let out = client.outbox.append(&mut self.spare);
        let before = out.len();
        client.codec.call(
            id,
            Frame {
                bytes: frame,
                whole,
                memo: &request.memo,
            },
            out,
        );
        self.buffered += out.len() - before;
        self.flush_client(owner);
    }

    /// The client's answer to a server's request goes back to that server.
    pub(super) fn call_answered(&mut self, key: ClientKey, id: u64, frame: &[u8], whole: bool) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        let call = client.calls.remove(CallKey::from(KeyData::from_ffi(id)));
        let call = call.filter(|call| whole && self.servers.contains_key(call.server));
        let Some(call) = call else {
            client.metrics.answers_dropped(1);
            return;
        };
        let frame = Frame {
            bytes: frame,
            whole,
            memo: &Memo::default(),
        };
        self.say_to_server(call.server, |codec, out| codec.respond(call.id, frame, out));
    }
}
