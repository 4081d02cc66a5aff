//! What bytes are passed on with: of a service without a protocol all of them, of another those that
//! are not its protocol's.

use std::{rc::Rc, sync::Arc, time::Duration};

use meltemi_policy::authorization::{Policies, Verdict};

use super::{Cluster, HostKey, Served, Tables, authorization::connection};
use crate::{
    config::{self, Snapshot},
    engine::source::Source,
    telemetry::{ServiceMetrics, TcpMetrics, WorkerTelemetry},
};

/// From a service's clients to the endpoints of its own cluster.
pub(in crate::engine) struct Passage {
    pub(in crate::engine) service: Arc<str>,
    /// All that its clients send is passed on; otherwise what is not of its protocol.
    pub(in crate::engine) is_all: bool,
    pub(in crate::engine) cluster: Rc<Cluster>,
    pub(in crate::engine) clients: ServiceMetrics,
    pub(in crate::engine) metrics: TcpMetrics,
    /// Who may use it, by connections alone.
    policies: Policies,
    /// Which clients dial.
    port: u16,
    /// A connection on which nothing moves for so long is closed; `None`: after the worker's time.
    pub(in crate::engine) idle: Option<Duration>,
    /// A connection that lasts so long is closed.
    pub(in crate::engine) longest: Option<Duration>,
}

impl Passage {
    /// What becomes of a client's connection: what would be asked of messages counts against it.
    pub(in crate::engine) fn judge(&self, source: &Source) -> Verdict {
        self.policies
            .judge_connection(connection(source, self.port))
    }
}

impl Tables {
    /// `None`: its service has no cluster of its own.
    pub(super) fn build_passage(
        &self,
        service: &config::Service,
        telemetry: &WorkerTelemetry,
    ) -> Option<Rc<Passage>> {
        let name = service.default_cluster.as_deref()?;
        let cluster = self.clusters.get(name).cloned();
        Some(Rc::new(Passage {
            service: Arc::from(service.name.as_str()),
            is_all: service.protocol.is_none(),
            cluster: cluster.unwrap_or_else(|| Rc::new(Cluster::unknown(name))),
            clients: telemetry.service(&service.name),
            metrics: telemetry.tcp(&service.name, name),
            policies: service.authorization.clone(),
            port: service.port,
            idle: service.idle_timeout,
            longest: service.max_connection_duration,
        }))
    }

    pub(super) fn update_passages(&mut self, snapshot: &Snapshot, telemetry: &WorkerTelemetry) {
        let services = snapshot.services.values();
        let passages = services.filter_map(|service| {
            let passage = self.build_passage(service, telemetry)?;
            Some((service.name.clone(), passage))
        });
        self.passages = passages.collect();
    }

    /// What bytes of this service are passed on with.
    pub(in crate::engine) fn passage(&self, service: &str) -> Option<&Rc<Passage>> {
        self.passages.get(service)
    }

    /// Whether the listener still leads to this service.
    pub(in crate::engine) fn leads(&self, listener: &str, service: &str) -> bool {
        match self.listeners.get(listener) {
            Some(Some(Served::By(key))) => {
                let served = self.service(*key);
                served.is_some_and(|served| *served.name == *service)
            }
            Some(Some(Served::Passed(passage))) => *passage.service == *service,
            Some(None) => self.passages.contains_key(service),
            None => false,
        }
    }

    /// An endpoint gets a tunnel, which counts among what a balancer compares.
    ///
    /// Source of the rule: a connection of Envoy's TCP pool is an active request of its host.
    pub(in crate::engine) fn tunnel_starts(&mut self, host: HostKey) {
        self.attempt_starts(host);
        if let Some(host) = self.hosts.get_mut(host) {
            host.tunnels += 1;
        }
    }

    pub(in crate::engine) fn tunnel_ends(&mut self, key: HostKey) {
        if let Some(host) = self.hosts.get_mut(key) {
            host.active = host.active.saturating_sub(1);
            host.tunnels = host.tunnels.saturating_sub(1);
            host.metrics.attempts_finished(1);
        }
        self.drop_host_if_unused(key);
    }
}
