//! Where proxies run: what their Pods and Nodes say.

use std::sync::Arc;

use meltemi_policy::Place;
use meltemi_proto::meltemi::config::v1::Self_;

use crate::ads::NamespacedName;
use crate::index::{Objects, OfKind};
use crate::manifest::{Kind, Object, ObjectRef, Spec};
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

    /// Where a pod is; none where nobody knows it.
    pub(crate) fn of(&self, pod: &NamespacedName) -> Option<PlaceOf> {
        let id = ObjectRef::new(Kind::Pod, &pod.namespace, &pod.name);
        let pod = self.pods.as_ref()?.get(&id)?;
        let node = ObjectRef::new(Kind::Node, "", node_name(pod));
        let node = self.nodes.as_ref().and_then(|nodes| nodes.get(&node));
        Some(PlaceOf {
            pod: pod.clone(),
            node: node.cloned(),
        })
    }

    /// Whether they are the very same, which costs two comparisons.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        OfKind::is_same(self.pods.as_ref(), other.pods.as_ref())
            && OfKind::is_same(self.nodes.as_ref(), other.nodes.as_ref())
    }
}

/// A pod and its node, as far as that is known.
#[derive(Clone, Debug)]
pub(crate) struct PlaceOf {
    pod: Arc<Object>,
    node: Option<Arc<Object>>,
}

impl PlaceOf {
    /// Whether both are the very same objects.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let nodes = (&self.node, &other.node);
        let is_same_node = match nodes {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            _ => false,
        };
        is_same_node && Arc::ptr_eq(&self.pod, &other.pod)
    }

    /// What a proxy there has to know of itself.
    pub(crate) fn this_proxy(&self) -> Self_ {
        let (labels, node_name) = (self.pod.metadata.labels.clone(), node_name(&self.pod));
        let (locality, labels) = placed(labels, node_name, self.node.as_ref(), "");
        this_proxy(Place {
            locality: &locality,
            labels: &labels,
        })
    }
}

fn node_name(pod: &Object) -> &str {
    match &pod.spec {
        Spec::Pod(pod) => &pod.node,
        _ => "",
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
