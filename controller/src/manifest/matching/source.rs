//! Where a request has to come from.

use super::*;

/// All that is given has to hold; something is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Source {
    pub(crate) namespace: Option<Located<String>>,
    pub(crate) principal: Option<Located<String>>,
    pub(crate) labels: BTreeMap<String, String>,
    /// The parts that it has count.
    pub(crate) locality: Option<Locality>,
    /// `name`, `namespace/name` or `namespace/name/server`.
    pub(crate) gateway: Option<Located<String>>,
    pub(crate) at: Position,
}

impl Source {
    /// Whether it asks for what is known of a client by its address.
    pub(crate) fn is_of_workload(&self) -> bool {
        self.namespace.is_some() || self.locality.is_some() || !self.labels.is_empty()
    }
}

pub(super) static SOURCE: Shape = Shape {
    name: "Source",
    meaning: "All that is given has to hold, and something has to be; see \
        [conditions on the source](manifests.md#conditions-on-the-source). A null is an error.",
    given: "",
    instead: &[],
    fields: &[
        Described::new(
            "namespace",
            Takes::Text,
            "that the client has proven by its SPIFFE id; of one that has proven none, the one of its \
             workload",
        )
            .example("namespace: default"),
        Described::new(
            "principal",
            Takes::Text,
            "the identity that the client has proven by a certificate: its SPIFFE id, with or without \
             `spiffe://`, else its first DNS name, else its subject. It needs a Gateway's server with \
             `tls.mode` MUTUAL or OPTIONAL_MUTUAL",
        )
        .example("principal: cluster.local/ns/default/sa/front"),
        Described::new(
            "labels",
            Takes::Map(&Takes::Text),
            "that the client's workload has; at least one",
        )
        .example("labels: {version: v1}"),
        Described::new(
            "locality",
            Takes::Text,
            "of the client's workload: `region`, `region/zone` or `region/zone/subzone`",
        )
        .example("locality: eu/a"),
        Described::new(
            "gateway",
            Takes::Text,
            "through which the request came in, one of `spec.gateways`: `name`, `namespace/name`, or \
             `namespace/name/server`",
        )
        .example("gateway: edge"),
    ],
};

pub(super) fn decode(d: &mut Decoder, entry: &Entry) -> Option<Source> {
    let fields = d.fields("matches.source", &entry.value, &SOURCE);
    if refuse_nulls(d, &fields, "give it a value, or remove it") {
        return None;
    }
    let namespace = given(d, &fields, "namespace");
    let principal = given(d, &fields, "principal");
    let gateway = given(d, &fields, "gateway").filter(|gateway| is_gateway(d, gateway));
    let locality = given(d, &fields, "locality").and_then(|text| {
        let parsed = text.value.parse::<Locality>().ok();
        // A star, as it stands in a `from`, would be taken for a name here.
        let parsed =
            parsed.filter(|locality| !locality.region.is_empty() && !text.value.contains('*'));
        if parsed.is_none() {
            let message = format!("`{}` is not a locality", text.value);
            let remedy =
                "write region, region/zone or region/zone/subzone: what is left out is any";
            d.invalid(text.at, message, remedy);
        }
        parsed
    });
    let labels = fields.string_map(d, "labels");
    let labels_are_empty = fields.node("labels").is_some() && labels.is_empty();
    if fields.entries.is_empty() || labels_are_empty {
        let message = match labels_are_empty {
            true => "`matches.source.labels` names no label",
            false => "`matches.source` names nothing that a source has to be",
        };
        let remedy = "name a namespace, principal, labels, locality or gateway, or remove it";
        d.invalid(entry.at, message, remedy);
        return None;
    }
    Some(Source {
        namespace,
        principal,
        labels,
        locality,
        gateway,
        at: entry.at,
    })
}

fn given(d: &mut Decoder, fields: &Fields<'_>, name: &str) -> Option<Located<String>> {
    fields.node(name)?;
    fields.required(d, name)
}

fn is_gateway(d: &mut Decoder, gateway: &Located<String>) -> bool {
    let parts = gateway.value.split('/').collect::<Vec<_>>();
    let is_name = parts.len() <= 3 && parts.iter().all(|part| !part.is_empty());
    if !is_name {
        let message = format!("`{}` is not a gateway's name", gateway.value);
        let remedy = "write `name`, `namespace/name` or `namespace/name/server`";
        d.invalid(gateway.at, message, remedy);
    }
    is_name
}
