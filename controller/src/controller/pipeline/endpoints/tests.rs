use std::fmt::Write as _;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::diagnostic::SourceFile;
use crate::fixture::{GATEWAY, settings};
use crate::manifest::{Decoded, ObjectRef, decode_file};

const SERVICES: usize = 3;
const PODS: usize = 4;

/// Something happens to an object, by small numbers instead of names.
#[derive(Clone, Debug)]
enum Step {
    /// A slice of a Service has these pods, some of them not ready.
    Slice(usize, usize, Vec<(usize, bool)>),
    NoSlice(usize, usize),
    /// A pod has this version, and lies on this node.
    Pod(usize, usize, usize),
    NoPod(usize),
    Node(usize, usize),
    Service(usize, bool),
    /// A MetaRouter leads to a subset of a Service.
    Router(usize, usize, bool),
    /// Something is wrong with a slice.
    BadSlice(usize),
    Publish,
}

fn step() -> impl Strategy<Value = Step> {
    let pods = || vec((0..PODS, any::<bool>()), 0..4);
    prop_oneof![
        6 => (0..SERVICES, 0..2usize, pods()).prop_map(|(s, n, pods)| Step::Slice(s, n, pods)),
        1 => (0..SERVICES, 0..2usize).prop_map(|(s, n)| Step::NoSlice(s, n)),
        4 => (0..PODS, 1..3usize, 0..2usize).prop_map(|(p, v, n)| Step::Pod(p, v, n)),
        1 => (0..PODS).prop_map(Step::NoPod),
        1 => (0..2usize, 0..3usize).prop_map(|(n, z)| Step::Node(n, z)),
        1 => (0..SERVICES, any::<bool>()).prop_map(|(s, there)| Step::Service(s, there)),
        1 => (0..2usize, 0..SERVICES, any::<bool>()).prop_map(|(r, s, v)| Step::Router(r, s, v)),
        1 => (0..SERVICES).prop_map(Step::BadSlice),
        8 => Just(Step::Publish),
    ]
}

fn decoded(text: &str) -> Decoded {
    let read = |name: String| {
        let text = text.to_owned();
        decode_file(&Arc::new(SourceFile { name, text }))
            .pop()
            .expect("one document")
    };
    let id = read(String::new()).id.expect("it has a name");
    read(id.to_string())
}

fn slice(service: usize, n: usize, ports: &str, pods: &[(usize, bool)]) -> String {
    let mut text = format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
         metadata: {{name: s{service}-{n}, namespace: default, labels: {{kubernetes.io/service-name: s{service}}}}}\n\
         addressType: IPv4\nports: [{ports}]\nendpoints:\n"
    );
    for (pod, ready) in pods {
        let _ = writeln!(
            text,
            "- {{addresses: [10.0.0.{pod}], conditions: {{ready: {ready}}}, nodeName: node-0, \
             targetRef: {{kind: Pod, name: p{pod}, namespace: default}}}}"
        );
    }
    text
}

const PORT: &str = "{name: tcp-metaprotocol-dubbo, port: 20880}";

impl Step {
    /// The object as it is now; else which one is gone.
    fn object(&self) -> Option<Result<String, ObjectRef>> {
        let gone = |kind, name: String| Err(ObjectRef::new(kind, "default", &name));
        Some(match self {
            Self::Slice(service, n, pods) => Ok(slice(*service, *n, PORT, pods)),
            Self::BadSlice(service) => Ok(slice(*service, 0, "{name: a, port: 99999}", &[])),
            Self::NoSlice(service, n) => gone(Kind::EndpointSlice, format!("s{service}-{n}")),
            Self::Pod(pod, version, node) => Ok(format!(
                "apiVersion: v1\nkind: Pod\nmetadata: {{name: p{pod}, namespace: default, \
                 labels: {{version: v{version}}}}}\nspec: {{nodeName: node-{node}}}\n"
            )),
            Self::NoPod(pod) => gone(Kind::Pod, format!("p{pod}")),
            Self::Node(node, zone) => Ok(format!(
                "apiVersion: v1\nkind: Node\nmetadata: {{name: node-{node}, \
                 labels: {{topology.kubernetes.io/zone: z{zone}}}}}\n"
            )),
            Self::Service(service, true) => Ok(service_manifest(*service)),
            Self::Service(service, false) => gone(Kind::Service, format!("s{service}")),
            Self::Router(router, service, v2) => Ok(router_manifest(*router, *service, *v2)),
            Self::Publish => return None,
        })
    }
}

