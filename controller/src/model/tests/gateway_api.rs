//! Gateways of the Gateway API.

use super::super::Model;
use crate::Controller;
use crate::diagnostic::SourceFile;
use crate::fixture::settings;

const SERVICE: &str = "\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: greeter, namespace: shop}
spec:
  hosts: [greeter.shop]
  ports: [{number: 20880, name: tcp-metaprotocol-dubbo, protocol: TCP}]
  resolution: STATIC
  endpoints: [{address: 10.0.0.1}]
";

const ROUTER: &str = "\
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata: {name: greeter, namespace: shop}
spec: {hosts: [greeter.shop], gateways: [edge/edge]}
";

fn gateway(class: &str, more: &str, listeners: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: edge, namespace: edge}}\n\
         spec: {{gatewayClassName: {class}, {more} listeners: [{listeners}]}}\n"
    )
}

fn class(controller: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {{name: theirs}}\n\
         spec: {{controllerName: {controller}}}\n"
    )
}

const TCP: &str = "{name: tcp-metaprotocol-dubbo, port: 20880, protocol: TCP, \
                   allowedRoutes: {namespaces: {from: All}}}";

/// The servers with their rules, and the codes of what is found.
fn made(manifests: &[&str]) -> (Vec<String>, Vec<&'static str>) {
    let name = "all.yaml".to_owned();
    let text = manifests.join("---\n");
    let mut controller = Controller::open(&[], settings());
    let report = controller.load_files([SourceFile { name, text }]).report;
    let codes = report.diagnostics.iter().map(|it| it.code.as_str());
    (servers(controller.model()), codes.collect())
}

fn servers(model: &Model) -> Vec<String> {
    let servers = model.servers.iter();
    servers
        .map(|server| format!("{} {:?} {}", server.name, server.bind, server.rules.len()))
        .collect()
}

const OPEN: &str = "edge/edge/tcp-metaprotocol-dubbo Tcp(0.0.0.0, 20880) 1";

#[test]
fn a_gateway_is_ours_by_its_class() {
    let none: Vec<String> = vec![];
    let rows = [
        ("meltemi", String::new(), true),
        ("theirs", String::new(), false),
        ("theirs", class("example.com/controller"), false),
        ("theirs", class("meltemi.io/controller"), true),
        (
            "meltemi",
            class("example.com/controller").replace("name: theirs", "name: meltemi"),
            false,
        ),
    ];
    for (name, class, is_ours) in rows {
        let gateway = gateway(name, "", TCP);
        let objects = [&*gateway, &class, SERVICE, ROUTER];
        let objects: Vec<_> = objects.into_iter().filter(|it| !it.is_empty()).collect();
        let expected = match is_ours {
            true => (vec![OPEN.to_owned()], vec![]),
            false => (none.clone(), vec!["NoMatchingServer"]),
        };
        assert_eq!(made(&objects), expected, "{name} {class}");
    }
}

/// Fields of the Gateway, what of the listener is replaced by what, the server, and what is found.
type Row = (
    &'static str,
    [&'static str; 2],
    &'static str,
    &'static [&'static str],
);

const ALL: &str = "from: All";
const ALONE: &str = "edge/edge/tcp-metaprotocol-dubbo Tcp(0.0.0.0, 20880) 0";
const REFUSED: &[&str] = &["NoMatchingServer", "TlsUnavailable"];
const UNSERVED: &[&str] = &["NoMatchingServer", "UnknownProtocol"];
const UNWELCOME: &[&str] = &["NotAllowedByListeners"];

