//! What it can be asked, of the command and of the controller's program alike.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use kube::Client;

use super::Id;
use crate::manifest::parse_duration;
use crate::source::kubernetes::client;

/// The flags.
#[derive(Clone, Debug, Default, Args)]
pub struct Detach {
    /// A Gateway of a waypoint; repeatable.
    #[arg(
        value_name = "[NAMESPACE/]GATEWAY",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    pub gateways: Vec<String>,

    /// Every waypoint: of the cluster, or of the namespace.
    #[arg(long)]
    pub all: bool,

    /// The cluster that this kubeconfig leads to.
    #[arg(long, value_name = "PATH", required_unless_present = "in_cluster")]
    pub kubeconfig: Option<PathBuf>,

    /// A context of the kubeconfig; the current one unless named.
    #[arg(long, value_name = "NAME", requires = "kubeconfig")]
    pub context: Option<String>,

    /// The cluster that this pod runs in, as its service account.
    #[arg(long, conflicts_with_all = ["kubeconfig", "context"])]
    pub in_cluster: bool,

    /// The namespace of Gateways that are named without one (`default` unless told); with --all the only one that is looked
    /// at.
    #[arg(short, long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,

    /// Whose waypoints: those of the class `meltemi-waypoint`, or of the class `meltemi-waypoint-REVISION`.
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub revision: String,

    /// How long pods still serve after connections began to pass them by: nodes hear of that one after the other.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub farewell: Duration,

    /// When it is given up. What was done stays done, and the next call goes on.
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = duration)]
    pub timeout: Duration,

    /// Says what would be done, and does nothing.
    #[arg(long)]
    pub dry_run: bool,

    #[command(flatten)]
    pub uninstall: Uninstall,
}

/// What goes besides, before an installation does.
#[derive(Clone, Debug, Default, Args)]
pub struct Uninstall {
    /// Then ends the controller, and removes what it has written: Leases, its authority with the roots that namespaces have of it,
    /// GatewayClasses that no Gateway names, and what it says in Gateways. Another revision keeps what it needs.
    #[arg(long, requires = "all", conflicts_with = "namespace")]
    pub uninstall: bool,

    /// The namespace that the controller runs in.
    #[arg(
        long,
        value_name = "NAMESPACE",
        requires = "uninstall",
        default_value = "meltemi-system"
    )]
    pub controller_namespace: String,

    /// Does nothing unless the controller was installed as this release of helm: manifests that were rendered and applied with
    /// their hooks would otherwise end what they have just begun.
    #[arg(long, value_name = "NAME", requires = "uninstall")]
    pub helm_release: Option<String>,
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    parse_duration(text).ok_or("write it with h, m or s, for instance 90s or 5m")
}

impl Detach {
    pub(super) async fn client(&self) -> anyhow::Result<Client> {
        client(self.kubeconfig.as_deref(), self.context.as_deref()).await
    }

    pub(super) fn named(&self) -> BTreeSet<Id> {
        let named = self.gateways.iter().map(|text| {
            let default = self.namespace.as_deref().unwrap_or("default");
            let (namespace, name) = text.split_once('/').unwrap_or((default, text));
            Id {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            }
        });
        named.collect()
    }

    /// The only namespace that is looked at, where it is only one.
    pub(super) fn scope(&self) -> Option<String> {
        if self.all {
            return self.namespace.clone();
        }
        let mut namespaces: Vec<_> = self.named().into_iter().map(|id| id.namespace).collect();
        namespaces.dedup();
        match namespaces.as_slice() {
            [only] => Some(only.clone()),
            _ => None,
        }
    }
}
