//! A Gateway that is to be a waypoint, as the API server tells of it, and what is wrong with it.

use std::collections::BTreeMap;

use kube::core::DynamicObject;
use serde_json::Value;

use crate::status::State;
use crate::status::Truth::{False, True};

/// On a Gateway or its class: where ztunnel hands connections over. In capitals; istiod passes over what is not.
pub(super) const BINDING: &str = "ambient.istio.io/waypoint-inbound-binding";
pub(super) const BOUND: &str = "PROXY/15088";

/// On a Gateway: it was taken out, and since when. Nobody is led to it, and nothing is made of it, until that is gone.
pub(super) const DETACH: &str = "meltemi.io/detach";

/// Listeners that mean that binding: the one that Istio has for it, and the one that manifests of its own waypoints write.
const SERVED: [(&str, u64); 2] = [("istio.io/PROXY", 15088), ("HBONE", 15008)];

/// Kinds whose rules act behind a waypoint.
const RULES: [(&str, &str); 2] = [
    ("metaprotocol.aeraki.io", "MetaRouter"),
    ("redis.aeraki.io", "RedisService"),
];

#[derive(Clone, Debug)]
pub(super) struct Waypoint {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) generation: i64,
    /// What [`BINDING`] says.
    pub(super) binding: Option<String>,
    /// What [`DETACH`] says.
    pub(super) detached: Option<String>,
    pub(super) listeners: Vec<Listener>,
    asks_for_address: bool,
    /// For the objects that it is made of.
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) parameters: Option<Parameters>,
    /// As it is written.
    pub(super) status: Value,
}

#[derive(Clone, Debug)]
pub(super) struct Listener {
    pub(super) name: String,
    port: u64,
    protocol: String,
    /// Group and kind of the rules that it is for, where it says so.
    kinds: Vec<(String, String)>,
}

/// Where overrides are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parameters {
    group: String,
    kind: String,
    pub(super) name: String,
}

impl Waypoint {
    /// None where it has no name or uid, as none of an API server.
    pub(super) fn of(object: &DynamicObject) -> Option<Self> {
        let metadata = &object.metadata;
        let spec = &object.data["spec"];
        let infrastructure = &spec["infrastructure"];
        let reference = &infrastructure["parametersRef"];
        let annotations = metadata.annotations.as_ref();
        Some(Self {
            namespace: metadata.namespace.clone()?,
            name: metadata.name.clone()?,
            uid: metadata.uid.clone()?,
            generation: metadata.generation.unwrap_or_default(),
            binding: annotations.and_then(|all| all.get(BINDING).cloned()),
            detached: annotations.and_then(|all| all.get(DETACH).cloned()),
            listeners: list(&spec["listeners"]).map(Listener::of).collect(),
            asks_for_address: list(&spec["addresses"]).next().is_some(),
            labels: texts(&infrastructure["labels"]),
            annotations: texts(&infrastructure["annotations"]),
            parameters: reference.is_object().then(|| Parameters {
                group: text(&reference["group"]),
                kind: text(&reference["kind"]),
                name: text(&reference["name"]),
            }),
            status: object.data["status"].clone(),
        })
    }

    /// Whether its addresses have been published: istiod sends connections to it.
    pub(super) fn is_published(&self) -> bool {
        list(&self.status["addresses"]).next().is_some()
    }

