//! The `MeshConfig` of an Istio, as istiod reads it: the field `mesh` of the ConfigMap `istio`.

use std::time::Duration;

use super::decode::{Decoder, Fields, nearest};
use super::locality::{self, LocalitySetting};
use crate::diagnostic::{Code, Diagnostic, Position};
use crate::yaml::{self, Node, Value};

/// What of it acts here.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct MeshConfig {
    /// For clusters whose DestinationRule and service say nothing of localities.
    pub(crate) locality: Option<LocalitySetting>,
    /// How often names of endpoints are resolved whose answers do not say how long they are good.
    pub(crate) dns_refresh_rate: Option<Duration>,
    /// Whose identities those of the mesh are; none: Istio's default.
    pub(crate) trust_domain: Option<String>,
    /// What else the identities of the mesh are of.
    pub(crate) trust_domain_aliases: Vec<String>,
}

/// The ConfigMap that istiod reads.
pub(crate) const NAME: &str = "istio";
const FIELD: &str = "mesh";
const IN_FORCE: [&str; 4] = [
    "localityLbSetting",
    "dnsRefreshRate",
    "trustDomain",
    "trustDomainAliases",
];

/// None if there is no `data.mesh`.
pub(super) fn decode(d: &mut Decoder, object: &Fields<'_>) -> Option<MeshConfig> {
    let data = object.map(d, "data");
    let entry = data.iter().find(|entry| entry.key == FIELD)?;
    let text = d.string("data.mesh", &entry.value)?;
    let origin = origin(d, &text.value, text.at);
    let parsed = yaml::parse_stream(&text.value);
    let node = match parsed.into_iter().next() {
        None => return Some(MeshConfig::default()),
        Some(Ok(mut node)) => {
            node.move_into(|at| origin.place(at));
            node
        }
        Some(Err(error)) => {
            let message = format!("`data.mesh` is not a MeshConfig: {}", error.message);
            let diagnostic = Diagnostic::error(error.code, message);
            d.report(
                origin.place(error.at),
                match error.remedy {
                    Some(remedy) => diagnostic.remedy(remedy),
                    None => diagnostic,
                },
            );
            return None;
        }
    };
    fields(d, &node)
}

/// All else of a MeshConfig is Istio's own affair.
fn fields(d: &mut Decoder, node: &Node) -> Option<MeshConfig> {
    let Value::Map(entries) = &node.value else {
        let message = format!("`data.mesh` must be a mapping, not {}", node.kind());
        let diagnostic = Diagnostic::error(Code::WrongType, message);
        d.report(
            node.at,
            diagnostic.remedy("write it in lines of `name: value`"),
        );
        return None;
    };
    for entry in entries {
        let is_one = IN_FORCE.contains(&entry.key.as_str());
        if let (false, Some(near)) = (is_one, nearest(&entry.key, IN_FORCE)) {
            let message = format!("unknown field `{}`; did you mean `{near}`?", entry.key);
            let diagnostic = Diagnostic::error(Code::UnknownField, message);
            d.report(entry.at, diagnostic.remedy("write it as Istio does"));
        }
        if entry.key == "zoneAwareLbSetting" {
            d.not_yet(entry.at, "zoneAwareLbSetting");
        }
    }
    let fields = Fields::free(String::new(), node.at, entries);
    Some(MeshConfig {
        locality: locality::decode(d, &fields),
        dns_refresh_rate: fields.duration(d, "dnsRefreshRate"),
        trust_domain: fields
            .string(d, "trustDomain")
            .map(|it| it.value)
            .filter(|it| !it.is_empty()),
        trust_domain_aliases: fields
            .strings(d, "trustDomainAliases")
            .into_iter()
            .map(|it| it.value)
            .filter(|it| !it.is_empty())
            .collect(),
    })
}

/// Where the text within the file begins.
enum Origin {
    /// Its lines are those below, so much further to the right.
    Block { line: u32, column: u32 },
    /// It is written in another way, so that only its beginning can be named.
    Whole(Position),
}

impl Origin {
    fn place(&self, at: Position) -> Position {
        match self {
            Self::Block { line, column } => Position {
                line: at.line + line,
                column: at.column + column,
                ..at
            },
            Self::Whole(whole) => *whole,
        }
    }
}

/// A block scalar (`|`) begins in the line after its mark, with the indentation of its first line.
fn origin(d: &Decoder, text: &str, at: Position) -> Origin {
    let first = text.lines().next().unwrap_or_default();
    let lines = d.file.text.lines().enumerate();
    let mut nearby = lines.skip(at.line.saturating_sub(1) as usize).take(2);
    let begins = |(_, line): &(usize, &str)| line.trim_start() == first.trim_start();
    let Some((index, line)) = nearby.find(begins) else {
        return Origin::Whole(at);
    };
    let count = |text: &str| u32::try_from(text.chars().count()).unwrap_or(0);
    Origin::Block {
        line: u32::try_from(index).unwrap_or(0),
        column: count(line).saturating_sub(count(first)),
    }
}
