//! One run: fill, connect, change, wait for the news.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures_util::StreamExt as _;
use kube::api::{WatchEvent, WatchParams};
use meltemi_proto::aeraki::meta_protocol_proxy::config::route::v1alpha::RouteConfiguration;
use meltemi_proto::envoy::config::cluster::v3::Cluster as WireCluster;
use meltemi_proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use prost::Name as _;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::client::{self, Arrival};
use crate::cluster::{Cluster, Shared};
use crate::report::Times;
use crate::subject::Subject;
use crate::world::{GATEWAY, Kind, ROUTER, SLICE, VERSION, mark, marked, namespace};
use crate::{Arguments, say};

/// Nothing takes so long.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two changes where it is quiet: longer than the controller waits for another.
const PAUSE: Duration = Duration::from_millis(50);

pub(crate) async fn run(arguments: &Arguments) -> Result<()> {
    let started = Instant::now();
    let cluster = Arc::new(Cluster::start().await?);
    cluster.fill(arguments.size).await?;
    say!("the API server was filled in {:.1?}", started.elapsed());
    let mut bench = Bench::start(arguments, cluster.clone(), arguments.proxies).await?;
    for kind in [ROUTER, SLICE] {
        bench.one_by_one(kind, arguments.changes).await?;
    }
    bench.busy(arguments.rate).await?;
    bench.say_memory("after all changes")?;
    let versions = bench.version;
    drop(bench);
    let few = arguments.proxies / arguments.size.gateways;
    let mut bench = Bench::start(arguments, cluster, few.max(1)).await?;
    bench.version = versions;
    for kind in [ROUTER, SLICE] {
        bench.cost(kind, arguments.counted).await?;
    }
    bench.say_memory("with these alone")
}

struct Bench<'a> {
    arguments: &'a Arguments,
    cluster: Shared,
    subject: Subject,
    news: mpsc::UnboundedReceiver<News>,
    /// Who has to hear of a change, by Gateway.
    proxies: Vec<BTreeSet<usize>>,
    /// Of the last change; each has its own.
    version: usize,
    _tasks: JoinSet<()>,
}

/// A change arrived.
#[derive(Debug)]
enum News {
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

/// A change on its way.
struct Change {
    written: Instant,
    watched: Option<Instant>,
    missing: BTreeSet<usize>,
    last: Instant,
}

/// What is known of the changes of one stretch.
#[derive(Default)]
struct Outcome {
    from_write: Times,
    from_watch: Times,
}

impl<'a> Bench<'a> {
    /// Starts the controller and this many proxies, and waits until each has its clusters.
    async fn start(arguments: &'a Arguments, cluster: Shared, proxies: usize) -> Result<Self> {
        let size = arguments.size;
        let started = Instant::now();
        let subject = Subject::start(&arguments.controller, &cluster.server.kubeconfig());
        let (tell, news) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        for kind in [ROUTER, SLICE] {
            tasks.spawn(watch(cluster.clone(), kind, tell.clone()));
        }
        let (arrivals, arrived) = mpsc::unbounded_channel();
        tasks.spawn(read(arrived, tell));
        let address = subject.address;
        let gateways = if proxies < size.gateways {
            1
        } else {
            size.gateways
        };
        let one_each = arguments.proxies / size.gateways;
        let mut of_gateway = vec![BTreeSet::new(); size.gateways];
        for client in 0..proxies {
            let gateway = if proxies <= one_each {
                0
            } else {
                client % gateways
            };
            of_gateway[gateway].insert(client);
            let claim = format!("{}/{GATEWAY}", namespace(gateway));
            let claim = (!arguments.everything).then_some(claim);
            let arrivals = arrivals.clone();
            tasks.spawn(async move {
                if let Err(error) = client::run(client, address, claim, arrivals).await {
                    say!("client {client}: {error:#}");
                }
            });
        }
        let mut bench = Self {
            arguments,
            cluster,
            subject,
            news,
            proxies: of_gateway,
            version: 0,
            _tasks: tasks,
        };
        bench.wait_for_clusters(proxies).await?;
        say!(
            "{proxies} proxies had everything after {:.1?}",
            started.elapsed()
        );
        bench.say_memory("then")?;
        Ok(bench)
    }

    async fn wait_for_clusters(&mut self, proxies: usize) -> Result<()> {
        let size = self.arguments.size;
        let expected = match self.arguments.everything {
            true => size.services,
            false => size.services / size.gateways,
        };
        let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
        while counts.values().filter(|count| **count >= expected).count() < proxies {
            if let News::Clusters { client, count } = self.next().await? {
                *counts.entry(client).or_default() += count;
            }
        }
        Ok(())
    }

    async fn next(&mut self) -> Result<News> {
        let news = tokio::time::timeout(PATIENCE, self.news.recv()).await;
        news.context("no news")?.context("nobody tells")
    }

    /// Changes one object after the other, each when the one before was heard of.
    async fn one_by_one(&mut self, kind: Kind, changes: usize) -> Result<()> {
        let mut outcome = Outcome::default();
        for _ in 0..changes {
            let change = self.change(kind).await?;
            let mut under_way = [(self.version, change)].into();
            self.hear(&mut under_way, &mut outcome).await?;
            tokio::time::sleep(PAUSE).await;
        }
        outcome.say(&format!("{kind}, quiet"));
        Ok(())
    }

