//! What differs between protocols: real servers that tell who they are, and the bytes of a call.

use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::OnceLock;

use meltemi_tests::thrift::{Form, HOST, Language};
use meltemi_tests::{Endpoint, Manifests, dubbo, redis, thrift};

/// A running server; it is killed when it is dropped.
pub(crate) trait Server {
    fn port(&self) -> u16;
    fn freeze(&self);
    fn thaw(&self);
}

pub(crate) struct Answer {
    /// The number of its call, where the protocol has one.
    pub(crate) to: Option<u32>,
    /// Who answered, or what the caller was told.
    pub(crate) said: Result<String, String>,
}

pub(crate) trait Protocol: Sync {
    fn name(&self) -> &'static str;
    fn host(&self) -> &'static str;
    fn listener(&self) -> &'static str;
    fn server(&self, label: &str) -> Box<dyn Server>;
    /// A Gateway and the service on these ports.
    fn manifests(&self, ports: [u16; 2]) -> Manifests;
    /// Asks who is there.
    fn call(&self, number: u32) -> Vec<u8>;
    fn answer(&self, stream: &mut TcpStream) -> io::Result<Answer>;
}

/// Those whose peers are there.
pub(crate) fn protocols() -> Vec<&'static dyn Protocol> {
    static THRIFT: OnceLock<Option<Thrift>> = OnceLock::new();
    static DUBBO: OnceLock<Option<Dubbo>> = OnceLock::new();
    let thrift = THRIFT.get_or_init(|| thrift::Peers::find().map(Thrift));
    let dubbo = DUBBO.get_or_init(|| dubbo::Peers::find().map(Dubbo));
    let mut all: Vec<&'static dyn Protocol> = Vec::new();
    if let Some(thrift) = thrift {
        all.push(thrift);
    }
    if redis::Server::is_installed() {
        all.push(&Redis);
    }
    if let Some(dubbo) = dubbo {
        all.push(dubbo);
    }
    all
}

fn services(manifests: Manifests, ports: [u16; 2]) -> Manifests {
    let endpoints = ports.map(|port| Endpoint {
        port,
        version: "v1",
        locality: "r1/z1/s1",
    });
    manifests.service(HOST, &endpoints);
    // The rule is the test's.
    std::fs::remove_file(manifests.path().join("probe-subsets.yaml")).expect("it was written");
    manifests
}

struct Thrift(thrift::Peers);

const FORM: Form = Form::FRAMED_BINARY;

impl Protocol for Thrift {
    fn name(&self) -> &'static str {
        "thrift"
    }

    fn host(&self) -> &'static str {
        HOST
    }

    fn listener(&self) -> &'static str {
        "default/edge/thrift"
    }

    fn server(&self, label: &str) -> Box<dyn Server> {
        Box::new(self.0.server(Language::Java, label, &[FORM]))
    }

    fn manifests(&self, ports: [u16; 2]) -> Manifests {
        services(Manifests::thrift_gateway(), ports)
    }

    fn call(&self, number: u32) -> Vec<u8> {
        thrift::wire::Message::call("label", number.cast_signed(), vec![0]).framed()
    }

    fn answer(&self, stream: &mut TcpStream) -> io::Result<Answer> {
        let answer = thrift::wire::Message::read(stream)?;
        let told = || format!("{:?}", answer.exception());
        Ok(Answer {
            to: Some(answer.seq.cast_unsigned()),
            said: answer.text(0).map(str::to_owned).ok_or_else(told),
        })
    }
}

impl Server for thrift::Server {
    fn port(&self) -> u16 {
        self.port(FORM)
    }

    fn freeze(&self) {
        self.freeze();
    }

    fn thaw(&self) {
        self.thaw();
    }
}

struct Dubbo(dubbo::Peers);

impl Protocol for Dubbo {
    fn name(&self) -> &'static str {
        "dubbo"
    }

    fn host(&self) -> &'static str {
        HOST
    }

    fn listener(&self) -> &'static str {
        "default/edge/dubbo"
    }

    fn server(&self, label: &str) -> Box<dyn Server> {
        let plain = ["--offer", "plain"];
        Box::new(
            self.0
                .provider_with(dubbo::Generation::V3_3_6, label, &plain),
        )
    }

    fn manifests(&self, ports: [u16; 2]) -> Manifests {
        services(Manifests::dubbo_gateway(), ports)
    }

    fn call(&self, number: u32) -> Vec<u8> {
        dubbo::wire::Frame::question(number.into(), "meltemi.peer.Probe", "who").bytes()
    }

    fn answer(&self, stream: &mut TcpStream) -> io::Result<Answer> {
        let mut answer = dubbo::wire::Frame::read(stream)?;
        while answer.is_event() {
            answer = dubbo::wire::Frame::read(stream)?;
        }
        let told = || {
            format!(
                "{} {}",
                answer.status,
                String::from_utf8_lossy(&answer.body)
            )
        };
        Ok(Answer {
            to: u32::try_from(answer.id).ok(),
            said: answer.text().map(str::to_owned).ok_or_else(told),
        })
    }
}

impl Server for dubbo::Provider {
    fn port(&self) -> u16 {
        self.port()
    }

    fn freeze(&self) {
        self.freeze();
    }

    fn thaw(&self) {
        self.thaw();
    }
}

struct Redis;

impl Protocol for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn host(&self) -> &'static str {
        "cache.demo"
    }

    fn listener(&self) -> &'static str {
        "default/edge/redis"
    }

    fn server(&self, label: &str) -> Box<dyn Server> {
        let server = redis::Server::start(&[]);
        let set = server.connect().call(&format!("SET who {label}"));
        assert_eq!(set, "+OK");
        Box::new(server)
    }

    fn manifests(&self, ports: [u16; 2]) -> Manifests {
        redis::manifests(&ports.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))))
    }

    /// Counts as a write, so that only the route can say that it may be repeated.
    fn call(&self, _: u32) -> Vec<u8> {
        redis::encode(&[b"GETEX", b"who"])
    }

    fn answer(&self, stream: &mut TcpStream) -> io::Result<Answer> {
        let line = line(stream)?;
        let said = match line.as_str() {
            "$1" => Ok(self::line(stream)?),
            _ => Err(line),
        };
        Ok(Answer { to: None, said })
    }
}

impl Server for redis::Server {
    fn port(&self) -> u16 {
        self.address().port()
    }

    fn freeze(&self) {
        self.process().signal("STOP");
    }

    fn thaw(&self) {
        self.process().signal("CONT");
    }
}

fn line(stream: &mut impl Read) -> io::Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\r\n") {
        stream.read_exact(&mut byte)?;
        line.push(byte[0]);
    }
    line.truncate(line.len() - 2);
    Ok(String::from_utf8_lossy(&line).into_owned())
}
