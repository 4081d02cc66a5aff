//! How localities count, and what is common to balancers, in Envoy's fields as far as there are any, and else in ours.

use meltemi_policy::LocalityRule;
use meltemi_proto::envoy::config::cluster::v3::cluster::CommonLbConfig;
use meltemi_proto::envoy::config::cluster::v3::cluster::common_lb_config::{
    ConsistentHashingLbConfig, LocalityConfigSpecifier, LocalityWeightedLbConfig,
};
use meltemi_proto::meltemi::config::v1 as own;

use super::policy::percent;
use crate::model::Cluster;

/// None where nothing of it is said.
pub(super) fn common(cluster: &Cluster) -> Option<CommonLbConfig> {
    let threshold = cluster.panic_threshold.map(f64::from);
    let is_weighted = cluster.locality.rule().weighs_localities();
    let hashing = cluster.hash.as_ref().map(|hash| ConsistentHashingLbConfig {
        use_hostname_for_hashing: hash.by_hostname,
        hash_balance_factor: hash.balance_factor,
    });
    let common = CommonLbConfig {
        consistent_hashing_lb_config: hashing.filter(|hashing| *hashing != Default::default()),
        healthy_panic_threshold: threshold.map(percent),
        locality_config_specifier: is_weighted.then_some({
            LocalityConfigSpecifier::LocalityWeightedLbConfig(LocalityWeightedLbConfig {})
        }),
    };
    (common != CommonLbConfig::default()).then_some(common)
}

pub(super) fn rule(rule: &LocalityRule) -> Option<own::LocalityRule> {
    let mut wire = own::LocalityRule::default();
    match rule {
        LocalityRule::Inactive => return None,
        LocalityRule::Failover { labels, regions } => {
            wire.failover_priority = labels.iter().map(ToString::to_string).collect();
            let regions = regions.iter();
            wire.failover = regions
                .map(|failover| own::locality_rule::Failover {
                    from: failover.from.clone(),
                    to: failover.to.clone(),
                })
                .collect();
        }
        LocalityRule::Distribute(distributions) => {
            let entries = distributions.iter();
            wire.distribute = entries
                .map(|entry| own::locality_rule::Distribute {
                    from: entry.from.to_string(),
                    to: entry
                        .to
                        .iter()
                        .map(|(to, n)| (to.to_string(), *n))
                        .collect(),
                })
                .collect();
        }
    }
    Some(wire)
}
