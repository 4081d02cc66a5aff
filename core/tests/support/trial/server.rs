//! A server of a trial, and what it was asked.

use std::collections::{HashSet, VecDeque};

use meltemi_codec::{Answers, Correlation, FromClient, Limits};
use meltemi_core::engine::ConnectionId;

use super::leg::{Ear, OfClient};
use super::{Mark, Speech};

/// A server's end of a connection.
pub(crate) struct Server {
    pub(crate) id: ConnectionId,
    pub(crate) speech: Speech,
    /// Bytes that it wrote and the engine has not read.
    pub(crate) to_engine: Vec<u8>,
    /// Requests that wait for an answer, oldest first.
    pub(crate) asked: VecDeque<Asked>,
    pub(crate) next_call: u64,
    by_id: bool,
    hears: Ear<OfClient>,
    ids: HashSet<u64>,
}

#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) id: u64,
    pub(crate) mark: Option<Mark>,
    pub(crate) left: u32,
    /// The answer to what is no request of a client's.
    pub(crate) reply: Vec<u8>,
}

impl Server {
    pub(crate) fn new(id: ConnectionId, speech: Speech, limits: Limits) -> Self {
        let protocol = &speech.protocol;
        Self {
            id,
            to_engine: Vec::new(),
            asked: VecDeque::new(),
            next_call: 1,
            by_id: matches!(protocol.traits().correlation, Correlation::ById { .. }),
            hears: Ear::new(OfClient(protocol.downstream(limits))),
            ids: HashSet::new(),
            speech,
        }
    }

    /// The engine has written these bytes. Returns the marks of the requests in them.
    pub(crate) fn hears(&mut self, bytes: &[u8]) -> Vec<Mark> {
        self.hears.take(bytes);
        let mut marks = Vec::new();
        loop {
            let heard = match self.hears.next() {
                Ok(Some(heard)) => heard,
                Ok(None) => return marks,
                Err(malformed) => panic!("a server is told what it cannot read: {malformed}"),
            };
            if !heard.reply.is_empty() {
                self.asked.push_back(Asked {
                    id: 0,
                    mark: None,
                    left: 1,
                    reply: heard.reply,
                });
                continue;
            }
            let request = match heard.event {
                Some(FromClient::Request(request) | FromClient::Refused { request, .. }) => request,
                _ => continue,
            };
            marks.extend(heard.mark);
            if request.answers == Answers::None {
                continue;
            }
            let fresh = !self.by_id || self.ids.insert(request.id);
            assert!(fresh, "the id {} is used again", request.id);
            self.asked.push_back(Asked {
                id: request.id,
                mark: heard.mark,
                left: match request.answers {
                    Answers::Counted(n) => n.max(1),
                    _ => 1,
                },
                reply: Vec::new(),
            });
        }
    }

    /// The request to be answered now: in its turn, or any.
    pub(crate) fn take(&mut self, which: u8) -> Option<Asked> {
        let which = match self.by_id {
            true => usize::from(which).checked_rem(self.asked.len())?,
            false => 0,
        };
        let asked = self.asked.get_mut(which)?;
        asked.left -= 1;
        let taken = asked.clone();
        if taken.left == 0 {
            self.asked.remove(which);
        }
        Some(taken)
    }
}
