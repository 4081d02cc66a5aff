//! A Dubbo provider of `org.example.Greeter` that can be killed and started again.

use std::{collections::VecDeque, io, time::Duration};

use dubbo_rs_codec::{
    BodyFormat, Frame, Kind, Request,
    encode::{Returned, write_result},
    reply,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep_until},
};

/// A call takes this long, so that some are always in flight.
const WORK: Duration = Duration::from_millis(20);

/// A provider's part, as `examples/dubbo/service.yaml` has it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Role {
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    pub(super) locality: &'static str,
    pub(super) example_port: u16,
}

const fn role(
    name: &'static str,
    version: &'static str,
    locality: &'static str,
    example_port: u16,
) -> Role {
    Role {
        name,
        version,
        locality,
        example_port,
    }
}

pub(super) const ROLES: [Role; 5] = [
    role("v1-eu-a", "v1", "eu/a", 20881),
    role("v1-eu-b", "v1", "eu/b", 20882),
    role("v1-us-a", "v1", "us/a", 20883),
    role("v2-eu-a", "v2", "eu/a", 20884),
    role("v2-eu-b", "v2", "eu/b", 20885),
];

/// A provider on a port of its own.
pub(super) struct Provider {
    pub(super) role: &'static Role,
    pub(super) port: u16,
    serving: Option<JoinHandle<()>>,
}

impl Provider {
    /// On a port that the system picks.
    pub(super) async fn start(role: &'static Role) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        Ok(Self {
            role,
            port: listener.local_addr()?.port(),
            serving: Some(tokio::spawn(accept(listener, role.name))),
        })
    }

    pub(super) fn is_up(&self) -> bool {
        self.serving.is_some()
    }

    /// Its sockets close in the middle of whatever is in flight, as those of a killed process do.
    pub(super) fn kill(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
        }
    }

    /// On the same port as before.
    pub(super) async fn start_again(&mut self) -> io::Result<()> {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await?;
        self.serving = Some(tokio::spawn(accept(listener, self.role.name)));
        Ok(())
    }
}

async fn accept(listener: TcpListener, name: &'static str) {
    // Dropped with this task, and its connections with it.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, name));
    }
}

/// Answers each call after its time, until the peer leaves.
async fn serve(mut stream: TcpStream, name: &'static str) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut inbox = Vec::new();
    let mut due: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
    loop {
        let next = due.front().map(|(at, _)| *at);
        tokio::select! {
            read = stream.read_buf(&mut inbox) => {
                if read? == 0 {
                    return Ok(());
                }
                let answers = answers(&mut inbox, name)?;
                if !answers.is_empty() {
                    due.push_back((Instant::now() + WORK, answers));
                }
            }
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                if let Some((_, answers)) = due.pop_front() {
                    stream.write_all(&answers).await?;
                }
            }
        }
    }
}

/// Takes the whole frames out of `inbox`, and says what they are answered with.
fn answers(inbox: &mut Vec<u8>, name: &str) -> anyhow::Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = inbox.as_slice();
    while let Some((Frame { header, body }, after)) = Frame::split(rest)? {
        match header.kind {
            Kind::Request => {
                let request = Request::parse(header.serialization, body)?;
                let argument = request.first_string()?.map(|text| text.decode());
                let greeting = format!("{name} {}", argument.as_deref().unwrap_or_default());
                let value = Returned::Text(&greeting);
                write_result(BodyFormat::Hessian2, header.id, value, &[], &mut out);
            }
            Kind::Event { .. } => {
                reply::write_heartbeat_answer(&header, &mut out);
            }
            _ => {}
        }
        rest = after;
    }
    let taken = inbox.len() - rest.len();
    inbox.drain(..taken);
    Ok(out)
}
