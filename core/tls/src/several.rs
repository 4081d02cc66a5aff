//! Which of several certificates a client is shown.

use std::cmp::Reverse;
use std::sync::Arc;

use rustls::SignatureAlgorithm;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::Identity;

/// The certificates of one server.
#[derive(Debug)]
pub(crate) struct Several(Vec<Identity>);

/// How well a certificate is for a name, the best last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Other,
    Wildcard,
    Exact,
}

impl Several {
    pub(crate) fn new(all: &[Identity]) -> Self {
        Self(all.to_vec())
    }
}

impl ResolvesServerCert for Several {
    /// As in Envoy, of those that the client can verify one for the name that it asks for, before it one of ECDSA, before
    /// it the first.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let asked = hello.server_name();
        let can_sign = |it: &&Identity| {
            let scheme = it.certified.key.choose_scheme(hello.signature_schemes());
            scheme.is_some()
        };
        let capable = self.0.iter().filter(can_sign).enumerate();
        let best = capable.max_by_key(|(i, it)| {
            let is_ecdsa = it.certified.key.algorithm() == SignatureAlgorithm::ECDSA;
            (fit(&it.names, asked), is_ecdsa, Reverse(*i))
        });
        // Where none will do the first is as good as any: rustls says why.
        let best = best.map(|(_, it)| it).or(self.0.first())?;
        Some(Arc::clone(&best.certified))
    }
}

fn fit(names: &[String], asked: Option<&str>) -> Fit {
    let Some(asked) = asked else {
        return Fit::Other;
    };
    let parent = asked.split_once('.').map(|(_, parent)| parent);
    let fits = names.iter().map(|name| match name.strip_prefix("*.") {
        Some(wildcard) if parent.is_some_and(|it| it.eq_ignore_ascii_case(wildcard)) => {
            Fit::Wildcard
        }
        None if name.eq_ignore_ascii_case(asked) => Fit::Exact,
        _ => Fit::Other,
    });
    fits.max().unwrap_or(Fit::Other)
}
