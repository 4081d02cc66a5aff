//! What a data source holds itself is printed nowhere: it may be a private key.

use std::fmt::{Debug, Formatter, Result};

use crate::envoy::config::core::v3::DataSource;
use crate::envoy::config::core::v3::data_source::Specifier;

impl Debug for DataSource {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let mut source = f.debug_tuple("DataSource");
        match &self.specifier {
            Some(Specifier::Filename(name)) => source.field(name),
            Some(Specifier::InlineBytes(_) | Specifier::InlineString(_)) => {
                source.field(&format_args!("[redacted]"))
            }
            None => &mut source,
        }
        .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envoy::extensions::transport_sockets::tls::v3::TlsCertificate;

    #[test]
    fn a_private_key_is_printed_nowhere() {
        let source = |specifier| {
            Some(DataSource {
                specifier: Some(specifier),
            })
        };
        for key in [
            Specifier::InlineBytes("hunter2".into()),
            Specifier::InlineString("hunter2".to_owned()),
        ] {
            let certificate = TlsCertificate {
                certificate_chain: source(Specifier::Filename("/etc/readable".to_owned())),
                private_key: source(key),
            };
            let text = format!("{certificate:?} {certificate:#?}");
            assert!(text.contains("/etc/readable") && text.contains("[redacted]"));
            assert!(!text.contains("hunter2"), "{text}");
        }
    }
}
