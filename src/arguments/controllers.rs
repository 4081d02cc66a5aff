//! What the commands can be asked that ask controllers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
#[cfg(feature = "cluster")]
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand};

use super::Output;

#[derive(Debug, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) asked: Asked,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// Which controllers.
#[derive(Debug, Args)]
pub(crate) struct Asked {
    /// The admin address of a controller, or a name that stands for those of all; repeatable. 127.0.0.1:15014 where nothing
    /// else is said.
    #[arg(long = "controller", value_name = "HOST[:PORT]")]
    pub(crate) controllers: Vec<ControllerAddress>,
    /// Every replica of the controller in the cluster that this kubeconfig leads to, through its API server.
    #[cfg(feature = "cluster")]
    #[arg(long, value_name = "PATH")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// A context of the kubeconfig; the current one unless named.
    #[cfg(feature = "cluster")]
    #[arg(long, value_name = "NAME", requires = "kubeconfig")]
    pub(crate) context: Option<String>,
    /// The namespace that the controller runs in.
    #[cfg(feature = "cluster")]
    #[arg(
        short,
        long,
        value_name = "NAMESPACE",
        requires = "kubeconfig",
        default_value = "meltemi-system"
    )]
    pub(crate) namespace: String,
}

#[derive(Debug, Args)]
pub(crate) struct Config {
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Every resource that a controller serves a proxy, with its version and what the proxy made of
    /// it, as JSON. What is secret is not shown.
    Dump(Dump),
}

#[derive(Debug, Args)]
pub(crate) struct Dump {
    /// The proxy, as `meltemi status` names it.
    pub(crate) proxy: String,
    #[command(flatten)]
    pub(crate) asked: Asked,
}

/// Where a controller is asked, as `HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ControllerAddress(String);

/// The admin port of a controller.
const CONTROLLER_PORT: u16 = 15014;

impl Default for ControllerAddress {
    fn default() -> Self {
        Self(SocketAddr::from((Ipv4Addr::LOCALHOST, CONTROLLER_PORT)).to_string())
    }
}

impl ControllerAddress {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ControllerAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self(SocketAddr::new(address, CONTROLLER_PORT).to_string()));
        }
        let (host, port) = match text.rsplit_once(':') {
            None => (text, CONTROLLER_PORT),
            Some((host, port)) => match port.parse() {
                Ok(port) => (host, port),
                Err(_) => return Err("write it as HOST or HOST:PORT".to_owned()),
            },
        };
        match host.is_empty() || host.contains('/') {
            true => Err("write it as HOST or HOST:PORT".to_owned()),
            false => Ok(Self(format!("{host}:{port}"))),
        }
    }
}
