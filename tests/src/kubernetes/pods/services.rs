//! What a kube-proxy makes of Services and EndpointSlices: rules of nftables for one node. Without I/O.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddrV4};

use serde_json::Value;

/// The endpoints that a node's connections to a Service's address go to.
pub(super) type Table = BTreeMap<SocketAddrV4, Vec<SocketAddrV4>>;

/// Of TCP and IPv4, for a node of a zone.
pub(super) fn table(services: &[Value], slices: &[Value], zone: &str) -> Table {
    let mut table = Table::new();
    for service in services {
        let Some(address) = address(&service["spec"]["clusterIP"]) else {
            continue;
        };
        let slices: Vec<_> = slices.iter().filter(|it| is_of(it, service)).collect();
        for port in list(&service["spec"]["ports"]) {
            if let Some(number) = number(&port["port"]) {
                let to = endpoints(&slices, port["name"].as_str().unwrap_or_default(), zone);
                table.insert(SocketAddrV4::new(address, number), to);
            }
        }
    }
    table
}

fn is_of(slice: &Value, service: &Value) -> bool {
    let metadata = &service["metadata"];
    slice["addressType"] == "IPv4"
        && slice["metadata"]["namespace"] == metadata["namespace"]
        && slice["metadata"]["labels"]["kubernetes.io/service-name"] == metadata["name"]
}

/// Those that are ready, else those that still serve while they end. Where each has a hint, those that are meant for this
/// zone, if there are some: KEP-2433, which `trafficDistribution: PreferClose` relies on.
fn endpoints(slices: &[&Value], port: &str, zone: &str) -> Vec<SocketAddrV4> {
    let all = || {
        slices.iter().flat_map(move |slice| {
            let mut ports = list(&slice["ports"]);
            let number = ports.find(|it| it["name"].as_str().unwrap_or_default() == port);
            let number = number.and_then(|it| self::number(&it["port"]));
            let endpoints = list(&slice["endpoints"]);
            endpoints.filter_map(move |endpoint| Some((endpoint, number?)))
        })
    };
    let is = |endpoint: &Value, condition: &str| endpoint["conditions"][condition] == true;
    let mut usable: Vec<_> = all().filter(|(it, _)| is(it, "ready")).collect();
    if usable.is_empty() {
        usable = all().filter(|(it, _)| is(it, "serving")).collect();
    }
    let hints = |endpoint: &Value| -> Vec<String> {
        let zones = list(&endpoint["hints"]["forZones"]);
        zones
            .filter_map(|it| Some(it["name"].as_str()?.to_owned()))
            .collect()
    };
    let is_near = |endpoint: &Value| hints(endpoint).iter().any(|it| it == zone);
    let are_hinted = usable.iter().all(|(it, _)| !hints(it).is_empty());
    if are_hinted && usable.iter().any(|(it, _)| is_near(it)) {
        usable.retain(|(it, _)| is_near(it));
    }
    let addresses = usable.into_iter().flat_map(|(endpoint, number)| {
        let addresses = list(&endpoint["addresses"]).filter_map(address);
        addresses.map(move |address| SocketAddrV4::new(address, number))
    });
    addresses.collect()
}

/// All of a node's rules; `api` is where the API server is reached from there, and `at` its Service's address.
pub(super) fn rules(table: &Table, at: SocketAddrV4, api: SocketAddrV4) -> String {
    let mut rules = String::from(
        "table ip kube-proxy\ndelete table ip kube-proxy\ntable ip kube-proxy {\nchain services {\n",
    );
    let mut rule = |of: SocketAddrV4, to: &[SocketAddrV4]| {
        if to.is_empty() {
            return;
        }
        let (address, port) = (of.ip(), of.port());
        let _ = write!(
            rules,
            "ip daddr {address} tcp dport {port} dnat to numgen random mod {} map {{",
            to.len()
        );
        for (number, to) in to.iter().enumerate() {
            let _ = write!(
                rules,
                "{}{number} : {} . {}",
                comma(number),
                to.ip(),
                to.port()
            );
        }
        rules.push_str("}\n");
    };
    for (of, to) in table {
        rule(*of, to);
    }
    rule(at, &[api]);
    rules.push_str(
        "}\nchain prerouting { type nat hook prerouting priority dstnat; jump services; }\n\
         chain output { type nat hook output priority -100; jump services; }\n}\n",
    );
    rules
}

const fn comma(number: usize) -> &'static str {
    match number {
        0 => "",
        _ => ", ",
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn address(value: &Value) -> Option<Ipv4Addr> {
    value.as_str()?.parse().ok()
}

fn number(value: &Value) -> Option<u16> {
    value.as_u64()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn endpoint(address: &str, ready: bool, serving: bool, zone: Option<&str>) -> Value {
        let hints = zone.map(|zone| json!({"forZones": [{"name": zone}]}));
        json!({
            "addresses": [address], "hints": hints, "conditions": {"ready": ready, "serving": serving},
        })
    }

    /// Where a node of zone a has connections to `10.96.0.7:80` go.
    fn chosen(endpoints: &[Value]) -> Vec<String> {
        let service = json!({
            "metadata": {"name": "s", "namespace": "n"},
            "spec": {"clusterIP": "10.96.0.7", "ports": [{"name": "p", "port": 80}]},
        });
        let slice = json!({
            "metadata": {"namespace": "n", "labels": {"kubernetes.io/service-name": "s"}},
            "addressType": "IPv4", "ports": [{"name": "other", "port": 1}, {"name": "p", "port": 8080}],
            "endpoints": endpoints,
        });
        let table = table(&[service], &[slice], "a");
        let of = table.values().next().expect("its port");
        of.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn endpoints_are_chosen_as_a_kube_proxy_does() {
        let near = |ready| endpoint("10.9.1.2", ready, true, Some("a"));
        let far = |ready| endpoint("10.9.2.2", ready, true, Some("b"));
        let [one, two] = ["10.9.1.2:8080", "10.9.2.2:8080"];
        let rows: [(&[Value], &[&str]); 6] = [
            (&[near(true), far(true)], &[one]),
            (&[near(false), far(true)], &[two]),
            // Nobody is ready: whoever ends still serves.
            (&[near(false), far(false)], &[one]),
            (&[endpoint("10.9.1.2", false, false, Some("a"))], &[]),
            // One without a hint: the slices are about to change.
            (
                &[near(true), endpoint("10.9.2.2", true, true, None)],
                &[one, two],
            ),
            (&[], &[]),
        ];
        for (endpoints, expected) in rows {
            assert_eq!(chosen(endpoints), expected, "{endpoints:?}");
        }
    }

    #[test]
    fn a_service_without_endpoints_has_no_rule() {
        let at = |text: &str| text.parse().unwrap();
        let table = Table::from([
            (at("10.96.0.7:80"), vec![at("10.9.1.2:1"), at("10.9.1.3:2")]),
            (at("10.96.0.8:80"), vec![]),
        ]);
        let rules = rules(&table, at("10.96.0.1:443"), at("10.9.1.1:6443"));
        assert!(rules.contains("mod 2 map {0 : 10.9.1.2 . 1, 1 : 10.9.1.3 . 2}"));
        assert!(rules.contains("ip daddr 10.96.0.1 tcp dport 443"));
        assert!(!rules.contains("10.96.0.8"), "{rules}");
    }
}
