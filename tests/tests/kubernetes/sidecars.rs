//! Sidecars of a real istiod, led to a Gateway by what the controller writes: a real Envoy that nobody but istiod configures,
//! between a client and a real Dubbo provider, in a network of its own.

mod lab;
mod load;
mod secrets;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use meltemi_tests::until;
use serde_json::Value;

use lab::{GATEWAY, Lab, SERVICE, has_own_network};

const ROUTE: &str = "/apis/networking.istio.io/v1/namespaces/shop/virtualservices/greeter-meltemi";
const RULE: &str = "/apis/networking.istio.io/v1/namespaces/shop/destinationrules/mesh-meltemi";

#[test]
fn a_label_leads_sidecars_to_a_gateway_and_past_it_again() {
    let test = "sidecars::a_label_leads_sidecars_to_a_gateway_and_past_it_again";
    if !has_own_network(test) {
        return;
    }
    let Some(lab) = Lab::start() else { return };
    // Before anybody asks, connections go past it.
    let load = lab.load();
    load.goes_on();
    assert_eq!(lab.passed(), 0);
    assert!(lab.cluster.get(ROUTE).is_none());

    lab.label("meltemi.io/use-gateway=mesh");
    until("sidecars come here", || {
        (lab.says()? == "True/Led").then_some(())
    });
    let route = lab.cluster.get(ROUTE).expect("a VirtualService");
    assert_eq!(route["spec"]["hosts"][0], lab::HOST);
    assert_eq!(route["spec"]["tcp"][0]["match"][0]["port"], 20880);
    until("connections come through the gateway", || {
        (lab.passed() > 0).then_some(())
    });
    let line = lab.logged("sa/client");
    assert_eq!(
        line["principal"],
        "spiffe://cluster.local/ns/shop/sa/client"
    );
    assert_eq!(line["service"], format!("shop/mesh/{}:20880", lab::HOST));
    is_told_by_istiod(&lab);
    load.goes_on();

    // Without a header, and without a certificate behind it, nobody is let in.
    is_refused(&lab);

    // Sidecars know the pods of a headless Service.
    lab.label_service("pods", "meltemi.io/use-gateway=mesh");
    until("who dials a pod comes through the gateway", || {
        let is_answered = lab.calls_pod();
        (is_answered && lab.has_logged("pods.shop.svc.cluster.local:20880")).then_some(())
    });

    lab.label("meltemi.io/use-gateway-");
    until("nobody is led there any more", || {
        lab.cluster.get(ROUTE).is_none().then_some(())
    });
    load.goes_on();
    // Connections that come all the same are served for a while, and sidecars still know how to dial it.
    assert!(lab.cluster.get(RULE).is_some());
    until("connections go past the gateway", || {
        let before = lab.passed();
        load.goes_on();
        (lab.passed() == before).then_some(())
    });
    load.ends_well();
}

/// In the configuration that Envoy has of istiod.
fn is_told_by_istiod(lab: &Lab) {
    let dump = lab.envoy().text("/config_dump");
    let cluster = "outbound|15089|meltemi|mesh.shop.svc.cluster.local";
    let dump: Value = serde_json::from_str(&dump).expect("JSON");
    let configs = dump["configs"].as_array().expect("a list");
    let all = |kind: &str, list: &str| -> Vec<Value> {
        let of_kind = configs.iter().filter(|it| {
            let url = it["@type"].as_str().unwrap_or_default();
            url.ends_with(kind)
        });
        let lists = of_kind.filter_map(|it| it[list].as_array());
        lists.flatten().cloned().collect()
    };
    let clusters = all("ClustersConfigDump", "dynamic_active_clusters");
    let ours = clusters.iter().find(|it| it["cluster"]["name"] == cluster);
    let ours = ours.expect("the cluster of the subset")["cluster"].to_string();
    for words in [
        "upstream_proxy_protocol",
        "\"V2\"",
        "sa/gateway",
        "outlier_detection",
    ] {
        assert!(ours.contains(words), "{words}: {ours}");
    }
    let listeners = all("ListenersConfigDump", "dynamic_listeners");
    let of_service = format!("{}_20880", lab::VIRTUAL_ADDRESS);
    let listener = listeners.iter().find(|it| it["name"] == *of_service);
    let listener = listener.expect("the listener of the service").to_string();
    assert!(listener.contains(cluster), "{listener}");
}

