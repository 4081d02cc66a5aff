//! Whose setting decides how the places of endpoints count, and whether it acts.

use std::time::Duration;

use meltemi_policy::LocalityRule;

use super::traffic_distribution::TrafficDistribution;
use super::{Findings, Service, objects_of};
use crate::diagnostic::{Code, Diagnostic};
use crate::index::Objects;
use crate::manifest::{LocalitySetting, Spec, TrafficPolicy};
use crate::schema::Settings;

/// Whether the nearest endpoints are preferred.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum LocalityState {
    Active {
        rule: LocalityRule,
        by: LocalityOrigin,
    },
    /// `localityLbSetting.enabled: false`.
    Disabled(LocalityOrigin),
    /// The servers do not share what they store, and nobody has asked for the nearest: a key is with the
    /// same one wherever a proxy is.
    KeysAlone,
    /// Nothing permits failover (Istio's rule: outlier detection or a traffic distribution).
    NothingPermits,
}

/// Who asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LocalityOrigin {
    DestinationRule,
    TrafficDistribution(TrafficDistribution),
    Mesh,
    /// Nobody: Istio prefers the nearest unless told otherwise.
    Default,
}

impl LocalityState {
    /// Istio's `GetLocalityLbSetting`: the first that says anything counts, as a whole.
    pub(super) fn of(policy: &TrafficPolicy, service: &Service, mesh: &Mesh) -> Self {
        let balancer = policy.load_balancer.as_ref();
        let own = balancer.and_then(|lb| lb.locality.as_ref());
        let (setting, by) = match (own, service.distribution, &mesh.locality) {
            (Some(own), ..) => (Some(own), LocalityOrigin::DestinationRule),
            (None, Some(distribution), _) => {
                let rule = distribution.rule();
                let by = LocalityOrigin::TrafficDistribution(distribution);
                return Self::Active { rule, by };
            }
            (None, None, Some(mesh)) => (Some(mesh), LocalityOrigin::Mesh),
            (None, None, None) => (None, LocalityOrigin::Default),
        };
        if setting.is_some_and(|setting| !setting.enabled) {
            return Self::Disabled(by);
        }
        let rule = setting.map_or_else(LocalityRule::nearest_first, |setting| setting.rule.clone());
        let needs_ejections = matches!(rule, LocalityRule::Failover { .. });
        match needs_ejections && policy.outlier_detection.is_none() {
            true => Self::NothingPermits,
            false => Self::Active { rule, by },
        }
    }

    pub(crate) const fn rule(&self) -> &LocalityRule {
        match self {
            Self::Active { rule, .. } => rule,
            Self::Disabled(_) | Self::KeysAlone | Self::NothingPermits => &LocalityRule::Inactive,
        }
    }

    /// What it is for servers of which each stores its own keys: only what was asked for them counts.
    pub(super) fn of_stores(self) -> Self {
        match self {
            Self::Active {
                by: LocalityOrigin::Default | LocalityOrigin::Mesh,
                ..
            } => Self::KeysAlone,
            asked => asked,
        }
    }
}

/// Percent of available endpoints below which a tier uses all of them; none: Envoy's default.
///
/// Istio sets it with outlier detection, and then to 0 unless told otherwise; and to 0 where a
/// traffic distribution makes it send endpoints that are not ready too.
pub(super) fn panic_threshold(policy: &TrafficPolicy, service: &Service) -> Option<u32> {
    if service.distribution.is_some() {
        return Some(0);
    }
    let outlier = policy.outlier_detection.as_ref()?;
    Some(outlier.min_health_percent.unwrap_or(0))
}

/// What counts for all services.
#[derive(Debug, Default)]
pub(crate) struct Mesh {
    locality: Option<LocalitySetting>,
    pub(super) dns_refresh_rate: Option<Duration>,
    trust_domain: Option<String>,
    trust_domain_aliases: Vec<String>,
}

/// Istio's default.
const TRUST_DOMAIN: &str = "cluster.local";

impl Mesh {
    /// What its own identities are of.
    pub(super) fn trust_domain(&self) -> &str {
        self.trust_domain.as_deref().unwrap_or(TRUST_DOMAIN)
    }

    /// What identities of the mesh are of, the own one first.
    pub(super) fn trust_domains(&self) -> impl Iterator<Item = &str> {
        let aliases = self.trust_domain_aliases.iter().map(String::as_str);
        std::iter::once(self.trust_domain()).chain(aliases)
    }

    /// From the ConfigMap in the root namespace; one elsewhere is another Istio's.
    pub(super) fn new(objects: &Objects, settings: &Settings, findings: &mut Findings) -> Self {
        let mut mesh = Self::default();
        for (object, config) in objects_of!(objects, MeshConfig) {
            if *object.id.namespace == *settings.root_namespace {
                mesh.locality.clone_from(&config.locality);
                mesh.dns_refresh_rate = config.dns_refresh_rate;
                mesh.trust_domain.clone_from(&config.trust_domain);
                mesh.trust_domain_aliases
                    .clone_from(&config.trust_domain_aliases);
                continue;
            }
            let root = &settings.root_namespace;
            let message = format!("this MeshConfig never acts: it is not in namespace {root}");
            let remedy = format!("move it to {root}, or name its namespace with --root-namespace");
            let diagnostic = Diagnostic::warning(Code::UnusedRule, message).remedy(remedy);
            findings.at(object, object.at, diagnostic);
        }
        mesh
    }
}

/// Failover that is written down, and that nothing makes act: Istio's own warning.
pub(super) fn unpermitted(policy: &TrafficPolicy) -> Option<(&LocalitySetting, Diagnostic)> {
    let setting = policy.load_balancer.as_ref()?.locality.as_ref()?;
    let is_spelt_out = match &setting.rule {
        LocalityRule::Failover { labels, regions } => !labels.is_empty() || !regions.is_empty(),
        _ => false,
    };
    if !setting.enabled || !is_spelt_out || policy.outlier_detection.is_some() {
        return None;
    }
    let message = "this failover never acts: there is no outlierDetection beside it, whose \
                   ejections would make traffic move";
    let remedy = "set `outlierDetection` at the same level as `loadBalancer`";
    let diagnostic = Diagnostic::warning(Code::LocalityInactive, message).remedy(remedy);
    Some((setting, diagnostic))
}
