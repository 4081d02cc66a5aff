//! A Secret with a certificate and its key, or with those who vouch for servers.

use meltemi_tls::{IdentityError, TrustError};

use super::super::{Need, secrets};
use super::{Identity, Peers, Refusable, Refusal, Trust, refused_for};
use crate::index::Objects;
use crate::manifest::{Hidden, Kind, Located, ObjectRef, Secret, Spec};

/// What a Secret of type `Opaque` calls them, and one of type `kubernetes.io/tls`; the first that is
/// there counts, as in Istio.
const CHAIN_AND_KEY: [[&str; 2]; 2] = [["cert", "key"], ["tls.crt", "tls.key"]];
const AUTHORITIES_AND_REVOKED: [[&str; 2]; 2] = [["cacert", "crl"], ["ca.crt", "ca.crl"]];
/// Of a Secret that holds the authorities alone, behind the name of the other; as in Istio.
pub(in crate::model) const AUTHORITIES_APART: &str = "-cacert";

/// `credentialName`.
pub(super) struct Credential<'a> {
    pub(super) name: &'a Located<String>,
    pub(super) namespace: &'a str,
    pub(super) objects: &'a Objects,
    pub(super) peers: Peers,
}

impl Credential<'_> {
    pub(super) fn identity(&self) -> Refusable<Identity> {
        let id = self.id("");
        let wanted = CHAIN_AND_KEY.map(|[_, key]| key);
        let secret = self.secret(&id).ok_or_else(|| self.absent(&id, &wanted))?;
        let pair = CHAIN_AND_KEY.iter().find_map(|[chain, key]| {
            let found = |field| Some((field, &secret.data.get(field)?.0));
            Some((found(*chain)?, found(*key)?))
        });
        let Some(((chain_field, chain), (key_field, key))) = pair else {
            let message = format!("{id} has no certificate with its key");
            let remedy = "add `tls.crt` and `tls.key` to it, or `cert` and `key`";
            return Err(self.lacking(&id, &wanted, self.refused(message, remedy)));
        };
        meltemi_tls::Identity::from_pem(chain, key).map_err(|error| {
            let (field, remedy) = match error {
                IdentityError::Certificate(_) => (
                    chain_field,
                    "put the certificate into it, in PEM, followed by its chain",
                ),
                IdentityError::Key(_) => (
                    key_field,
                    "put the private key into it, in PEM, not encrypted",
                ),
                IdentityError::Mismatch => (
                    key_field,
                    "put a certificate and the key that it was issued for into it",
                ),
            };
            let message = format!("the field `{field}` of {id} cannot be used: {error}");
            self.lacking(&id, &wanted, self.refused(message, remedy))
        })?;
        Ok(Identity::Secret {
            id,
            chain: chain.clone(),
            key: Hidden(key.clone()),
        })
    }

    pub(super) fn trust(&self) -> Refusable<Trust> {
        let (id, own) = (self.id(""), self.id(AUTHORITIES_APART));
        let wanted = AUTHORITIES_AND_REVOKED.map(|[authorities, _]| authorities);
        let found = self.secret(&own).map(|secret| (&own, secret));
        let found = found.or_else(|| Some((&id, self.secret(&id)?)));
        let (held_by, secret) = found.ok_or_else(|| self.absent(&id, &wanted))?;
        let pair = AUTHORITIES_AND_REVOKED
            .iter()
            .find_map(|[authorities, revoked]| {
                let list = secret
                    .data
                    .get(*revoked)
                    .map(|Hidden(list)| (*revoked, list));
                Some(((*authorities, &secret.data.get(*authorities)?.0), list))
            });
        let Some(((field, authorities), list)) = pair else {
            let (whom, otherwise) = match self.peers {
                Peers::Endpoints => ("servers", "; without `credentialName` the system's count"),
                Peers::Clients => ("clients", ""),
            };
            let message = format!("{held_by} has no CA certificates to verify {whom} by");
            let remedy = format!(
                "add `ca.crt` or `cacert` to it, or to a Secret `{}`{otherwise}",
                own.name
            );
            return Err(self.lacking(held_by, &wanted, self.refused(message, &remedy)));
        };
        let revoked = list.map(|(_, list)| list.clone());
        meltemi_tls::Trust::from_pem(authorities, revoked.as_deref()).map_err(|error| {
            let (field, remedy) = match (&error, list) {
                (TrustError::Revocation(_), Some((field, _))) => {
                    (field, "put a revocation list into it, in PEM, or remove it")
                }
                _ => (
                    field,
                    "put the certificates of the authorities into it, in PEM",
                ),
            };
            let message = format!("the field `{field}` of {held_by} cannot be used: {error}");
            self.lacking(held_by, &wanted, self.refused(message, remedy))
        })?;
        Ok(Trust::Secret {
            id,
            authorities: authorities.clone(),
            revoked,
        })
    }

    fn refused(&self, message: String, remedy: &str) -> Box<Refusal> {
        refused_for(self.peers, (self.name.at, message), remedy)
    }

    fn id(&self, suffix: &str) -> ObjectRef {
        let name = format!("{}{suffix}", self.name.value);
        ObjectRef::new(Kind::Secret, self.namespace, &name)
    }

    fn secret(&self, id: &ObjectRef) -> Option<&Secret> {
        match &self.objects.get(id)?.spec {
            Spec::Secret(secret) => Some(secret),
            _ => None,
        }
    }

    fn absent(&self, id: &ObjectRef, wanted: &[&str]) -> Box<Refusal> {
        let wanted: Vec<_> = wanted.iter().map(|field| (*field).to_owned()).collect();
        Box::new(Refusal {
            at: self.name.at,
            diagnostic: secrets::absent(id, &wanted, self.objects),
            needs: vec![Need::Secret {
                id: id.clone(),
                fields: wanted,
            }],
        })
    }

    /// Where somebody took it out of the Secret, what it was stays.
    fn lacking(&self, id: &ObjectRef, wanted: &[&str], refusal: Box<Refusal>) -> Box<Refusal> {
        let need = Need::Secret {
            id: id.clone(),
            fields: wanted.iter().map(|field| (*field).to_owned()).collect(),
        };
        Box::new(Refusal {
            needs: vec![need],
            ..*refusal
        })
    }
}
