//! Servers that share an address, whom they let in, and for which gateways they are.

use super::super::Model;
use crate::Controller;
use crate::diagnostic::SourceFile;
use crate::fixture::settings;

struct Made {
    controller: Controller,
    /// The codes of what is found, with their messages.
    found: Vec<(String, String)>,
}

impl Made {
    fn of(manifests: &[&str]) -> Self {
        let name = "all.yaml".to_owned();
        let text = manifests.join("\n---\n");
        let mut controller = Controller::open(&[], settings());
        let report = controller.load_files([SourceFile { name, text }]).report;
        let found = report.diagnostics.iter();
        let found = found.map(|it| {
            let remedy = it.remedy.clone().unwrap_or_default();
            (
                it.code.as_str().to_owned(),
                format!("{}: {remedy}", it.message),
            )
        });
        let found = found.collect();
        Self { controller, found }
    }

    fn model(&self) -> &Model {
        self.controller.model()
    }

    fn servers(&self) -> Vec<String> {
        let servers = self.model().servers.iter();
        servers
            .map(|it| format!("{} {}", it.name.server, it.server_names.join(",")))
            .collect()
    }

    fn codes(&self) -> Vec<&str> {
        self.found.iter().map(|(code, _)| code.as_str()).collect()
    }
}

fn pair(name: &str) -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn secret(name: &str, namespace: &str, fields: &[(&str, &str)]) -> String {
    let fields = fields.iter().map(|(field, text)| {
        let text = text.trim_end().replace('\n', "\n    ");
        format!("  {field}: |\n    {text}\n")
    });
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: {namespace}}}\nstringData:\n{}",
        fields.collect::<String>()
    )
}

/// A Secret `own` with all that any server asks for.
fn own() -> String {
    let (chain, key) = pair("edge.example");
    let fields = [("tls.crt", &*chain), ("tls.key", &key), ("ca.crt", &chain)];
    secret("own", "edge", &fields)
}

fn istio(metadata: &str, more: &str, servers: &[&str]) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: edge, namespace: edge{metadata}}}\n\
         spec:\n  {more}\n  servers: [{}]\n",
        servers.join(", ")
    )
}

fn server(name: &str, hosts: &str, tls: &str) -> String {
    format!(
        "{{name: {name}, port: {{number: 6379, name: tcp-metaprotocol-dubbo}}, hosts: [{hosts}]{tls}}}"
    )
}

const TLS: &str = ", tls: {mode: SIMPLE, credentialName: own}";

#[test]
fn servers_with_tls_share_an_address_where_their_names_differ() {
    let own = own();
    for (first, second, opened, codes) in [
        (
            ("a.example", TLS),
            ("b.example", TLS),
            &["one a.example", "two b.example"][..],
            &[][..],
        ),
        (
            ("a.example", TLS),
            ("'*.example'", TLS),
            &["one a.example", "two *.example"],
            &[],
        ),
        (
            ("'shop/A.example', a.example", TLS),
            ("'*'", TLS),
            &["one a.example", "two "],
            &[],
        ),
        (
            ("a.example", TLS),
            ("b.example, a.example", TLS),
            &[],
            &["AddressInUse"],
        ),
        (("'*'", TLS), ("'*'", TLS), &[], &["AddressInUse"]),
        (
            ("a.example", TLS),
            ("b.example", ""),
            &[],
            &["AddressInUse"],
        ),
        (("a.example", ""), ("b.example", ""), &[], &["AddressInUse"]),
    ] {
        let servers = [
            server("one", first.0, first.1),
            server("two", second.0, second.1),
        ];
        let gateway = istio("", "", &[&servers[0], &servers[1]]);
        let made = Made::of(&[&gateway, &own]);
        assert_eq!(made.servers(), opened, "{gateway}");
        assert_eq!(made.codes(), codes, "{gateway}");
    }
}