    /// Changes endpoints at a steady rate, whether the changes before were heard of or not.
    async fn busy(&mut self, rate: u32) -> Result<()> {
        let mut outcome = Outcome::default();
        let mut under_way = BTreeMap::new();
        let mut clock = tokio::time::interval(Duration::from_secs(1) / rate);
        let before = self.subject.cpu()?;
        for _ in 0..rate * 10 {
            clock.tick().await;
            let change = self.change(SLICE).await?;
            under_way.insert(self.version, change);
            while let Ok(news) = self.news.try_recv() {
                take(news, &mut under_way, &mut outcome);
            }
        }
        self.hear(&mut under_way, &mut outcome).await?;
        outcome.say(&format!("{SLICE}, {rate} a second"));
        let used = self.subject.cpu()? - before;
        say!("  cpu of these {}: {used:.2?}", rate * 10);
        Ok(())
    }

    /// As fast as the API server takes them, and what that costs the controller.
    async fn cost(&mut self, kind: Kind, changes: usize) -> Result<()> {
        let mut outcome = Outcome::default();
        let mut under_way = BTreeMap::new();
        let (before, started) = (self.subject.cpu()?, Instant::now());
        for _ in 0..changes {
            let change = self.change(kind).await?;
            under_way.insert(self.version, change);
            while let Ok(news) = self.news.try_recv() {
                take(news, &mut under_way, &mut outcome);
            }
        }
        let took = started.elapsed();
        self.hear(&mut under_way, &mut outcome).await?;
        let used = self.subject.cpu()? - before;
        outcome.say(&format!("{kind}, {changes} in {took:.1?}"));
        say!("  cpu of these {changes}: {used:.2?}");
        Ok(())
    }

    /// Writes the next version of some object.
    async fn change(&mut self, kind: Kind) -> Result<Change> {
        self.version += 1;
        let (size, version) = (self.arguments.size, self.version);
        let (gateway, object) = match kind {
            ROUTER => {
                let n = version % size.routers;
                (n % size.gateways, size.router(n, version))
            }
            _ => {
                let n = version % size.services;
                (size.gateway_of(n), size.slice(n, version))
            }
        };
        let missing = match self.arguments.everything {
            true => self.proxies.iter().flatten().copied().collect(),
            false => self.proxies[gateway].clone(),
        };
        let written = Instant::now();
        self.cluster.change(kind, &object).await?;
        Ok(Change {
            written,
            watched: None,
            missing,
            last: written,
        })
    }

    /// Waits until all have heard of all changes.
    async fn hear(
        &mut self,
        under_way: &mut BTreeMap<usize, Change>,
        outcome: &mut Outcome,
    ) -> Result<()> {
        under_way.retain(|_, change| !change.is_settled());
        while !under_way.is_empty() {
            match self.next().await {
                Ok(news) => take(news, under_way, outcome),
                Err(error) => bail!("{} changes were not heard of: {error}", under_way.len()),
            }
        }
        Ok(())
    }

    fn say_memory(&self, when: &str) -> Result<()> {
        let (now, most) = self.subject.memory()?;
        say!(
            "memory {when}: {} MiB, at most {} MiB",
            now >> 20,
            most >> 20
        );
        Ok(())
    }
}

impl Change {
    fn is_settled(&self) -> bool {
        self.missing.is_empty() && self.watched.is_some()
    }
}

fn take(news: News, under_way: &mut BTreeMap<usize, Change>, outcome: &mut Outcome) {
    let version = match news {
        News::Proxy {
            version,
            client,
            at,
        } => {
            let Some(change) = under_way.get_mut(&version) else {
                return;
            };
            change.missing.remove(&client);
            change.last = change.last.max(at);
            version
        }
        News::Watch { version, at } => {
            let Some(change) = under_way.get_mut(&version) else {
                return;
            };
            change.watched = Some(at);
            version
        }
        News::Clusters { .. } => return,
    };
    let Some(change) = under_way.get(&version).filter(|change| change.is_settled()) else {
        return;
    };
    // Nobody is concerned where the proxies are those of another Gateway.
    if change.last > change.written {
        outcome.from_write.add(change.last - change.written);
        let watched = change.watched.unwrap_or(change.written);
        outcome
            .from_watch
            .add(change.last.saturating_duration_since(watched));
    }
    under_way.remove(&version);
}

impl Outcome {
    fn say(&self, what: &str) {
        say!("{what}: from write to the last proxy {}", self.from_write);
        say!(
            "{what}: from watch event to the last proxy {}",
            self.from_watch
        );
    }
}

/// Tells when each version of an object of a kind is an event of a watch.
async fn watch(cluster: Shared, kind: Kind, tell: mpsc::UnboundedSender<News>) {
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
async fn read(mut arrived: mpsc::UnboundedReceiver<Arrival>, tell: mpsc::UnboundedSender<News>) {
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
            continue;
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