const ROWS: &[Row] = &[
    (
        "addresses: [{value: 127.0.0.1}],",
        ["", ""],
        "edge/edge/tcp-metaprotocol-dubbo Tcp(127.0.0.1, 20880) 1",
        &[],
    ),
    (
        "addresses: [{type: IPAddress, value: '::1'}, {value: 10.0.0.1}],",
        ["", ""],
        "edge/edge/tcp-metaprotocol-dubbo Tcp(::1, 20880) 1",
        &["NotInForce"],
    ),
    (
        "addresses: [{value: x}],",
        ["", ""],
        "",
        &["InvalidValue", "NoMatchingServer"],
    ),
    (
        "",
        [
            "tcp-metaprotocol-dubbo, port: 20880, protocol: TCP",
            "edge, port: 20880, protocol: meltemi.io/dubbo",
        ],
        "edge/edge/edge Tcp(0.0.0.0, 20880) 1",
        &[],
    ),
    ("", ["TCP", "HTTP"], "", UNSERVED),
    ("", ["tcp-metaprotocol-dubbo", "web"], "", UNSERVED),
    ("", [ALL, "from: Same"], ALONE, UNWELCOME),
    ("", ["{from: All}", "{}"], ALONE, UNWELCOME),
    (
        "",
        [ALL, "from: Selector, selector: {matchLabels: {team: a}}"],
        OPEN,
        &[],
    ),
    (
        "",
        [ALL, "from: Selector, selector: {matchLabels: {team: b}}"],
        ALONE,
        UNWELCOME,
    ),
    (
        "",
        [
            ALL,
            "from: Selector, selector: {matchExpressions: [{key: team, operator: Exists}]}",
        ],
        ALONE,
        UNWELCOME,
    ),
    // A wish for TLS that is not understood is never served in plaintext.
    ("tls: {backend: {}},", ["", ""], "", REFUSED),
    ("", ["TCP", "TLS"], "", REFUSED),
    ("", ["TCP", "TLS, tls: {mode: Passthrough}"], "", REFUSED),
    ("", ["TCP", "TCP, tls: {mode: Passthrough}"], "", REFUSED),
];

#[test]
fn a_listener_says_where_and_what_and_who_may_attach() {
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {team: a}}\n";
    for (more, [part, other], expected, codes) in ROWS {
        let listener = match *part {
            "" => TCP.to_owned(),
            part => TCP.replace(part, other),
        };
        let gateway = gateway("meltemi", more, &listener);
        let (servers, mut found) = made(&[&gateway, namespace, SERVICE, ROUTER]);
        found.sort_unstable();
        assert_eq!(servers.join("; "), *expected, "{gateway}");
        assert_eq!(&found, codes, "{gateway}");
    }
}

#[test]
fn a_gateway_of_istio_stands_above_one_of_its_name() {
    let istio = "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: edge, namespace: edge}\n\
                 spec: {servers: [{name: dubbo, bind: 127.0.0.1, port: {number: 20881, name: tcp-metaprotocol-dubbo}}]}\n";
    let gateway = gateway("meltemi", "", TCP);
    let (servers, codes) = made(&[istio, &gateway, SERVICE, ROUTER]);
    assert_eq!(servers, ["edge/edge/dubbo Tcp(127.0.0.1, 20881) 1"]);
    assert_eq!(codes, ["DuplicateServer"]);
}

#[test]
fn a_secret_of_another_namespace_has_to_be_granted() {
    let listener = TCP.replace(
        "TCP,",
        "TLS, tls: {certificateRefs: [{name: edge-tls, namespace: certs}]},",
    );
    let gateway = gateway("meltemi", "", &listener);
    let (key, params) = (
        rcgen::KeyPair::generate().unwrap(),
        rcgen::CertificateParams::new(["edge.example".to_owned()]).unwrap(),
    );
    let indented = |pem: String| pem.replace('\n', "\n    ");
    let secret = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: edge-tls, namespace: certs}}\nstringData:\n  \
         tls.crt: |\n    {}\n  tls.key: |\n    {}\n",
        indented(params.self_signed(&key).unwrap().pem()),
        indented(key.serialize_pem()),
    );
    let grant = |namespace: &str, name: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\n\
             metadata: {{name: edge, namespace: certs}}\nspec:\n  \
             from: [{{group: gateway.networking.k8s.io, kind: Gateway, namespace: {namespace}}}]\n  \
             to: [{{group: '', kind: Secret{name}}}]\n"
        )
    };
    let with = |grant: &str| made(&[&gateway, &secret, grant, SERVICE, ROUTER]);
    for granted in [grant("edge", ""), grant("edge", ", name: edge-tls")] {
        assert_eq!(with(&granted), (vec![OPEN.to_owned()], vec![]));
    }
    for other in [
        grant("shop", ""),
        grant("edge", ", name: other"),
        grant("edge", "").replace("namespace: certs", "namespace: edge"),
        grant("edge", "").replace("kind: Gateway", "kind: HTTPRoute"),
    ] {
        let (servers, mut codes) = with(&other);
        codes.sort_unstable();
        assert_eq!(
            (servers.len(), codes),
            (0, vec!["NoMatchingServer", "RefNotPermitted"])
        );
    }
}