    /// Why nothing is made of it, as its condition `Accepted`; with overrides that cannot be used for another reason.
    pub(super) fn refusal(&self) -> Option<State> {
        let refused = |reason: &str, message: String| Some(State::new(False, reason, message));
        if !is_label(&self.name) {
            let message = "its Service would have its name, which is none for a Service: give it one of at most 63 \
                           lower-case letters, digits and `-`, the first of which is a letter";
            return refused("Invalid", message.to_owned());
        }
        if self.asks_for_address {
            let message =
                "a waypoint has the address of its own Service: leave `spec.addresses` out";
            return refused("UnsupportedAddress", message.to_owned());
        }
        if let Some(binding) = self.binding.as_ref().filter(|it| *it != BOUND) {
            let message = format!(
                "the annotation {BINDING} is `{binding}`, and its proxies expect {BOUND}: take it away"
            );
            return refused("Invalid", message);
        }
        if let Some(other) = self.parameters.as_ref().filter(|it| !it.is_config_map()) {
            let message = format!(
                "`parametersRef` is a {} of group `{}`: name a ConfigMap, of group ``",
                other.kind, other.group
            );
            return refused("InvalidParameters", message);
        }
        if !self.listeners.iter().any(|it| it.refusal().is_none()) {
            let message = format!("none of its listeners is served: {}", remedy());
            return refused("ListenersNotValid", message);
        }
        None
    }

    /// That it is accepted, with what there is to say of some listeners.
    pub(super) fn accepted(&self) -> State {
        let refused = self.listeners.iter().filter(|it| it.refusal().is_some());
        let names: Vec<_> = refused.map(|it| it.name.as_str()).collect();
        match names.is_empty() {
            true => State::new(True, "Accepted", "it is a waypoint"),
            false => {
                let message = format!("these listeners are not served: {}", names.join(", "));
                State::new(True, "ListenersNotValid", message)
            }
        }
    }
}

impl Listener {
    fn of(listener: &Value) -> Self {
        let kinds = list(&listener["allowedRoutes"]["kinds"]);
        let kinds = kinds.map(|kind| {
            // Of the Gateway API, unless it says otherwise.
            let group = kind["group"].as_str();
            let group = group.unwrap_or("gateway.networking.k8s.io");
            (group.to_owned(), text(&kind["kind"]))
        });
        Self {
            name: text(&listener["name"]),
            port: listener["port"].as_u64().unwrap_or_default(),
            protocol: text(&listener["protocol"]),
            kinds: kinds.collect(),
        }
    }

    /// Why it is not served.
    pub(super) fn refusal(&self) -> Option<State> {
        let Self { port, protocol, .. } = self;
        let known = SERVED.iter().find(|(served, _)| served == protocol);
        let (reason, message) = match known {
            None => ("UnsupportedProtocol", format!("`{protocol}` is not served")),
            Some((_, served)) if served != port => (
                "PortUnavailable",
                format!("{protocol} is not served at port {port}"),
            ),
            Some(_) => return None,
        };
        Some(State::new(
            False,
            reason,
            format!("{message}: {}", remedy()),
        ))
    }

    /// Of the kinds that it asks for those that there are, or all; and whether it asks for others.
    pub(super) fn kinds(&self) -> (Vec<(&'static str, &'static str)>, bool) {
        if self.kinds.is_empty() {
            return (RULES.to_vec(), true);
        }
        let is_asked = |rule: &&(&str, &str)| {
            let mut asked = self.kinds.iter();
            asked.any(|(group, kind)| (group.as_str(), kind.as_str()) == **rule)
        };
        let supported: Vec<_> = RULES.iter().filter(is_asked).copied().collect();
        let is_all = supported.len() == self.kinds.len();
        (supported, is_all)
    }
}

impl Parameters {
    fn is_config_map(&self) -> bool {
        (self.group.as_str(), self.kind.as_str()) == ("", "ConfigMap")
    }
}

fn remedy() -> &'static str {
    "write {name: proxy, port: 15088, protocol: istio.io/PROXY}"
}

