//! From a file to its objects: kind, version and metadata, then what the kind says of its `spec`.

use std::sync::Arc;

use super::decode::{Decoder, Field, Fields, Known, nearest};
use super::id::{Kind, ObjectRef};
use super::metadata::{self, Metadata};
use super::{
    Located, Object, Spec, application_protocol, authorization_policy, destination_rule,
    dubbo_authorization_policy, gateway, gateway_api, http_rules, kubernetes, mesh_config,
    meta_router, redis, secret, service_entry, shown, virtual_service,
};
use crate::diagnostic::{Code, Diagnostic, Place, Position, SourceFile};
use crate::model::MANAGED_BY;
use crate::standing::REVISION;
use crate::yaml::{self, Node};

/// What came of one document.
#[derive(Debug)]
pub(crate) struct Decoded {
    /// Which object it is, as far as it could be told.
    pub(crate) id: Option<ObjectRef>,
    /// Where it stands.
    pub(crate) place: Place,
    /// Whose it says that it is.
    pub(crate) revision: Option<String>,
    /// The object, unless one of the findings is an error.
    pub(crate) object: Option<Object>,
    pub(crate) findings: Vec<Diagnostic>,
}

/// Decodes every document of a file; the items of a `List` count as documents of their own.
pub(crate) fn decode_file(file: &Arc<SourceFile>) -> Vec<Decoded> {
    let documents = yaml::parse_stream(&file.text);
    let file = &shown::file(file, &documents);
    let mut decoded = vec![];
    for document in documents {
        match document {
            Ok(node) => decode_document(file, &node, None, &mut decoded),
            Err(error) => {
                let mut d = Decoder::new(file.clone());
                let mut diagnostic = Diagnostic::error(error.code, error.message);
                if let Some(remedy) = error.remedy {
                    diagnostic = diagnostic.remedy(remedy);
                }
                d.report(error.at, diagnostic);
                decoded.push(refused(d, error.at));
            }
        }
    }
    decoded
}

/// An object that an API server holds. It is not a list, and nothing of it is shown.
#[cfg(feature = "kubernetes")]
pub(crate) fn decode_tree(file: &Arc<SourceFile>, tree: &Node) -> Decoded {
    let mut decoded = vec![];
    decode_document(file, tree, None, &mut decoded);
    decoded
        .pop()
        .unwrap_or_else(|| refused(Decoder::new(file.clone()), tree.at))
}

fn refused(d: Decoder, at: Position) -> Decoded {
    Decoded {
        place: Place::of(&d.file, at),
        id: d.object,
        revision: None,
        object: None,
        findings: d.diagnostics,
    }
}

const OBJECT: &[Field] = &[
    Field::InForce("apiVersion"),
    Field::InForce("kind"),
    Field::InForce("metadata"),
    Field::InForce("spec"),
    Field::NoEffect("status"),
];

/// A Secret has no `spec`.
const SECRET: &[Field] = &[
    Field::InForce("apiVersion"),
    Field::InForce("kind"),
    Field::InForce("metadata"),
    Field::InForce("data"),
    Field::InForce("stringData"),
    Field::NoEffect("type"),
    Field::NoEffect("immutable"),
];

/// Nor has a ConfigMap.
const CONFIG_MAP: &[Field] = &[
    Field::InForce("apiVersion"),
    Field::InForce("kind"),
    Field::InForce("metadata"),
    Field::InForce("data"),
    Field::NoEffect("binaryData"),
    Field::NoEffect("immutable"),
];

const LIST: &[Field] = &[
    Field::InForce("apiVersion"),
    Field::InForce("kind"),
    Field::InForce("items"),
    Field::NoEffect("metadata"),
];

/// `kind` and `apiVersion`.
type TypeMeta = (Located<String>, Located<String>);

fn decode_document(
    file: &Arc<SourceFile>,
    node: &Node,
    inherited: Option<&TypeMeta>,
    decoded: &mut Vec<Decoded>,
) {
    let mut d = Decoder::new(file.clone());
    let Some((kind, version)) = type_meta(&mut d, node, inherited) else {
        decoded.push(refused(d, node.at));
        return;
    };
    if let Some(inherited) = list(&kind, &version) {
        let fields = d.fields("", node, LIST);
        for item in fields.list(&mut d, "items") {
            decode_document(file, item, inherited.as_ref(), decoded);
        }
        if !d.diagnostics.is_empty() {
            decoded.push(refused(d, node.at));
        }
        return;
    }
    let Some(known) = known_kind(&mut d, &kind, &version) else {
        decoded.push(refused(d, node.at));
        return;
    };
    let fields = d.fields("", node, known_fields(known));
    let (identity, metadata) = metadata::decode(&mut d, &fields, known);
    let at = identity.as_ref().map_or(node.at, |i| i.name.at);
    let id = identity.map(|i| ObjectRef::new(known, &i.namespace, &i.name.value));
    if let Some(id) = &id {
        name_findings(&mut d, id);
    }
    let revision = metadata.labels.get(REVISION).cloned();
    let metadata = if known.acts() {
        metadata
    } else {
        of_no_effect(metadata)
    };
    let spec = decode_spec(&mut d, known, &fields, &metadata);
    let metadata = match &spec {
        Some(Spec::Pod(pod)) => metadata.at_node(&pod.node),
        _ => metadata,
    };
    let whole = id.clone().zip(spec);
    let whole = whole.filter(|(_, spec)| spec.fails_closed() || !d.has_errors());
    let object = whole.map(|(id, spec)| Object {
        id,
        metadata,
        spec,
        file: file.clone(),
        at,
    });
    decoded.push(Decoded {
        id,
        place: Place::of(file, at),
        revision,
        object,
        findings: d.diagnostics,
    });
}

