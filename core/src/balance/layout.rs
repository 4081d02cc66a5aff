//! What all workers need of a cluster's endpoints, made once.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use meltemi_policy::{HashTables, Locality, Place};

use super::Balancer;
use super::plan::Plan;
use crate::config::{Address, Cluster};

/// A cluster's endpoints, ready to be picked from, while none of them is ejected.
#[derive(Debug)]
pub struct Layout {
    cluster: Arc<Cluster>,
    plan: Plan,
    /// Balancers that wait for their workers.
    ready: Mutex<Vec<Balancer>>,
    /// What is hashed of each endpoint; nothing where nothing is.
    names: Arc<[String]>,
    tables: Arc<HashTables>,
    /// Of each endpoint.
    localities: Vec<Arc<Locality>>,
    origin: Option<Origin>,
}

/// Where the endpoints of a layout were in the one before.
#[derive(Debug)]
pub(crate) struct Origin {
    /// Weak: what is over is not kept for this.
    before: Weak<Layout>,
    /// Whether all that endpoints are told of their cluster is as it was.
    pub(crate) same_rules: bool,
    /// Of each endpoint; `None`: it is new.
    pub(crate) places: Vec<Option<Was>>,
}

/// An endpoint that was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Was {
    pub(crate) place: usize,
    /// It has another locality now.
    pub(crate) moved: bool,
}

impl Layout {
    /// For a proxy at `own`.
    pub fn new(cluster: Arc<Cluster>, own: Place<'_>) -> Self {
        let plan = Plan::new(&cluster, own);
        let names: Arc<[String]> = match cluster.hashing {
            Some(_) => cluster.hashed_names().collect(),
            None => Arc::default(),
        };
        let tables = cluster.hashing.map(|kind| plan.hash_tables(kind, &names));
        Self {
            localities: localities(&cluster),
            tables: tables.map_or_else(Arc::default, Arc::new),
            names,
            plan,
            ready: Mutex::default(),
            cluster,
            origin: None,
        }
    }

    fn following(self, before: &Arc<Self>) -> Self {
        Self {
            origin: Some(Origin::new(&self.cluster, before)),
            ..self
        }
    }

    /// Has a balancer ready for each of so many workers.
    fn make_ready(&self, workers: usize) {
        let make = || Balancer::of(self.plan.clone(), rand::random());
        *self.lock() = std::iter::repeat_with(make).take(workers).collect();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Balancer>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A worker's own. `random` decides where round robin starts, so that workers do not walk in step;
    /// those that are ready have such numbers of their own.
    pub(crate) fn balancer(&self, random: u64) -> Balancer {
        if let Some(ready) = self.lock().pop() {
            return ready;
        }
        Balancer::of(self.plan.clone(), random)
    }

    pub(crate) fn names(&self) -> &Arc<[String]> {
        &self.names
    }

    pub(crate) fn tables(&self) -> &Arc<HashTables> {
        &self.tables
    }

    /// The addresses of its endpoints, and where these are.
    pub(crate) fn endpoints(&self) -> impl Iterator<Item = (&Address, &Arc<Locality>)> {
        let hosts = self.cluster.endpoints.hosts.iter();
        hosts.map(|host| &host.address).zip(&self.localities)
    }

    /// Where its endpoints were in `before`, if it was made after that.
    pub(crate) fn origin(&self, before: &Weak<Self>) -> Option<&Origin> {
        let origin = self.origin.as_ref();
        origin.filter(|origin| origin.before.ptr_eq(before))
    }
}

/// Those of one place share one.
fn localities(cluster: &Cluster) -> Vec<Arc<Locality>> {
    let mut localities: Vec<Arc<Locality>> = Vec::with_capacity(cluster.endpoints.hosts.len());
    for host in &cluster.endpoints.hosts {
        // A control plane names them locality by locality.
        let last = localities.last().filter(|last| ***last == host.locality);
        let locality = last.cloned();
        localities.push(locality.unwrap_or_else(|| Arc::new(host.locality.clone())));
    }
    localities
}

impl Origin {
    fn new(cluster: &Cluster, before: &Arc<Layout>) -> Self {
        let old = &before.cluster;
        let known = old.endpoints.hosts.iter().enumerate();
        let known: HashMap<&Address, usize> =
            known.map(|(place, host)| (&host.address, place)).collect();
        let hosts = cluster.endpoints.hosts.iter();
        let places = hosts.map(|host| {
            let place = *known.get(&host.address)?;
            let moved = old.endpoints.hosts.get(place)?.locality != host.locality;
            Some(Was { place, moved })
        });
        Self {
            before: Arc::downgrade(before),
            same_rules: old.lb == cluster.lb && old.outlier == cluster.outlier,
            places: places.collect(),
        }
    }
}

/// The layouts of all clusters of a configuration.
#[derive(Clone, Debug, Default)]
pub struct Layouts {
    by_name: HashMap<String, Arc<Layout>>,
    locality: Locality,
    labels: BTreeMap<String, String>,
}

impl Layouts {
    /// Those of `clusters` for a proxy at `own`, if these are the ones before. Of clusters that are
    /// the same they stay.
    pub(crate) fn next(&self, clusters: &HashMap<String, Arc<Cluster>>, own: Place<'_>) -> Self {
        let same_place = self.locality == *own.locality && self.labels == *own.labels;
        let layout = |(name, cluster): (&String, &Arc<Cluster>)| {
            let before = self.by_name.get(name);
            let same = before.filter(|it| same_place && Arc::ptr_eq(&it.cluster, cluster));
            let layout = same.cloned().unwrap_or_else(|| {
                let layout = Layout::new(Arc::clone(cluster), own);
                Arc::new(match before {
                    Some(before) => layout.following(before),
                    None => layout,
                })
            });
            (name.clone(), layout)
        };
        Self {
            by_name: clusters.iter().map(layout).collect(),
            locality: own.locality.clone(),
            labels: own.labels.clone(),
        }
    }

