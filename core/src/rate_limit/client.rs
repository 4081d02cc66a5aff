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
use super::told::Told;
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
    told: Told,
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
    /// Of one who did not decide, in the words of gRPC.
    error: String,
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
                told: Told::default(),
            };
            service.update(cluster);
            self.0.insert(name.clone(), service);
        }
        let Service { rota, told, .. } = self.0.get_mut(name)?;
        let Some((address, client)) = rota.next(now) else {
            if let Some(untold) = told.take(Failure::Unreachable, now) {
                warn!(
                    cluster = name,
                    untold, "the rate limit service has no endpoint to ask"
                );
            }
            return None;
        };
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
            error,
            cluster,
            address,
        } = answered;
        let Some(Service { rota, told, .. }) = self.0.get_mut(cluster) else {
            return;
        };
        match verdict {
            Verdict::Failed(Failure::Unreachable) => rota.failed(address, now, random),
            // It may be slow or gone: its connection says, in time.
            Verdict::Failed(Failure::Timeout | Failure::Overflow) => {}
            Verdict::Ok | Verdict::OverLimit | Verdict::Failed(Failure::Error) => {
                rota.answered(address);
            }
        }
        if let Verdict::Failed(failure) = *verdict
            && let Some(untold) = told.take(failure, now)
        {
            let failure = failure.as_str();
            warn!(cluster, %address, failure, error, untold, "the rate limit service did not decide");
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
        let (verdict, error) = match tokio::time::timeout_at(self.due.into(), asked).await {
            Ok(Ok(response)) => verdict(response.get_ref()),
            Ok(Err(status)) => (Verdict::Failed(failure(&status)), in_words(&status)),
            Err(_) => (Verdict::Failed(Failure::Timeout), String::new()),
        };
        Answered {
            verdict,
            error,
            cluster: self.cluster,
            address: self.address,
        }
    }
}

/// As Envoy, by the code of all descriptors together; but what is not known is no permission.
fn verdict(response: &RateLimitResponse) -> (Verdict, String) {
    match Code::try_from(response.overall_code) {
        Ok(Code::Ok) => (Verdict::Ok, String::new()),
        Ok(Code::OverLimit) => (Verdict::OverLimit, String::new()),
        Ok(Code::Unknown) | Err(_) => {
            let error = format!("its verdict has the code {}", response.overall_code);
            (Verdict::Failed(Failure::Error), error)
        }
    }
}

/// A status that the service has sent has no cause here; a connection that broke is one.
fn failure(status: &Status) -> Failure {
    match status.source() {
        Some(_) => Failure::Unreachable,
        None => Failure::Error,
    }
}

/// The code, what the service said, as a line of a log may have it, and what is at the bottom of it.
fn in_words(status: &Status) -> String {
    const SHOWN: usize = 200;
    let message: String = status.message().chars().take(SHOWN).collect();
    let said = format!("{:?}: {}", status.code(), message.escape_debug());
    let causes = std::iter::successors(status.source(), |cause| (*cause).source());
    match causes.last() {
        Some(cause) => format!("{said}: {cause}"),
        None => said,
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
            assert_eq!(verdict(&response).0, expected, "{code}");
        }
    }

    #[test]
    fn what_the_service_said_is_no_broken_connection() {
        assert_eq!(
            failure(&Status::unavailable("the store is away")),
            Failure::Error
        );
        let said = in_words(&Status::internal("the store\nis away"));
        assert_eq!(said, r"Internal: the store\nis away");
        let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let words = in_words(&Status::from_error(broken.into()));
        assert!(words.ends_with("connection reset"), "{words}");
        let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert_eq!(
            failure(&Status::from_error(broken.into())),
            Failure::Unreachable
        );
    }
}
