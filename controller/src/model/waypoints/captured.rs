//! Which addresses of a service lead to its waypoint.

use std::net::IpAddr;

use super::super::{Endpoint, EndpointAddress};
use super::{Port, Resolution, Service, Spec};

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

/// Why connections are not served by a waypoint.
pub(super) struct Hindrance {
    /// What becomes of them.
    pub(super) then: &'static str,
    pub(super) why: &'static str,
    pub(super) remedy: &'static str,
}

pub(super) const NOT_HERE: &str = "connections to it do not come here";

/// On a service that is one with those of its name in other clusters (Istio's `serviceScopeConfigs`, as its charts have it).
const GLOBAL: (&str, &str) = ("istio.io/global", "true");
/// On such a service: what its owner says of the endpoints of this cluster.
const LOCAL_ENDPOINTS: (&str, &str) = ("meltemi.io/local-endpoints", "suffice");

/// Why a service whose endpoints are known in part is not served: whoever dials it expects all of them.
pub(super) fn elsewhere(service: &Service) -> Option<Hindrance> {
    let metadata = &service.source.metadata;
    let (label, global) = GLOBAL;
    let is_global = metadata.labels.get(label).is_some_and(|it| it == global);
    let (annotation, suffice) = LOCAL_ENDPOINTS;
    let said = metadata.annotations.get(annotation);
    let do_suffice = said.is_some_and(|it| it.value == suffice);
    (is_global && !do_suffice).then_some(Hindrance {
        then: "connections to it are closed here",
        why: "it is istio.io/global, and its endpoints in other clusters are not known here",
        remedy: "if those of this cluster are enough, give it the annotation meltemi.io/local-endpoints: suffice; else the \
                 label istio.io/use-waypoint: none",
    })
}

/// Whether its pods have the only addresses that clients can dial.
pub(super) fn is_headless(service: &Service) -> bool {
    match &service.source.spec {
        Spec::Service(spec) => spec.external_name.is_none() && spec.addresses.is_empty(),
        _ => false,
    }
}

/// Why no address of the service leads to a waypoint.
pub(super) fn hindrance(service: &Service) -> Option<Hindrance> {
    let (why, remedy) = match &service.source.spec {
        Spec::Service(spec) if spec.external_name.is_some() => (
            "it is another name of a host, and has no address of its own",
            "write a ServiceEntry for the host, with the label",
        ),
        Spec::Service(_) if is_headless(service) => (
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
    Some(Hindrance {
        then: NOT_HERE,
        why,
        remedy,
    })
}

/// Why nothing that clients of the service dial has its sidecars lead them to a Gateway. Of a headless one they dial pods, which
/// sidecars know by its name.
pub(super) fn of_sidecars(service: &Service) -> Option<Hindrance> {
    match &service.source.spec {
        Spec::Service(spec) if spec.external_name.is_none() => None,
        _ => hindrance(service).map(|hindrance| Hindrance {
            remedy: "give it an address of its own, or take the label meltemi.io/use-gateway away",
            ..hindrance
        }),
    }
}

/// Whether sidecars lead a port: of a headless service they take its own number for the one that pods listen on.
pub(super) fn is_led(service: &Service, port: &Port) -> bool {
    let is_dialled = match &service.source.spec {
        Spec::Service(spec) => !spec.addresses.is_empty(),
        _ => true,
    };
    let is_its = |endpoint: &Endpoint| match endpoint.address {
        EndpointAddress::Tcp(_, number) => number == port.number,
        EndpointAddress::Unix(_) | EndpointAddress::Name(..) => false,
    };
    is_dialled || port.endpoints.iter().all(|it| is_its(it))
}
