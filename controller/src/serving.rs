//! How proxies reach the ADS server: which flags there are, and what becomes of them.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use kube::Client;
use meltemi_credentials::{CertificateAuthority, Token};
use meltemi_proto::envoy::config::listener::v3::Listener;
use prost::Name as _;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::wrappers::TcpListenerStream;
use tracing::info;

use crate::ads::{Published, Resources, Server, Tokens, encrypted};
use crate::authority::{self, Expiry, Keeper, Namespaces, ServerSettings};
use crate::leader::{Candidate, LeaseName};
use crate::manifest::parse_duration;
use crate::source::kubernetes::client;

/// The flags.
#[derive(Clone, Debug, Args)]
pub struct Serving {
    /// Serves without TLS, asks nobody who they are, and sends no secrets: what needs a certificate, a key or a password is
    /// not served; only where `--listen` is a loopback address. The manifests of `--file` are served so unless there is a
    /// certificate.
    #[arg(long, conflicts_with_all = ["tls_cert", "tls_key"])]
    pub plaintext: bool,

    /// The certificate that is shown to proxies, in PEM, with those between it and its root; read again when it changes.
    /// Unless told, one of an authority that is kept in the cluster.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// Its key, in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// The CA of an Istio mesh as HOST:PORT, for instance istiod.istio-system.svc:15012: its certificate is shown to proxies,
    /// in the place of one of an authority of our own. They dial with `--xds-ca` the roots of the mesh and with `--xds-name` the
    /// SPIFFE id of the controller's service account.
    #[arg(long, value_name = "ADDR", conflicts_with_all = ["plaintext", "tls_cert"])]
    pub istio_ca: Option<String>,

    /// The roots of the mesh, in PEM; followed as they change.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/var/run/secrets/istio/root-cert.pem",
        requires = "istio_ca"
    )]
    pub istio_ca_root: PathBuf,

    /// The token of the controller's service account, for the audience istio-ca.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/var/run/secrets/tokens/istio-token",
        requires = "istio_ca"
    )]
    pub istio_ca_token: PathBuf,

    /// What the CA calls the cluster.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "Kubernetes",
        requires = "istio_ca"
    )]
    pub cluster_id: String,

    /// A further DNS name or IP address that proxies dial, beside those of the Service `meltemi-controller`; repeatable.
    #[arg(long = "tls-name", value_name = "NAME")]
    pub tls_names: Vec<String>,

    /// The audience that proxies' tokens have to be for.
    #[arg(long, value_name = "AUDIENCE", default_value = "meltemi")]
    pub token_audience: String,

    /// The controller's own namespace, where its Lease and the Secret of its authority are; unless told that of its pod, or
    /// `meltemi-system`.
    #[arg(long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,

    /// A namespace whose proxies are told the roots of the authority, beside those that have Gateways; repeatable.
    #[arg(long = "proxy-namespace", value_name = "NAMESPACE")]
    pub proxy_namespaces: Vec<String>,

    /// How long a root of the authority lives. Its successor is made after half of it.
    #[arg(long, value_name = "DURATION", default_value = "8760h", value_parser = lifetime)]
    pub ca_lifetime: Duration,

    /// Where it is told until when certificates count.
    #[arg(skip)]
    pub expiry: Expiry,
}

/// The shortest life of a root: there has to be time to tell it.
const SHORTEST_LIFETIME: Duration = Duration::from_secs(16);

fn lifetime(text: &str) -> Result<Duration, &'static str> {
    let lifetime = parse_duration(text).filter(|lifetime| *lifetime >= SHORTEST_LIFETIME);
    lifetime.ok_or("write it with h, m or s, for instance 8760h; at least 16s")
}

/// That is asked of the CA of a mesh: what Istio's agents ask for.
const CERTIFICATE_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// What can be read and what cannot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Only this machine reads it.
    Plaintext,
    /// By a certificate that somebody else gives.
    Files { chain: PathBuf, key: PathBuf },
    /// By one that the CA of a mesh gives.
    Mesh(String),
    /// By one of our own authority.
    Authority,
}

/// Why it cannot be served like that.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotServed {
    #[error(
        "--plaintext is for loopback addresses, and everybody could read what is served on {0}: leave it out, so that \
         proxies connect with TLS, or write --listen 127.0.0.1:{port}", port = .0.port()
    )]
    Readable(SocketAddr),
    #[error(
        "everybody could read what is served on {0}: give a certificate with --tls-cert and --tls-key, or write --listen \
         127.0.0.1:{port}", port = .0.port()
    )]
    NoCertificate(SocketAddr),
}

impl Serving {
    /// `is_cluster`: there is one to keep an authority in.
    ///
    /// # Errors
    /// What is served could be read by others.
    pub fn transport(&self, listen: SocketAddr, is_cluster: bool) -> Result<Transport, NotServed> {
        let is_loopback = listen.ip().is_loopback();
        if let (Some(chain), Some(key)) = (self.tls_cert.clone(), self.tls_key.clone()) {
            return Ok(Transport::Files { chain, key });
        }
        if let Some(address) = self.istio_ca.clone() {
            return Ok(Transport::Mesh(address));
        }
        match (self.plaintext, is_cluster) {
            (true, _) if !is_loopback => Err(NotServed::Readable(listen)),
            (false, true) => Ok(Transport::Authority),
            (false, false) if !is_loopback => Err(NotServed::NoCertificate(listen)),
            (true, _) | (false, false) => Ok(Transport::Plaintext),
        }
    }

