//! How endpoints behave, for the one owner of their outlier detection.

use super::{Action, Engine, HostReport, tables::HostKey};

impl Engine {
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
