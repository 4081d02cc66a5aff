//! Who may use services, by policies of Istio and of Aeraki: behind a waypoint, where headers say who clients are, and
//! at a Gateway that they dial themselves.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use meltemi_tests::dubbo::wire::{self, Echo, Frame};
use meltemi_tests::redis::{Server, Wire, free_port};
use meltemi_tests::{Manifests, Meltemi, PATIENCE, Ztunnel, until};

const FRONT: &str = "spiffe://cluster.local/ns/shop/sa/front";
const BACK: &str = "spiffe://cluster.local/ns/other/sa/back";
const LISTENER: &str = "shop/way/proxy";
const CACHE: &str = "10.96.0.10:6379";
const PLAIN: &str = "10.96.0.10:8080";
const GREETER: &str = "10.96.0.11:20880";
const INTERFACE: &str = "demo.Greeter";

const GATEWAY: &str = "\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: way, namespace: shop}
spec:
  gatewayClassName: meltemi-waypoint
  listeners:
  - {name: proxy, port: PORT, protocol: istio.io/PROXY}
";

/// A Service behind the waypoint, whose endpoint is this.
fn service(name: &str, address: &str, ports: &[(&str, u16, SocketAddr)]) -> String {
    let listed = ports.iter();
    let listed = listed.map(|(port, number, _)| format!("{{name: {port}, port: {number}}}"));
    let listed = listed.collect::<Vec<_>>().join(", ");
    let slices = ports.iter().map(|(port, number, endpoint)| {
        format!(
            "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: {name}-{number}, \
             namespace: shop, labels: {{kubernetes.io/service-name: {name}}}}}\naddressType: IPv4\n\
             ports: [{{name: {port}, port: {}}}]\nendpoints: [{{addresses: [{}]}}]\n",
            endpoint.port(),
            endpoint.ip()
        )
    });
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: shop, labels: \
         {{istio.io/use-waypoint: way}}}}\nspec: {{clusterIPs: [{address}], ports: [{listed}]}}\n{}",
        slices.collect::<String>()
    )
}

fn policy(spec: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n\
         metadata: {{name: p, namespace: shop}}\nspec: {{{spec}}}\n"
    )
}

fn of_cache(spec: &str) -> String {
    policy(&format!(
        "targetRefs: [{{group: '', kind: Service, name: cache}}], {spec}"
    ))
}

struct Mesh {
    manifests: Manifests,
    meltemi: Meltemi,
    _cache: Server,
    /// Which of the policies before are in force.
    edits: u32,
}

impl Mesh {
    fn start() -> Option<Self> {
        if !Server::is_installed() {
            return None;
        }
        let (cache, greeter) = (Server::start(&[]), Echo::start());
        let manifests = Manifests::new();
        let port = free_port().to_string();
        manifests.write("gateway.yaml", &GATEWAY.replace("PORT", &port));
        let of_cache = [
            ("tcp-redis", 6379, cache.address()),
            ("http", 8080, cache.address()),
        ];
        manifests.write("cache.yaml", &service("cache", "10.96.0.10", &of_cache));
        let address = SocketAddr::from(([127, 0, 0, 1], greeter.port()));
        let of_greeter = [("tcp-metaprotocol-dubbo", 20880, address)];
        manifests.write(
            "greeter.yaml",
            &service("greeter", "10.96.0.11", &of_greeter),
        );
        let meltemi = Meltemi::run_with(manifests.path(), &["--workers", "1", "--access-log", "-"]);
        meltemi.address(LISTENER);
        Some(Self {
            manifests,
            meltemi,
            _cache: cache,
            edits: 0,
        })
    }

    fn to(&self, destination: &str, identity: Option<&str>) -> SocketAddr {
        let destination = destination.parse().expect("an address with a port");
        Ztunnel::start(self.meltemi.address(LISTENER), destination, identity).address()
    }

    fn redis(&self, identity: Option<&str>) -> Wire {
        Wire::connect(self.to(CACHE, identity))
    }

    /// What becomes of a command, or of a connection.
    fn says(&self, identity: Option<&str>, command: &str) -> String {
        self.redis(identity).call(command)
    }

