//! Asks DNS servers, as the system is configured.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RecordType;
use hickory_resolver::system_conf::read_system_conf;
use tokio::time::timeout;

use crate::config::Family;
use crate::dns::{Absent, Found, Question};

/// One lookup with all its tries, whatever the system's configuration says.
const LONGEST: Duration = Duration::from_secs(15);
/// Of one connection to a server.
const QUESTIONS: usize = 256;

/// With the servers, search domains and options of `/etc/resolv.conf`, and `/etc/hosts` first. Both are
/// read when it is first asked, and again after a failure.
#[derive(Debug)]
pub(crate) struct Resolver {
    /// In the place of the system's, if there are any.
    servers: Vec<SocketAddr>,
    made: Mutex<Option<Arc<TokioResolver>>>,
}

impl Resolver {
    pub(crate) fn new(servers: Vec<SocketAddr>) -> Self {
        Self {
            servers,
            made: Mutex::default(),
        }
    }

    pub(crate) async fn look_up(&self, question: &Question) -> Found {
        let resolver = match self.resolver() {
            Ok(resolver) => resolver,
            Err(error) => return Found::Failed(error.to_string()),
        };
        let family = question.refresh.family;
        let found = match timeout(LONGEST, by_family(&resolver, &question.name, family)).await {
            Ok(found) => found,
            Err(_) => Found::Failed(format!("no answer within {} s", LONGEST.as_secs())),
        };
        if matches!(found, Found::Failed(_)) {
            *self.made.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        found
    }

    fn resolver(&self) -> Result<Arc<TokioResolver>, NetError> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = &*made {
            return Ok(Arc::clone(made));
        }
        let resolver = Arc::new(self.make()?);
        *made = Some(Arc::clone(&resolver));
        Ok(resolver)
    }

    fn make(&self) -> Result<TokioResolver, NetError> {
        let system = read_system_conf();
        let (config, mut options) = match self.servers.is_empty() {
            true => system?,
            false => {
                let (system, options) = system.unwrap_or_default();
                let servers = self.servers.iter().map(server).collect();
                let domain = system.domain().cloned();
                let search = system.search().to_vec();
                (ResolverConfig::from_parts(domain, search, servers), options)
            }
        };
        // Who asks decides when an answer is too old.
        options.cache_size = 0;
        options.max_active_requests = QUESTIONS;
        let provider = TokioRuntimeProvider::default();
        let mut builder = TokioResolver::builder_with_config(config, provider);
        *builder.options_mut() = options;
        builder.build()
    }
}

fn server(address: &SocketAddr) -> NameServerConfig {
    let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
    for connection in &mut connections {
        connection.port = address.port();
    }
    NameServerConfig::new(address.ip(), true, connections)
}

async fn by_family(resolver: &TokioResolver, name: &str, family: Family) -> Found {
    let v4 = || addresses(resolver, name, RecordType::A);
    let v6 = || addresses(resolver, name, RecordType::AAAA);
    match family {
        Family::V4 => v4().await,
        Family::V6 => v6().await,
        Family::V4Preferred => match v4().await {
            found @ Found::Addresses { .. } => found,
            none => together(v6().await, none),
        },
        Family::Auto => match v6().await {
            found @ Found::Addresses { .. } => found,
            none => together(v4().await, none),
        },
        Family::All => {
            let (v4, v6) = tokio::join!(v4(), v6());
            together(v4, v6)
        }
    }
}

/// There is nothing only where both say so.
fn together(one: Found, other: Found) -> Found {
    match (one, other) {
        (
            Found::Addresses {
                mut addresses,
                ttl: one,
            },
            Found::Addresses {
                addresses: more,
                ttl: other,
            },
        ) => {
            addresses.extend(more);
            let ttl = one.min(other);
            Found::Addresses { addresses, ttl }
        }
        (found @ Found::Addresses { .. }, _) | (_, found @ Found::Addresses { .. }) => found,
        (failed @ Found::Failed(_), _) | (_, failed @ Found::Failed(_)) => failed,
        (Found::Nothing(Absent::Name), Found::Nothing(Absent::Name)) => {
            Found::Nothing(Absent::Name)
        }
        (Found::Nothing(_), Found::Nothing(_)) => Found::Nothing(Absent::Addresses),
    }
}

async fn addresses(resolver: &TokioResolver, name: &str, kind: RecordType) -> Found {
    let lookup = match resolver.lookup(name, kind).await {
        Ok(lookup) => lookup,
        Err(error) if error.is_nx_domain() => return Found::Nothing(Absent::Name),
        Err(error) if error.is_no_records_found() => return Found::Nothing(Absent::Addresses),
        Err(error) => return Found::Failed(error.to_string()),
    };
    let records = lookup.answers().iter();
    let records = records.filter_map(|record| Some((record.data.ip_addr()?, record.ttl)));
    let (addresses, ttls): (Vec<IpAddr>, Vec<u32>) = records.unzip();
    match ttls.into_iter().min() {
        Some(ttl) => Found::Addresses {
            addresses,
            ttl: Duration::from_secs(ttl.into()),
        },
        None => Found::Nothing(Absent::Addresses),
    }
}
