//! A client of a trial, and what it is owed.

use std::collections::{HashSet, VecDeque};

use meltemi_codec::{
    Answers, At, Correlation, FromClient, FromServer, Limits, Memo, Opening, Request,
};
use meltemi_core::engine::ConnectionId;

use super::leg::{Ear, OfClient, OfServer, Owed};
use super::{Mark, Speech};

/// A client's end of a connection.
pub(crate) struct Client {
    pub(crate) id: ConnectionId,
    pub(crate) speech: Speech,
    /// Bytes that it wrote and the engine has not read.
    pub(crate) to_engine: Vec<u8>,
    pub(crate) next_id: u64,
    /// It sends no more.
    pub(crate) ended: bool,
    /// Requests of servers that it has not answered.
    pub(crate) calls: VecDeque<u64>,
    in_order: bool,
    /// Reads what this client says as the engine does.
    said: Ear<OfClient>,
    hears: Ear<OfServer>,
    /// Requests that it gave up: an answer may come or not.
    cancelled: HashSet<u64>,
    /// What it is told from now on cannot be told apart: it broke the protocol, for instance.
    vague: bool,
}

/// Who made an answer, as far as that can be told.
#[derive(Clone, Copy, Debug)]
enum Whose {
    Servers(Mark),
    Proxys,
    /// It says that the request was served, and no server did.
    Nobodys,
    Unknown,
}

impl Client {
    pub(crate) fn new(id: ConnectionId, speech: Speech, limits: Limits) -> Self {
        let protocol = &speech.protocol;
        let hears = OfServer {
            codec: protocol.upstream(limits, &Opening::default()),
            expected: VecDeque::new(),
        };
        Self {
            id,
            to_engine: Vec::new(),
            // The first ones are those of other clients too: only remapping tells them apart.
            next_id: 1,
            ended: false,
            calls: VecDeque::new(),
            in_order: !matches!(protocol.traits().correlation, Correlation::ById { .. }),
            said: Ear::new(OfClient(protocol.downstream(limits))),
            hears: Ear::new(hears),
            cancelled: HashSet::new(),
            vague: false,
            speech,
        }
    }

    /// The engine has read these bytes.
    pub(crate) fn said(&mut self, bytes: &[u8]) {
        if self.vague {
            return;
        }
        self.said.take(bytes);
        loop {
            match self.said.next() {
                Ok(None) => return,
                Ok(Some(heard)) => {
                    if self.in_order && !heard.reply.is_empty() {
                        self.owe(Request::unary(0, Memo::default()), None, false);
                    }
                    match heard.event {
                        Some(FromClient::Request(request)) => {
                            self.owe(request, heard.mark, heard.cut);
                        }
                        Some(FromClient::Refused { request, .. }) => {
                            self.owe(request, None, heard.cut)
                        }
                        // What it goes on with depends on an answer that is not heard here.
                        Some(FromClient::Ask(_)) => {
                            self.vague = true;
                            return;
                        }
                        Some(FromClient::Cancel { id }) => {
                            self.cancelled.insert(id);
                        }
                        _ => {}
                    }
                }
                Err(_) => {
                    self.vague = true;
                    return;
                }
            }
        }
    }

    fn owe(&mut self, request: Request, mark: Option<Mark>, cut: bool) {
        let left = match request.answers {
            Answers::None => return,
            Answers::Counted(n) => n.max(1),
            Answers::One | Answers::UntilEnd => 1,
        };
        self.hears.codec.expected.push_back(Owed {
            id: request.id,
            memo: request.memo,
            left,
            mark,
            cut: cut && mark.is_none(),
        });
    }

    /// The engine has written these bytes: answers that this client is owed, or nobody's. What the
    /// servers say proves something only where they all are `polite`.
    pub(crate) fn hears(&mut self, bytes: &[u8], polite: bool) {
        self.hears.take(bytes);
        loop {
            let heard = match self.hears.next() {
                Ok(Some(heard)) => heard,
                Ok(None) => return,
                Err(malformed) => panic!("a client is told what it cannot read: {malformed}"),
            };
            match heard.event {
                Some(FromServer::Response(response)) => {
                    let whose = match heard.mark {
                        Some(mark) => Whose::Servers(mark),
                        None if polite && heard.ok => Whose::Nobodys,
                        None if polite => Whose::Proxys,
                        None => Whose::Unknown,
                    };
                    self.answered(response.at, whose);
                }
                Some(FromServer::Call(request)) if request.answers != Answers::None => {
                    self.calls.push_back(request.id);
                }
                _ => {}
            }
        }
    }

    fn answered(&mut self, at: At, whose: Whose) {
        let owed = &mut self.hears.codec.expected;
        let place = match at {
            At::Id(id) if self.cancelled.contains(&id) => return,
            At::Id(id) => owed.iter().position(|owed| owed.id == id),
            At::InOrder => (!owed.is_empty()).then_some(0),
        };
        let Some(request) = place.and_then(|place| owed.get_mut(place)) else {
            assert!(self.vague, "an answer ({at:?}) for no request");
            return;
        };
        let fits = match whose {
            Whose::Servers(mark) => Some(mark) == request.mark || request.cut,
            Whose::Nobodys => request.mark.is_none(),
            Whose::Proxys | Whose::Unknown => true,
        };
        assert!(
            fits || self.vague,
            "the answer {whose:?} came for the request {:?}",
            request.mark
        );
        request.left -= 1;
        match whose {
            // It is the last one, whatever the request counts on.
            Whose::Proxys if request.mark.is_some() => request.left = 0,
            Whose::Servers(_) => {}
            _ => self.vague |= request.left > 0,
        }
        if request.left == 0 {
            let place = place.unwrap_or_default();
            if self.in_order {
                owed.drain(..=place);
            } else {
                owed.remove(place);
            }
        }
    }

    /// What it still waits for.
    pub(crate) fn unanswered(&self) -> Option<&Owed> {
        let mut owed = self.hears.codec.expected.iter();
        owed.find(|owed| !self.vague && !self.cancelled.contains(&owed.id))
    }
}
