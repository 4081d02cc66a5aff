//! What the core does with one client of this protocol, without sockets, time or choice.

use std::{collections::VecDeque, sync::Arc};

use meltemi_codec::{
    Answers, Decoded, Downstream, Expected, Frame, FromClient, FromServer, Limits, LocalReply,
    Memo, Open, Opening, OwnRequest, Pin, Protocol, Request, Session, Size, Upstream,
};

/// The servers: what is written to a connection, and what comes back.
pub trait Peer {
    fn write(&mut self, link: usize, bytes: &[u8]);
    /// What is there; empty where nothing is yet.
    fn read(&mut self, link: usize) -> Vec<u8>;
}

/// One client, and the connections that were opened for it.
pub struct Proxy<P> {
    protocol: Arc<dyn Protocol>,
    down: Box<dyn Downstream>,
    pub peer: P,
    input: Vec<u8>,
    /// What the client was sent and has not read.
    pub output: Vec<u8>,
    pub closed: bool,
    links: Vec<Link>,
    pinned: Option<usize>,
    kept: bool,
    next_id: u64,
}

struct Link {
    session: Option<Session>,
    up: Box<dyn Upstream>,
    buffer: Vec<u8>,
    waiting: Waiting,
    ready: bool,
    refused: Option<Vec<u8>>,
}

#[derive(Default)]
struct Waiting(VecDeque<Waits>);

struct Waits {
    id: u64,
    request: Request,
    /// The answer goes to the codec.
    own: bool,
}

impl Expected for Waiting {
    fn memo(&self, n: usize) -> Option<&Memo> {
        self.0.get(n).map(|waits| &waits.request.memo)
    }

    fn id(&self, n: usize) -> Option<u64> {
        self.0.get(n).map(|waits| waits.id)
    }
}

fn limits(protocol: &dyn Protocol) -> Limits {
    Limits {
        whole: Limits::WHOLE,
        frame: protocol.traits().frame_limit,
    }
}

impl<P: Peer> Proxy<P> {
    pub fn new(protocol: Arc<dyn Protocol>, peer: P) -> Self {
        let down = protocol.downstream(limits(&*protocol));
        Self {
            protocol,
            down,
            peer,
            input: Vec::new(),
            output: Vec::new(),
            closed: false,
            links: Vec::new(),
            pinned: None,
            kept: false,
            next_id: 1,
        }
    }

    /// Connections that were opened.
    pub fn opened(&self) -> usize {
        self.links.len()
    }

    /// Which of them is this client's.
    pub fn pinned(&self) -> Option<usize> {
        self.pinned
    }

    /// The client sends.
    pub fn send(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        self.work();
    }

    /// Goes on with what the client sent and what the servers say.
    pub fn work(&mut self) {
        self.pump();
        while !self.closed && !self.input.is_empty() && self.idle() {
            if !self.step() {
                break;
            }
            self.pump();
        }
    }

    /// Whether the client is owed nothing that ends.
    fn idle(&self) -> bool {
        let ends = |waits: &Waits| waits.request.answers != Answers::UntilEnd;
        self.links
            .iter()
            .all(|link| link.refused.is_none() && !link.waiting.0.iter().any(ends))
            && !self
                .links
                .iter()
                .any(|link| !link.ready && !link.waiting.0.is_empty())
    }

    fn step(&mut self) -> bool {
        let mut out = Vec::new();
        let decoded = match self.down.decode(&self.input, &mut out) {
            Ok(decoded) => decoded,
            Err(_) => {
                self.output.extend(out);
                self.closed = true;
                return false;
            }
        };
        let message = match decoded {
            Decoded::Incomplete { need } => {
                assert!(need > self.input.len());
                return false;
            }
            Decoded::Skip { len } => {
                self.input.drain(..len);
                return true;
            }
            Decoded::Message(message) => message,
        };
        let Size::Known(size) = message.size else {
            panic!("nothing here is so large");
        };
        let bytes: Vec<u8> = self.input.drain(..usize::try_from(size).unwrap()).collect();
        match message.event {
            FromClient::Request(request) => self.forward(request, &bytes, false),
            FromClient::Ask(own) => {
                assert!(bytes.is_empty());
                let OwnRequest { request, bytes } = *own;
                self.forward(request, &bytes, true);
            }
            FromClient::Answered => self.output.extend(out),
            FromClient::Goodbye => {
                self.output.extend(out);
                self.closed = true;
            }
            FromClient::Refused {
                request,
                status,
                message,
            } => {
                let reply = LocalReply { status, message };
                self.down
                    .local_reply(0, &request.memo, reply, &mut self.output);
            }
            other => panic!("{other:?}"),
        }
        true
    }

