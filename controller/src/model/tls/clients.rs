//! What is needed to speak TLS with the clients of a Gateway's server, or why it cannot be given.
//!
//! Whatever is missing or wrong refuses the server, and nothing else: it is not opened, never in
//! plaintext instead.

use std::sync::Arc;

use meltemi_tls::{PeerName, Versions};

use super::credential::Credential;
use super::{Identity, Peers, Refusable, Refusal, Trust, mesh};
use crate::diagnostic::Position;
use crate::index::Objects;
use crate::manifest::{CertificateFiles, CredentialName, Located, Object, ServerTls};
use crate::model::locality::Mesh;
use crate::model::{Context, Findings};

/// TLS of a server.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ListenerTls {
    /// Of which a client is shown the one that fits what it asks for; at least one.
    pub(crate) identities: Vec<Identity>,
    /// None: clients are not asked who they are.
    pub(crate) clients: Option<Clients>,
    pub(crate) versions: Versions,
}

/// Which clients are let in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Clients {
    pub(crate) trust: Trust,
    /// Of which a certificate must have one; none: it may be for anybody.
    pub(crate) names: Vec<PeerName>,
    /// Whether one without a certificate is refused.
    pub(crate) required: bool,
}

/// None where it cannot be given, which is said at `tls`, a part of the Gateway.
pub(in crate::model) fn of(
    gateway: &Arc<Object>,
    tls: &ServerTls,
    context: &Context<'_>,
    findings: &mut Findings,
) -> Option<ListenerTls> {
    let wish = Wish {
        gateway,
        tls,
        objects: context.objects,
        mesh: context.mesh,
    };
    match wish.fulfil() {
        Ok(tls) => Some(tls),
        Err(refusal) => {
            findings.blameless(gateway, refusal.at, refusal.diagnostic);
            findings.needing(refusal.needs);
            None
        }
    }
}

struct Wish<'a> {
    gateway: &'a Arc<Object>,
    tls: &'a ServerTls,
    objects: &'a Objects,
    mesh: &'a Mesh,
}

/// How a client proves who it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Simple,
    Mutual {
        required: bool,
    },
    /// By a certificate of the mesh.
    Workload,
}

