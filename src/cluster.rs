//! The objects of a cluster, for the commands that look at them.

use anyhow::Context as _;
use meltemi_controller::{Cluster, ClusterRef, Settings};

use crate::{arguments::Subject, output, proxy::block_on};

/// None where none was asked for.
pub(crate) fn read(subject: &Subject, settings: &Settings) -> anyhow::Result<Option<Cluster>> {
    let Some(kubeconfig) = &subject.kubeconfig else {
        return Ok(None);
    };
    let asked = ClusterRef {
        kubeconfig: kubeconfig.clone(),
        context: subject.context.clone(),
    };
    let read = Cluster::read(&asked, &subject.files, settings.clone());
    let cluster = block_on(read)
        .with_context(|| format!("the cluster of {} cannot be read", kubeconfig.display()))?;
    let missing = cluster.missing();
    if !missing.is_empty() {
        output::tell(format_args!(
            "note: the cluster does not know {}: `kubectl apply --server-side -f charts/meltemi-crds/templates`",
            missing.join(", ")
        ));
    }
    Ok(Some(cluster))
}
