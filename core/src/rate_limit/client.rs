//! Asks rate limit services, off the workers: one connection to each endpoint, shared by all of them.

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper_util::rt::TokioIo;
use meltemi_proto::envoy::extensions::common::ratelimit::v3::RateLimitDescriptor;
use meltemi_proto::envoy::extensions::common::ratelimit::v3::rate_limit_descriptor::Entry;
use meltemi_proto::envoy::service::ratelimit::v3::rate_limit_response::Code;
use meltemi_proto::envoy::service::ratelimit::v3::rate_limit_service_client::RateLimitServiceClient;
use meltemi_proto::envoy::service::ratelimit::v3::{RateLimitRequest, RateLimitResponse};
use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;
use tracing::warn;

use super::rota::Rota;
use super::{Failure, Question, Verdict};
use crate::config::{Address, Cluster, Health, Snapshot};
use crate::dial::dial;
use crate::tls::Tls;

/// A service that vanished without a word is noticed after these two together.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// A verdict is a few bytes.
const MAX_RESPONSE: usize = 64 << 10;

/// Whom to ask: the services that were asked so far, by their cluster.
#[derive(Debug, Default)]
pub(crate) struct Services(HashMap<String, Service>);

#[derive(Debug)]
struct Service {
    tls: Option<Arc<Tls>>,
    rota: Rota<RateLimitServiceClient<Channel>>,
}

/// A question that goes to an endpoint.
pub(crate) struct Call {
    request: RateLimitRequest,
    cluster: String,
    address: Address,
    client: RateLimitServiceClient<Channel>,
    due: Instant,
}

/// How it went.
pub(crate) struct Answered {
    pub(crate) verdict: Verdict,
    cluster: String,
    address: Address,
}

impl Services {
    /// Takes the endpoints of another configuration in, and forgets services that are gone.
    pub(crate) fn configure(&mut self, snapshot: &Snapshot) {
        self.0.retain(|name, service| {
            let cluster = snapshot.clusters.get(name);
            // With other certificates it is asked on new connections.
            let cluster = cluster.filter(|cluster| service.is_dialled_as(cluster));
            cluster.inspect(|cluster| service.update(cluster)).is_some()
        });
    }

    /// The endpoint whose turn it is. `None`: there is none to ask now.
    pub(crate) fn call(
        &mut self,
        question: &Question,
        snapshot: &Snapshot,
        now: Instant,
    ) -> Option<Call> {
        let name = &question.limit.cluster;
        if !self.0.contains_key(name) {
            let cluster = snapshot.clusters.get(name)?;
            let mut service = Service {
                tls: cluster.tls.clone(),
                rota: Rota::default(),
            };
            service.update(cluster);
            self.0.insert(name.clone(), service);
        }
        let (address, client) = self.0.get_mut(name)?.rota.next(now)?;
        Some(Call {
            request: request(question),
            cluster: name.clone(),
            address: address.clone(),
            client: client.clone(),
            due: question.due,
        })
    }

    /// Learns from a call; `random` is drawn from the whole range.
    pub(crate) fn learn(&mut self, answered: &Answered, now: Instant, random: u32) {
        let Answered {
            verdict,
            cluster,
            address,
        } = answered;
        let Some(Service { rota, .. }) = self.0.get_mut(cluster) else {
            return;
        };
        match verdict {
            Verdict::Failed(Failure::Unreachable) => {
                warn!(cluster, %address, "the rate limit service cannot be reached");
                rota.failed(address, now, random);
            }
            // It may be slow or gone: its connection says, in time.
            Verdict::Failed(Failure::Timeout | Failure::Overflow) => {}
            Verdict::Ok | Verdict::OverLimit | Verdict::Failed(Failure::Error) => {
                rota.answered(address);
            }
        }
    }
}

impl Service {
    fn is_dialled_as(&self, cluster: &Cluster) -> bool {
        match (&self.tls, &cluster.tls) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        }
    }

    fn update(&mut self, cluster: &Cluster) {
        let usable = |health| matches!(health, Health::Healthy | Health::Degraded);
        let hosts = cluster.endpoints.hosts.iter();
        let hosts = hosts.filter(|host| usable(host.health));
        let addresses = hosts.map(|host| host.address.clone());
        let tls = &self.tls;
        self.rota.update(addresses, |address| {
            let channel = channel(address.clone(), tls.clone(), cluster.connect_timeout);
            RateLimitServiceClient::new(channel).max_decoding_message_size(MAX_RESPONSE)
        });
    }
}

/// Connects when it is first used, and again when it has to.
fn channel(address: Address, tls: Option<Arc<Tls>>, connect_timeout: Duration) -> Channel {
    let endpoint = Endpoint::from_static("http://rate-limit-service")
        .connect_timeout(connect_timeout)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT);
    endpoint.connect_with_connector_lazy(service_fn(move |_| {
        let (address, tls) = (address.clone(), tls.clone());
        // Servers that speak gRPC ask for ALPN.
        async move {
            let stream = dial(&address, tls.as_deref(), &[b"h2"]).await;
            stream.map(TokioIo::new)
        }
    }))
}

fn request(question: &Question) -> RateLimitRequest {
    let limit = &question.limit;
    let entries = limit.entries.iter().zip(&question.values);
    let entries = entries.map(|(entry, value)| Entry {
        key: entry.key.clone(),
        value: value.clone(),
    });
    RateLimitRequest {
        domain: limit.domain.clone(),
        descriptors: vec![RateLimitDescriptor {
            entries: entries.collect(),
        }],
        hits_addend: 0,
    }
}

impl Call {
    /// Asks, and waits as long as somebody waits for the verdict.
    pub(crate) async fn make(mut self) -> Answered {
        let asked = self.client.should_rate_limit(self.request);
        let verdict = match tokio::time::timeout_at(self.due.into(), asked).await {
            Ok(Ok(response)) => verdict(response.get_ref()),
            Ok(Err(status)) => Verdict::Failed(failure(&status)),
            Err(_) => Verdict::Failed(Failure::Timeout),
        };
        Answered {
            verdict,
            cluster: self.cluster,
            address: self.address,
        }
    }
}

/// As Envoy, by the code of all descriptors together; but what is not known is no permission.
fn verdict(response: &RateLimitResponse) -> Verdict {
    match Code::try_from(response.overall_code) {
        Ok(Code::Ok) => Verdict::Ok,
        Ok(Code::OverLimit) => Verdict::OverLimit,
        Ok(Code::Unknown) | Err(_) => Verdict::Failed(Failure::Error),
    }
}

/// A status that the service has sent has no cause here; a connection that broke is one.
fn failure(status: &Status) -> Failure {
    match status.source() {
        Some(_) => Failure::Unreachable,
        None => Failure::Error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codes_that_are_known_decide() {
        for (code, expected) in [
            (1, Verdict::Ok),
            (2, Verdict::OverLimit),
            (0, Verdict::Failed(Failure::Error)),
            (3, Verdict::Failed(Failure::Error)),
            (-1, Verdict::Failed(Failure::Error)),
        ] {
            let response = RateLimitResponse {
                overall_code: code,
                ..RateLimitResponse::default()
            };
            assert_eq!(verdict(&response), expected, "{code}");
        }
    }

    #[test]
    fn what_the_service_said_is_no_broken_connection() {
        assert_eq!(
            failure(&Status::unavailable("the store is away")),
            Failure::Error
        );
        let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert_eq!(
            failure(&Status::from_error(broken.into())),
            Failure::Unreachable
        );
    }
}