#[test]
fn listeners_of_one_port_are_told_apart_by_their_hostnames() {
    let listener = |name: &str, hostname: &str| {
        format!(
            "{{name: {name}, protocol: meltemi.io/dubbo, port: 443, {hostname} tls: {{certificateRefs: [{{name: own}}]}}}}"
        )
    };
    let gateway = |listeners: &[String]| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: edge, namespace: edge}}\n\
             spec: {{gatewayClassName: meltemi, listeners: [{}]}}\n",
            listeners.join(", ")
        )
    };
    let mut listeners = vec![
        listener("a", "hostname: a.example,"),
        listener("wild", "hostname: '*.example',"),
        listener("rest", ""),
    ];
    let own = own();
    let made = Made::of(&[&gateway(&listeners), &own]);
    assert_eq!(made.servers(), ["a a.example", "wild *.example", "rest "]);
    assert_eq!(made.codes(), Vec::<&str>::new());
    listeners.push(listener("again", "hostname: a.example,"));
    let made = Made::of(&[&gateway(&listeners), &own]);
    let [(code, message)] = made.found.as_slice() else {
        panic!("{:?}", made.found)
    };
    assert_eq!(code, "AddressInUse");
    assert!(
        message.contains("edge/edge/a is for clients that ask for `a.example` at this address"),
        "{message}"
    );
}

/// `spec.tls`, the field `tls` of the listener beside its certificate, who has to show a certificate, and what is found.
type Row = (&'static str, &'static str, Option<bool>, &'static str);

const CLIENTS: &[Row] = &[
    ("", "", None, ""),
    (
        "tls: {frontend: {default: {validation: {caCertificateRefs: [{kind: Secret, name: own}]}}}},",
        "",
        Some(true),
        "",
    ),
    (
        "tls: {frontend: {default: {validation: {caCertificateRefs: [{kind: Secret, name: own}]}}, \
         perPort: [{port: 443, tls: {}}]}},",
        "",
        None,
        "",
    ),
    (
        "tls: {frontend: {default: {}, perPort: [{port: 443, tls: {validation: {caCertificateRefs: \
         [{kind: Secret, name: own}], mode: AllowValidOnly}}}]}},",
        "",
        Some(true),
        "",
    ),
    (
        "",
        "options: {gateway.istio.io/tls-terminate-mode: MUTUAL},",
        Some(true),
        "",
    ),
    (
        "",
        "options: {gateway.istio.io/tls-terminate-mode: OPTIONAL_MUTUAL},",
        Some(false),
        "",
    ),
];

/// What is not understood, or not there, opens nothing.
const REFUSED: &[(&str, &str, &str)] = &[
    (
        "tls: {frontend: {default: {validation: {caCertificateRefs: [{kind: ConfigMap, name: own}]}}}},",
        "",
        "`caCertificateRefs` is not one Secret",
    ),
    (
        "tls: {frontend: {default: {validation: {caCertificateRefs: [{kind: Secret, name: own}, {kind: Secret, name: b}]}}}},",
        "",
        "`caCertificateRefs` is not one Secret",
    ),
    (
        "tls: {frontend: {default: {validation: {caCertificateRefs: [{kind: Secret, name: none}]}}}},",
        "",
        "there is no Secret edge/none",
    ),
    (
        "tls: {frontend: {default: {validation: {caCertificateRefs: [{kind: Secret, name: ca, namespace: other}]}}}},",
        "",
        "Secret other/ca may not be named from here",
    ),
    (
        "tls: {frontend: {default: {validation: {caCertificateRefs: [{kind: Secret, name: own}], \
         mode: AllowInsecureFallback}}}},",
        "",
        "lets in whoever shows a wrong certificate",
    ),
    (
        "tls: {backend: {clientCertificateRef: {name: own}}},",
        "",
        "`spec.tls` asks for what cannot be given",
    ),
    (
        "",
        "frontendValidation: {caCertificateRefs: [{kind: Secret, name: own}]},",
        "is of versions before 1.4",
    ),
    (
        "",
        "options: {gateway.istio.io/tls-terminate-mode: MUTAUL},",
        "is no mode of Istio",
    ),
];

fn asking(tls: &str, of_listener: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: edge, namespace: edge}}\n\
         spec: {{gatewayClassName: meltemi, {tls} listeners: [{{name: a, protocol: meltemi.io/dubbo, port: 443, \
         tls: {{{of_listener} certificateRefs: [{{name: own}}]}}}}]}}\n"
    )
}

