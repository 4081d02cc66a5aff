//! `gateways`, by which a rule attaches to the servers of Gateways.

use super::Located;
use super::decode::{Decoder, Fields};
use crate::diagnostic::{Code, Diagnostic};

impl Fields<'_> {
    /// `name` or `namespace/name`, each.
    pub(super) fn gateways(&self, d: &mut Decoder) -> Vec<Located<String>> {
        let gateways = self.strings(d, "gateways");
        for gateway in &gateways {
            let parts = gateway.value.split('/').collect::<Vec<_>>();
            if parts.len() > 2 || parts.iter().any(|p| p.is_empty()) {
                let message = format!("`{}` is not a gateway's name", gateway.value);
                let diagnostic = Diagnostic::error(Code::InvalidValue, message);
                d.report(
                    gateway.at,
                    diagnostic.remedy("write `name` or `namespace/name`"),
                );
            }
        }
        gateways
    }
}
