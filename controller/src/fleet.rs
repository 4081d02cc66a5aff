//! The replicas of a cluster's controller, for commands that ask them: found by their Leases, reached through the API server.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use futures_util::future::join_all;
use http::Request;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::api::ListParams;
use kube::{Api, Client};
use tokio::time::timeout;

use crate::ClusterRef;
use crate::source::kubernetes::client;
use crate::status::{ADMIN, HOST, REPLICA_OF};

/// A Lease that was not renewed for so long is of nobody. It is renewed every 5 s; clocks may differ.
const GONE: Duration = Duration::from_mins(1);
/// A pod that has not answered by then is not waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Through one API server.
pub struct Fleet {
    client: Client,
    namespace: String,
}

/// Where a replica's pages are.
enum Replica {
    /// In a pod, at this port.
    Pod { name: String, port: u16 },
    /// Of a process that is in no pod.
    Process(SocketAddr),
}

/// What replicas answer.
#[derive(Debug, Default)]
pub struct Answers {
    /// By their pods.
    pub of_pods: Vec<(String, anyhow::Result<String>)>,
    /// Where those are to be asked that are in no pod.
    pub others: Vec<SocketAddr>,
}

impl Fleet {
    /// The replicas whose Leases are in this namespace.
    ///
    /// # Errors
    /// When the kubeconfig leads nowhere.
    pub async fn of(cluster: &ClusterRef, namespace: &str) -> anyhow::Result<Self> {
        let kubeconfig = Some(cluster.kubeconfig.as_path());
        Ok(Self {
            client: client(kubeconfig, cluster.context.as_deref()).await?,
            namespace: namespace.to_owned(),
        })
    }

    /// What each replica's page answers, or why it does not.
    ///
    /// # Errors
    /// When the API server does not tell which there are, or there are none.
    pub async fn ask(&self, page: &str) -> anyhow::Result<Answers> {
        let (mut pods, mut others) = (vec![], vec![]);
        for replica in self.replicas().await? {
            match replica {
                Replica::Pod { name, port } => pods.push((name, port)),
                Replica::Process(address) => others.push(address),
            }
        }
        let asked = pods.into_iter().map(async |(name, port)| {
            let answer = self.ask_pod(&name, port, page).await;
            (name, answer)
        });
        Ok(Answers {
            of_pods: join_all(asked).await,
            others,
        })
    }

    async fn replicas(&self) -> anyhow::Result<Vec<Replica>> {
        let namespace = &self.namespace;
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), namespace);
        let listed = leases.list(&ListParams::default().labels(REPLICA_OF)).await;
        let listed = listed.with_context(|| {
            format!(
                "the Leases of namespace {namespace} cannot be listed, by which replicas are found"
            )
        })?;
        let now = Timestamp::now();
        let mut replicas = vec![];
        for lease in listed.items.iter().filter(|lease| is_there(lease, now)) {
            replicas.extend(self.replica(lease).await?);
        }
        if replicas.is_empty() {
            bail!(
                "no controller has a Lease in namespace {namespace}: name the one that it runs in with --namespace"
            );
        }
        Ok(replicas)
    }

    async fn replica(&self, lease: &Lease) -> anyhow::Result<Option<Replica>> {
        let annotation = |name: &str| lease.metadata.annotations.as_ref()?.get(name);
        let (Some(host), Some(admin)) = (annotation(HOST), annotation(ADMIN)) else {
            return Ok(None);
        };
        let Ok(admin) = admin.parse::<SocketAddr>() else {
            return Ok(None);
        };
        // In a pod the host is called like the pod.
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let pod = pods.get_opt(host).await;
        let pod = pod.with_context(|| format!("whether {host} is a pod cannot be told"))?;
        Ok(Some(match pod {
            Some(_) => Replica::Pod {
                name: host.clone(),
                port: admin.port(),
            },
            None => Replica::Process(admin),
        }))
    }

    /// The API server asks it, as `kubectl get --raw` has it do.
    async fn ask_pod(&self, pod: &str, port: u16, page: &str) -> anyhow::Result<String> {
        let namespace = &self.namespace;
        let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy{page}");
        let request = Request::get(path).body(vec![])?;
        let answer = timeout(PATIENCE, self.client.request_text(request)).await;
        let answer = match answer {
            Ok(answer) => answer.map_err(anyhow::Error::from),
            Err(_) => Err(anyhow!("no answer in time")),
        };
        answer.with_context(|| {
            format!(
                "the API server cannot ask it (for its --admin it takes an address that pods are reached at, such as \
                 0.0.0.0:{port}); else: kubectl -n {namespace} port-forward pod/{pod} {port}, and --controller 127.0.0.1:{port}"
            )
        })
    }
}

fn is_there(lease: &Lease, now: Timestamp) -> bool {
    let renewed = lease
        .spec
        .as_ref()
        .and_then(|spec| spec.renew_time.as_ref());
    renewed.is_some_and(|renewed| {
        let age = now.duration_since(renewed.0);
        Duration::try_from(age).map_or(true, |age| age < GONE)
    })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::coordination::v1::LeaseSpec;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
    use k8s_openapi::jiff::SignedDuration;

    use super::*;

    #[test]
    fn who_has_not_renewed_its_lease_for_long_is_not_there() {
        let now = Timestamp::now();
        for (age, expected) in [(0, true), (20, true), (-60, true), (121, false)] {
            let renewed = now - SignedDuration::from_secs(age);
            let lease = Lease {
                spec: Some(LeaseSpec {
                    renew_time: Some(MicroTime(renewed)),
                    ..LeaseSpec::default()
                }),
                ..Lease::default()
            };
            assert_eq!(is_there(&lease, now), expected, "{age}");
        }
        assert!(!is_there(&Lease::default(), now));
    }
}
