//! A waypoint: connections that ztunnel hands over, each with a header that says where it was going.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use meltemi_tests::redis::{Server, Wire, free_port};
use meltemi_tests::{Manifests, Meltemi, PATIENCE, Ztunnel, header, until};

const FRONT: &str = "spiffe://cluster.local/ns/shop/sa/front";
const WAYPOINT: &str = "spiffe://cluster.local/ns/shop/sa/way";
const LISTENERS: [&str; 2] = ["shop/way/proxy", "shop/way/proxy-ipv6"];

/// Two Services of Redis, of which `cache` has the waypoint before it, and has a port that speaks nothing of ours.
struct Mesh {
    cache: Server,
    other: Server,
    plain: SocketAddr,
    manifests: Manifests,
    meltemi: Meltemi,
}

fn service(name: &str, address: &str, ports: &[(&str, u16, SocketAddr)]) -> String {
    let mut text = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: shop, labels: \
         {{istio.io/use-waypoint: way}}}}\nspec:\n  clusterIPs: [{address}]\n  ports:\n"
    );
    for (port, number, _) in ports {
        let _ = writeln!(text, "  - {{name: {port}, port: {number}}}");
    }
    for (n, (port, _, endpoint)) in ports.iter().enumerate() {
        let _ = write!(
            text,
            "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: {name}-{n}, namespace: \
             shop, labels: {{kubernetes.io/service-name: {name}}}}}\naddressType: IPv4\n\
             ports: [{{name: {port}, port: {}}}]\nendpoints: [{{addresses: [{}]}}]\n",
            endpoint.port(),
            endpoint.ip()
        );
    }
    text
}

fn gateway(port: u16) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: way, namespace: shop}}\n\
         spec:\n  gatewayClassName: meltemi-waypoint\n  listeners:\n  \
         - {{name: proxy, port: {port}, protocol: istio.io/PROXY}}\n"
    )
}

/// Greets, then says everything again.
fn plain() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of loopback");
    let address = listener.local_addr().expect("it listens");
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            thread::spawn(move || {
                client.write_all(b"hello ")?;
                let mut back = client.try_clone()?;
                std::io::copy(&mut back, &mut client)
            });
        }
    });
    address
}

impl Mesh {
    fn start() -> Option<Self> {
        if !Server::is_installed() {
            return None;
        }
        let (cache, other, plain) = (Server::start(&[]), Server::start(&[]), plain());
        let manifests = Manifests::new();
        manifests.write("gateway.yaml", &gateway(free_port()));
        let ports = [("tcp-redis", 6379, cache.address()), ("http", 8080, plain)];
        manifests.write(
            "cache.yaml",
            &service("cache", "10.96.0.10, 'fd00::10'", &ports),
        );
        let meltemi = Meltemi::run_with(manifests.path(), &["--workers", "1", "--access-log", "-"]);
        Some(Self {
            cache,
            other,
            plain,
            manifests,
            meltemi,
        })
    }

    fn waypoint(&self) -> SocketAddr {
        self.meltemi.address(LISTENERS[0])
    }

    /// A client's way to a destination.
    fn to(&self, destination: &str, identity: Option<&str>) -> SocketAddr {
        let destination = destination.parse().expect("an address with a port");
        Ztunnel::start(self.waypoint(), destination, identity).address()
    }

    fn redis(&self, destination: &str, identity: Option<&str>) -> Wire {
        Wire::connect(self.to(destination, identity))
    }
}

/// What a connection brings until it ends.
fn all_of(mut connection: TcpStream) -> Vec<u8> {
    connection.set_read_timeout(Some(PATIENCE)).expect("a time");
    let mut all = vec![];
    // One that is reset has ended, too.
    let _ = connection.read_to_end(&mut all);
    all
}

