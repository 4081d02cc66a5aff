//! Which addresses of a service lead to its waypoint.

use std::net::IpAddr;

use super::{Resolution, Service, Spec};

/// Its virtual addresses.
pub(super) fn addresses(service: &Service) -> Vec<IpAddr> {
    match &service.source.spec {
        Spec::Service(spec) => spec.addresses.clone(),
        Spec::ServiceEntry(entry) => {
            // One that is for all of several hosts is the first one's.
            let first = entry.hosts.first().map(|host| &host.value);
            let is_own = |host: Option<&String>| host.or(first) == Some(&service.host);
            let addresses = entry.addresses.iter();
            let own = addresses.filter(|it| is_own(it.host.as_ref()));
            own.map(|it| it.address).collect()
        }
        _ => vec![],
    }
}

/// Why connections do not come to a waypoint.
pub(super) struct Hindrance {
    pub(super) why: &'static str,
    pub(super) remedy: &'static str,
}

/// Why no address of the service leads to a waypoint.
pub(super) fn hindrance(service: &Service) -> Option<Hindrance> {
    let (why, remedy) = match &service.source.spec {
        Spec::Service(spec) if spec.external_name.is_some() => (
            "it is another name of a host, and has no address of its own",
            "write a ServiceEntry for the host, with the label",
        ),
        Spec::Service(spec) if spec.addresses.is_empty() => (
            "it is headless, so that clients dial its pods",
            "give it a cluster IP; or its pods the label istio.io/use-waypoint, and this Gateway the \
             label istio.io/waypoint-for: all",
        ),
        Spec::ServiceEntry(_) if service.resolution == Resolution::None => (
            "with `resolution: NONE` there is nobody to pass them on to",
            "write STATIC with `endpoints`, or DNS",
        ),
        Spec::ServiceEntry(_) if addresses(service).is_empty() => (
            "it has no address yet",
            "let istiod allocate one (PILOT_ENABLE_IP_AUTOALLOCATE), or write `addresses`",
        ),
        _ => return None,
    };
    Some(Hindrance { why, remedy })
}