    fn link(&mut self, session: &Option<Session>) -> usize {
        let free = |(n, link): &(usize, &Link)| {
            Some(*n) != self.pinned && link.session == *session && link.waiting.0.is_empty()
        };
        if let Some((n, _)) = self.links.iter().enumerate().find(free) {
            return n;
        }
        let opening = Opening {
            session: session.as_ref(),
            replica: false,
        };
        let mut up = self.protocol.upstream(limits(&*self.protocol), &opening);
        let mut out = Vec::new();
        let open = up.open(&mut out);
        self.links.push(Link {
            session: session.clone(),
            up,
            buffer: Vec::new(),
            waiting: Waiting::default(),
            ready: open == Open::Ready,
            refused: None,
        });
        let n = self.links.len() - 1;
        self.peer.write(n, &out);
        n
    }

    fn forward(&mut self, request: Request, bytes: &[u8], own: bool) {
        let n = match self.pinned {
            Some(n) if request.pin != Pin::Aside => n,
            _ => self.link(&request.session),
        };
        match request.pin {
            Pin::UntilReply | Pin::UntilRelease => self.pinned = Some(n),
            Pin::UntilClose => (self.pinned, self.kept) = (Some(n), true),
            Pin::None | Pin::Release | Pin::Aside => {}
        }
        let id = self.next_id;
        self.next_id += 1;
        let mut out = Vec::new();
        // The handshake's answers come first in any case.
        let frame = Frame {
            bytes,
            whole: true,
            memo: &request.memo,
        };
        self.links[n].up.forward(id, frame, &mut out);
        if request.answers != Answers::None {
            self.links[n]
                .waiting
                .0
                .push_back(Waits { id, request, own });
        }
        self.peer.write(n, &out);
    }

    fn pump(&mut self) {
        loop {
            let mut came = false;
            for n in 0..self.links.len() {
                let bytes = self.peer.read(n);
                came |= !bytes.is_empty();
                self.links[n].buffer.extend(bytes);
                while self.take(n) {}
            }
            if !came {
                return;
            }
        }
    }

    /// One message of a server's.
    fn take(&mut self, n: usize) -> bool {
        let link = &mut self.links[n];
        if link.buffer.is_empty() {
            return false;
        }
        let mut out = Vec::new();
        let decoded = link
            .up
            .decode(&link.buffer, &link.waiting, &mut out)
            .unwrap();
        let Decoded::Message(message) = decoded else {
            return false;
        };
        let Size::Known(size) = message.size else {
            panic!("nothing here is so large");
        };
        let bytes: Vec<u8> = link
            .buffer
            .drain(..usize::try_from(size).unwrap())
            .collect();
        match message.event {
            FromServer::Response(response) => self.answered(n, response.last, &bytes),
            FromServer::Push => {
                assert_eq!(
                    self.pinned,
                    Some(n),
                    "a push for nobody: {}",
                    bytes.escape_ascii()
                );
                self.down.push(&bytes, &mut self.output);
            }
            FromServer::Ready => link.ready = true,
            FromServer::Refused => {
                link.ready = true;
                while !self.links[n].waiting.0.is_empty() {
                    self.answered(n, true, &bytes);
                }
                // It closes: no other request will find it.
                self.links[n].session = Some(Session([0xff][..].into()));
                self.links[n].buffer.clear();
            }
            FromServer::Answered => {}
            other => panic!("{other:?}"),
        }
        true
    }

    fn answered(&mut self, n: usize, last: bool, bytes: &[u8]) {
        let waiting = &mut self.links[n].waiting.0;
        let oldest = waiting.front().expect("an answer to nothing");
        let over = oldest.request.answers != Answers::UntilEnd || last;
        let (own, memo, pin) = (oldest.own, oldest.request.memo.clone(), oldest.request.pin);
        let frame = Frame {
            bytes,
            whole: true,
            memo: &memo,
        };
        match own {
            true => self.down.learn(Some(frame)),
            false => self.down.respond(0, frame, &mut self.output),
        }
        if over {
            waiting.pop_front();
            if matches!(pin, Pin::UntilReply | Pin::Release) && !self.kept {
                self.pinned = None;
            }
        }
    }
}