#[test]
fn a_service_is_found_by_its_address_and_port() {
    let Some(mesh) = Mesh::start() else { return };
    assert_eq!(
        mesh.redis("10.96.0.10:6379", Some(FRONT)).call("SET a 1"),
        "+OK"
    );
    assert_eq!(mesh.redis("[fd00::10]:6379", None).call("GET a"), "1");
    assert_eq!(mesh.cache.connect().call("GET a"), "1");
    // Who dials a pod: its address, and the port that the container listens on.
    let pod = mesh.cache.address().to_string();
    assert_eq!(mesh.redis(&pod, Some(FRONT)).call("GET a"), "1");
}

#[test]
fn a_header_may_come_in_pieces_and_with_what_follows() {
    let Some(mesh) = Mesh::start() else { return };
    let head = header("10.96.0.10:6379".parse().unwrap(), Some(FRONT));
    let asked = [head.as_slice(), b"*1\r\n$4\r\nPING\r\n"].concat();
    for at in 0..asked.len() {
        let mut connection = TcpStream::connect(mesh.waypoint()).unwrap();
        connection.set_nodelay(true).unwrap();
        connection.write_all(&asked[..at]).unwrap();
        // Most of the time the first piece is read by itself.
        thread::yield_now();
        connection.write_all(&asked[at..]).unwrap();
        let mut answer = [0; 7];
        connection.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"+PONG\r\n", "split at {at}");
    }
}

#[test]
fn ports_that_are_not_ours_pass_as_they_come() {
    let Some(mesh) = Mesh::start() else { return };
    let mut client = TcpStream::connect(mesh.to("10.96.0.10:8080", None)).unwrap();
    let mut greeting = [0; 6];
    client.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"hello ");
    let long = vec![b'x'; 3 << 20];
    let mut writer = client.try_clone().unwrap();
    let sent = long.clone();
    thread::spawn(move || {
        writer.write_all(&sent)?;
        writer.shutdown(std::net::Shutdown::Write)
    });
    assert!(all_of(client) == long, "what was sent came back");
    assert_ne!(mesh.plain.port(), 8080);
}

#[test]
fn bytes_that_are_not_of_a_ports_protocol_pass_as_they_come() {
    let Some(mesh) = Mesh::start() else { return };
    let ports = [
        ("tcp-redis", 6379, mesh.plain),
        ("tcp-dubbo", 20880, mesh.plain),
        ("tcp-thrift", 9090, mesh.plain),
    ];
    mesh.manifests
        .write("other.yaml", &service("other", "10.96.0.11", &ports));
    for (_, port, _) in ports {
        let destination = format!("10.96.0.11:{port}");
        let mut client = TcpStream::connect(mesh.to(&destination, Some(FRONT))).unwrap();
        let request = b"GET /orders HTTP/1.1\r\nhost: orders\r\n\r\n";
        client.write_all(request).unwrap();
        let mut answer = vec![0; b"hello ".len() + request.len()];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(answer, [b"hello ", &request[..]].concat());
        let service = format!("service=\"shop/way/other.shop.svc.cluster.local:{port}\"");
        mesh.meltemi.counts(
            "meltemi_downstream_protocol_mismatches_total",
            &[&service],
            1,
        );
    }
}

#[test]
fn a_pod_that_is_dialled_is_the_one_that_answers() {
    let Some(mesh) = Mesh::start() else { return };
    let pods = [plain(), plain()];
    let named = |n: usize| {
        format!(
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: other-{n}, namespace: shop, \
             labels: {{kubernetes.io/service-name: other}}}}\naddressType: IPv4\n\
             ports: [{{name: http, port: {}}}]\nendpoints: [{{addresses: [127.0.0.1]}}]\n",
            pods[n].port()
        )
    };
    let without = service("other", "10.96.0.11", &[]);
    let without = without.trim_end().to_owned() + "\n  - {name: http, port: 8080}\n";
    mesh.manifests
        .write("other.yaml", &[without, named(0), named(1)].join("---\n"));
    let mut clients = vec![];
    for pod in [pods[0]; 4].iter().chain(&[pods[1]; 2]) {
        let mut client = TcpStream::connect(mesh.to(&pod.to_string(), None)).unwrap();
        client.read_exact(&mut [0; 6]).unwrap();
        clients.push(client);
    }
    let tunnels = |pod: SocketAddr| mesh.meltemi.endpoint(pod.port(), "tunnels");
    assert_eq!(pods.map(tunnels), [4, 2]);
}

