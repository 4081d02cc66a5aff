//! What is needed to speak TLS with the endpoints of a cluster, or why it cannot be given.
//!
//! Whatever is missing or wrong refuses the cluster, and nothing else: without the rule its endpoints
//! would be dialled in plaintext.

use std::sync::Arc;

use meltemi_policy::ClusterName;
use meltemi_tls::PeerName;

use super::{Context, Findings, Need, Service};
use crate::diagnostic::{Code, Diagnostic, Position};
use crate::index::Objects;
use crate::manifest::{Hidden, Located, Object, ObjectRef, Tls};

pub(crate) use clients::ListenerTls;
pub(super) use clients::of as with_clients;
#[cfg(feature = "kubernetes")]
pub(super) use credential::AUTHORITIES_APART;

mod clients;
mod credential;
mod mesh;

/// TLS of a cluster.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ClusterTls {
    /// None: the server is told no name.
    pub(crate) sni: Option<String>,
    /// None: nothing is shown to the server.
    pub(crate) identity: Option<Identity>,
    /// None: whoever answers is believed.
    pub(crate) trust: Option<Trust>,
    /// Of which the server's certificate must have one.
    pub(crate) names: Vec<PeerName>,
    /// Where the names are those of the accounts that the endpoints run as: the trust domains of these.
    pub(crate) accounts_of: Vec<String>,
}

/// Who we are.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Identity {
    /// Whom the CA of the mesh says the proxy is.
    Workload,
    Secret {
        /// Of the Secret, which may hold both this and [`Trust`].
        id: ObjectRef,
        chain: Vec<u8>,
        key: Hidden<Vec<u8>>,
    },
    /// Paths of the proxy.
    Files { chain: String, key: String },
}

/// Who vouches for peers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Trust {
    /// The roots of the mesh.
    Workload,
    Secret {
        /// The one that is named.
        id: ObjectRef,
        authorities: Vec<u8>,
        revoked: Option<Vec<u8>>,
    },
    /// Paths of the proxy.
    Files {
        /// None: those of the proxy's system.
        authorities: Option<String>,
        revoked: Option<String>,
    },
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peers {
    Endpoints,
    Clients,
}

/// Why a wish for TLS is not fulfilled.
struct Refusal {
    at: Position,
    diagnostic: Diagnostic,
    /// What would mend it.
    needs: Vec<Need>,
}

type Refusable<T> = Result<T, Box<Refusal>>;

/// None where it cannot be given, which is said at `tls`, a part of the DestinationRule `rule`.
pub(super) fn of(
    (rule, tls): (&Arc<Object>, &Tls),
    (service, cluster): (&Service, &ClusterName),
    context: &Context<'_>,
    findings: &mut Findings,
) -> Option<ClusterTls> {
    let objects = context.objects;
    let wish = Wish { rule, tls, objects };
    let fulfilled = match wish.is_for_workloads() {
        true => wish.with_workloads((service, cluster), context.mesh),
        false => wish.fulfil(service),
    };
    match fulfilled {
        Ok(tls) => Some(tls),
        Err(refusal) => {
            findings.blameless(rule, refusal.at, refusal.diagnostic);
            findings.needing(refusal.needs);
            None
        }
    }
}

struct Wish<'a> {
    rule: &'a Arc<Object>,
    tls: &'a Tls,
    objects: &'a Objects,
}