    /// Whether a connection that passes as it comes is let through.
    fn passes(&self, identity: Option<&str>) -> bool {
        let mut client = TcpStream::connect(self.to(PLAIN, identity)).expect("the proxy is there");
        client
            .set_read_timeout(Some(PATIENCE))
            .expect("the proxy is there");
        // One that is closed may say so here, too.
        let _ = client.write_all(b"PING\r\n");
        let mut answer = vec![0; 7];
        client.read_exact(&mut answer).is_ok() && answer == b"+PONG\r\n"
    }

    /// The answer to a call of this method.
    fn call(&self, identity: Option<&str>, method: &str) -> Frame {
        let mut client = wire::connect(self.to(GREETER, identity)).expect("the proxy is there");
        let request = Frame::request(7, INTERFACE, method, "x");
        client
            .write_all(&request.bytes())
            .expect("the proxy is there");
        Frame::read(&mut client).expect("the proxy is there")
    }

    /// Puts policies in the place of those before, and waits until they act.
    fn put(&mut self, policies: &str) {
        self.edits += 1;
        let probe = self.edits;
        // Another Service that nobody but this may use tells when all of it has arrived.
        let marked = format!(
            "{policies}---\napiVersion: v1\nkind: Service\nmetadata: {{name: mark-{probe}, namespace: shop, labels: \
             {{istio.io/use-waypoint: way}}}}\nspec: {{clusterIPs: [10.97.0.{probe}], ports: \
             [{{name: tcp-redis, port: 6379}}]}}\n"
        );
        self.manifests.write("policies.yaml", &marked);
        // Its endpoint is nobody: that is said once it is known.
        let mark = format!("10.97.0.{probe}:6379");
        until("the policies", || {
            let mut client = Wire::connect(self.to(&mark, None));
            client.try_call("GET a").map(drop)
        });
    }
}

fn is_denied(answer: &str) -> bool {
    answer.contains("access denied")
}

/// What the policy says, and what becomes of it.
const ROWS: &[(&str, &str)] = &[
    ("action: DENY", "++ ++ ++ +++"),
    ("rules: []", "-- -- -- ---"),
    ("rules: [{}]", "++ ++ ++ +++"),
    ("action: DENY, rules: [{}]", "-- -- -- ---"),
    (
        "rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/front]}}]}]",
        "++ -- -- +--",
    ),
    (
        "rules: [{from: [{source: {namespaces: [other]}}]}]",
        "-- ++ -- -+-",
    ),
    (
        "action: DENY, rules: [{from: [{source: {principals: ['*']}}]}]",
        "-- -- ++ --+",
    ),
    (
        "action: DENY, rules: [{from: [{source: {notPrincipals: ['*/front']}}]}]",
        "++ -- -- +--",
    ),
    (
        "rules: [{from: [{source: {serviceAccounts: [front]}}]}]",
        "++ -- -- +--",
    ),
    (
        "rules: [{to: [{operation: {ports: ['6379']}}]}]",
        "++ ++ ++ ---",
    ),
    (
        "action: DENY, rules: [{from: [{source: {ipBlocks: [10.99.0.0/16]}}]}]",
        "-- -- -- ---",
    ),
    (
        "rules: [{when: [{key: 'experimental.envoy.filters.meltemi[command]', values: [GET]}]}]",
        "+- +- +- ---",
    ),
    (
        "action: DENY, rules: [{from: [{source: {namespaces: [other]}}], \
             when: [{key: 'experimental.envoy.filters.meltemi[command]', values: [set]}]}]",
        "++ +- ++ +-+",
    ),
    (
        "rules: [{to: [{operation: {methods: [GET]}}]}]",
        "-- -- -- ---",
    ),
    (
        "action: DENY, rules: [{to: [{operation: {methods: [GET]}}]}]",
        "-- -- -- ---",
    ),
    (
        "action: CUSTOM, provider: {name: x}, rules: [{}]",
        "-- -- -- ---",
    ),
    ("rules: [{form: []}]", "-- -- -- ---"),
    ("action: AUDIT, rules: [{}]", "++ ++ ++ +++"),
];

