//! What the commands can be asked that ask controllers.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use clap::{Args, Subcommand};

use super::Output;

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// The admin address of a controller, or a name that stands for those of all; repeatable.
    #[arg(
        long = "controller",
        value_name = "HOST[:PORT]",
        default_value = "127.0.0.1:15014"
    )]
    pub(crate) controllers: Vec<ControllerAddress>,
    #[command(flatten)]
    pub(crate) output: Output,
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
    /// The admin address of a controller, or a name that stands for those of all; repeatable.
    #[arg(
        long = "controller",
        value_name = "HOST[:PORT]",
        default_value = "127.0.0.1:15014"
    )]
    pub(crate) controllers: Vec<ControllerAddress>,
}

/// Where a controller is asked, as `HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ControllerAddress(String);

/// The admin port of a controller.
const CONTROLLER_PORT: u16 = 15014;

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
