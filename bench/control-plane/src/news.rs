//! What changes look like where they arrive: each has a version of its own.

use std::collections::BTreeSet;
use std::time::Instant;

use futures_util::StreamExt as _;
use kube::api::{WatchEvent, WatchParams};
use meltemi_proto::aeraki::meta_protocol_proxy::config::route::v1alpha::RouteConfiguration;
use meltemi_proto::envoy::config::cluster::v3::Cluster as WireCluster;
use meltemi_proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use prost::Name as _;
use tokio::sync::mpsc;

use crate::client::Arrival;
use crate::cluster::Shared;
use crate::world::{FIRST_TIMEOUT, Kind, VERSION, mark, marked};

/// A change arrived.
#[derive(Debug)]
pub(crate) enum News {
    /// At a proxy.
    Proxy {
        version: usize,
        client: usize,
        at: Instant,
    },
    /// As an event of a watch.
    Watch { version: usize, at: Instant },
    /// What a proxy was to have at first.
    Clusters { client: usize, count: usize },
}

/// Tells when each version of an object of a kind is an event of a watch.
pub(crate) async fn watch(cluster: Shared, kind: Kind, tell: mpsc::UnboundedSender<News>) {
    let api = cluster.api(kind, None);
    let mut from = "0".to_owned();
    loop {
        let parameters = WatchParams::default().timeout(290);
        let Ok(events) = api.watch(&parameters, &from).await else {
            return;
        };
        let mut events = events.boxed();
        while let Some(event) = events.next().await {
            let at = Instant::now();
            let Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) = event else {
                continue;
            };
            from = object.metadata.resource_version.unwrap_or_default();
            let annotations = object.metadata.annotations.unwrap_or_default();
            let version = annotations.get(VERSION).and_then(|it| it.parse().ok());
            if let Some(version) = version.filter(|version| *version > 0)
                && tell.send(News::Watch { version, at }).is_err()
            {
                return;
            }
        }
    }
}

/// Finds the versions in what arrives.
pub(crate) async fn read(
    mut arrived: mpsc::UnboundedReceiver<Arrival>,
    tell: mpsc::UnboundedSender<News>,
) {
    while let Some(Arrival {
        client,
        at,
        response,
    }) = arrived.recv().await
    {
        let resources = response.resources.iter();
        let bodies = resources.filter_map(|it| it.resource.as_ref());
        let url = &response.type_url;
        let versions: BTreeSet<usize> = if *url == WireCluster::type_url() {
            let count = response.resources.len();
            let _ = tell.send(News::Clusters { client, count });
            let sent = bodies.filter_map(|body| body.unpack::<WireCluster>().ok());
            sent.filter_map(|it| version_of_cluster(&it)).collect()
        } else if *url == ClusterLoadAssignment::type_url() {
            let sent = bodies.filter_map(|body| body.unpack::<ClusterLoadAssignment>().ok());
            sent.filter_map(|it| version_of_endpoints(&it)).collect()
        } else if *url == RouteConfiguration::type_url() {
            let sent = bodies.filter_map(|body| body.unpack::<RouteConfiguration>().ok());
            sent.flat_map(|it| versions_of_routes(&it)).collect()
        } else {
            continue;
        };
        for version in versions {
            let _ = tell.send(News::Proxy {
                version,
                client,
                at,
            });
        }
    }
}

/// Undoes the timeout of [`Size::rule`](crate::world::Size::rule).
fn version_of_cluster(cluster: &WireCluster) -> Option<usize> {
    let timeout = cluster.connect_timeout.as_ref()?;
    let milliseconds = timeout.seconds * 1000 + i64::from(timeout.nanos) / 1_000_000;
    let version = usize::try_from(milliseconds)
        .ok()?
        .checked_sub(FIRST_TIMEOUT)?;
    (version > 0).then_some(version)
}

/// Undoes [`marked`].
fn version_of_endpoints(endpoints: &ClusterLoadAssignment) -> Option<usize> {
    use meltemi_proto::envoy::config::core::v3::address::Address;
    use meltemi_proto::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
    let all = endpoints.endpoints.iter().flat_map(|it| &it.lb_endpoints);
    let mut versions = all.filter_map(|it| {
        let Some(HostIdentifier::Endpoint(endpoint)) = &it.host_identifier else {
            return None;
        };
        let Some(Address::SocketAddress(socket)) = &endpoint.address.as_ref()?.address else {
            return None;
        };
        let parts = socket.address.split('.').map(str::parse::<usize>);
        let parts: Vec<_> = parts.filter_map(Result::ok).collect();
        let [10, high, middle, low] = parts[..] else {
            return None;
        };
        let version = (high.checked_sub(64)? << 16) + (middle << 8) + low;
        (marked(version) == socket.address && version > 0).then_some(version)
    });
    versions.next()
}

/// Undoes [`mark`].
fn versions_of_routes(routes: &RouteConfiguration) -> BTreeSet<usize> {
    let names = routes.routes.iter().map(|route| &route.name);
    let versions = names.filter_map(|name| {
        let version = name
            .split("-version-")
            .nth(1)?
            .trim_end_matches('-')
            .parse()
            .ok()?;
        (name.ends_with(&mark(version)) && version > 0).then_some(version)
    });
    versions.collect()
}