impl Wish<'_> {
    fn fulfil(&self) -> Refusable<ListenerTls> {
        if let Some(field) = &self.tls.unsupported {
            return Err(unsupported(field));
        }
        let mode = self.mode()?;
        self.check_fields(mode)?;
        let versions = self.versions()?;
        let clients = match mode {
            Mode::Simple => None,
            Mode::Workload => Some(Clients {
                trust: Trust::Workload,
                names: mesh::of_clients(&self.tls.subject_alt_names, self.mesh, self.tls.mark.at)?,
                required: true,
            }),
            Mode::Mutual { required } => Some(Clients {
                trust: self.trust()?,
                names: self.names()?,
                required,
            }),
        };
        Ok(ListenerTls {
            identities: match mode {
                Mode::Workload => vec![Identity::Workload],
                Mode::Simple | Mode::Mutual { .. } => self.identities()?,
            },
            clients,
            versions,
        })
    }

    fn mode(&self) -> Refusable<Mode> {
        let (message, remedy) = match self.tls.mode.as_ref().map(|mode| mode.value.as_str()) {
            Some("SIMPLE") => return Ok(Mode::Simple),
            Some("MUTUAL") => return Ok(Mode::Mutual { required: true }),
            Some("OPTIONAL_MUTUAL") => return Ok(Mode::Mutual { required: false }),
            Some("ISTIO_MUTUAL") => return Ok(Mode::Workload),
            mode => {
                let said = mode.map_or_else(
                    || "`tls` without a `mode` is PASSTHROUGH".to_owned(),
                    |mode| format!("`tls.mode: {mode}`"),
                );
                let message = format!(
                    "{said}, which passes on what it cannot read: requests of the protocol cannot be \
                     routed"
                );
                (
                    message,
                    "set `SIMPLE` or `MUTUAL`, with a certificate; without `tls` clients speak plaintext",
                )
            }
        };
        Err(refused(self.tls.mark.at, message, remedy))
    }

    /// Istio's rules about what may stand beside what.
    fn check_fields(&self, mode: Mode) -> Refusable<()> {
        let tls = self.tls;
        let own: Vec<_> = tls.certificates.iter().flat_map(fields_of).collect();
        let authorities = [
            ("caCertificates", &tls.ca_certificates),
            ("caCrl", &tls.ca_crl),
        ];
        if mode == Mode::Workload {
            let first = tls.credentials.first().map(|it| it.name.clone());
            let named = tls.ca_credential.as_ref().map(|it| it.name.clone());
            let credentials = [("credentialName", &first), ("caCertCredentialName", &named)];
            let given = [&own[..], &authorities, &credentials].concat();
            return mesh::check_alone(Peers::Clients, &given);
        }
        if !tls.credentials.is_empty() {
            let mut files = own.iter().chain(&authorities);
            return match files.find_map(|(name, field)| Some((name, field.as_ref()?))) {
                Some((name, field)) => {
                    let message = format!(
                        "`tls.{name}` stands beside `tls.credentialName`, which names all of it"
                    );
                    Err(refused(field.at, message, "remove one of the two"))
                }
                None => self.check_unasked(mode, &[]),
            };
        }
        let missing = own.iter().find(|(_, field)| field.is_none());
        let missing = missing.map(|(name, _)| *name);
        if let Some(name) = missing.or(own.is_empty().then_some("serverCertificate")) {
            let message = format!("`tls.{name}` is missing: a server shows a certificate");
            let remedy = "give `serverCertificate` and `privateKey`, files of the proxy, or a Secret \
                          as `credentialName`";
            return Err(refused(tls.mark.at, message, remedy));
        }
        if mode != Mode::Simple && tls.ca_certificates.is_none() && tls.ca_credential.is_none() {
            let message = "`tls.caCertificates` is missing: nothing says whose clients are let in";
            let remedy = "give the certificates of the authorities, a file of the proxy, or a Secret \
                          as `credentialName`";
            return Err(refused(tls.mark.at, message, remedy));
        }
        self.check_unasked(mode, &authorities)
    }

    /// What has no effect where clients are not asked for a certificate.
    fn check_unasked(
        &self,
        mode: Mode,
        authorities: &[(&str, &Option<Located<String>>)],
    ) -> Refusable<()> {
        let names = ("subjectAltNames", self.tls.subject_alt_names.first());
        let named = self.tls.ca_credential.as_ref();
        let named = ("caCertCredentialName", named.map(|it| &it.name));
        let authorities = authorities
            .iter()
            .map(|(name, field)| (*name, field.as_ref()));
        let mut unused = authorities.chain([names, named]);
        match unused.find_map(|(name, field)| Some((name, field?))) {
            Some((name, field)) if mode == Mode::Simple => {
                let message = format!(
                    "`tls.{name}` has no effect: with SIMPLE clients are not asked for a certificate"
                );
                Err(refused(
                    field.at,
                    message,
                    "set `mode: MUTUAL`, or remove it",
                ))
            }
            _ => Ok(()),
        }
    }

    fn versions(&self) -> Refusable<Versions> {
        let text = |field: &Option<Located<String>>| {
            field
                .as_ref()
                .map_or("TLS_AUTO", |it| match it.value.as_str() {
                    "TLSV1_2" => "TLSV1_2",
                    "TLSV1_3" => "TLSV1_3",
                    "TLSV1_0" | "TLSV1_1" => "old",
                    _ => "TLS_AUTO",
                })
        };
        let (least, most) = (&self.tls.min_version, &self.tls.max_version);
        let at = |field: &Option<Located<String>>| {
            field.as_ref().map_or(self.tls.mark.at, |field| field.at)
        };
        match (text(least), text(most)) {
            (_, "old") => {
                let message = "`tls.maxProtocolVersion` is below TLS 1.2, the least that is spoken";
                Err(refused(at(most), message, "set `TLSV1_2` or `TLSV1_3`"))
            }
            ("TLSV1_3", "TLSV1_2") => {
                let message = "`tls.maxProtocolVersion` is below `tls.minProtocolVersion`";
                Err(refused(at(most), message, "remove one of the two"))
            }
            ("TLSV1_3", _) => Ok(Versions::Tls13),
            (_, "TLSV1_2") => Ok(Versions::Tls12),
            _ => Ok(Versions::Any),
        }
    }

    fn identities(&self) -> Refusable<Vec<Identity>> {
        let tls = self.tls;
        if !tls.credentials.is_empty() {
            let named = tls.credentials.iter();
            return named.map(|it| self.credential(it).identity()).collect();
        }
        let path = |field: &Option<Located<String>>| {
            let path = field.as_ref().map(|path| path.value.clone());
            path.unwrap_or_default()
        };
        let files = tls.certificates.iter().map(|files| Identity::Files {
            chain: path(&files.server_certificate),
            key: path(&files.private_key),
        });
        Ok(files.collect())
    }

    fn trust(&self) -> Refusable<Trust> {
        let tls = self.tls;
        if let Some(named) = tls.ca_credential.as_ref().or(tls.credentials.first()) {
            return self.credential(named).trust();
        }
        let path = |field: &Option<Located<String>>| field.as_ref().map(|path| path.value.clone());
        Ok(Trust::Files {
            authorities: path(&tls.ca_certificates),
            revoked: path(&tls.ca_crl),
        })
    }

    fn names(&self) -> Refusable<Vec<PeerName>> {
        super::names(&self.tls.subject_alt_names, Peers::Clients)
    }

    fn credential<'a>(&'a self, named: &'a CredentialName) -> Credential<'a> {
        let elsewhere = named.namespace.as_deref();
        Credential {
            name: &named.name,
            namespace: elsewhere.unwrap_or(&self.gateway.id.namespace),
            objects: self.objects,
            peers: Peers::Clients,
        }
    }
}

fn fields_of(files: &CertificateFiles) -> [(&'static str, &Option<Located<String>>); 2] {
    [
        ("serverCertificate", &files.server_certificate),
        ("privateKey", &files.private_key),
    ]
}

fn unsupported(field: &Located<String>) -> Box<Refusal> {
    let (why, remedy) = match field.value.as_str() {
        "httpsRedirect" => ("is for HTTP", "remove it"),
        _ => (
            "is not supported: clients are known by names",
            "name them in `subjectAltNames`",
        ),
    };
    refused(field.at, format!("`tls.{}` {why}", field.value), remedy)
}

fn refused(at: Position, message: impl Into<String>, remedy: &str) -> Box<Refusal> {
    super::refused_for(Peers::Clients, (at, message.into()), remedy)
}