#[test]
fn a_gateway_says_whose_clients_its_listeners_let_in() {
    let own = own();
    for (tls, of_listener, required, found) in CLIENTS {
        let gateway = asking(tls, of_listener);
        let made = Made::of(&[&gateway, &own]);
        let [server] = made.model().servers.iter().collect::<Vec<_>>()[..] else {
            panic!("{gateway}: {:?}", made.found)
        };
        let clients = server.tls.as_ref().and_then(|tls| tls.clients.as_ref());
        assert_eq!(clients.map(|it| it.required), *required, "{gateway}");
        assert_eq!(made.codes().join(" "), *found, "{gateway}");
    }
    for (tls, of_listener, complaint) in REFUSED {
        let gateway = asking(tls, of_listener);
        let made = Made::of(&[&gateway, &own]);
        assert_eq!(made.servers(), Vec::<String>::new(), "{gateway}");
        let is_told = made
            .found
            .iter()
            .any(|(_, message)| message.contains(complaint));
        assert!(is_told, "{complaint}: {:?}", made.found);
    }
}

#[test]
fn an_annotation_bounds_the_connections_of_a_source() {
    let one = server("one", "'*'", "");
    for (annotation, most, codes) in [
        ("", None, &[][..]),
        ("\"100\"", Some(100), &[]),
        ("\"0\"", None, &["InvalidValue"]),
        ("many", None, &["InvalidValue"]),
    ] {
        let metadata = match annotation {
            "" => String::new(),
            text => format!(", annotations: {{meltemi.io/max-connections-per-source: {text}}}"),
        };
        let made = Made::of(&[&istio(&metadata, "", &[&one])]);
        let found = made
            .model()
            .servers
            .iter()
            .find_map(|it| it.most_per_source);
        assert_eq!(found.map(u32::from), most, "{annotation}");
        assert_eq!(made.codes(), codes, "{annotation}");
    }
}

#[test]
fn a_gateway_that_selects_others_is_told_the_label() {
    let pod = |name: &str, namespace: &str, labels: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: {namespace}, labels: {{{labels}}}}}\n\
             spec: {{nodeName: n}}\n"
        )
    };
    let chart = "app.kubernetes.io/name: meltemi-gateway";
    let ours = pod("ours", "edge", &format!("{chart}, istio: edge, app: edge"));
    let elsewhere = pod("elsewhere", "other", &format!("{chart}, istio: ingress"));
    let istios = pod("istios", "edge", "istio: ingress");
    let one = server("one", "'*'", "");
    for (selector, pods, expected) in [
        ("selector: {istio: edge}", vec![&ours], None),
        ("selector: {istio: edge, app: edge}", vec![&ours], None),
        ("selector: {istio: ingress}", vec![], None),
        (
            "selector: {istio: ingress}",
            vec![&elsewhere, &istios],
            None,
        ),
        (
            "selector: {istio: ingress}",
            vec![&ours, &elsewhere, &istios],
            Some("`selector` is of other gateways than those of Meltemi in namespace edge"),
        ),
        (
            "selector: {istio: edge, app: other}",
            vec![&ours],
            Some("`selector` is of other gateways"),
        ),
        (
            "",
            vec![&ours],
            Some("without a `selector` every gateway of Istio opens these servers"),
        ),
    ] {
        let gateway = istio("", selector, &[&one]);
        let mut manifests = vec![&*gateway];
        manifests.extend(pods.iter().map(|it| it.as_str()));
        let made = Made::of(&manifests);
        let told = made
            .found
            .iter()
            .find(|(code, _)| code == "SelectsOtherGateway");
        match (told, expected) {
            (None, None) => {}
            (Some((_, message)), Some(expected)) => {
                assert!(message.contains(expected), "{message}");
                assert!(
                    message.contains("set `selector` to `istio: edge`"),
                    "{message}"
                );
            }
            other => panic!("{selector}: {other:?}"),
        }
        assert_eq!(made.servers().len(), 1, "a warning: it is opened");
    }
}
