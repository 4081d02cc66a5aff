//! A proxy in this process with real sockets around it: upstreams, clients, and the admin pages.

use std::future::Future;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use meltemi_codec::kit::sample::by_id::{
    APPLICATION_ERROR, HEADER, Header, Kind, SYSTEM_ERROR, request, response,
};
use meltemi_codec::kit::sample::{ById, InOrder};
use meltemi_policy::{Locality, LocalityRule};
use serde_json::Value;
use tokio::sync::{oneshot, watch};

use super::fragile::Fragile;
use crate::config::{
    Address, Bind, Cluster, Endpoint, Endpoints, Health, LbPolicy, Listener, Mode,
    OutlierDetection, Route, RouteConfig, Service, Snapshot,
};
use crate::proxy::{Configuration, Proxy, ProxyOptions, RunError};

/// A condition that has not come true by then never will.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running proxy.
pub(super) struct Running {
    pub(super) admin: SocketAddr,
    pub(super) snapshots: watch::Sender<Arc<Snapshot>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), RunError>>>,
}

impl Running {
    pub(super) fn start(snapshot: Snapshot) -> Self {
        Self::with(snapshot, ProxyOptions::default())
    }

    pub(super) fn with(snapshot: Snapshot, options: ProxyOptions) -> Self {
        let options = ProxyOptions {
            admin: Some((Ipv4Addr::LOCALHOST, 0).into()),
            workers: options.workers.or(2.try_into().ok()),
            ..options
        };
        let (snapshots, receiver) = watch::channel(Arc::new(snapshot));
        let (stop, stopped) = oneshot::channel::<()>();
        let (admin, address) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            on_runtime(async move {
                let configuration = Configuration {
                    snapshots: receiver,
                    stats: Arc::default(),
                    mismatches: watch::Sender::default(),
                };
                let proxy = Proxy::start(options, protocols(), configuration)?;
                admin.send(proxy.admin.as_ref().unwrap().address).unwrap();
                proxy.run(async { drop(stopped.await) }).await
            })
        });
        Self {
            admin: address.recv().unwrap(),
            snapshots,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Asks the proxy to end.
    pub(super) fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// Waits for its end.
    pub(super) fn join(&mut self) -> Result<(), RunError> {
        self.thread.take().unwrap().join().unwrap()
    }

    pub(super) fn get(&self, page: &str) -> (u16, String) {
        self.ask("GET", page)
    }

    pub(super) fn json(&self, page: &str) -> Value {
        serde_json::from_str(&self.get(page).1).unwrap()
    }

    pub(super) fn ask(&self, method: &str, page: &str) -> (u16, String) {
        self.send(method, page, "")
    }

    pub(super) fn send(&self, method: &str, page: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        let head = format!(
            "host: x\r\nconnection: close\r\ncontent-length: {}",
            body.len()
        );
        write!(stream, "{method} {page} HTTP/1.1\r\n{head}\r\n\r\n{body}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    }

    pub(super) fn ready(&self) {
        wait("readiness", || self.get("/ready").0 == 200);
    }

    /// Where the listener is open, once it is.
    pub(super) fn address(&self, listener: &str) -> SocketAddr {
        let mut address = None;
        wait("the listener", || {
            let page = self.json("/listeners");
            let listeners = page["listeners"].as_array().unwrap();
            let found = listeners.iter().find(|l| l["name"] == listener);
            let text = found.and_then(|l| l["address"].as_str());
            address = text.map(|text| text.parse().unwrap());
            address.is_some()
        });
        address.unwrap()
    }

    pub(super) fn client(&self, listener: &str) -> Client<TcpStream> {
        Client(TcpStream::connect(self.address(listener)).unwrap())
    }

    /// The value of a metric, by the start of its line.
    pub(super) fn metric(&self, start: &str) -> Option<f64> {
        let page = self.get("/metrics").1;
        let line = page.lines().find(|line| line.starts_with(start))?;
        line.rsplit(' ').next()?.parse().ok()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !thread::panicking() {
                ended.unwrap().unwrap();
            }
        }
    }
}

pub(super) fn on_runtime<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(future)
}

pub(super) fn protocols() -> Arc<crate::protocols::Protocols> {
    let by_id: Arc<dyn meltemi_codec::Protocol> = Arc::new(ById);
    Arc::new(crate::protocols::Protocols::new([
        by_id,
        Arc::new(InOrder),
        Arc::new(Fragile),
    ]))
}