/// The fields of a whole object.
const fn known_fields(kind: Kind) -> Known {
    match kind {
        Kind::ConfigMap => Known::Names(CONFIG_MAP),
        Kind::Secret => Known::Names(SECRET),
        Kind::Service | Kind::EndpointSlice | Kind::Pod | Kind::Node => Known::Any,
        _ => Known::Names(OBJECT),
    }
}

/// Of what has no effect labels matter as far as they say whose it is: that others change is no change.
fn of_no_effect(mut metadata: Metadata) -> Metadata {
    Arc::make_mut(&mut metadata.labels).retain(|label, _| *label == MANAGED_BY.0);
    Metadata {
        labels: metadata.labels,
        ..Metadata::default()
    }
}

/// Findings that came before the object's name was known get it too.
fn name_findings(d: &mut Decoder, id: &ObjectRef) {
    for diagnostic in &mut d.diagnostics {
        diagnostic.object = Some(id.clone());
    }
    d.object = Some(id.clone());
}

/// What the items of a list are, where they do not say it themselves; none if this is no list.
fn list(kind: &Located<String>, version: &Located<String>) -> Option<Option<TypeMeta>> {
    if kind.value == "List" && version.value == "v1" {
        return Some(None);
    }
    let (group, _) = version.value.rsplit_once('/')?;
    let item = kind.value.strip_suffix("List")?;
    let known = Kind::ALL
        .iter()
        .find(|k| k.name() == item && k.group() == group)?;
    let item = Located {
        value: known.name().to_owned(),
        at: kind.at,
    };
    Some(Some((item, version.clone())))
}

fn type_meta(d: &mut Decoder, node: &Node, inherited: Option<&TypeMeta>) -> Option<TypeMeta> {
    let yaml::Value::Map(entries) = &node.value else {
        let message = format!("a manifest is a mapping, not {}", node.kind());
        d.report(node.at, Diagnostic::error(Code::NotAnObject, message));
        return None;
    };
    let fields = Fields::free(String::new(), node.at, entries);
    let mut field = |name: &str, inherited: Option<&Located<String>>| match inherited {
        Some(inherited) if fields.node(name).is_none() => Some(inherited.clone()),
        _ => fields.required(d, name),
    };
    let kind = field("kind", inherited.map(|(kind, _)| kind));
    let version = field("apiVersion", inherited.map(|(_, version)| version));
    Some((kind?, version?))
}

fn known_kind(d: &mut Decoder, kind: &Located<String>, version: &Located<String>) -> Option<Kind> {
    let (group, number) = version
        .value
        .rsplit_once('/')
        .unwrap_or(("", &version.value));
    let named = Kind::ALL
        .iter()
        .find(|k| k.name() == kind.value && k.group() == group);
    let Some(&known) = named else {
        let (at, diagnostic) = unknown_kind(kind, version, group);
        d.report(at, diagnostic);
        return None;
    };
    if !known.versions().contains(&number) {
        let message = format!("{} has no version `{number}`", known.name());
        let remedy = format!("use {group}/{}", known.versions()[0]);
        d.report(
            version.at,
            Diagnostic::error(Code::UnknownVersion, message).remedy(remedy),
        );
        return None;
    }
    Some(known)
}

/// A kind or a group that is a slip away from one of ours is a slip; any other is somebody else's.
fn unknown_kind(
    kind: &Located<String>,
    version: &Located<String>,
    group: &str,
) -> (Position, Diagnostic) {
    let in_group = acting().filter(|k| k.group() == group);
    if let Some(near) = nearest(&kind.value, in_group.map(|k| k.name())) {
        let group_name = if group.is_empty() { "v1" } else { group };
        let message = format!(
            "no kind `{}` in {group_name}; did you mean `{near}`?",
            kind.value
        );
        let kinds = acting().filter(|k| k.group() == group);
        let remedy = format!("its kinds are {}", names(kinds));
        return (
            kind.at,
            Diagnostic::error(Code::UnknownKind, message).remedy(remedy),
        );
    }
    let groups = Kind::ALL.iter().map(|k| k.group());
    let groups = groups.filter(|group| !group.is_empty());
    if let Some(near) = nearest(group, groups).filter(|near| *near != group) {
        let message = format!("there is no group `{group}`; did you mean `{near}`?");
        let remedy =
            "the groups are metaprotocol.aeraki.io, redis.aeraki.io and networking.istio.io";
        return (
            version.at,
            Diagnostic::error(Code::UnknownKind, message).remedy(remedy),
        );
    }
    let message = format!("{} of {} has no effect here", kind.value, version.value);
    let remedy = format!("keep it elsewhere; what acts here is {}", names(acting()));
    (
        kind.at,
        Diagnostic::warning(Code::UnusedKind, message).remedy(remedy),
    )
}