/// Each row: what the policy says, and what becomes of `GET` and `SET` of front, back, nobody, and of their bytes that
/// pass as they come. `+` is served.
#[test]
fn policies_decide_who_may_do_what() {
    let Some(mut mesh) = Mesh::start() else {
        return;
    };
    for &(spec, expected) in ROWS {
        mesh.put(&of_cache(spec));
        let who = [Some(FRONT), Some(BACK), None];
        let sign = |served: bool| if served { '+' } else { '-' };
        let mut seen: Vec<String> = who
            .iter()
            .map(|id| {
                let [get, set] = ["GET a", "SET a 1"].map(|it| mesh.says(*id, it));
                [get, set].iter().map(|it| sign(!is_denied(it))).collect()
            })
            .collect();
        seen.push(who.iter().map(|id| sign(mesh.passes(*id))).collect());
        assert_eq!(seen.join(" "), expected, "{spec}");
    }
    let labels = ["service=\"shop/way/cache.shop.svc.cluster.local:6379\""];
    for counter in ["denied", "not_allowed", "audited", "connections_denied"] {
        let name = format!("meltemi_authorization_{counter}_total");
        let counted = match counter {
            "connections_denied" => mesh.meltemi.metric(
                &name,
                &["service=\"shop/way/cache.shop.svc.cluster.local:8080\""],
            ),
            _ => mesh.meltemi.metric(&name, &labels),
        };
        assert!(counted > 0, "{name}");
    }
}

#[test]
fn who_may_no_longer_be_there_is_closed() {
    let Some(mut mesh) = Mesh::start() else {
        return;
    };
    let mut front = mesh.redis(Some(FRONT));
    let mut back = mesh.redis(Some(BACK));
    assert_eq!(front.call("SET a 1"), "+OK");
    assert_eq!(back.call("GET a"), "1");
    mesh.put(&of_cache(
        "action: DENY, rules: [{from: [{source: {namespaces: [other]}}]}]",
    ));
    assert_eq!(back.try_reply(), None, "it was let be");
    assert_eq!(front.call("GET a"), "1");
    assert!(is_denied(&mesh.says(Some(BACK), "GET a")));
    fs::remove_file(mesh.manifests.path().join("policies.yaml")).unwrap();
    until("the policy to go", || {
        (mesh.says(Some(BACK), "GET a") == "1").then_some(())
    });
}

#[test]
fn a_policy_of_aeraki_is_for_the_dubbo_services_of_its_namespace() {
    let Some(mut mesh) = Mesh::start() else {
        return;
    };
    let dubbo = |namespace: &str, spec: &str| {
        format!(
            "apiVersion: dubbo.aeraki.io/v1alpha1\nkind: DubboAuthorizationPolicy\n\
             metadata: {{name: d, namespace: {namespace}}}\nspec: {{{spec}}}\n"
        )
    };
    let front = "from: [{source: {principals: [cluster.local/ns/shop/sa/front]}}]";
    let by_method = format!(
        "rules: [{{{front}}}, {{to: [{{operation: {{interfaces: [{INTERFACE}], methods: [hello]}}}}]}}]"
    );
    let rows = [
        ("shop", by_method.as_str(), "++ +- +-"),
        ("istio-system", &by_method, "++ +- +-"),
        ("other", &by_method, "++ ++ ++"),
        (
            "shop",
            "action: DENY, rules: [{to: [{operation: {notMethods: [hello]}}]}]",
            "+- +- +-",
        ),
        ("shop", "rules: [{frm: []}]", "-- -- --"),
    ];
    for (namespace, spec, expected) in rows {
        mesh.put(&dubbo(namespace, spec));
        let sign = |method: &str, id: Option<&str>| match mesh.call(id, method).text() {
            Some(_) => '+',
            None => '-',
        };
        let seen = [Some(FRONT), Some(BACK), None].map(|id| {
            ["hello", "other"]
                .map(|method| sign(method, id))
                .iter()
                .collect::<String>()
        });
        assert_eq!(seen.join(" "), expected, "{namespace}: {spec}");
        // It says nothing of Redis.
        assert_eq!(mesh.says(None, "SET a 1"), "+OK");
    }
}
