//! A DNS server on loopback, over UDP and TCP, whose answers a test changes as it goes.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;

use hickory_proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME};
use hickory_proto::rr::{Name, RData, Record, RecordType};

/// What is answered for a name. One that nobody set does not exist.
#[derive(Clone, Debug)]
pub enum Answer {
    /// In this order.
    Addresses { addresses: Vec<IpAddr>, ttl: u32 },
    /// The name is another's.
    Alias(&'static str),
    /// SERVFAIL.
    Failure,
    /// Nothing at all.
    Silence,
}

impl Answer {
    /// These addresses, of which the answer does not say how long they are good.
    ///
    /// # Panics
    /// When one is none.
    #[must_use]
    pub fn addresses(addresses: &[&str]) -> Self {
        let parse = |text: &&str| text.parse().expect("an IP address");
        Self::Addresses {
            addresses: addresses.iter().map(parse).collect(),
            ttl: 0,
        }
    }
}

#[derive(Debug, Default)]
struct Zone {
    answers: HashMap<String, Answer>,
    /// How often each name was asked for, and over what.
    asked: HashMap<(String, Transport), usize>,
}

/// What a question came over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    Udp,
    Tcp,
}

/// The server. It runs until the test ends.
pub struct DnsServer {
    address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
}

impl Default for DnsServer {
    fn default() -> Self {
        Self::start()
    }
}

impl DnsServer {
    /// # Panics
    /// When there is no port.
    #[must_use]
    pub fn start() -> Self {
        let (udp, tcp) = sockets();
        let address = udp.local_addr().expect("it is bound");
        let zone = Arc::new(Mutex::new(Zone::default()));
        let of = Arc::clone(&zone);
        thread::spawn(move || serve_udp(&udp, &of));
        let of = Arc::clone(&zone);
        thread::spawn(move || serve_tcp(&tcp, &of));
        Self { address, zone }
    }

    /// For `--dns-server`.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// What is answered from now on.
    ///
    /// # Panics
    /// When the server has panicked.
    pub fn set(&self, name: &str, answer: Answer) {
        let mut zone = self.zone.lock().expect("the server runs");
        zone.answers.insert(name.to_owned(), answer);
    }

    /// From now on there is no such name.
    ///
    /// # Panics
    /// When the server has panicked.
    pub fn remove(&self, name: &str) {
        let mut zone = self.zone.lock().expect("the server runs");
        zone.answers.remove(name);
    }

    /// How often a name was asked for.
    ///
    /// # Panics
    /// When the server has panicked.
    #[must_use]
    pub fn asked(&self, name: &str, over: Transport) -> usize {
        let zone = self.zone.lock().expect("the server runs");
        let asked = zone.asked.get(&(name.to_owned(), over));
        asked.copied().unwrap_or_default()
    }
}

/// Both of one port, which is free until somebody takes it.
fn sockets() -> (UdpSocket, TcpListener) {
    for _ in 0..20 {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of the system's choice");
        let address = udp.local_addr().expect("it is bound");
        if let Ok(tcp) = TcpListener::bind(address) {
            return (udp, tcp);
        }
    }
    panic!("no port is free for both UDP and TCP");
}

fn serve_udp(socket: &UdpSocket, zone: &Mutex<Zone>) {
    let mut buffer = [0; 4096];
    while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
        let question = buffer.get(..length).unwrap_or_default();
        let Some((most, answer)) = answer(question, zone, Transport::Udp) else {
            continue;
        };
        let whole = answer.to_vec().unwrap_or_default();
        let bytes = match whole.len() <= most {
            true => whole,
            false => answer.truncate().to_vec().unwrap_or_default(),
        };
        // Who asked may be gone.
        let _ = socket.send_to(&bytes, peer);
    }
}

fn serve_tcp(listener: &TcpListener, zone: &Arc<Mutex<Zone>>) {
    for stream in listener.incoming().flatten() {
        let zone = Arc::clone(zone);
        thread::spawn(move || serve_stream(stream, &zone));
    }
}

/// Until the peer leaves: each message has its length before it.
fn serve_stream(mut stream: TcpStream, zone: &Mutex<Zone>) -> Option<()> {
    loop {
        let mut length = [0; 2];
        stream.read_exact(&mut length).ok()?;
        let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut question).ok()?;
        let (_, answer) = answer(&question, zone, Transport::Tcp)?;
        let bytes = answer.to_vec().ok()?;
        let length = u16::try_from(bytes.len()).ok()?;
        stream.write_all(&length.to_be_bytes()).ok()?;
        stream.write_all(&bytes).ok()?;
    }
}

/// How long an answer over UDP may be, and the answer.
fn answer(question: &[u8], zone: &Mutex<Zone>, over: Transport) -> Option<(usize, Message)> {
    let asked = Message::from_vec(question).ok()?;
    let query = asked.queries.first()?.clone();
    let mut answer = Message::response(asked.metadata.id, OpCode::Query);
    answer.metadata.recursion_desired = true;
    answer.metadata.recursion_available = true;
    answer.add_query(query.clone());
    let mut zone = zone.lock().ok()?;
    let name = text(query.name());
    *zone.asked.entry((name, over)).or_default() += 1;
    records(&mut answer, &query, &zone)?;
    Some((usize::from(asked.max_payload()), answer))
}

/// `None`: there is no answer.
fn records(answer: &mut Message, query: &Query, zone: &Zone) -> Option<()> {
    let mut name = query.name().clone();
    // A loop of aliases ends somewhere, as real servers end it.
    for _ in 0..4 {
        match zone.answers.get(&text(&name)) {
            None => answer.metadata.response_code = ResponseCode::NXDomain,
            Some(Answer::Failure) => answer.metadata.response_code = ResponseCode::ServFail,
            Some(Answer::Silence) => return None,
            Some(Answer::Alias(to)) => {
                let to = Name::from_ascii(format!("{to}.")).ok()?;
                let data = RData::CNAME(CNAME(to.clone()));
                answer.add_answer(Record::from_rdata(name, 0, data));
                name = to;
                continue;
            }
            Some(Answer::Addresses { addresses, ttl }) => {
                let data = addresses
                    .iter()
                    .filter_map(|ip| data(*ip, query.query_type()));
                let records = data.map(|data| Record::from_rdata(name.clone(), *ttl, data));
                answer.add_answers(records);
            }
        }
        break;
    }
    Some(())
}

fn data(ip: IpAddr, kind: RecordType) -> Option<RData> {
    match (ip, kind) {
        (IpAddr::V4(ip), RecordType::A) => Some(RData::A(A(ip))),
        (IpAddr::V6(ip), RecordType::AAAA) => Some(RData::AAAA(AAAA(ip))),
        _ => None,
    }
}

/// Without the dot at its end.
fn text(name: &Name) -> String {
    let text = name.to_ascii().to_ascii_lowercase();
    text.trim_end_matches('.').to_owned()
}
