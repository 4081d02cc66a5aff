//! Where proxies run: what their Pods and Nodes say.

use meltemi_policy::Place;
use meltemi_proto::meltemi::config::v1::Self_;

use crate::ads::NamespacedName;
use crate::index::{Objects, OfKind};
use crate::manifest::{Kind, ObjectRef, Spec};
use crate::model::placed;
use crate::translate::this_proxy;

/// The pods and nodes that are known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    pods: Option<OfKind>,
    nodes: Option<OfKind>,
}

impl Places {
    pub(crate) fn new(objects: &Objects) -> Self {
        Self {
            pods: objects.kind(Kind::Pod).cloned(),
            nodes: objects.kind(Kind::Node).cloned(),
        }
    }

    /// What a proxy in this pod has to know of itself; none where nobody knows the pod.
    pub(crate) fn of(&self, pod: &NamespacedName) -> Option<Self_> {
        let id = ObjectRef::new(Kind::Pod, &pod.namespace, &pod.name);
        let pod = self.pods.as_ref()?.get(&id)?;
        let node_name = match &pod.spec {
            Spec::Pod(pod) => pod.node.as_str(),
            _ => "",
        };
        let node = ObjectRef::new(Kind::Node, "", node_name);
        let node = self.nodes.as_ref().and_then(|nodes| nodes.get(&node));
        let (locality, labels) = placed(pod.metadata.labels.clone(), node_name, node, "");
        Some(this_proxy(Place {
            locality: &locality,
            labels: &labels,
        }))
    }

    /// Whether they are the very same, which costs two comparisons.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        OfKind::is_same(self.pods.as_ref(), other.pods.as_ref())
            && OfKind::is_same(self.nodes.as_ref(), other.nodes.as_ref())
    }
}

/// Whether they say the same of where proxies are, whatever else is known of the objects.
impl PartialEq for Places {
    fn eq(&self, other: &Self) -> bool {
        says_the_same(self.pods.as_ref(), other.pods.as_ref())
            && says_the_same(self.nodes.as_ref(), other.nodes.as_ref())
    }
}

fn says_the_same(one: Option<&OfKind>, other: Option<&OfKind>) -> bool {
    let count = |of: Option<&OfKind>| of.map_or(0, OfKind::len);
    let pairs = one.into_iter().zip(other);
    let mut pairs = pairs.flat_map(|(one, other)| one.values().zip(other.values()));
    count(one) == count(other)
        && pairs.all(|(one, other)| {
            let is_same = one.metadata.labels == other.metadata.labels && one.spec == other.spec;
            is_same && one.id == other.id
        })
}