    /// Serves until `stop` completes. With a client of an API server its proxies show who they are, unless what is served
    /// is plaintext.
    ///
    /// # Errors
    /// The flags contradict each other, a certificate cannot be used, or the transport fails as a whole.
    pub async fn serve(
        &self,
        (server, served): (Server, watch::Receiver<Option<Arc<Published>>>),
        listener: TcpListener,
        cluster: Option<Kubernetes>,
        stop: impl Future<Output = ()>,
    ) -> anyhow::Result<()> {
        let listen = listener.local_addr()?;
        let settings = match (self.transport(listen, cluster.is_some())?, &cluster) {
            (Transport::Files { chain, key }, _) => {
                authority::from_files(&chain, &key, self.expiry.clone())?
            }
            (Transport::Mesh(address), _) => self.of_mesh(address)?,
            (Transport::Authority, Some(cluster)) => self.authority(cluster, listen, served),
            (Transport::Plaintext, _) | (Transport::Authority, None) => {
                info!("proxies connect in plaintext, and are not asked who they are");
                let incoming = TcpListenerStream::new(listener);
                return Ok(server.serve(incoming, stop).await?);
            }
        };
        let server = match cluster {
            Some(Kubernetes { client, .. }) => {
                let admission = Tokens::admission(client, self.token_audience.clone());
                server.admitted_by(admission).in_private()
            }
            // Whoever connects is served, but sent no secrets.
            None => server,
        };
        let incoming = encrypted(listener, settings);
        server
            .serve(incoming, stop)
            .await
            .context("xDS is not served")
    }

    fn of_mesh(&self, address: String) -> anyhow::Result<ServerSettings> {
        let ca = CertificateAuthority {
            roots: self.istio_ca_root.clone(),
            token: Token::in_file(self.istio_ca_token.clone()),
            cluster: self.cluster_id.clone(),
            lifetime: CERTIFICATE_LIFETIME,
            address,
        };
        let context = format!(
            "--istio-ca {}: it cannot be asked for a certificate",
            ca.address
        );
        authority::from_mesh(ca, self.expiry.clone()).context(context)
    }

    fn authority(
        &self,
        cluster: &Kubernetes,
        listen: SocketAddr,
        served: watch::Receiver<Option<Arc<Published>>>,
    ) -> ServerSettings {
        let namespace = self.own_namespace();
        let settings = authority::Settings {
            names: self.names(&namespace, listen.ip()),
            lifetime: self.ca_lifetime,
            namespace: namespace.clone(),
            expiry: self.expiry.clone(),
        };
        let told = self.proxy_namespaces.iter().cloned().chain([namespace]);
        let namespaces = namespaces(served, told.collect());
        let (client, is_leader) = (cluster.client.clone(), cluster.is_leader.clone());
        Keeper::start(client, settings, (is_leader, namespaces))
    }

    /// The Lease of this name in the controller's own namespace.
    #[must_use]
    pub fn lease(&self, name: String) -> LeaseName {
        LeaseName {
            namespace: self.own_namespace(),
            name,
        }
    }

    fn own_namespace(&self) -> String {
        let of_pod = || {
            let text = fs::read_to_string(NAMESPACE_OF_POD).ok()?;
            Some(text.trim().to_owned()).filter(|namespace| !namespace.is_empty())
        };
        let namespace = self.namespace.clone().or_else(of_pod);
        namespace.unwrap_or_else(|| "meltemi-system".to_owned())
    }

    /// Those that a cluster gives the Service, and those told.
    fn names(&self, namespace: &str, listen: IpAddr) -> Vec<String> {
        let service = ["", &format!(".{namespace}")].map(|rest| format!("{SERVICE}{rest}"));
        let full = ["svc", "svc.cluster.local"];
        let full = full.map(|rest| format!("{SERVICE}.{namespace}.{rest}"));
        let mut names = [service, full].concat();
        if listen.is_loopback() {
            names.extend(["localhost".to_owned(), listen.to_string()]);
        }
        names.extend(self.tls_names.iter().cloned());
        names
    }
}

/// What the controller's Service is called where it is installed as its documentation says.
const SERVICE: &str = "meltemi-controller";
const NAMESPACE_OF_POD: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// The cluster whose proxies are served.
pub struct Kubernetes {
    client: Client,
    /// Whether this replica is the one that writes.
    is_leader: watch::Receiver<bool>,
}

impl Kubernetes {
    /// With a kubeconfig as its current context says, without one as a pod does. Of its replicas the one writes that holds
    /// the Lease; this one stands for it.
    ///
    /// # Errors
    /// When the configuration cannot be read, or is none.
    pub async fn standing(
        kubeconfig: Option<&Path>,
        lease: &LeaseName,
    ) -> anyhow::Result<(Self, Candidate)> {
        let client = client(kubeconfig, None).await?;
        let candidate = Candidate::stand(client.clone(), lease);
        let is_leader = candidate.leadership().flag();
        Ok((Self { client, is_leader }, candidate))
    }
}

