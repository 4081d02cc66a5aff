//! The examples of the tables, each as the manifest that it is a part of.

use serde_json::{Value, json};

use crate::manifest::META_ROUTER;
use crate::manifest::shape::{Described, Shape, Takes};

/// What a MetaRouter of the examples is written beside.
pub const SURROUNDINGS: &str = "\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  servers:
  - {port: {number: 0, name: tcp-metaprotocol-dubbo}, bind: 127.0.0.1}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: greeter}
spec:
  hosts: [greeter.shop]
  ports: [{number: 20880, name: tcp-metaprotocol-dubbo}]
  resolution: STATIC
  endpoints:
  - {address: 127.0.0.1, locality: eu/a, labels: {version: v1}}
  - {address: 127.0.0.2, locality: eu/b, labels: {version: v2}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: limiter}
spec:
  hosts: [limiter.shop]
  ports: [{number: 8081, name: grpc}]
  resolution: STATIC
  endpoints: [{address: 127.0.0.9}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: greeter}
spec:
  host: greeter.shop
  trafficPolicy:
    outlierDetection: {consecutive5xxErrors: 3}
    loadBalancer: {consistentHash: {useSourceIp: true}}
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
";

/// An example of a field.
#[derive(Clone, Debug)]
pub struct Example {
    /// Where the field is, such as `spec.routes.retries.attempts`.
    pub path: String,
    /// A MetaRouter with it, as JSON, which is YAML.
    pub manifest: String,
}

/// An example of each field of a MetaRouter, at each place where it can be.
#[must_use]
pub fn meta_router() -> Vec<Example> {
    let places = places(&META_ROUTER).into_iter();
    let examples = places.map(|place| Example {
        path: place.path(),
        manifest: place.manifest(place.example()).to_string(),
    });
    examples.collect()
}

/// A field, and where it is.
#[derive(Clone, Debug)]
pub(super) struct FieldPlace {
    /// The shapes that it is within, the outermost first, each with its field that leads on.
    outer: Vec<(&'static Shape, &'static Described)>,
    pub(super) shape: &'static Shape,
    pub(super) field: &'static Described,
}

/// Every place of every field: a shape that is used twice has its fields twice.
pub(super) fn places(root: &'static Shape) -> Vec<FieldPlace> {
    let mut places = vec![];
    collect(root, &[], &mut places);
    places
}

fn collect(
    shape: &'static Shape,
    outer: &[(&'static Shape, &'static Described)],
    places: &mut Vec<FieldPlace>,
) {
    for field in shape.fields {
        places.push(FieldPlace {
            outer: outer.to_vec(),
            shape,
            field,
        });
        if let Some(inner) = field.takes.shape() {
            collect(inner, &[outer, &[(shape, field)]].concat(), places);
        }
    }
}

impl FieldPlace {
    pub(super) fn path(&self) -> String {
        let outer = self.outer.iter().map(|(_, field)| field.name());
        let names: Vec<_> = outer.chain([self.field.name()]).collect();
        format!("spec.{}", names.join("."))
    }

    /// The mapping of its example, with what this needs besides.
    pub(super) fn example(&self) -> Value {
        example(self.shape, self.field)
    }

    /// A MetaRouter in which this is the mapping that has the field.
    pub(super) fn manifest(&self, mapping: Value) -> Value {
        let outer = self.outer.iter().rev();
        let spec = outer.fold(mapping, |inner, (shape, field)| {
            let mut mapping = example(shape, field);
            let place = &mut mapping[field.name()];
            *place = wrap(&field.takes, place, inner);
            mapping
        });
        json!({
            "apiVersion": "metaprotocol.aeraki.io/v1alpha1",
            "kind": "MetaRouter",
            "metadata": { "name": "example" },
            "spec": spec,
        })
    }
}

/// A value that a field takes, with this mapping in it in the place of the example's.
fn wrap(takes: &Takes, example: &Value, inner: Value) -> Value {
    let names = example.as_object();
    match (takes, names.and_then(|names| names.keys().next())) {
        (Takes::List(of), _) => json!([wrap(of, &example[0], inner)]),
        (Takes::Map(of), Some(name)) => json!({ name: wrap(of, &example[name], inner) }),
        _ => inner,
    }
}

fn example(shape: &Shape, field: &Described) -> Value {
    let mut mapping = parse(shape.given);
    if let (Some(mapping), Value::Object(shown)) = (mapping.as_object_mut(), parse(field.example)) {
        mapping.extend(shown);
    }
    mapping
}

/// The inside of a mapping; null where it is none, with which no test passes.
fn parse(inside: &str) -> Value {
    serde_saphyr::from_str(&format!("{{{inside}}}")).unwrap_or_default()
}
