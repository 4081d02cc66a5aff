//! The control plane: the project's own ADS server, in this process, whose endpoints are ours to
//! change.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result, bail};
use meltemi_controller::ads::{Published, Rejection, Resources, Server};
use meltemi_controller::{AttributeDef, Controller, ProtocolSchema, Settings, SourceFile};
use meltemi_proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use prost::Name;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::TcpListenerStream;

/// What nobody has read of it is told as one.
const REJECTIONS: usize = 64;

/// Serves until it is dropped.
pub(super) struct ControlPlane {
    pub(super) address: SocketAddr,
    /// The cluster whose endpoints change.
    pub(super) cluster: String,
    base: Resources,
    resources: watch::Sender<Option<Arc<Published>>>,
    rejections: mpsc::Receiver<Rejection>,
}

/// All that is served, encoded: publishing it costs a pointer.
pub(super) struct Prepared(Arc<Published>);

impl ControlPlane {
    /// Serves what `manifests` say, which have one service, to whoever speaks `protocol`.
    pub(super) fn start(manifests: &str) -> Result<Self> {
        let mut controller = Controller::open(&[], Settings::new(vec![dubbo()]));
        let loaded = controller.load_files([SourceFile {
            name: "bench.yaml".to_owned(),
            text: manifests.to_owned(),
        }]);
        if !loaded.report.is_valid() {
            bail!("the manifests have errors: {}", loaded.report);
        }
        let base = Resources::clone(&loaded.resources);
        let endpoints = ClusterLoadAssignment::type_url();
        let cluster = base
            .of_type(&endpoints)
            .next()
            .map(|(name, _)| name.to_owned());
        let (resources, served) = watch::channel(None);
        let (rejected, rejections) = mpsc::channel(REJECTIONS);
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        thread::Builder::new()
            .name("control-plane".into())
            .spawn(move || {
                let mut ended = served.clone();
                runtime.block_on(async {
                    let incoming =
                        TcpListenerStream::new(tokio::net::TcpListener::from_std(listener)?);
                    let dropped = async move { while ended.changed().await.is_ok() {} };
                    let server = Server::new(served, rejected);
                    server.serve(incoming, dropped).await?;
                    anyhow::Ok(())
                })
            })?;
        Ok(Self {
            address,
            cluster: cluster.context("the manifests have no cluster")?,
            base,
            resources,
            rejections,
        })
    }

    pub(super) fn prepare(&self, endpoints: &ClusterLoadAssignment) -> Prepared {
        let mut resources = self.base.clone();
        resources.insert(self.cluster.as_str(), endpoints);
        Prepared(Arc::new(resources.into()))
    }

    pub(super) fn publish(&self, Prepared(resources): Prepared) {
        self.resources.send_replace(Some(resources));
    }

    /// What the proxy has refused, the first of it.
    pub(super) fn refused(&mut self) -> Option<String> {
        let rejection = self.rejections.try_recv().ok()?;
        Some(format!(
            "{} was refused: {}",
            rejection.name, rejection.reason
        ))
    }
}

/// As the controller is told of a protocol whose plugin it does not have.
fn dubbo() -> ProtocolSchema {
    let service = "interface".to_owned();
    ProtocolSchema {
        id: "dubbo".to_owned(),
        attributes: vec![AttributeDef {
            name: service.clone(),
            description: String::new(),
        }],
        open: true,
        service_attribute: Some(service),
        lower_case: vec![],
    }
}
