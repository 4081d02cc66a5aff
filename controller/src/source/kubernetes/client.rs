//! A client of a cluster's API server.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// A connection to the API server on which nothing arrives is given up; each minute even a quiet watch hears a bookmark.
const UNANSWERED: Duration = Duration::from_secs(95);

/// With a kubeconfig as one of its contexts says, the current one unless named; without one as a pod does.
///
/// # Errors
/// When the configuration cannot be read, or is none. That nobody answers is none yet.
pub(crate) async fn client(
    kubeconfig: Option<&Path>,
    context: Option<&str>,
) -> anyhow::Result<Client> {
    let config = match kubeconfig {
        Some(path) => {
            let read = Kubeconfig::read_from(path);
            let read = read.with_context(|| format!("cannot read {}", path.display()))?;
            let options = KubeConfigOptions {
                context: context.map(str::to_owned),
                ..KubeConfigOptions::default()
            };
            let config = Config::from_custom_kubeconfig(read, &options).await;
            config.with_context(|| format!("{} leads nowhere", path.display()))?
        }
        None => Config::incluster().context("this is no pod: name a kubeconfig")?,
    };
    Client::try_from(impatient(config)).context("no client of the API server")
}

fn impatient(mut config: Config) -> Config {
    config.read_timeout = Some(UNANSWERED);
    // The time that it lay idle does not count.
    config.reset_reader_on_write = true;
    config
}