/// What comes without a header is closed, and counted as such.
fn is_refused(lab: &Lab) {
    let mut stream = TcpStream::connect(lab.gateway()).expect("it listens");
    let patience = Some(Duration::from_secs(60));
    stream.set_read_timeout(patience).expect("it can be set");
    let bytes = [&[0xda, 0xbb, 0xc2, 0][..], &[0; 12]].concat();
    stream.write_all(&bytes).expect("it can be written");
    let read = stream.read(&mut [0; 64]);
    assert!(read.is_err() || matches!(read, Ok(0)), "{read:?}");
    let reason = ["reason=\"missing\""];
    let refused = "meltemi_downstream_proxy_protocol_refused_total";
    until("it is counted", || {
        (lab.proxy.metric(refused, &reason) > 0).then_some(())
    });
}

#[test]
fn whoever_else_leads_a_port_is_told_and_left_alone() {
    let test = "sidecars::whoever_else_leads_a_port_is_told_and_left_alone";
    if !has_own_network(test) {
        return;
    }
    let Some(lab) = Lab::start() else { return };
    let own = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: own, namespace: shop}\n\
               spec: {hosts: [greeter], tcp: [{route: [{destination: {host: greeter}}]}]}\n";
    lab.cluster.apply(own);
    lab.label("meltemi.io/use-gateway=mesh");
    until("the conflict is said", || {
        (lab.says()? == "False/Conflict").then_some(())
    });
    assert!(lab.cluster.get(ROUTE).is_none());
    let delete = ["delete", "virtualservice", "own", "-n", "shop"];
    lab.cluster.kubectl(&delete).expect_success("it is deleted");
    until("sidecars come here", || {
        (lab.says()? == "True/Led").then_some(())
    });
    // What somebody changes of it is put back.
    let patch = r#"{"spec":{"hosts":["other.shop.svc.cluster.local"]}}"#;
    let changed = [
        "patch",
        "virtualservice",
        "greeter-meltemi",
        "-n",
        "shop",
        "--type=merge",
        "-p",
        patch,
    ];
    lab.cluster
        .kubectl(&changed)
        .expect_success("it is changed");
    until("it is put back", || {
        let route = lab.cluster.get(ROUTE)?;
        (route["spec"]["hosts"][0] == lab::HOST).then_some(())
    });
    // It can be taken out at once, whatever the controller says.
    let load = lab.load();
    let told = lab.detach(&["mesh", "-n", "shop", "--farewell", "3s"]);
    assert!(told.contains("shop/mesh  is out"), "{told}");
    for path in [ROUTE, RULE] {
        assert!(lab.cluster.get(path).is_none(), "{path}");
    }
    until("it says that it was taken out", || {
        (lab.says()? == "False/Detached").then_some(())
    });
    load.ends_well();
    assert!(lab.cluster.get(GATEWAY).is_some() && lab.cluster.get(SERVICE).is_some());
}

#[test]
fn what_a_server_asks_of_clients_is_asked_at_the_gateway() {
    let test = "sidecars::what_a_server_asks_of_clients_is_asked_at_the_gateway";
    if !has_own_network(test) {
        return;
    }
    let Some(lab) = Lab::start() else { return };
    lab.label("meltemi.io/use-gateway=mesh");
    until("connections come through the gateway", || {
        let is_answered = load::call(1).is_ok();
        (is_answered && lab.passed() > 0).then_some(())
    });
    let port = lab.provider_port();
    let of =
        |account: &str| format!("{{source: {{principals: [cluster.local/ns/shop/sa/{account}]}}}}");
    let to = format!("to: [{{operation: {{ports: ['{port}']}}}}]");
    // What is written at the pods of the service, and whether the client may use it.
    let rows = [
        (
            format!("action: DENY, rules: [{{from: [{}], {to}}}]", of("client")),
            false,
        ),
        (
            format!("action: DENY, rules: [{{from: [{}]}}]", of("other")),
            true,
        ),
        (format!("rules: [{{from: [{}]}}]", of("other")), false),
        (
            format!(
                "rules: [{{from: [{}, {}], {to}}}]",
                of("client"),
                of("gateway")
            ),
            true,
        ),
        ("action: ALLOW".to_owned(), false),
        // As one that keeps others away from the pods.
        (format!("rules: [{{from: [{}]}}]", of("gateway")), true),
    ];
    for (spec, is_admitted) in rows {
        lab.cluster.apply(&format!(
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n\
             metadata: {{name: greeter, namespace: shop}}\n\
             spec: {{selector: {{matchLabels: {{app: greeter-1}}}}, {spec}}}\n"
        ));
        until("the client is judged by it", || {
            let answered = load::call(1);
            let is_as_said = match &answered {
                Ok(()) => is_admitted,
                Err(refused) => !is_admitted && refused.contains("access denied"),
            };
            is_as_said.then_some(())
        });
    }
}
