//! What a proxy says that it is for, and what it runs in.

use meltemi_policy::Mismatches;
use meltemi_policy::foreign::words;
use meltemi_proto::envoy::config::core::v3::Node;
use meltemi_proto::node_metadata::{GATEWAYS, MISMATCHES, POD_NAME, POD_NAMESPACE};
use meltemi_proto::value::Kind;
use meltemi_proto::{ListValue, Struct, Value};

/// By this a control plane knows what concerns a proxy, and where it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The Gateways whose servers it opens, as `namespace/name`; none: it opens all there are.
    pub gateways: Vec<String>,
    /// The pod that it runs in.
    pub pod: Option<Pod>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    pub namespace: String,
    pub name: String,
}

impl Identity {
    /// The node, with what is known of it here.
    #[must_use]
    pub fn on(&self, mut node: Node) -> Node {
        let mut fields = vec![];
        if !self.gateways.is_empty() {
            let values = self.gateways.iter().map(|name| string(name)).collect();
            let list = Kind::ListValue(ListValue { values });
            fields.push((GATEWAYS, Value { kind: Some(list) }));
        }
        if let Some(pod) = &self.pod {
            fields.push((POD_NAMESPACE, string(&pod.namespace)));
            fields.push((POD_NAME, string(&pod.name)));
        }
        if !fields.is_empty() {
            let metadata = node.metadata.get_or_insert_default();
            let fields = fields.into_iter();
            metadata
                .fields
                .extend(fields.map(|(name, value)| (name.to_owned(), value)));
        }
        node
    }
}

/// The node, with what clients have spoken lately that is not their service's protocol.
pub(super) fn tell(node: &mut Node, mismatches: &Mismatches) {
    if mismatches.is_empty() {
        if let Some(metadata) = &mut node.metadata {
            metadata.fields.remove(MISMATCHES);
        }
        return;
    }
    let fields = mismatches.iter();
    let fields = fields.map(|(service, spoken)| (service.clone(), string(&words(spoken))));
    let told = Kind::StructValue(Struct {
        fields: fields.collect(),
    });
    let metadata = node.metadata.get_or_insert_default();
    let told = Value { kind: Some(told) };
    metadata.fields.insert(MISMATCHES.to_owned(), told);
}

fn string(text: &str) -> Value {
    Value {
        kind: Some(Kind::StringValue(text.to_owned())),
    }
}