/// As RFC 1035 has it, which the names of Services have to be.
fn is_label(name: &str) -> bool {
    let is_of = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    name.len() <= 63
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.bytes().all(is_of)
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> BTreeMap<String, String> {
    let entries = value.as_object().into_iter().flatten();
    let entries = entries.filter_map(|(key, it)| Some((key.clone(), it.as_str()?.to_owned())));
    entries.collect()
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// One of which this is changed.
    pub(in crate::waypoint) fn waypoint(change: impl FnOnce(&mut Value)) -> Waypoint {
        let mut object = json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
            "metadata": {"name": "l7", "namespace": "shop", "uid": "u-1", "generation": 3},
            "spec": {
                "gatewayClassName": "meltemi-waypoint",
                "listeners": [{"name": "proxy", "port": 15088, "protocol": "istio.io/PROXY"}],
            },
        });
        change(&mut object);
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        Waypoint::of(&object).unwrap()
    }

    type Change = fn(&mut Value);

    /// With the reason, and a word of what is said.
    const REFUSED: [(Change, Option<(&str, &str)>); 12] = [
        (|_| {}, None),
        (
            |it| {
                it["spec"]["listeners"][0] =
                    json!({"name": "mesh", "port": 15008, "protocol": "HBONE"})
            },
            None,
        ),
        (
            |it| it["metadata"]["annotations"] = json!({BINDING: BOUND}),
            None,
        ),
        (
            |it| it["metadata"]["annotations"] = json!({BINDING: "NONE"}),
            Some(("Invalid", "take it away")),
        ),
        (|it| it["metadata"]["name"] = json!("a".repeat(63)), None),
        (
            |it| it["metadata"]["name"] = json!("a".repeat(64)),
            Some(("Invalid", "63")),
        ),
        (
            |it| it["metadata"]["name"] = json!("a.b"),
            Some(("Invalid", "63")),
        ),
        (
            |it| it["metadata"]["name"] = json!("7l"),
            Some(("Invalid", "letter")),
        ),
        (
            |it| it["spec"]["addresses"] = json!([{"value": "10.0.0.1"}]),
            Some(("UnsupportedAddress", "leave")),
        ),
        (
            |it| it["spec"]["listeners"][0]["port"] = json!(15089),
            Some(("ListenersNotValid", "port: 15088")),
        ),
        (
            |it| {
                let other = json!({"group": "a.b", "kind": "C", "name": "d"});
                it["spec"]["infrastructure"]["parametersRef"] = other;
            },
            Some(("InvalidParameters", "ConfigMap")),
        ),
        (
            |it| {
                let config = json!({"group": "", "kind": "ConfigMap", "name": "d"});
                it["spec"]["infrastructure"]["parametersRef"] = config;
            },
            None,
        ),
    ];

    #[test]
    fn what_cannot_be_a_waypoint_says_why_and_what_to_do() {
        for (number, (change, expected)) in REFUSED.into_iter().enumerate() {
            let found = waypoint(change).refusal();
            let reason = found.as_ref().map(|it| it.reason.as_str());
            assert_eq!(reason, expected.map(|it| it.0), "{number}");
            if let (Some(found), Some((_, words))) = (found, expected) {
                assert!(found.message.contains(words), "{number}: {}", found.message);
            }
        }
    }

    #[test]
    fn a_listener_that_is_not_served_says_so() {
        let of = |listener: Value| Listener::of(&listener);
        let reason = |listener: Value| of(listener).refusal().map(|it| it.reason);
        let rows = [
            (json!({"protocol": "istio.io/PROXY", "port": 15088}), None),
            (json!({"protocol": "HBONE", "port": 15008}), None),
            (
                json!({"protocol": "HBONE", "port": 15088}),
                Some("PortUnavailable"),
            ),
            (
                json!({"protocol": "istio.io/PROXY", "port": 80}),
                Some("PortUnavailable"),
            ),
            (
                json!({"protocol": "HTTP", "port": 80}),
                Some("UnsupportedProtocol"),
            ),
        ];
        for (listener, expected) in rows {
            assert_eq!(reason(listener.clone()).as_deref(), expected, "{listener}");
        }
        let kinds = |kinds: Value| of(json!({"allowedRoutes": {"kinds": kinds}})).kinds();
        let router = json!({"group": "metaprotocol.aeraki.io", "kind": "MetaRouter"});
        assert_eq!(kinds(json!([])), (RULES.to_vec(), true));
        assert_eq!(kinds(json!([router])), (RULES[..1].to_vec(), true));
        assert_eq!(
            kinds(json!([router, {"kind": "TCPRoute"}])),
            (RULES[..1].to_vec(), false)
        );
    }
}
