//! `ISTIO_MUTUAL`: both sides show the certificate that the CA of the mesh has given them, and believe what it vouches for.

use std::collections::BTreeSet;
use std::sync::Arc;

use meltemi_policy::ClusterName;
use meltemi_tls::PeerName;

use super::{ClusterTls, Identity, Peers, Refusable, Trust, Wish, names, refused, refused_for};
use crate::diagnostic::Position;
use crate::manifest::{Located, Tls};
use crate::model::locality::Mesh;
use crate::model::{Endpoint, Service};

/// What may not stand beside `ISTIO_MUTUAL`, as in Istio: all of it comes from the CA of the mesh.
pub(super) fn check_alone(
    peers: Peers,
    given: &[(&str, &Option<Located<String>>)],
) -> Refusable<()> {
    let mut given = given.iter();
    match given.find_map(|(name, field)| Some((name, field.as_ref()?))) {
        Some((name, field)) => {
            let message = format!(
                "`tls.{name}` stands beside `ISTIO_MUTUAL`, where all of it comes from the CA of the mesh"
            );
            let remedy = "remove it, or set `mode: MUTUAL`";
            Err(refused_for(peers, (field.at, message), remedy))
        }
        None => Ok(()),
    }
}

impl Wish<'_> {
    /// The names are those of the rule, else of the ServiceEntry, else those of the accounts that the endpoints run as.
    pub(super) fn with_workloads(
        &self,
        (service, cluster): (&Service, &ClusterName),
        mesh: &Mesh,
    ) -> Refusable<ClusterTls> {
        let Tls {
            client_certificate,
            private_key,
            ca_certificates,
            ca_crl,
            credential_name,
            ..
        } = self.tls;
        check_alone(
            Peers::Endpoints,
            &[
                ("clientCertificate", client_certificate),
                ("privateKey", private_key),
                ("caCertificates", ca_certificates),
                ("caCrl", ca_crl),
                ("credentialName", credential_name),
            ],
        )?;
        if self.tls.insecure_skip_verify {
            let message = "`insecureSkipVerify` stands beside `ISTIO_MUTUAL`, which verifies";
            return Err(refused(self.tls.mark.at, message, "remove it"));
        }
        let mut known = names(&self.tls.subject_alt_names, Peers::Endpoints)?;
        if known.is_empty() {
            known.clone_from(&service.subject_alt_names);
        }
        let accounts_of = match known.is_empty() {
            true => self.trust_domains(service, cluster.port, mesh)?,
            false => vec![],
        };
        Ok(ClusterTls {
            sni: Some(self.sni_of(cluster)?),
            identity: Some(Identity::Workload),
            trust: Some(Trust::Workload),
            names: known,
            accounts_of,
        })
    }

    /// Istio's `BuildSubsetKey` with the separator of SNI, by which gateways between networks find the cluster.
    fn sni_of(&self, cluster: &ClusterName) -> Refusable<String> {
        let Some(sni) = &self.tls.sni else {
            let ClusterName { port, subset, host } = cluster;
            return Ok(format!("outbound_.{port}_.{subset}_.{host}"));
        };
        match sni.value.parse() {
            Ok(PeerName::Dns(name)) => Ok(name),
            _ => {
                let message = format!("`tls.sni` is no DNS name: `{}`", sni.value);
                let remedy = "write a host name, or leave it out";
                Err(refused(sni.at, message, remedy))
            }
        }
    }

    fn trust_domains(&self, service: &Service, port: u16, mesh: &Mesh) -> Refusable<Vec<String>> {
        let endpoints = service.port(port).map(|port| port.endpoints.as_slice());
        let endpoints = endpoints.unwrap_or_default();
        let is_unknown = |endpoint: &Arc<Endpoint>| endpoint.account.is_empty();
        if !endpoints.is_empty() && endpoints.iter().all(is_unknown) {
            let message = format!(
                "nothing says whose certificates the servers of {} have: none is of a Pod, or of a `serviceAccount`",
                service.host
            );
            let remedy = "name them in `tls.subjectAltNames`, as in spiffe://cluster.local/ns/shop/sa/orders, or give \
                          the endpoints a `serviceAccount`";
            return Err(refused(self.tls.mark.at, message, remedy));
        }
        Ok(mesh.trust_domains().map(str::to_owned).collect())
    }
}

impl ClusterTls {
    /// The names of those that these run as, where the names are theirs: their SPIFFE ids, in each trust domain of the mesh.
    /// Without an endpoint nobody is dialled.
    pub(in crate::model) fn name_accounts(&mut self, endpoints: &[Arc<Endpoint>]) {
        if self.accounts_of.is_empty() {
            return;
        }
        let accounts = endpoints.iter().map(|endpoint| &endpoint.account);
        let accounts: BTreeSet<_> = accounts.filter(|account| !account.is_empty()).collect();
        let of_account = |account: &String| {
            let trust_domains = self.accounts_of.iter();
            let ids = trust_domains.map(|it| PeerName::Uri(format!("spiffe://{it}/{account}")));
            ids.collect::<Vec<_>>()
        };
        let mut names: Vec<_> = accounts.into_iter().flat_map(of_account).collect();
        if names.is_empty() {
            let anybody = self.accounts_of.iter().cloned();
            names = anybody.map(PeerName::TrustDomain).collect();
        }
        self.names = names;
    }
}

/// Whom clients of the mesh come from: those of its trust domains, or of them the names that are given.
pub(super) fn of_clients(
    given: &[Located<String>],
    mesh: &Mesh,
    at: Position,
) -> Refusable<Vec<PeerName>> {
    let given = names(given, Peers::Clients)?;
    if let Some(other) = given.iter().find(|name| !matches!(name, PeerName::Uri(_))) {
        let message = format!("`{other}` in `tls.subjectAltNames` is no name of the mesh");
        let remedy = "write SPIFFE ids, as in spiffe://cluster.local/ns/shop/sa/orders";
        return Err(refused_for(Peers::Clients, (at, message), remedy));
    }
    Ok(match given.is_empty() {
        true => {
            let trust_domains = mesh.trust_domains().map(str::to_owned);
            trust_domains.map(PeerName::TrustDomain).collect()
        }
        false => given,
    })
}
