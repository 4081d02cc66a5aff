//! Who asks, as its first request says.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use meltemi_policy::Mismatches;
use meltemi_policy::foreign::spoken;
use meltemi_proto::envoy::config::core::v3 as proto;
use meltemi_proto::node_metadata::{GATEWAYS, MISMATCHES, POD_NAME, POD_NAMESPACE, READ};
use meltemi_proto::value::Kind;

use super::progress::Versions;

/// Of more services nobody is told.
const MOST_MISMATCHES: usize = 64;

/// A proxy, by what it says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    pub id: String,
    /// The Gateways whose servers it opens; none: it serves whatever there is.
    ///
    /// Of a claim that names no Gateway an empty set remains: it gets nothing, not everything.
    pub gateways: Option<BTreeSet<NamespacedName>>,
    /// The pod that it runs in.
    pub pod: Option<NamespacedName>,
    /// What it was served before, by whichever replica.
    pub served: Versions,
}

/// `namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamespacedName {
    pub namespace: Arc<str>,
    pub name: Arc<str>,
}

impl Node {
    pub(crate) fn of(node: &proto::Node) -> Self {
        let gateways = field(node, GATEWAYS).map(|claim| match claim {
            Kind::ListValue(list) => {
                let items = list.values.iter();
                let names = items.filter_map(|item| text(item.kind.as_ref()?));
                names.filter_map(|name| name.parse().ok()).collect()
            }
            other => text(other)
                .and_then(|name| name.parse().ok())
                .into_iter()
                .collect(),
        });
        let pod = || {
            Some(NamespacedName {
                namespace: text(field(node, POD_NAMESPACE)?)?.into(),
                name: text(field(node, POD_NAME)?)?.into(),
            })
        };
        let served = field(node, READ).and_then(text);
        Self {
            id: node.id.clone(),
            gateways,
            pod: pod(),
            served: served.map(Versions::read).unwrap_or_default(),
        }
    }
}

/// What clients have spoken lately that is not their service's protocol, of services behind the Gateways that the proxy is for.
pub(super) fn mismatches(
    node: &proto::Node,
    gateways: Option<&BTreeSet<NamespacedName>>,
) -> Mismatches {
    let Some(Kind::StructValue(told)) = field(node, MISMATCHES) else {
        return Mismatches::new();
    };
    let is_its = |service: &str| {
        let mut parts = service.splitn(3, '/');
        let (namespace, name) = (parts.next(), parts.next());
        gateways.is_none_or(|gateways| {
            let mut gateways = gateways.iter();
            gateways.any(|it| Some(&*it.namespace) == namespace && Some(&*it.name) == name)
        })
    };
    let told = told.fields.iter();
    let told = told
        .filter(|(service, _)| is_its(service))
        .take(MOST_MISMATCHES);
    let told = told.filter_map(|(service, words)| {
        let spoken = spoken(text(words.kind.as_ref()?)?);
        (!spoken.is_empty()).then(|| (service.clone(), spoken))
    });
    told.collect()
}

fn field<'a>(node: &'a proto::Node, name: &str) -> Option<&'a Kind> {
    node.metadata.as_ref()?.fields.get(name)?.kind.as_ref()
}

fn text(value: &Kind) -> Option<&str> {
    match value {
        Kind::StringValue(text) => Some(text),
        _ => None,
    }
}

/// It is not `namespace/name`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write it as NAMESPACE/NAME")]
pub struct NotNamespaced;

impl FromStr for NamespacedName {
    type Err = NotNamespaced;

    fn from_str(text: &str) -> Result<Self, NotNamespaced> {
        let is_name = |part: &str| !part.is_empty() && !part.contains('/');
        match text.split_once('/') {
            Some((namespace, name)) if is_name(namespace) && is_name(name) => Ok(Self {
                namespace: namespace.into(),
                name: name.into(),
            }),
            _ => Err(NotNamespaced),
        }
    }
}

impl fmt::Display for NamespacedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests {
    use meltemi_proto::{ListValue, Struct, Value};

    use super::*;

    fn value(kind: Kind) -> Value {
        Value { kind: Some(kind) }
    }

    fn string(text: &str) -> Value {
        value(Kind::StringValue(text.to_owned()))
    }

    fn list(items: &[Value]) -> Value {
        let values = items.to_vec();
        value(Kind::ListValue(ListValue { values }))
    }

    fn node(fields: &[(&str, Value)]) -> Node {
        let fields = fields.iter().cloned();
        let fields = fields
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        Node::of(&proto::Node {
            id: "a".to_owned(),
            metadata: Some(Struct { fields }),
            ..proto::Node::default()
        })
    }

    /// As text; `*` for everything.
    fn gateways(claim: &[(&str, Value)]) -> String {
        match node(claim).gateways {
            None => "*".to_owned(),
            Some(names) => names.iter().map(|name| format!("{name};")).collect(),
        }
    }

    #[test]
    fn what_is_said_of_other_gateways_services_is_nothing() {
        let told = ["shop/edge/a:1", "shop/edges/a:1", "web/edge/a:1", "shop"];
        let fields = told.map(|service| (service.to_owned(), string("http1")));
        let empty = ("shop/edge/b:1".to_owned(), string(""));
        let fields = fields.into_iter().chain([empty]).collect();
        let told = value(Kind::StructValue(Struct { fields }));
        let node = proto::Node {
            metadata: Some(Struct {
                fields: [(MISMATCHES.to_owned(), told)].into(),
            }),
            ..proto::Node::default()
        };
        let of = |gateways: Option<&BTreeSet<NamespacedName>>| -> Vec<String> {
            mismatches(&node, gateways).into_keys().collect()
        };
        assert_eq!(of(None).len(), 4);
        let edge = ["shop/edge".parse().unwrap()].into();
        assert_eq!(of(Some(&edge)), ["shop/edge/a:1"]);
        assert_eq!(of(Some(&BTreeSet::new())), [""; 0]);
        assert_eq!(mismatches(&proto::Node::default(), None), [].into());
    }

    #[test]
    fn a_claim_that_names_no_gateway_is_not_a_claim_to_everything() {
        for (claim, expected) in [
            (None, "*"),
            (Some(list(&[string("shop/edge")])), "shop/edge;"),
            (Some(string("shop/edge")), "shop/edge;"),
            (
                Some(list(&[string("b/c"), string("a/b"), string("b/c")])),
                "a/b;b/c;",
            ),
            (Some(list(&[])), ""),
            (
                Some(list(&[string("edge"), string("a/b/c"), string("/b")])),
                "",
            ),
            (Some(list(&[value(Kind::BoolValue(true))])), ""),
            (Some(value(Kind::NumberValue(1.0))), ""),
        ] {
            let claim = claim.map(|claim| (GATEWAYS, claim));
            assert_eq!(gateways(claim.as_slice()), expected, "{claim:?}");
        }
    }

    #[test]
    fn a_pod_has_a_namespace_and_a_name() {
        let both = [
            (POD_NAMESPACE, string("shop")),
            (POD_NAME, string("edge-1")),
        ];
        let pod = node(&both).pod.map(|pod| pod.to_string());
        assert_eq!(pod.as_deref(), Some("shop/edge-1"));
        assert_eq!(node(&both[..1]).pod, None);
        assert_eq!(node(&both[1..]).pod, None);
    }
}
