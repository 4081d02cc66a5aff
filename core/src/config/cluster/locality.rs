//! The rule by which nearer endpoints come first.

use meltemi_policy::{
    Distribution, LocalityPattern, LocalityRule, PatternError, PriorityLabel, RegionFailover,
};
use meltemi_proto::envoy::config::cluster::v3::cluster::CommonLbConfig;
use meltemi_proto::envoy::config::cluster::v3::cluster::common_lb_config::LocalityConfigSpecifier;
use meltemi_proto::meltemi::config::v1 as own;

use super::super::invalid::Invalid;

pub(super) fn rule(rule: Option<own::LocalityRule>) -> Result<LocalityRule, Invalid> {
    let Some(rule) = rule else {
        return Ok(LocalityRule::Inactive);
    };
    if !rule.distribute.is_empty() {
        if !rule.failover.is_empty() || !rule.failover_priority.is_empty() {
            let reason = "cannot be beside failover or failover_priority";
            return Err(Invalid::new("distribute", reason));
        }
        let distributions = rule.distribute.into_iter().enumerate();
        return distributions
            .map(|(i, entry)| {
                distribution(entry).map_err(|e| e.within(&format!("distribute[{i}]")))
            })
            .collect::<Result<_, _>>()
            .map(LocalityRule::Distribute);
    }
    let regions = rule.failover.into_iter();
    Ok(LocalityRule::Failover {
        labels: labels(&rule.failover_priority)?,
        regions: regions
            .map(|failover| RegionFailover {
                from: failover.from,
                to: failover.to,
            })
            .collect(),
    })
}

pub(super) fn is_weighted(common: Option<&CommonLbConfig>) -> bool {
    let specifier = common.and_then(|common| common.locality_config_specifier.as_ref());
    matches!(
        specifier,
        Some(LocalityConfigSpecifier::LocalityWeightedLbConfig(_))
    )
}

fn labels(written: &[String]) -> Result<Vec<PriorityLabel>, Invalid> {
    let parse = |(i, text): (usize, &String)| {
        let label = PriorityLabel::parse(text);
        match label.name.is_empty() {
            true => Err(Invalid::new(
                format!("failover_priority[{i}]"),
                "has no name",
            )),
            false => Ok(label),
        }
    };
    written.iter().enumerate().map(parse).collect()
}

fn distribution(entry: own::locality_rule::Distribute) -> Result<Distribution, Invalid> {
    let mut to: Vec<(LocalityPattern, u32)> = Vec::with_capacity(entry.to.len());
    for (place, percent) in entry.to {
        let pattern = pattern("to", &place)?;
        let same = to
            .iter()
            .find(|(other, _)| pattern.covers_all_of(other) || other.covers_all_of(&pattern));
        if let Some((other, _)) = same {
            return Err(Invalid::new(
                "to",
                format!("`{other}` and `{place}` overlap"),
            ));
        }
        to.push((pattern, percent));
    }
    let total: u64 = to.iter().map(|(_, percent)| u64::from(*percent)).sum();
    if total != 100 || to.iter().any(|(_, percent)| *percent == 0) {
        return Err(Invalid::new(
            "to",
            "the weights are not above 0 and 100 together",
        ));
    }
    Ok(Distribution {
        from: pattern("from", &entry.from)?,
        to,
    })
}

fn pattern(field: &str, text: &str) -> Result<LocalityPattern, Invalid> {
    text.parse()
        .map_err(|error: PatternError| Invalid::new(field, error.to_string()))
}