    /// The same, but of these clusters as `other` has them.
    #[must_use]
    pub(crate) fn with<'n>(
        mut self,
        names: impl Iterator<Item = &'n String>,
        other: &Self,
    ) -> Self {
        for name in names {
            if let Some(layout) = other.by_name.get(name) {
                self.by_name.insert(name.clone(), Arc::clone(layout));
            }
        }
        self
    }

    /// Has what so many workers need of the layouts that are new since `before`.
    pub(crate) fn make_ready(&self, before: &Self, workers: usize) {
        for (name, layout) in &self.by_name {
            let same = before.by_name.get(name);
            if same.is_none_or(|same| !Arc::ptr_eq(same, layout)) {
                layout.make_ready(workers);
            }
        }
    }

    /// That of a cluster, if it was made.
    pub(crate) fn of(&self, name: &str, cluster: &Arc<Cluster>) -> Option<&Arc<Layout>> {
        let layout = self.by_name.get(name);
        layout.filter(|layout| Arc::ptr_eq(&layout.cluster, cluster))
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use super::*;
    use crate::config::{Endpoint, Endpoints, Health};

    /// Endpoints at these ports and localities.
    fn cluster(endpoints: &[(u16, &str)]) -> Arc<Cluster> {
        let hosts = endpoints.iter().map(|(port, locality)| Endpoint {
            address: Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, *port))),
            hostname: String::new(),
            weight: 1,
            locality: locality.parse().unwrap(),
            priority: 0,
            health: Health::Healthy,
            labels: BTreeMap::new(),
        });
        Arc::new(Cluster {
            endpoints: Arc::new(Endpoints {
                hosts: hosts.collect(),
                ..Endpoints::default()
            }),
            ..Cluster::new("cluster")
        })
    }

    fn next(layouts: &Layouts, cluster: &Arc<Cluster>, own: &str) -> Layouts {
        let own = Place {
            locality: &own.parse().unwrap(),
            labels: &BTreeMap::new(),
        };
        layouts.next(&[("cluster".to_owned(), Arc::clone(cluster))].into(), own)
    }

    #[test]
    fn endpoints_are_followed_and_what_is_the_same_stays() {
        let first = cluster(&[(1, "r/a"), (2, "r/a"), (3, "r/b")]);
        let layouts = next(&Layouts::default(), &first, "r");
        let one = Arc::clone(layouts.of("cluster", &first).unwrap());
        let same = next(&layouts, &first, "r");
        assert!(Arc::ptr_eq(&one, same.of("cluster", &first).unwrap()));

        let second = cluster(&[(3, "r/b"), (4, "r/b"), (1, "r/b")]);
        assert!(same.of("cluster", &second).is_none());
        let layouts = next(&same, &second, "r");
        let two = layouts.of("cluster", &second).unwrap();
        let was = |place, moved| Some(Was { place, moved });
        let origin = two.origin(&Arc::downgrade(&one)).unwrap();
        assert_eq!(origin.places, [was(2, false), None, was(0, true)]);
        assert!(origin.same_rules);
        assert!(two.origin(&Arc::downgrade(two)).is_none());

        let elsewhere = next(&layouts, &second, "r/b");
        assert!(!Arc::ptr_eq(two, elsewhere.of("cluster", &second).unwrap()));
    }
}
