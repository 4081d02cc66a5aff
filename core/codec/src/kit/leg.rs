//! The two codecs of a protocol, as things that bytes can be fed to.

use std::{collections::VecDeque, fmt::Debug};

use crate::{
    downstream::{Downstream, FromClient},
    message::{Body, Decoded, Limits, Malformed, Memo},
    protocol::Protocol,
    session::Opening,
    upstream::{At, Expected, FromServer, Upstream},
};

/// A codec on one of the two legs.
pub(super) trait Leg {
    type Event: Debug + PartialEq;

    fn decode(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Decoded<Self::Event>, Malformed>;
    fn body(&mut self, input: &[u8]) -> Result<Body, Malformed>;
    fn limits(&self) -> Limits;
    /// Called for each event; true where nothing is consumed by it.
    fn follow(&mut self, event: &Self::Event) -> bool;
    fn refuses(event: &Self::Event) -> bool;
}

/// A client's connection.
pub(super) struct Client {
    pub(super) codec: Box<dyn Downstream>,
    limits: Limits,
}

impl Client {
    pub(super) fn new(protocol: &dyn Protocol, limits: Limits) -> Self {
        Self {
            codec: protocol.downstream(limits),
            limits,
        }
    }
}

impl Leg for Client {
    type Event = FromClient;

    fn decode(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Decoded<FromClient>, Malformed> {
        self.codec.decode(input, out)
    }

    fn body(&mut self, input: &[u8]) -> Result<Body, Malformed> {
        self.codec.body(input)
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn follow(&mut self, event: &FromClient) -> bool {
        let asks = matches!(event, FromClient::Ask(_));
        if asks {
            self.codec.learn(None);
        }
        asks
    }

    fn refuses(event: &FromClient) -> bool {
        matches!(event, FromClient::Refused { .. })
    }
}

/// The unanswered requests of a [`Server`].
#[derive(Default)]
pub(super) struct Waiting(pub(super) VecDeque<(Memo, u64)>);

impl Expected for Waiting {
    fn memo(&self, n: usize) -> Option<&Memo> {
        self.0.get(n).map(|(memo, _)| memo)
    }

    fn id(&self, n: usize) -> Option<u64> {
        self.0.get(n).map(|(_, id)| *id)
    }
}

/// A connection to a server.
pub(super) struct Server {
    pub(super) codec: Box<dyn Upstream>,
    pub(super) waiting: Waiting,
    limits: Limits,
}

impl Server {
    pub(super) fn new(protocol: &dyn Protocol, limits: Limits, waiting: Waiting) -> Self {
        Self {
            codec: protocol.upstream(limits, &Opening::default()),
            waiting,
            limits,
        }
    }
}

impl Leg for Server {
    type Event = FromServer;

    fn decode(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Decoded<FromServer>, Malformed> {
        self.codec.decode(input, &self.waiting, out)
    }

    fn body(&mut self, input: &[u8]) -> Result<Body, Malformed> {
        self.codec.body(input)
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn follow(&mut self, event: &FromServer) -> bool {
        if let FromServer::Response(response) = event
            && response.at == At::InOrder
        {
            self.waiting.0.pop_front();
        }
        false
    }

    fn refuses(_event: &FromServer) -> bool {
        false
    }
}
