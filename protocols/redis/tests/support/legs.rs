//! The two codecs as a test drives them.

use std::sync::Arc;

use meltemi_codec::{
    AttributeKey, Constraint, Decoded, Downstream, Expected, Frame, FromClient, FromServer, Limits,
    Memo, Message, Open, Opening, OwnRequest, Protocol, Request, Session, Size, Upstream,
};
use meltemi_redis::Redis;

use crate::words::cmd;

pub fn limits() -> Limits {
    Limits {
        whole: Limits::WHOLE,
        frame: Redis::default().traits().frame_limit,
    }
}

pub fn configured(settings: &[(&str, &str)]) -> Arc<dyn Protocol> {
    Redis::default().configure(settings).unwrap()
}

pub fn client() -> Client {
    Client::of(&Redis::default())
}

/// A client's connection.
pub struct Client {
    pub codec: Box<dyn Downstream>,
    /// What the last answer to a question was.
    pub asked: Option<OwnRequest>,
}

impl Client {
    pub fn of(protocol: &dyn Protocol) -> Self {
        Self {
            codec: protocol.downstream(limits()),
            asked: None,
        }
    }

    /// Sends bytes that are one message.
    pub fn raw(&mut self, bytes: &[u8]) -> (FromClient, String) {
        let mut out = Vec::new();
        match self.codec.decode(bytes, &mut out) {
            Ok(Decoded::Message(Message { size, event })) => {
                let taken = match event {
                    FromClient::Ask(_) => 0,
                    _ => bytes.len() as u64,
                };
                assert_eq!(size, Size::Known(taken));
                (event, String::from_utf8(out).unwrap())
            }
            other => panic!("{other:?}"),
        }
    }

    pub fn say(&mut self, line: &str) -> (FromClient, String) {
        self.raw(&cmd(line))
    }

    /// A command that ends here.
    pub fn told(&mut self, line: &str) -> String {
        match self.say(line) {
            (FromClient::Answered, out) => out,
            other => panic!("{line}: {other:?}"),
        }
    }

    /// The request as it is sent where keys are divided.
    fn located(&self, mut request: Request, line: &str) -> Request {
        if request.constraint == Constraint::Key {
            let frame = Frame {
                bytes: &cmd(line),
                whole: true,
                memo: &request.memo,
            };
            request.constraint = self.codec.constraint(frame).expect("it has a key");
        }
        request
    }

    /// A command that goes to a server.
    pub fn request(&mut self, line: &str) -> Request {
        match self.say(line) {
            (FromClient::Request(request), out) => {
                assert_eq!(out, "");
                self.located(request, line)
            }
            other => panic!("{line}: {other:?}"),
        }
    }

    /// A command before which the server is asked something: what it is, and what comes of the
    /// answer.
    pub fn asks(&mut self, line: &str, answer: Option<&str>) -> (OwnRequest, FromClient, String) {
        let (FromClient::Ask(own), out) = self.say(line) else {
            panic!("{line}: no question");
        };
        assert_eq!(out, "");
        let memo = own.request.memo.clone();
        let frame = answer.map(|answer| Frame {
            bytes: answer.as_bytes(),
            whole: true,
            memo: &memo,
        });
        self.codec.learn(frame);
        let (event, out) = self.say(line);
        (*own, event, out)
    }

    /// What the client is sent of a server's answer.
    pub fn answer(&mut self, request: &Request, answer: &str) -> String {
        let mut out = Vec::new();
        self.codec
            .respond(0, whole(answer.as_bytes(), &request.memo), &mut out);
        String::from_utf8(out).unwrap()
    }

    pub fn attribute(&self, bytes: &[u8], memo: &Memo, name: &str) -> Option<String> {
        let key = AttributeKey::resolve(Redis::default().attributes(), name);
        let value = self.codec.attribute(whole(bytes, memo), &key)?;
        Some(String::from_utf8(value.into_owned()).unwrap())
    }
}

pub fn whole<'a>(bytes: &'a [u8], memo: &'a Memo) -> Frame<'a> {
    Frame {
        bytes,
        whole: true,
        memo,
    }
}

/// The unanswered requests of a connection: their ids and memos.
#[derive(Default)]
pub struct Waiting(pub Vec<(u64, Memo)>);

impl Expected for Waiting {
    fn memo(&self, n: usize) -> Option<&Memo> {
        self.0.get(n).map(|(_, memo)| memo)
    }

    fn id(&self, n: usize) -> Option<u64> {
        self.0.get(n).map(|(id, _)| *id)
    }
}

/// A connection to a server.
pub struct Server {
    pub codec: Box<dyn Upstream>,
    pub waiting: Waiting,
}

pub fn server() -> Server {
    Server::of(&Redis::default(), None, false).0
}

impl Server {
    /// Opens one, and says what it was opened with.
    pub fn of(
        protocol: &dyn Protocol,
        session: Option<&Session>,
        replica: bool,
    ) -> (Self, Open, String) {
        let mut codec = protocol.upstream(limits(), &Opening { session, replica });
        let mut out = Vec::new();
        let open = codec.open(&mut out);
        let waiting = Waiting::default();
        (
            Self { codec, waiting },
            open,
            String::from_utf8(out).unwrap(),
        )
    }

    /// What the server is sent of a request, which waits from then on.
    pub fn forward(&mut self, id: u64, request: &Request, bytes: &[u8]) -> String {
        let mut out = Vec::new();
        self.codec
            .forward(id, whole(bytes, &request.memo), &mut out);
        self.waiting.0.push((id, request.memo.clone()));
        String::from_utf8(out).unwrap()
    }

    /// What the codec makes of a message; a last answer ends the oldest request.
    pub fn hears(&mut self, bytes: &str) -> FromServer {
        match self
            .codec
            .decode(bytes.as_bytes(), &self.waiting, &mut Vec::new())
        {
            Ok(Decoded::Message(Message { size, event })) => {
                assert_eq!(size, Size::Known(bytes.len() as u64));
                if let FromServer::Response(response) = &event
                    && response.last
                {
                    self.waiting.0.remove(0);
                }
                event
            }
            other => panic!("{other:?}"),
        }
    }

    /// Whether a message is an answer, and the last one.
    pub fn answers(&mut self, bytes: &str) -> bool {
        match self.hears(bytes) {
            FromServer::Response(response) => response.last,
            other => panic!("{bytes:?}: {other:?}"),
        }
    }
}
