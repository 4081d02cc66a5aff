//! A Dubbo consumer that calls at a steady pace and checks that each answer is its own.

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use anyhow::ensure;
use dubbo_rs_codec::{
    BodyFormat, Frame, Kind, Response, Status,
    encode::{Call, write_request},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval, timeout},
};

/// One call is made in this time.
const PACE: Duration = Duration::from_millis(5);
/// How long answers are waited for once no more calls are made.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// `sayHello` by anybody.
    Hello,
    /// `sayHello` by a user whose name begins with `test-`.
    Tester,
    /// `sayGoodbye`.
    Goodbye,
}

impl Method {
    pub(super) const ALL: [Self; 3] = [Self::Hello, Self::Tester, Self::Goodbye];

    /// Of ten calls, eight are plain ones.
    fn of(number: u64) -> Self {
        match number % 10 {
            8 => Self::Tester,
            9 => Self::Goodbye,
            _ => Self::Hello,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Hello | Self::Tester => "sayHello",
            Self::Goodbye => "sayGoodbye",
        }
    }

    fn user(self) -> &'static str {
        match self {
            Self::Hello | Self::Goodbye => "ada",
            Self::Tester => "test-ada",
        }
    }
}

/// What became of a call.
#[derive(Debug)]
pub(super) enum Seen {
    /// A provider answered, by this name.
    Answered { method: Method, provider: String },
    /// The proxy answered, in the protocol's words.
    Refused { status: Status },
    /// The answer was another call's.
    Wrong,
    /// The connection ended, or nothing came, before the answer.
    Unanswered,
}

/// Calls until told to stop, and waits for what is owed then. The ids of all consumers count from
/// 0: only `name` tells their calls apart.
pub(super) async fn run(
    name: &'static str,
    address: SocketAddr,
    seen: mpsc::UnboundedSender<Seen>,
    mut stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut calls = Calls {
        consumer: name,
        made: 0,
        waiting: HashMap::new(),
    };
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut inbox = Vec::new();
    let mut cut = false;
    loop {
        tokio::select! {
            _ = pace.tick() => stream.write_all(&calls.next()).await?,
            read = stream.read_buf(&mut inbox) => {
                if read? == 0 {
                    cut = true;
                    break;
                }
                calls.answered(&mut inbox, &seen)?;
            }
            _ = stop.changed() => break,
        }
    }
    let rest = async {
        while !calls.waiting.is_empty() && stream.read_buf(&mut inbox).await? > 0 {
            calls.answered(&mut inbox, &seen)?;
        }
        anyhow::Ok(())
    };
    // However it ends, what is missing counts as unanswered.
    let _ = timeout(PATIENCE, rest).await;
    for _ in calls.waiting.values() {
        seen.send(Seen::Unanswered)?;
    }
    ensure!(!cut, "the proxy closed the connection of consumer {name}");
    Ok(())
}

/// The calls of a connection, by their ids.
struct Calls {
    consumer: &'static str,
    made: u64,
    waiting: HashMap<u64, Method>,
}

impl Calls {
    /// The bytes of another call.
    fn next(&mut self) -> Vec<u8> {
        let id = self.made;
        self.made += 1;
        let method = Method::of(id);
        self.waiting.insert(id, method);
        let mut bytes = Vec::new();
        let call = Call {
            path: "org.example.Greeter",
            version: "0.0.0",
            method: method.name(),
            arguments: &[&self.argument(id)],
            attachments: &[
                ("path", "org.example.Greeter"),
                ("interface", "org.example.Greeter"),
                ("user", method.user()),
                ("timeout", "3000"),
            ],
        };
        write_request(BodyFormat::Hessian2, id, true, &call, &mut bytes);
        bytes
    }

    /// Takes the whole frames out of `inbox`.
    fn answered(
        &mut self,
        inbox: &mut Vec<u8>,
        seen: &mpsc::UnboundedSender<Seen>,
    ) -> anyhow::Result<()> {
        let mut rest = inbox.as_slice();
        while let Some((frame, after)) = Frame::split(rest)? {
            if frame.header.kind == Kind::Response {
                seen.send(self.judge(&frame)?)?;
            }
            rest = after;
        }
        let taken = inbox.len() - rest.len();
        inbox.drain(..taken);
        Ok(())
    }

    fn judge(&mut self, frame: &Frame<'_>) -> anyhow::Result<Seen> {
        let id = frame.header.id;
        let Some(method) = self.waiting.remove(&id) else {
            return Ok(Seen::Wrong);
        };
        let result = match Response::parse(&frame.header, frame.body)? {
            Response::Error { status, .. } => return Ok(Seen::Refused { status }),
            Response::Result(result) => result,
        };
        let text = result.text()?.map(|text| text.decode().into_owned());
        Ok(
            match text.as_deref().and_then(|text| text.split_once(' ')) {
                Some((provider, rest)) if rest == self.argument(id) => Seen::Answered {
                    method,
                    provider: provider.to_owned(),
                },
                _ => Seen::Wrong,
            },
        )
    }

    /// By which a call knows its answer again.
    fn argument(&self, id: u64) -> String {
        format!("call {id} of {}", self.consumer)
    }
}
