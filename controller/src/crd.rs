//! CustomResourceDefinitions of our kinds, written from the tables that manifests are decoded by.
//!
//! What a schema can say the API server refuses, in the moment it is written; what a schema cannot say, since it hangs on
//! other objects or on a plugin, is found by the controller.

use serde_json::{Value, json};

mod bounds;
mod kinds;
#[cfg(feature = "kubernetes")]
mod outdated;
mod rules;
mod schema;
mod status;

use kinds::{Column, Definition, KINDS};
#[cfg(feature = "kubernetes")]
pub(crate) use outdated::lacking;

/// A file of the chart.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// As in `metarouters.yaml`.
    pub file: String,
    pub text: String,
}

const HEAD: &str = "\
# Written by `cargo run --package meltemi-controller --example crds` from the tables that manifests are decoded by.
";

/// All of them.
///
/// # Errors
/// When one cannot be written as YAML.
pub fn all() -> anyhow::Result<Vec<Manifest>> {
    let manifests = KINDS.iter().zip(definitions()).map(|(kind, definition)| {
        let yaml = serde_saphyr::to_string(&definition)?;
        Ok(Manifest {
            file: format!("{}.yaml", kind.plural),
            text: format!("{HEAD}{yaml}"),
        })
    });
    manifests.collect()
}

pub(crate) fn definitions() -> impl Iterator<Item = Value> {
    KINDS.iter().map(definition)
}

fn definition(kind: &Definition) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{}.{}", kind.plural, kind.group),
            // Who uninstalls the chart keeps what people have written.
            "annotations": {"helm.sh/resource-policy": "keep"},
        },
        "spec": {
            "group": kind.group,
            "scope": if kind.is_namespaced { "Namespaced" } else { "Cluster" },
            "names": {
                "kind": kind.name,
                "listKind": format!("{}List", kind.name),
                "plural": kind.plural,
                "singular": kind.name.to_lowercase(),
                "shortNames": kind.short_names,
                "categories": kind.categories,
            },
            "versions": [{
                "name": "v1alpha1",
                "served": true,
                "storage": true,
                "subresources": {"status": {}},
                "additionalPrinterColumns": columns(kind),
                "schema": {"openAPIV3Schema": root(kind)},
            }],
        },
    })
}

fn root(kind: &Definition) -> Value {
    json!({
        "type": "object",
        "description": kind.meaning,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": schema::of(kind.shape),
            "status": status::schema(),
        },
    })
}

fn columns(kind: &Definition) -> Vec<Value> {
    let age = Column {
        name: "Age",
        path: ".metadata.creationTimestamp",
    };
    let own = kind.columns.iter();
    let columns = own.chain(status::COLUMNS).chain([&age]).map(|column| {
        let is_date = column.name == age.name;
        json!({
            "name": column.name,
            "jsonPath": column.path,
            "type": if is_date { "date" } else { "string" },
        })
    });
    columns.collect()
}

#[cfg(test)]
mod tests;
