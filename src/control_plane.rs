//! `--xds` and what goes with it: the control plane that a proxy dials.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, bail};
use clap::Args;
use meltemi_core::xds::{self, Credentials};
use meltemi_credentials::Token;
use meltemi_tls::PeerName;
use tonic::transport::Uri;

/// Where a pod has its own mounted.
const MOUNTED_CA: &str = "/var/run/secrets/meltemi/root-cert.pem";
const MOUNTED_TOKEN: &str = "/var/run/secrets/meltemi/token";

#[derive(Debug, Args)]
pub(crate) struct ControlPlane {
    /// The control plane: `https://HOST:PORT` with TLS; `HOST:PORT` or `http://HOST:PORT` in plaintext, where it is sent
    /// neither a token nor secrets.
    #[arg(long, value_name = "ADDR")]
    xds: Address,
    /// The authorities, in PEM, that may vouch for the control plane; read again for each connection. Unless told,
    /// /var/run/secrets/meltemi/root-cert.pem.
    #[arg(long, value_name = "FILE")]
    xds_ca: Option<PathBuf>,
    /// Whose certificate the control plane has, where it is not one for HOST: its SPIFFE id, for instance
    /// spiffe://cluster.local/ns/meltemi-system/sa/meltemi-controller, where the CA of a mesh gives it.
    #[arg(long, value_name = "URI", value_parser = spiffe_id)]
    xds_name: Option<String>,
    /// The token that is shown to the control plane; read again for each stream. Unless told,
    /// /var/run/secrets/meltemi/token, if there is one.
    #[arg(long, value_name = "FILE")]
    xds_token: Option<PathBuf>,
}

impl ControlPlane {
    pub(crate) fn dialled(&self) -> anyhow::Result<xds::ControlPlane> {
        let Address {
            authority,
            is_encrypted,
        } = &self.xds;
        let cannot = || format!("--xds {authority}: it cannot be dialled");
        if !is_encrypted {
            let (ca, token) = (&self.xds_ca, &self.xds_token);
            let given = [("--xds-ca", ca), ("--xds-token", token)];
            if let Some((flag, _)) = given.iter().find(|(_, file)| file.is_some()) {
                bail!(
                    "{flag} is for TLS, and without it no token is sent: write --xds https://{authority}"
                );
            }
            return xds::ControlPlane::plaintext(authority).with_context(cannot);
        }
        let mounted = |path: &str| Some(PathBuf::from(path)).filter(|path| Path::exists(path));
        let authorities = self.xds_ca.clone().or_else(|| mounted(MOUNTED_CA));
        let Some(authorities) = authorities else {
            bail!(
                "nobody is said to vouch for https://{authority}: name a file of CA certificates with --xds-ca, or mount the \
                 ConfigMap `meltemi-ca-root` so that there is {MOUNTED_CA}"
            );
        };
        let token = self.xds_token.clone().or_else(|| mounted(MOUNTED_TOKEN));
        let credentials = Credentials {
            authorities,
            name: self.xds_name.clone().map(PeerName::Uri),
            token: token.map(Token::in_file),
        };
        xds::ControlPlane::encrypted(authority, credentials).with_context(cannot)
    }
}

fn spiffe_id(text: &str) -> Result<String, &'static str> {
    let is_one = text
        .strip_prefix("spiffe://")
        .is_some_and(|rest| rest.contains('/'));
    let refused = "write it as spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT";
    is_one.then(|| text.to_owned()).ok_or(refused)
}

/// A control plane to dial, as `HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Address {
    authority: String,
    is_encrypted: bool,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (scheme, authority) = text.split_once("://").unwrap_or(("http", text));
        if !["http", "https"].contains(&scheme) {
            return Err(format!(
                "{scheme} is not supported; write `https://{authority}`, or `{authority}` if the control plane may be \
                 dialled in plaintext"
            ));
        }
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let uri: Uri = format!("{scheme}://{authority}").parse().map_err(|error| {
            format!("{error}; write it as HOST:PORT, for instance 127.0.0.1:15010")
        })?;
        let is_bare = uri.path() == "/" && uri.query().is_none() && !authority.contains('@');
        if !is_bare || uri.host().is_none_or(str::is_empty) {
            return Err("write it as HOST:PORT, for instance 127.0.0.1:15010".to_owned());
        }
        match uri.port_u16() {
            None | Some(0) => Err(format!(
                "the port is missing; write it as HOST:PORT, for instance {}:15010",
                uri.host().unwrap_or_default()
            )),
            Some(_) => Ok(Self {
                authority: authority.to_owned(),
                is_encrypted: scheme == "https",
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn a_control_plane_is_a_host_and_a_port() {
        for (text, authority, is_encrypted) in [
            ("127.0.0.1:15010", "127.0.0.1:15010", false),
            ("http://xds.meltemi:15010/", "xds.meltemi:15010", false),
            ("https://xds.meltemi:15010/", "xds.meltemi:15010", true),
            ("[::1]:15010", "[::1]:15010", false),
        ] {
            let expected = Address {
                authority: authority.to_owned(),
                is_encrypted,
            };
            assert_eq!(text.parse(), Ok(expected));
        }
        for (text, remedy) in [
            ("unix:///run/xds", "unix is not supported"),
            ("127.0.0.1", "for instance 127.0.0.1:15010"),
            ("http://xds", "for instance xds:15010"),
            ("https://xds", "for instance xds:15010"),
            ("[::1]", "for instance [::1]:15010"),
            ("xds:0", "the port is missing"),
            ("xds:15010/path", "HOST:PORT"),
            ("me@xds:15010", "HOST:PORT"),
            (":15010", "HOST:PORT"),
            ("", "HOST:PORT"),
            ("xds:99999", "HOST:PORT"),
        ] {
            let refused = text.parse::<Address>().unwrap_err();
            assert!(refused.contains(remedy), "{text}: {refused}");
        }
    }

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        control_plane: ControlPlane,
    }

    #[test]
    fn what_cannot_be_dialled_is_told_with_its_remedy() {
        let broken = file!();
        let rows: &[(&[&str], &str)] = &[
            (&["xds:1", "--xds-token", "t"], "--xds https://xds:1"),
            (&["xds:1", "--xds-ca", "c"], "--xds https://xds:1"),
            (&["https://xds:1"], "--xds-ca"),
            (
                &["https://xds:1", "--xds-ca", "/nowhere/ca.pem"],
                "/nowhere/ca.pem: No such file",
            ),
            (
                &["https://xds:1", "--xds-ca", broken],
                "the CA certificate is not there",
            ),
        ];
        for (arguments, remedy) in rows {
            let command = Command::parse_from([&["meltemi", "--xds"], *arguments].concat());
            let refused = command.control_plane.dialled().unwrap_err();
            let refused = format!("{refused:#}");
            assert!(refused.contains(remedy), "{arguments:?}: {refused}");
        }
    }
}
