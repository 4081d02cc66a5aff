//! Istio's `LocalityLoadBalancerSetting`, of a DestinationRule or of the whole mesh.

use meltemi_policy::place::topology;
use meltemi_policy::{Distribution, LocalityPattern, LocalityRule, PriorityLabel, RegionFailover};

use super::decode::{Decoder, Field, Fields};
use super::{Located, Mark};
use crate::diagnostic::{Code, Diagnostic};
use crate::yaml::{Entry, Node, Value};

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LocalitySetting {
    pub(crate) enabled: bool,
    /// What is asked for: the default priorities where nothing else is.
    pub(crate) rule: LocalityRule,
    /// Where it stands.
    pub(crate) mark: Mark,
}

const LOCALITY: &[Field] = &[
    Field::InForce("enabled"),
    Field::InForce("distribute"),
    Field::InForce("failover"),
    Field::InForce("failoverPriority"),
];

const DISTRIBUTE: &[Field] = &[Field::InForce("from"), Field::InForce("to")];

const FAILOVER: &[Field] = &[Field::InForce("from"), Field::InForce("to")];

/// With what Istio's `validateLocalityLbSetting` refuses.
pub(super) fn decode(d: &mut Decoder, parent: &Fields<'_>) -> Option<LocalitySetting> {
    let entry = parent.entry("localityLbSetting")?;
    let fields = d.fields("localityLbSetting", &entry.value, LOCALITY);
    let enabled = fields.boolean(d, "enabled").unwrap_or(true);
    let distributions = distributions(d, &fields);
    let labels = labels(d, &fields);
    let mut regions = vec![];
    for node in fields.list(d, "failover") {
        let failover = failover(d, node, &regions);
        regions.extend(failover);
    }
    contradictions(d, &fields, &labels);
    if !enabled {
        has_no_effect(d, &fields);
    }
    let rule = match distributions.is_empty() {
        false => LocalityRule::Distribute(distributions),
        true => LocalityRule::Failover {
            labels: labels.into_iter().map(|label| label.value).collect(),
            regions,
        },
    };
    Some(LocalitySetting {
        enabled,
        rule,
        mark: Mark::new(entry.at),
    })
}

/// An entry that is there and has something in it.
fn given<'n>(fields: &Fields<'n>, name: &str) -> Option<&'n Entry> {
    let entry = fields.entry(name)?;
    let is_empty = matches!(&entry.value.value, Value::List(items) if items.is_empty());
    (!is_empty).then_some(entry)
}

/// Istio takes it and says nothing.
fn has_no_effect(d: &mut Decoder, fields: &Fields<'_>) {
    let names = ["distribute", "failover", "failoverPriority"];
    for entry in names.into_iter().filter_map(|name| given(fields, name)) {
        let message = format!(
            "`localityLbSetting.{}` has no effect: `enabled` is false",
            entry.key
        );
        let diagnostic = Diagnostic::warning(Code::NotInForce, message);
        d.report(entry.at, diagnostic.remedy("remove one of the two"));
    }
}

fn contradictions(d: &mut Decoder, fields: &Fields<'_>, labels: &[Located<PriorityLabel>]) {
    let distribute = given(fields, "distribute");
    if let (Some(_), Some(failover)) = (distribute, given(fields, "failover")) {
        let message = "`localityLbSetting` takes one of distribute and failover";
        let remedy = "remove one of the two: with fixed shares nothing is left to fail over";
        d.invalid(failover.at, message, remedy);
        return;
    }
    if let (Some(_), Some(priority)) = (distribute, given(fields, "failoverPriority")) {
        let message = "`failoverPriority` has no effect beside distribute, whose shares are fixed";
        let diagnostic = Diagnostic::warning(Code::UnusedRule, message);
        d.report(priority.at, diagnostic.remedy("remove one of the two"));
    }
    if given(fields, "failover").is_none() {
        return;
    }
    let places = [topology::REGION, topology::ZONE, topology::SUBZONE];
    for label in labels {
        if places.contains(&label.value.name.as_str()) {
            let message = format!(
                "`failover` and the label {} of `failoverPriority` both order regions",
                label.value.name
            );
            d.invalid(label.at, message, "remove one of the two");
        }
    }
}

fn labels(d: &mut Decoder, fields: &Fields<'_>) -> Vec<Located<PriorityLabel>> {
    let mut labels = vec![];
    for text in fields.strings(d, "failoverPriority") {
        let label = PriorityLabel::parse(&text.value);
        if label.name.is_empty() {
            let message = format!(
                "`failoverPriority` has a label without a name: `{}`",
                text.value
            );
            d.invalid(text.at, message, "write a label, or label=value");
            continue;
        }
        labels.push(Located {
            value: label,
            at: text.at,
        });
    }
    labels
}