/// The namespaces of the Gateways that are served, and those `told`; none before anything is served.
fn namespaces(
    mut served: watch::Receiver<Option<Arc<Published>>>,
    told: BTreeSet<String>,
) -> Namespaces {
    let (known, namespaces) = watch::channel(None);
    tokio::spawn(async move {
        loop {
            let resources = served.borrow_and_update().clone();
            let found = resources.map(|resources| &of_gateways(&resources) | &told);
            known.send_if_modified(|known| {
                let is_new = *known != found;
                *known = found;
                is_new
            });
            tokio::select! {
                changed = served.changed() => if changed.is_err() { return },
                () = known.closed() => return,
            }
        }
    });
    namespaces
}

/// A listener is called after its Gateway: `NAMESPACE/GATEWAY/SERVER`.
fn of_gateways(resources: &Resources) -> BTreeSet<String> {
    let type_url = Listener::type_url();
    let listeners = resources.of_type(&type_url);
    let namespaces = listeners.filter_map(|(name, _)| Some(name.split_once('/')?.0.to_owned()));
    namespaces.collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        serving: Serving,
    }

    fn serving(arguments: &[&str]) -> Result<Serving, clap::Error> {
        let command = Command::try_parse_from([&["controller"], arguments].concat());
        command.map(|command| command.serving)
    }

    #[test]
    fn nothing_is_served_in_plaintext_but_on_loopback() {
        let files = Transport::Files {
            chain: "c".into(),
            key: "k".into(),
        };
        let with_files: &[_] = &["--tls-cert", "c", "--tls-key", "k"];
        let of_mesh = Transport::Mesh("ca:1".to_owned());
        let rows = [
            (&[][..], "127.0.0.1:1", true, Ok(Transport::Authority)),
            (&[], "0.0.0.0:1", true, Ok(Transport::Authority)),
            (&["--plaintext"], "[::1]:1", true, Ok(Transport::Plaintext)),
            (&["--plaintext"], "0.0.0.0:1", true, Err("leave it out")),
            (&[], "127.0.0.1:1", false, Ok(Transport::Plaintext)),
            (
                &["--plaintext"],
                "127.0.0.1:1",
                false,
                Ok(Transport::Plaintext),
            ),
            (&[], "0.0.0.0:1", false, Err("--tls-cert")),
            (&[], "10.0.0.1:15", false, Err("127.0.0.1:15")),
            (
                &["--plaintext"],
                "0.0.0.0:1",
                false,
                Err("--plaintext is for"),
            ),
            (with_files, "0.0.0.0:1", false, Ok(files.clone())),
            (with_files, "127.0.0.1:1", true, Ok(files)),
            (&["--istio-ca", "ca:1"], "0.0.0.0:1", false, Ok(of_mesh)),
        ];
        for (arguments, listen, is_cluster, expected) in rows {
            let serving = serving(arguments).unwrap();
            match (
                serving.transport(listen.parse().unwrap(), is_cluster),
                expected,
            ) {
                (found, Ok(expected)) => assert_eq!(found, Ok(expected), "{arguments:?} {listen}"),
                (found, Err(words)) => {
                    let refused = found.unwrap_err().to_string();
                    assert!(refused.contains(words), "{arguments:?} {listen}: {refused}");
                }
            }
        }
    }

    #[test]
    fn flags_that_contradict_are_refused() {
        for arguments in [
            &["--tls-cert", "c"][..],
            &["--tls-key", "k"],
            &["--plaintext", "--tls-cert", "c", "--tls-key", "k"],
            &["--istio-ca", "ca:1", "--plaintext"],
            &["--istio-ca-root", "r"],
            &["--ca-lifetime", "15s"],
            &["--ca-lifetime", "1"],
            &["--ca-lifetime", "soon"],
        ] {
            assert!(serving(arguments).is_err(), "{arguments:?}");
        }
    }

    #[test]
    fn a_certificate_is_for_all_names_of_the_service() {
        let serving = serving(&["--tls-name", "xds.example.com"]).unwrap();
        let names = serving.names("shop", "0.0.0.0".parse().unwrap());
        let expected = [
            "meltemi-controller",
            "meltemi-controller.shop",
            "meltemi-controller.shop.svc",
            "meltemi-controller.shop.svc.cluster.local",
            "xds.example.com",
        ];
        assert_eq!(names, expected);
        let names = serving.names("shop", "127.0.0.1".parse().unwrap());
        assert!(names.contains(&"127.0.0.1".to_owned()));
    }

    #[test]
    fn gateways_namespaces_are_those_of_listeners() {
        let mut resources = Resources::new();
        for name in ["shop/edge/redis", "shop/edge/dubbo", "bank/edge/redis"] {
            resources.insert(name, &Listener::default());
        }
        let expected = ["bank", "shop"].map(str::to_owned);
        assert_eq!(of_gateways(&resources), expected.into());
    }
}
