//! How the places of client and endpoints decide who is asked: Istio's `LocalityLoadBalancerSetting`.

use std::fmt;

use super::LocalityPattern;

/// The rule of a cluster, after it was decided that it acts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LocalityRule {
    /// All endpoints are one tier: locality is disabled, or neither outlier detection nor a
    /// traffic distribution permits failover.
    #[default]
    Inactive,
    /// The nearest endpoints first, the next ones as these fail.
    Failover {
        /// Labels in the order of their importance: the more of the first of them an endpoint
        /// shares with the client, the nearer it is. Without any, localities decide.
        labels: Vec<PriorityLabel>,
        /// Where a region fails over to; the first entry of the client's region decides. With
        /// labels too, it decides among those that the labels make equal.
        regions: Vec<RegionFailover>,
    },
    /// Fixed shares for localities, by where the client is; the first that speaks of it counts.
    Distribute(Vec<Distribution>),
}

impl LocalityRule {
    /// Istio's default: same region, zone and subzone; same region and zone; same region; the rest.
    pub fn nearest_first() -> Self {
        Self::Failover {
            labels: Vec::new(),
            regions: Vec::new(),
        }
    }

    /// Whether localities of one tier share its load by weight and availability.
    ///
    /// Istio sets `locality_weighted_lb_config` only where failover is spelt out, or shares are;
    /// otherwise the hosts of a tier are one flat pool.
    pub fn weighs_localities(&self) -> bool {
        match self {
            Self::Inactive => false,
            Self::Failover { labels, regions } => !labels.is_empty() || !regions.is_empty(),
            Self::Distribute(_) => true,
        }
    }
}

/// In a few words.
impl fmt::Display for LocalityRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (labels, regions) = match self {
            Self::Inactive => return write!(f, "all localities alike"),
            Self::Distribute(_) => return write!(f, "shares of localities by distribute"),
            Self::Failover { labels, regions } => (labels, regions),
        };
        write!(f, "nearest first")?;
        let mut before = " by ";
        for label in labels {
            write!(f, "{before}{label}")?;
            before = ", ";
        }
        let mut regions = regions.iter();
        regions.try_for_each(|it| write!(f, ", from {} to {}", it.from, it.to))
    }
}

/// One entry of `failover`: clients of region `from` prefer region `to` next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionFailover {
    pub from: String,
    pub to: String,
}

/// One entry of `failoverPriority`: `name`, or `name=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriorityLabel {
    pub name: String,
    /// What stands for the client's own value.
    pub value: Option<String>,
}

impl PriorityLabel {
    pub fn parse(text: &str) -> Self {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        Self {
            name: name.to_owned(),
            value,
        }
    }
}

/// As it is written.
impl fmt::Display for PriorityLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match &self.value {
            Some(value) => write!(f, "={value}"),
            None => Ok(()),
        }
    }
}

/// One entry of `distribute`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    /// Where the client is.
    pub from: LocalityPattern,
    /// Percent by place; no pattern covers another.
    pub to: Vec<(LocalityPattern, u32)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_spelt_out_weighs_localities() {
        assert!(!LocalityRule::Inactive.weighs_localities());
        assert!(!LocalityRule::nearest_first().weighs_localities());
        let rule = |labels, regions| LocalityRule::Failover { labels, regions };
        let region = RegionFailover {
            from: "a".into(),
            to: "b".into(),
        };
        assert!(rule(vec![], vec![region]).weighs_localities());
        assert!(rule(vec![PriorityLabel::parse("a=b")], vec![]).weighs_localities());
        assert!(LocalityRule::Distribute(vec![]).weighs_localities());
    }

    #[test]
    fn labels_may_have_a_value() {
        for (text, name, value) in [
            ("version", "version", None),
            ("version=v1", "version", Some("v1")),
            ("version=", "version", Some("")),
            ("a=b=c", "a", Some("b=c")),
        ] {
            let label = PriorityLabel::parse(text);
            assert_eq!((&*label.name, label.value.as_deref()), (name, value));
            assert_eq!(label.to_string(), text);
        }
    }
}
