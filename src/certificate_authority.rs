//! `--ca-address` and what goes with it: the CA of a mesh that gives the proxy its certificate.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use meltemi_credentials::{CertificateAuthority, Token, Workload};

#[derive(Debug, Args)]
#[command(next_help_heading = "Certificate of the mesh")]
pub(crate) struct Mesh {
    /// The CA of the mesh as HOST:PORT, for instance istiod.istio-system.svc:15012: it gives the proxy the certificate that
    /// ISTIO_MUTUAL asks for, which is renewed at half of its life. Istio's CA_ADDRESS.
    #[arg(long, value_name = "ADDR")]
    ca_address: Option<String>,
    /// The roots of the mesh, in PEM: they vouch for the CA, and for all peers; followed as they change. Istio's CA_ROOT_CA.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/var/run/secrets/istio/root-cert.pem",
        requires = "ca_address"
    )]
    ca_root: PathBuf,
    /// The token of the service account whose certificate it becomes, for the audience istio-ca; read again for each request.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/var/run/secrets/tokens/istio-token",
        requires = "ca_address"
    )]
    ca_token: PathBuf,
    /// What the CA calls the cluster that the service account is of. Istio's ISTIO_META_CLUSTER_ID.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "Kubernetes",
        requires = "ca_address"
    )]
    cluster_id: String,
    /// How long a certificate is asked to live, with h, m or s; the CA may give less. Istio's SECRET_TTL.
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = lifetime, requires = "ca_address")]
    certificate_lifetime: Duration,
}

impl Mesh {
    /// What comes of it, where there is a CA. Has to be called on a runtime.
    pub(crate) fn workload(&self) -> anyhow::Result<Option<Workload>> {
        let Some(address) = &self.ca_address else {
            return Ok(None);
        };
        let authority = CertificateAuthority {
            address: address.clone(),
            roots: self.ca_root.clone(),
            token: Token::in_file(self.ca_token.clone()),
            cluster: self.cluster_id.clone(),
            lifetime: self.certificate_lifetime,
        };
        let workload = authority.follow().with_context(|| {
            format!(
                "--ca-address {address}: it cannot be asked for a certificate; write it as HOST:PORT, and name the files that \
                 are mounted with --ca-root and --ca-token"
            )
        });
        workload.map(Some)
    }
}

/// No CA gives what lives for less: it could not be renewed in time.
const SHORTEST: Duration = Duration::from_secs(10);

fn lifetime(text: &str) -> Result<Duration, &'static str> {
    let seconds = |unit: &str, factor: u64| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        Some(Duration::from_secs(number.checked_mul(factor)?))
    };
    let read = seconds("h", 3600).or_else(|| seconds("m", 60));
    let read = read.or_else(|| seconds("s", 1));
    let read = read.filter(|lifetime| *lifetime >= SHORTEST);
    read.ok_or("write it with h, m or s, for instance 24h; at least 10s")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        mesh: Mesh,
    }

    #[test]
    fn a_lifetime_has_a_unit() {
        for (text, seconds) in [("24h", 86_400), ("90m", 5400), ("10s", 10)] {
            assert_eq!(lifetime(text), Ok(Duration::from_secs(seconds)));
        }
        for text in ["", "24", "9s", "h", "-1h", "99999999999999999h"] {
            assert!(lifetime(text).is_err(), "{text}");
        }
    }

    #[test]
    fn files_are_for_a_ca() {
        let none = Command::parse_from(["meltemi"]);
        assert!(none.mesh.workload().unwrap().is_none());
        assert!(Command::try_parse_from(["meltemi", "--ca-root", "r"]).is_err());
        let asked = [
            "meltemi",
            "--ca-address",
            "ca:1",
            "--ca-token",
            "/nowhere/t",
        ];
        let refused = Command::parse_from(asked).mesh.workload().unwrap_err();
        let refused = format!("{refused:#}");
        for words in ["--ca-address ca:1", "--ca-token", "/nowhere/t"] {
            assert!(refused.contains(words), "{refused}");
        }
    }
}