fn acting() -> impl Iterator<Item = &'static Kind> {
    Kind::ALL.iter().filter(|kind| kind.acts())
}

fn names<'a>(kinds: impl IntoIterator<Item = &'a Kind>) -> String {
    let mut names: Vec<_> = kinds.into_iter().map(|k| k.name()).collect();
    // Istio and the Gateway API share one.
    names.dedup();
    names.join(", ")
}

fn decode_spec(
    d: &mut Decoder,
    kind: Kind,
    object: &Fields<'_>,
    metadata: &Metadata,
) -> Option<Spec> {
    match kind {
        Kind::Secret => return Some(Spec::Secret(secret::decode(d, object))),
        Kind::ConfigMap => return config_map(d, object),
        Kind::Namespace => return Some(Spec::Namespace),
        Kind::Node => return Some(Spec::Node),
        Kind::Pod => return Some(Spec::Pod(kubernetes::pod(d, object))),
        Kind::EndpointSlice => {
            return kubernetes::endpoint_slice(d, object, metadata).map(Spec::EndpointSlice);
        }
        Kind::AuthorizationPolicy => {
            let policy = authorization_policy::decode(d, object.node("spec"));
            return Some(Spec::AuthorizationPolicy(policy));
        }
        Kind::DubboAuthorizationPolicy => {
            let policy = dubbo_authorization_policy::decode(d, object.node("spec"));
            return Some(Spec::AuthorizationPolicy(policy));
        }
        _ => {}
    }
    let Some(spec) = object.node("spec") else {
        object.missing(d, "spec");
        return None;
    };
    match kind {
        Kind::MetaRouter => meta_router::decode(d, spec).map(Spec::MetaRouter),
        Kind::ApplicationProtocol => {
            application_protocol::decode(d, spec).map(Spec::ApplicationProtocol)
        }
        Kind::Gateway => gateway::decode(d, spec).map(Spec::Gateway),
        Kind::KubernetesGateway => gateway_api::gateway(d, spec).map(Spec::KubernetesGateway),
        Kind::GatewayClass => gateway_api::class(d, spec).map(Spec::GatewayClass),
        Kind::ReferenceGrant => Some(Spec::ReferenceGrant(gateway_api::grant(d, spec))),
        Kind::ServiceEntry => {
            service_entry::decode(d, spec, object.node("status")).map(Spec::ServiceEntry)
        }
        Kind::WorkloadEntry => {
            service_entry::decode_workload(d, spec, metadata).map(Spec::WorkloadEntry)
        }
        Kind::DestinationRule => destination_rule::decode(d, spec).map(Spec::DestinationRule),
        Kind::VirtualService => Some(Spec::VirtualService(virtual_service::decode(d, spec))),
        Kind::Service => kubernetes::service(d, spec).map(Spec::Service),
        Kind::HttpRoute | Kind::GrpcRoute => Some(Spec::HttpRules(http_rules::of_parents(d, spec))),
        Kind::RedisService => redis::decode_service(d, spec).map(Spec::RedisService),
        Kind::RedisDestination => redis::decode_destination(d, spec).map(Spec::RedisDestination),
        // They have no spec, or none that is read here.
        Kind::AuthorizationPolicy
        | Kind::DubboAuthorizationPolicy
        | Kind::Secret
        | Kind::ConfigMap
        | Kind::Namespace
        | Kind::Node
        | Kind::Pod
        | Kind::EndpointSlice => None,
    }
}

/// Of all ConfigMaps one acts: that of the mesh.
fn config_map(d: &mut Decoder, object: &Fields<'_>) -> Option<Spec> {
    let name = d.object.as_ref().map(|id| id.name.clone());
    let mesh = match name.as_deref() {
        Some(mesh_config::NAME) => mesh_config::decode(d, object).map(Spec::MeshConfig),
        _ => None,
    };
    if mesh.is_none() && !d.has_errors() {
        let at = object.node("kind").map_or(object.at, |kind| kind.at);
        let message = "this ConfigMap has no effect: only the field `mesh` of one named istio has";
        d.report(at, Diagnostic::warning(Code::UnusedKind, message));
    }
    mesh
}