fn failover(d: &mut Decoder, node: &Node, known: &[RegionFailover]) -> Option<RegionFailover> {
    let fields = d.fields("localityLbSetting.failover", node, FAILOVER);
    let (from, to) = (fields.required(d, "from"), fields.required(d, "to"));
    let (from, to) = (region(d, from?)?, region(d, to?)?);
    if from.value == to.value {
        let message = format!("`failover` leads from {} to itself", from.value);
        d.invalid(to.at, message, "name another region in `to`");
        return None;
    }
    if let Some(first) = known.iter().find(|first| first.from == from.value) {
        let message = format!(
            "`failover` from {} never leads to {}: an entry before leads to {}",
            from.value, to.value, first.to
        );
        let diagnostic = Diagnostic::warning(Code::UnusedRule, message);
        d.report(from.at, diagnostic.remedy("remove one of the two"));
    }
    Some(RegionFailover {
        from: from.value,
        to: to.value,
    })
}

fn region(d: &mut Decoder, text: Located<String>) -> Option<Located<String>> {
    if text.value.contains(['/', '*']) {
        let message = format!(
            "`failover` is of whole regions, and `{}` is none",
            text.value
        );
        d.invalid(
            text.at,
            message,
            "write the name of a region, without `/` and `*`",
        );
        return None;
    }
    Some(text)
}

fn distributions(d: &mut Decoder, fields: &Fields<'_>) -> Vec<Distribution> {
    let mut known: Vec<Distribution> = vec![];
    for node in fields.list(d, "distribute") {
        let fields = d.fields("localityLbSetting.distribute", node, DISTRIBUTE);
        let to = shares(d, &fields);
        let from = fields.required(d, "from");
        let Some(from) = from.and_then(|from| pattern(d, &from)) else {
            continue;
        };
        if let Some(first) = known.iter().find(|k| k.from.covers_all_of(&from.value)) {
            let message = format!(
                "`distribute` never acts for `{}`: `{}`, which comes before, covers it",
                from.value, first.from
            );
            d.invalid(
                from.at,
                message,
                "put the narrower one first, or remove one of the two",
            );
        }
        known.push(Distribution {
            from: from.value,
            to,
        });
    }
    known
}

/// The shares of one entry: what they are for stands in a mapping, whose order means nothing.
fn shares(d: &mut Decoder, fields: &Fields<'_>) -> Vec<(LocalityPattern, u32)> {
    if fields.node("to").is_none() {
        fields.missing(d, "to");
        return vec![];
    }
    let entries = fields.map(d, "to");
    let weights = Fields::free(fields.path_of("to"), fields.at, entries);
    let mut shares: Vec<(LocalityPattern, u32)> = vec![];
    let mut is_whole = true;
    for entry in entries {
        let key = Located {
            value: entry.key.clone(),
            at: entry.at,
        };
        let share = weights.integer(d, &entry.key, 1..=100);
        let share = share.and_then(|share| u32::try_from(share.value).ok());
        let (Some(place), Some(share)) = (pattern(d, &key), share) else {
            is_whole = false;
            continue;
        };
        let place = place.value;
        let overlaps = |(other, _): &&(LocalityPattern, u32)| {
            other.covers_all_of(&place) || place.covers_all_of(other)
        };
        if let Some((other, _)) = shares.iter().find(overlaps) {
            let message = format!("the shares for `{other}` and `{place}` overlap");
            d.invalid(entry.at, message, "let each place have one share");
        }
        shares.push((place, share));
    }
    let total: u32 = shares.iter().map(|(_, share)| share).sum();
    if is_whole && total != 100 {
        let message = format!("the shares of `distribute` add up to {total}, not to 100");
        let diagnostic = Diagnostic::error(Code::InvalidWeights, message);
        let at = fields.entry("to").map_or(fields.at, |to| to.at);
        d.report(
            at,
            diagnostic.remedy("change them so that they add up to 100"),
        );
    }
    shares
}

fn pattern(d: &mut Decoder, text: &Located<String>) -> Option<Located<LocalityPattern>> {
    match text.value.parse() {
        Ok(value) => Some(Located { value, at: text.at }),
        Err(error) => {
            let remedy =
                "write region, region/zone or region/zone/subzone, of which the last may be *";
            d.invalid(text.at, format!("no localities: {error}"), remedy);
            None
        }
    }
}
