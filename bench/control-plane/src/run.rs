//! One run: fill, connect, change, wait for the news.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::client::{self, Client};
use crate::cluster::{Cluster, Shared};
use crate::news::{News, read, watch};
use crate::report::Times;
use crate::subject::{Make, Subject};
use crate::world::{Kind, POD, ROUTER, RULE, SLICE, namespace};
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
    let makes = [
        (Make::Meltemi, &arguments.controller),
        (Make::Istio, &arguments.istiod),
    ];
    let mut version = 0;
    for (make, program) in makes {
        if let Some(program) = program {
            version = measure(arguments, (make, program), &cluster, version).await?;
        }
    }
    Ok(())
}

/// All of one control plane. The versions begin behind one, and the last is returned.
async fn measure(
    arguments: &Arguments,
    (make, program): (Make, &Path),
    cluster: &Shared,
    version: usize,
) -> Result<usize> {
    say!("\n{make}");
    let start = |proxies, version| {
        Bench::start(
            arguments,
            (make, program),
            cluster.clone(),
            (proxies, version),
        )
    };
    let mut bench = start(arguments.proxies, version).await?;
    for kind in make.kinds() {
        bench.one_by_one(*kind, arguments.changes).await?;
    }
    bench.busy(arguments.rate).await?;
    bench.say_memory("after all changes")?;
    let version = bench.version;
    drop(bench);
    let few = arguments.proxies / arguments.size.gateways;
    let mut bench = start(few.max(1), version).await?;
    for kind in make.kinds() {
        bench.cost(*kind, arguments.counted).await?;
    }
    bench.say_memory("with these alone")?;
    Ok(bench.version)
}

struct Bench<'a> {
    arguments: &'a Arguments,
    cluster: Shared,
    // They end before whom they ask.
    _tasks: JoinSet<()>,
    subject: Subject,
    news: mpsc::UnboundedReceiver<News>,
    /// Who has to hear of a change, by Gateway.
    proxies: Vec<BTreeSet<usize>>,
    /// How many of the Gateways have proxies: those are changed.
    used: usize,
    /// Of the last change; each has its own.
    version: usize,
}

/// A change on its way.
struct Change {
    /// What it is of, by kind and number.
    object: (Kind, usize),
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
    /// Starts the control plane and this many proxies, of one Gateway where they are not enough for all, and waits until
    /// each has its clusters.
    async fn start(
        arguments: &'a Arguments,
        (make, program): (Make, &Path),
        cluster: Shared,
        (proxies, version): (usize, usize),
    ) -> Result<Self> {
        let size = arguments.size;
        let started = Instant::now();
        let subject = Subject::start(make, program, &cluster.server.kubeconfig());
        let (tell, news) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        for kind in make.kinds() {
            tasks.spawn(watch(cluster.clone(), *kind, tell.clone()));
        }
        let (arrivals, arrived) = mpsc::unbounded_channel();
        tasks.spawn(read(arrived, tell));
        let used = if proxies < size.gateways {
            1
        } else {
            size.gateways
        };
        let mut of_gateway = vec![BTreeSet::new(); size.gateways];
        for number in 0..proxies {
            let gateway = number % used;
            of_gateway[gateway].insert(number);
            let client = Client {
                number,
                make,
                control_plane: subject.address,
                namespace: (!arguments.everything).then(|| namespace(gateway)),
            };
            let arrivals = arrivals.clone();
            tasks.spawn(async move {
                if let Err(error) = client::run(client, arrivals).await {
                    say!("client {number}: {error:#}");
                }
            });
        }
        let mut bench = Self {
            arguments,
            cluster,
            subject,
            news,
            proxies: of_gateway,
            used,
            version,
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
        // One of the first Gateways, and what is its own in turn.
        let pick = |count: usize| {
            let (gateway, turn) = (version % self.used, version / self.used);
            gateway + turn % (count / size.gateways).max(1) * size.gateways
        };
        let (gateway, number, object) = match kind {
            ROUTER => {
                let n = pick(size.routers);
                (n % size.gateways, n, size.router(n, version))
            }
            RULE => {
                let gateway = pick(size.gateways);
                (gateway, gateway, size.rule(gateway, version))
            }
            _ => {
                let n = pick(size.services);
                // Another one than when the service had its turn before.
                let in_turn = size.services / size.gateways * self.used;
                let is_ready = version / in_turn.max(1) % 2 == 1;
                let status = size.status(n, size.endpoints - 1, is_ready);
                self.cluster.change_status(POD, &status).await?;
                (size.gateway_of(n), n, size.slice(n, version, is_ready))
            }
        };
        let missing = match self.arguments.everything {
            true => self.proxies.iter().flatten().copied().collect(),
            false => self.proxies[gateway].clone(),
        };
        let written = Instant::now();
        self.cluster.change(kind, &object).await?;
        Ok(Change {
            object: (kind, number),
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
        News::Proxy { version, .. } | News::Watch { version, .. } => version,
        News::Clusters { .. } => return,
    };
    let Some(object) = under_way.get(&version).map(|change| change.object) else {
        return;
    };
    // Who has a version of an object will not be sent an earlier one any more.
    let reached = under_way.range_mut(..=version);
    for (known, change) in reached.filter(|(_, change)| change.object == object) {
        match news {
            News::Proxy { client, at, .. } => {
                if change.missing.remove(&client) {
                    change.last = change.last.max(at);
                }
            }
            // What is written of its status is news of the same version.
            News::Watch { at, .. } if *known == version => {
                change.watched.get_or_insert(at);
            }
            News::Watch { .. } | News::Clusters { .. } => {}
        }
    }
    under_way.retain(|_, change| {
        let is_settled = change.is_settled();
        if is_settled {
            outcome.add(change);
        }
        !is_settled
    });
}

impl Outcome {
    fn add(&mut self, change: &Change) {
        // Nobody is concerned where the proxies are those of another Gateway.
        if change.last > change.written {
            self.from_write.add(change.last - change.written);
            let watched = change.watched.unwrap_or(change.written);
            self.from_watch
                .add(change.last.saturating_duration_since(watched));
        }
    }

    fn say(&self, what: &str) {
        say!("{what}: from write to the last proxy {}", self.from_write);
        say!(
            "{what}: from watch event to the last proxy {}",
            self.from_watch
        );
    }
}
