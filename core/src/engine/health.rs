//! How endpoints behave, for the one owner of their outlier detection.

use std::mem::take;
use std::sync::Arc;

use super::{Action, Engine, HostReport, exchange::Sent, tables::HostKey};
use crate::config::{Address, OutlierDetection};
use crate::outlier::{Counts, Outcome};
use crate::telemetry::OutcomeLabel;

/// Why the answers of an endpoint are looked at one by one. Of none of them, only the first after a
/// failure is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Attention(u8);

impl Attention {
    /// Its last report was a failure.
    const FAILING: u8 = 1;
    /// Each outcome is counted.
    const COUNTED: u8 = 2;
    /// An error of the application is a failure.
    const STRICT: u8 = 4;

    #[inline(always)]
    pub(super) fn is_none(self) -> bool {
        self.0 == 0
    }

    pub(super) fn is_failing(self) -> bool {
        self.0 & Self::FAILING != 0
    }

    fn set(&mut self, bit: u8, on: bool) {
        self.0 = if on { self.0 | bit } else { self.0 & !bit };
    }

    /// What the outlier detection of its cluster asks for.
    pub(super) fn asked(&mut self, rule: Option<&OutlierDetection>) {
        self.set(
            Self::COUNTED,
            rule.is_some_and(OutlierDetection::counts_rates),
        );
        self.set(
            Self::STRICT,
            rule.is_some_and(|rule| rule.application_errors),
        );
    }
}

/// How the attempts at an endpoint ended since this was asked last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostCounts {
    /// The cluster's name.
    pub cluster: Arc<str>,
    /// The endpoint.
    pub address: Address,
    /// Of one worker.
    pub counts: Counts,
}

impl Engine {
    /// An attempt was answered, or waited for in vain: how long that took, where the balancer of its
    /// endpoint asks for it.
    #[inline(always)]
    pub(super) fn measure(&mut self, sent: Sent) {
        let host = self.tables.hosts.get_mut(sent.host);
        if let Some(latency) = host.and_then(|host| host.latency.as_mut()) {
            latency.observe(self.elapsed, self.elapsed.saturating_sub(sent.at));
        }
    }

    /// An answer of the endpoint came to its end.
    #[inline(always)]
    pub(super) fn judge(&mut self, host: HostKey, outcome: OutcomeLabel) {
        let strict = outcome == OutcomeLabel::ApplicationError && self.is_strict(host);
        match outcome.credits_endpoint() {
            Some(true) if !strict => self.report(host, Outcome::Success),
            Some(_) => self.report(host, Outcome::SystemError),
            None => {}
        }
    }

    fn is_strict(&self, host: HostKey) -> bool {
        let host = self.tables.hosts.get(host);
        host.is_some_and(|host| host.attention.0 & Attention::STRICT != 0)
    }

    /// An attempt ended well or badly, by the doing of its endpoint. Of a row of successes only
    /// the first after a failure is told.
    #[inline(always)]
    pub(super) fn report(&mut self, host: HostKey, outcome: Outcome) {
        let Some(host) = self.tables.hosts.get_mut(host) else {
            return;
        };
        let success = outcome == Outcome::Success;
        if success && host.attention.is_none() {
            return;
        }
        if host.attention.0 & Attention::COUNTED != 0 {
            match outcome {
                Outcome::Success => host.counts.answered += 1,
                Outcome::SystemError => host.counts.system_errors += 1,
                Outcome::Unreachable | Outcome::Timeout => host.counts.unreached += 1,
            }
        }
        if success && !host.attention.is_failing() {
            return;
        }
        host.attention.set(Attention::FAILING, !success);
        self.actions.push_back(Action::Report(HostReport {
            cluster: host.cluster.clone(),
            address: host.address.clone(),
            outcome,
        }));
    }

    /// What was counted of endpoints since the last call.
    pub fn take_counts(&mut self) -> Vec<HostCounts> {
        let hosts = self.tables.hosts.values_mut();
        let counted = hosts.filter(|host| host.counts != Counts::default());
        counted
            .map(|host| HostCounts {
                cluster: host.cluster.clone(),
                address: host.address.clone(),
                counts: take(&mut host.counts),
            })
            .collect()
    }
}