fn service_manifest(n: usize) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: s{n}, namespace: default}}\n\
         spec: {{ports: [{PORT}]}}\n"
    )
}

fn router_manifest(n: usize, service: usize, v2: bool) -> String {
    let subset = if v2 { "v2" } else { "v1" };
    format!(
        "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: MetaRouter\n\
         metadata: {{name: r{n}, namespace: default}}\nspec:\n  hosts: [s{service}]\n  gateways: [edge]\n  \
         routes:\n  - match: {{attributes: {{method: {{exact: m{n}}}}}}}\n    route:\n    \
         - {{destination: {{host: s{service}}}, weight: 50}}\n    \
         - {{destination: {{host: s{service}, subset: {subset}}}, weight: 50}}\n"
    )
}

fn rule_manifest(n: usize) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\n\
         metadata: {{name: s{n}, namespace: default}}\nspec:\n  host: s{n}\n  subsets:\n  \
         - {{name: v1, labels: {{version: v1}}}}\n  - {{name: v2, labels: {{version: v2}}}}\n"
    )
}

/// A pipeline with all Services and a MetaRouter to each.
fn pipeline() -> Pipeline {
    let mut pipeline = Pipeline::new(settings());
    let mut put = |text: &str| pipeline.index.put(decoded(text));
    put(GATEWAY);
    for n in 0..SERVICES {
        put(&service_manifest(n));
        put(&rule_manifest(n));
        put(&router_manifest(n, n, false));
    }
    pipeline.apply();
    pipeline
}

fn take(pipeline: &mut Pipeline, step: &Step) {
    match step.object() {
        Some(Ok(text)) => drop(pipeline.index.put(decoded(&text))),
        Some(Err(gone)) => drop(pipeline.index.remove(&gone)),
        None => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// One takes the short way where there is one, the other never.
    #[test]
    fn the_short_way_gives_what_the_long_way_gives(steps in vec(step(), 1..40)) {
        let (mut short, mut long) = (pipeline(), pipeline());
        for step in &steps {
            take(&mut short, step);
            take(&mut long, step);
            if matches!(step, Step::Publish) {
                let published = short.follow().unwrap_or_else(|| short.apply().resources);
                long.model.forget_findings();
                let expected = long.apply().resources;
                prop_assert_eq!(published, expected);
            }
        }
        // What was put off is found in the end.
        let (one, other) = (short.look_again(), long.look_again());
        prop_assert_eq!(one.resources, other.resources);
        prop_assert_eq!(one.report, other.report);
    }
}

#[test]
fn the_short_way_leaves_all_else_as_it_is() {
    let mut pipeline = pipeline();
    let was = pipeline.apply().resources;
    // Nothing is different: nothing is published anew.
    let same = pipeline.apply().resources;
    assert!(Arc::ptr_eq(&was.all, &same.all));
    take(&mut pipeline, &Step::Slice(1, 0, vec![(1, true)]));
    let now = pipeline.follow().expect("it is short");
    let type_url = ClusterLoadAssignment::type_url();
    let changed = now.of_type(&type_url).filter(|(name, resource)| {
        was.get(&type_url, name)
            .is_none_or(|was| !std::ptr::eq(was, *resource))
    });
    let changed: Vec<_> = changed.map(|(name, _)| name.to_owned()).collect();
    assert_eq!(changed, ["outbound|20880||s1.default.svc.cluster.local"]);
    // A rule is looked at the long way.
    take(&mut pipeline, &Step::Router(0, 0, true));
    assert!(pipeline.follow().is_none());
    pipeline.apply();
    take(&mut pipeline, &Step::Pod(1, 1, 0));
    assert!(pipeline.follow().is_some());
    // And so is what is wrong.
    take(&mut pipeline, &Step::BadSlice(0));
    assert!(pipeline.follow().is_none());
}
