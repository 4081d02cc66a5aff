//! What of a ServiceEntry cannot be resolved, by Istio's own rules (`ValidateServiceEntry`).

use std::net::IpAddr;

use super::super::decode::Decoder;
use super::{Resolution, ServiceEntry};
use crate::diagnostic::{Code, Diagnostic, Position};

/// `at` is where the resolution stands.
pub(super) fn check(d: &mut Decoder, entry: &ServiceEntry, at: Position) {
    if !entry.resolution.has_names() {
        return;
    }
    if entry.endpoints.is_empty() && entry.selector.is_none() {
        for host in entry
            .hosts
            .iter()
            .filter(|host| host.value.starts_with('*'))
        {
            let message = format!(
                "`{}` cannot be resolved: it stands for many names",
                host.value
            );
            let remedy = "name a host, or the names as `endpoints`";
            d.invalid(host.at, message, remedy);
        }
    }
    if let (Resolution::DnsRoundRobin, Some(second)) = (entry.resolution, entry.endpoints.get(1)) {
        let message = "`resolution: DNS_ROUND_ROBIN` has one endpoint, and this is another";
        let remedy = "leave one name, whose addresses take turns, or write `resolution: DNS`";
        d.invalid(second.address.at, message, remedy);
    }
    let is_ip = |text: &str| text.parse::<IpAddr>().is_ok();
    let mut endpoints = entry.endpoints.iter();
    if !entry.endpoints.is_empty() && endpoints.all(|it| is_ip(&it.address.value)) {
        let message = "nothing is resolved: the address of each endpoint is an IP address";
        let diagnostic = Diagnostic::warning(Code::NotInForce, message);
        d.report(at, diagnostic.remedy("write `resolution: STATIC`"));
    }
}