#[test]
fn who_a_client_is_decides_a_route() {
    let Some(mesh) = Mesh::start() else { return };
    let ports = [("tcp-redis", 6379, mesh.other.address())];
    mesh.manifests
        .write("other.yaml", &service("other", "10.96.0.11", &ports));
    mesh.manifests.write(
        "router.yaml",
        "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: MetaRouter\n\
         metadata: {name: cache, namespace: shop}\nspec:\n  hosts: [cache]\n  routes:\n  \
         - matches: [{source: {principal: cluster.local/ns/shop/sa/front}}]\n    \
         route: [{destination: {host: other}}]\n  \
         - route: [{destination: {host: cache}}]\n",
    );
    until("the route", || {
        mesh.redis("10.96.0.10:6379", Some(FRONT))
            .call("SET who front");
        (mesh.other.connect().call("GET who") == "front").then_some(())
    });
    assert_eq!(
        mesh.redis("10.96.0.10:6379", None).call("SET who nobody"),
        "+OK"
    );
    assert_eq!(mesh.cache.connect().call("GET who"), "nobody");
    assert_eq!(mesh.other.connect().call("GET who"), "front");
}

#[test]
fn a_destination_that_is_not_known_yet_is_waited_for() {
    let Some(mesh) = Mesh::start() else { return };
    let way = mesh.to("10.96.0.11:6379", Some(FRONT));
    let early = thread::spawn(move || Wire::connect(way).call("PING"));
    thread::sleep(Duration::from_millis(100));
    let ports = [("tcp-redis", 6379, mesh.other.address())];
    mesh.manifests
        .write("other.yaml", &service("other", "10.96.0.11", &ports));
    assert_eq!(early.join().unwrap(), "+PONG");
}

#[test]
fn what_may_not_come_in_is_closed_and_counted_for_its_reason() {
    let Some(mesh) = Mesh::start() else { return };
    let good = header("10.96.0.10:6379".parse().unwrap(), Some(FRONT));
    let cases = [
        (
            "loop",
            header("10.96.0.10:6379".parse().unwrap(), Some(WAYPOINT)),
        ),
        (
            "unknown_destination",
            header("10.96.0.99:6379".parse().unwrap(), Some(FRONT)),
        ),
        ("missing", b"*1\r\n$4\r\nPING\r\n".repeat(3)),
        ("malformed", [&good[..14], &[0, 1, 0]].concat()),
        ("too_long", [&good[..14], &[0xff, 0xff]].concat()),
    ];
    for (reason, bytes) in cases {
        let mut connection = TcpStream::connect(mesh.waypoint()).unwrap();
        connection.write_all(&bytes).unwrap();
        assert_eq!(all_of(connection), b"", "{reason}");
        let labels = [&*format!("reason=\"{reason}\"")];
        mesh.meltemi.counts(
            "meltemi_downstream_proxy_protocol_refused_total",
            &labels,
            1,
        );
        let flag = match reason {
            "unknown_destination" => "NR",
            _ => "DTF",
        };
        let line = until("it is logged", || {
            let lines = mesh.meltemi.process().lines();
            let detail = format!("\"detail\":\"{reason}: ");
            lines.into_iter().find(|line| line.contains(&detail))
        });
        assert!(line.contains(&format!("\"flag\":\"{flag}\"")), "{line}");
    }
    assert_eq!(
        mesh.redis("10.96.0.10:6379", Some(FRONT)).call("PING"),
        "+PONG"
    );
}