impl Wish<'_> {
    fn fulfil(&self, service: &Service) -> Refusable<ClusterTls> {
        let is_mutual = self.is_mutual()?;
        self.check_fields(is_mutual)?;
        let sni = self.sni(service)?;
        Ok(ClusterTls {
            identity: self.identity(is_mutual)?,
            names: self.names(sni.as_ref(), service)?,
            trust: self.trust()?,
            sni: match sni {
                Some(PeerName::Dns(name)) => Some(name),
                _ => None,
            },
            accounts_of: vec![],
        })
    }

    fn is_for_workloads(&self) -> bool {
        let mode = self.tls.mode.as_ref();
        mode.is_some_and(|mode| mode.value == "ISTIO_MUTUAL")
    }

    fn is_mutual(&self) -> Refusable<bool> {
        let mark = self.tls.mark.at;
        match self.tls.mode.as_ref().map(|mode| mode.value.as_str()) {
            Some("SIMPLE") => Ok(false),
            Some(_) => Ok(true),
            None => {
                let message =
                    "`tls` without a `mode` names what only TLS needs, so it asks for TLS";
                let remedy = "set `mode: SIMPLE`, or `MUTUAL` to show a certificate; `DISABLE` \
                              where plaintext is meant";
                Err(refused(mark, message, remedy))
            }
        }
    }

    /// Istio's rules about what may stand beside what.
    fn check_fields(&self, is_mutual: bool) -> Refusable<()> {
        let tls = self.tls;
        let own = [
            ("clientCertificate", &tls.client_certificate),
            ("privateKey", &tls.private_key),
        ];
        let authorities = [
            ("caCertificates", &tls.ca_certificates),
            ("caCrl", &tls.ca_crl),
        ];
        let mut files = own.iter().chain(&authorities);
        if tls.credential_name.is_some()
            && let Some((name, Some(field))) = files.find(|(_, field)| field.is_some())
        {
            let message =
                format!("`tls.{name}` stands beside `tls.credentialName`, which names all of it");
            return Err(refused(field.at, message, "remove one of the two"));
        }
        for (name, field) in own {
            match field {
                None if is_mutual && tls.credential_name.is_none() => {
                    let message = format!("`tls.{name}` is missing: MUTUAL shows a certificate");
                    let remedy = "give `clientCertificate` and `privateKey`, files of the proxy, or a \
                                  Secret as `credentialName`";
                    return Err(refused(tls.mark.at, message, remedy));
                }
                Some(field) if !is_mutual => {
                    let message = format!("`tls.{name}` is never shown: the mode is SIMPLE");
                    return Err(refused(
                        field.at,
                        message,
                        "set `mode: MUTUAL`, or remove it",
                    ));
                }
                _ => {}
            }
        }
        if tls.insecure_skip_verify {
            self.check_unverified(is_mutual)?;
        }
        Ok(())
    }

    /// What `insecureSkipVerify` leaves without an effect.
    fn check_unverified(&self, is_mutual: bool) -> Refusable<()> {
        let tls = self.tls;
        let credential = tls.credential_name.as_ref().filter(|_| !is_mutual);
        let unused = [
            ("caCertificates", tls.ca_certificates.as_ref()),
            ("caCrl", tls.ca_crl.as_ref()),
            ("credentialName", credential),
            ("subjectAltNames", tls.subject_alt_names.first()),
        ];
        let mut unused = unused.into_iter();
        let unused = unused.find_map(|(name, field)| Some((name, field?)));
        unused.map_or(Ok(()), |(name, field)| {
            let message =
                format!("`tls.{name}` has no effect: `insecureSkipVerify` verifies nothing");
            Err(refused(field.at, message, "remove one of the two"))
        })
    }

    /// The host of the service, unless another name is given: what Istio takes of an HTTP request. Of an
    /// address nothing is sent.
    fn sni(&self, service: &Service) -> Refusable<Option<PeerName>> {
        let Some(sni) = &self.tls.sni else {
            return Ok(service.host.parse().ok());
        };
        match sni.value.parse() {
            Ok(name @ PeerName::Dns(_)) => Ok(Some(name)),
            _ => {
                let message = format!("`tls.sni` is no DNS name: `{}`", sni.value);
                let remedy = "write a host name, or leave it out: it is the host then";
                Err(refused(sni.at, message, remedy))
            }
        }
    }

    /// Those of the rule, else of the ServiceEntry, else the name that the server is told.
    fn names(&self, sni: Option<&PeerName>, service: &Service) -> Refusable<Vec<PeerName>> {
        if self.tls.insecure_skip_verify {
            return Ok(vec![]);
        }
        let mut names = names(&self.tls.subject_alt_names, Peers::Endpoints)?;
        if names.is_empty() {
            names.clone_from(&service.subject_alt_names);
        }
        if names.is_empty() {
            names.extend(sni.cloned());
        }
        if names.is_empty() {
            let message = format!(
                "nothing says whose certificate the servers of {} have",
                service.host
            );
            let remedy = "name one in `tls.subjectAltNames`, or set `tls.sni`";
            return Err(refused(self.tls.mark.at, message, remedy));
        }
        Ok(names)
    }

    fn identity(&self, is_mutual: bool) -> Refusable<Option<Identity>> {
        let tls = self.tls;
        if !is_mutual {
            return Ok(None);
        }
        if let Some(name) = &tls.credential_name {
            return self.credential(name).identity().map(Some);
        }
        let files = tls
            .client_certificate
            .as_ref()
            .zip(tls.private_key.as_ref());
        Ok(files.map(|(chain, key)| Identity::Files {
            chain: chain.value.clone(),
            key: key.value.clone(),
        }))
    }

    fn trust(&self) -> Refusable<Option<Trust>> {
        let tls = self.tls;
        if tls.insecure_skip_verify {
            return Ok(None);
        }
        if let Some(name) = &tls.credential_name {
            return self.credential(name).trust().map(Some);
        }
        let path = |field: &Option<Located<String>>| field.as_ref().map(|path| path.value.clone());
        Ok(Some(Trust::Files {
            authorities: path(&tls.ca_certificates),
            revoked: path(&tls.ca_crl),
        }))
    }

    fn credential<'a>(&'a self, name: &'a Located<String>) -> credential::Credential<'a> {
        credential::Credential {
            name,
            namespace: &self.rule.id.namespace,
            objects: self.objects,
            peers: Peers::Endpoints,
        }
    }
}

fn names(given: &[Located<String>], peers: Peers) -> Refusable<Vec<PeerName>> {
    let names = given.iter().map(|name| {
        name.value.parse().map_err(|_| {
            let message = format!(
                "`tls.subjectAltNames` has no DNS name, URI or IP address: `{}`",
                name.value
            );
            let remedy = "write names as certificates have them; `*` stands for nothing here";
            refused_for(peers, (name.at, message), remedy)
        })
    });
    names.collect()
}

fn refused(at: Position, message: impl Into<String>, remedy: &str) -> Box<Refusal> {
    refused_for(Peers::Endpoints, (at, message.into()), remedy)
}

fn refused_for(peers: Peers, (at, message): (Position, String), remedy: &str) -> Box<Refusal> {
    let until_then = match peers {
        Peers::Endpoints => "its clusters are refused, never dialled in plaintext",
        Peers::Clients => "the server is not opened, in plaintext neither",
    };
    let remedy = format!("{remedy}; until then {until_then}");
    Box::new(Refusal {
        at,
        diagnostic: Diagnostic::error(Code::TlsUnavailable, message).remedy(remedy),
        needs: vec![],
    })
}