#[track_caller]
pub(super) fn wait(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A client of the sample protocol.
pub(super) struct Client<S>(pub(super) S);

impl Client<UnixStream> {
    pub(super) fn unix(path: &Path) -> Self {
        Self(UnixStream::connect(path).unwrap())
    }
}

impl<S: Read + Write> Client<S> {
    pub(super) fn send(&mut self, id: u64, body: &[u8]) {
        self.0.write_all(&request(id, "say", body)).unwrap();
    }

    /// The next answer's header and body.
    pub(super) fn receive(&mut self) -> (Header, Vec<u8>) {
        receive(&mut self.0).unwrap()
    }

    #[track_caller]
    pub(super) fn call(&mut self, id: u64, body: &[u8]) {
        self.send(id, body);
        let (header, answer) = self.receive();
        assert_eq!((header.id, header.kind), (id, Kind::Response));
        assert!(answer == body, "request {id} has its own body back");
    }
}

fn receive(stream: &mut impl Read) -> std::io::Result<(Header, Vec<u8>)> {
    let mut head = [0; HEADER];
    stream.read_exact(&mut head)?;
    let header = Header::read(&head).expect("a frame of the sample protocol");
    let mut rest = vec![0; header.size() as usize - HEADER];
    stream.read_exact(&mut rest)?;
    Ok((header, rest.split_off(usize::from(header.attributes))))
}

/// Answers each request with its body, until the process ends. Bodies `hold` are answered with the
/// next request, `fail` and `deny` with a status that is, and one that is not, the endpoint's fault.
pub(super) fn echo(mut stream: impl Read + Write) {
    let mut held = Vec::new();
    while let Ok((header, body)) = receive(&mut stream) {
        let status = match body.as_slice() {
            b"fail" => SYSTEM_ERROR,
            b"deny" => APPLICATION_ERROR,
            _ => 0,
        };
        let answer = match header.kind {
            Kind::Request => response(header.id, header.dialect, status, &body),
            _ => continue,
        };
        if body == b"hold" {
            held.extend(answer);
            continue;
        }
        held.extend(answer);
        if stream.write_all(&held).is_err() {
            return;
        }
        held.clear();
    }
}

pub(super) fn tcp_echo() -> Address {
    upstream(echo)
}

/// An upstream that serves each connection on a thread of its own.
pub(super) fn upstream(serve: impl Fn(TcpStream) + Copy + Send + 'static) -> Address {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || serve(stream.unwrap()));
        }
    });
    Address::Tcp(address)
}

pub(super) fn unix_echo(path: &Path) -> Address {
    let listener = UnixListener::bind(path).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || echo(stream.unwrap()));
        }
    });
    Address::Unix(path.to_owned())
}

/// An address that refuses connections.
pub(super) fn dead() -> Address {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    Address::Tcp(listener.local_addr().unwrap())
}

pub(super) fn any_port() -> Bind {
    Bind::Tcp((Ipv4Addr::LOCALHOST, 0).into())
}

/// Everything on one service with one route to one cluster.
pub(super) fn snapshot(
    version: &str,
    listeners: &[(&str, Bind)],
    endpoints: &[Address],
) -> Snapshot {
    let listeners = listeners.iter().map(|(name, bind)| {
        let listener = Listener::plain(name, bind.clone(), Mode::Service("default/echo".into()));
        ((*name).to_owned(), Arc::new(listener))
    });
    Snapshot {
        listeners: listeners.collect(),
        services: [("default/echo".to_owned(), Arc::new(service()))].into(),
        routes: [("echo-routes".to_owned(), Arc::new(routes()))].into(),
        clusters: [(CLUSTER.to_owned(), Arc::new(cluster(endpoints)))].into(),
        locality: Locality::new("eu", "eu-1", "a"),
        version: version.into(),
        ..Snapshot::default()
    }
}

/// One more listener, for a service of the protocol with a mistake.
pub(super) fn add_fragile(snapshot: &mut Snapshot, listener: &str) {
    let fragile = Service {
        name: "default/fragile".into(),
        protocol: Some("fragile".into()),
        ..service()
    };
    let listening = Listener::plain(listener, any_port(), Mode::Service(fragile.name.clone()));
    snapshot
        .services
        .insert(fragile.name.clone(), fragile.into());
    snapshot.listeners.insert(listener.into(), listening.into());
}

pub(super) const CLUSTER: &str = "outbound|20880||echo.default";

fn service() -> Service {
    Service {
        application_protocol: "sample".into(),
        ..Service::new("default/echo", "sample-by-id", "echo-routes")
    }
}

fn routes() -> RouteConfig {
    let route = Route {
        owner: "MetaRouter/default/echo".into(),
        ..Route::new("all", CLUSTER)
    };
    RouteConfig::new("echo-routes", vec![Arc::new(route)])
}

pub(super) fn cluster(endpoints: &[Address]) -> Cluster {
    let hosts = endpoints.iter().map(|address| Endpoint {
        address: address.clone(),
        hostname: String::new(),
        weight: 1,
        locality: Locality::new("eu", "eu-1", "a"),
        health: Health::Healthy,
        priority: 0,
        labels: [("version".to_owned(), "v1".to_owned())].into(),
    });
    Cluster {
        lb: LbPolicy::RoundRobin,
        outlier: Some(OutlierDetection {
            consecutive_errors: 1,
            consecutive_gateway_errors: 0,
            split_errors: false,
            consecutive_local_errors: 5,
            application_errors: false,
            interval: Duration::from_secs(3600),
            base_ejection_time: Duration::from_secs(3600),
            max_ejection_time: Duration::from_secs(3600),
            max_ejection_time_jitter: Duration::ZERO,
            max_ejection_percent: 100,
            always_eject_one_host: false,
            unejected_by_health_check: true,
            success_rate: None,
            failure_percentage: None,
        }),
        panic_threshold: 0,
        locality: LocalityRule::nearest_first(),
        endpoints: Arc::new(Endpoints {
            hosts: hosts.collect(),
            ..Endpoints::default()
        }),
        ..Cluster::new(CLUSTER)
    }
}
