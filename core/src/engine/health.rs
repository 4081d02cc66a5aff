//! How endpoints behave, for the one owner of their outlier detection.

use super::{Action, Engine, HostReport, exchange::Sent, tables::HostKey};

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

    /// An attempt ended well or badly, by the doing of its endpoint. Of a row of successes only
    /// the first after a failure is told.
    #[inline(always)]
    pub(super) fn report(&mut self, host: HostKey, success: bool) {
        let Some(host) = self.tables.hosts.get_mut(host) else {
            return;
        };
        if success && !host.failing {
            return;
        }
        host.failing = !success;
        self.actions.push_back(Action::Report(HostReport {
            cluster: host.cluster.clone(),
            address: host.address.clone(),
            success,
        }));
    }
}
