//! Takes waypoints out, so that nobody notices: connections pass them by first, then their pods end, and then the rest of them.
//!
//! ```text
//! cluster (what there is) -> stage (what comes next, of one) -> Run (does it, and looks again)
//! ```
//!
//! Whoever runs it needs no controller for it, and whoever runs it again goes on where it was: what has to be remembered
//! is in the annotation [`DETACH`] of the Gateway, which keeps controllers from undoing it. `stage` is without I/O and
//! clock.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use k8s_openapi::jiff::Timestamp;
use tokio::time::sleep;

mod arguments;
mod cluster;
mod installation;
mod led;
mod remains;
mod stage;

pub use arguments::{Detach, Uninstall};
use cluster::Cluster;
use installation::Installation;
use led::Led;
use remains::Remains;
use stage::{Stage, stage};

/// Between two looks at what there is.
const PAUSE: Duration = Duration::from_secs(1);

/// A Gateway, by namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Id {
    namespace: String,
    name: String,
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Detaches as the arguments say, and tells each step of it, a line each. False: something is left that should not be, which is
/// told; to run it again goes on.
///
/// # Errors
/// When what is asked cannot be done: there is no such Gateway, nobody answers, or it is forbidden.
pub async fn detach(
    arguments: &Detach,
    tell: &mut impl FnMut(fmt::Arguments<'_>),
) -> anyhow::Result<bool> {
    let client = arguments.client().await?;
    let cluster = Cluster::new(client.clone(), arguments);
    let installation = Installation::new(client, arguments);
    if let Some(release) = &arguments.uninstall.helm_release {
        installation.is_of(release).await?;
    }
    let there = cluster.waypoints().await?;
    let led = Led::look(&cluster, &arguments.revision).await?;
    let led_to = led.gateways();
    let all = asked(arguments, &there.union(&led_to).cloned().collect())?;
    let (asked, led_to): (BTreeSet<_>, BTreeSet<_>) =
        all.into_iter().partition(|id| there.contains(id));
    let remains = Remains::look(&cluster, &asked).await?;
    if arguments.dry_run {
        for id in asked.iter().chain(&led_to) {
            tell(format_args!("{id}  would be taken out"));
        }
        if arguments.uninstall.uninstall {
            installation.tell(tell);
        }
        remains.tell(false, tell);
        return Ok(true);
    }
    let mut run = Run {
        cluster: &cluster,
        farewell: arguments.farewell,
        until: Instant::now() + arguments.timeout,
        published: BTreeMap::new(),
        told: BTreeMap::new(),
        failed: String::new(),
    };
    let since = Timestamp::now();
    led.withdraw(&led_to, tell)
        .await
        .context("what sidecars are told cannot be taken back")?;
    let until = run.until;
    let is_out = run.run(&asked, tell).await?;
    let farewell = (since, arguments.farewell, until);
    let is_out = led.end(&led_to, farewell, tell).await? && is_out;
    if asked.is_empty() && led_to.is_empty() {
        tell(format_args!("there is no waypoint here"));
    }
    let is_gone = match arguments.uninstall.uninstall && is_out {
        true => {
            installation
                .remove((&cluster, &asked, &led_to), until, tell)
                .await?
        }
        false => true,
    };
    remains.tell(!arguments.uninstall.uninstall, tell);
    Ok(is_out && is_gone)
}

fn asked(arguments: &Detach, there: &BTreeSet<Id>) -> anyhow::Result<BTreeSet<Id>> {
    if arguments.all {
        return Ok(there.clone());
    }
    let named = arguments.named();
    if let Some(other) = named.iter().find(|id| !there.contains(id)) {
        let known: Vec<_> = there.iter().map(Id::to_string).collect();
        bail!(
            "there is no Gateway {other} of the class {}, and none of that name that sidecars are led to; those that can be \
             taken out are: {}",
            super::class::waypoint_name(&arguments.revision),
            if known.is_empty() {
                "none".to_owned()
            } else {
                known.join(", ")
            }
        );
    }
    Ok(named)
}

/// One call.
struct Run<'a> {
    cluster: &'a Cluster,
    farewell: Duration,
    until: Instant,
    /// When each was seen last with an address.
    published: BTreeMap<Id, Timestamp>,
    /// What people were told of each.
    told: BTreeMap<Id, Stage>,
    /// What went wrong last: said once.
    failed: String,
}

impl Run<'_> {
    /// Until all are out, or its time is; false: it is.
    async fn run(
        &mut self,
        asked: &BTreeSet<Id>,
        tell: &mut impl FnMut(fmt::Arguments<'_>),
    ) -> anyhow::Result<bool> {
        loop {
            match self.step(asked, tell).await {
                Ok(true) => return Ok(true),
                Ok(false) => self.failed.clear(),
                Err(error) if is_final(&error) => {
                    return Err(error)
                        .context("it may not be done: ask whoever administers the cluster");
                }
                // The API server is away, or somebody else was faster.
                Err(error) => {
                    let error = error.to_string();
                    if self.failed != error {
                        tell(format_args!("it is tried again: {error}"));
                        self.failed = error;
                    }
                }
            }
            if Instant::now() >= self.until {
                for (id, stage) in self.told.iter().filter(|(_, it)| **it != Stage::Out) {
                    tell(format_args!(
                        "{id}  is not out in time: {stage}; run it again to go on"
                    ));
                }
                return Ok(false);
            }
            sleep(PAUSE).await;
        }
    }

    /// What comes next, of each; true: nothing more does.
    async fn step(
        &mut self,
        asked: &BTreeSet<Id>,
        tell: &mut impl FnMut(fmt::Arguments<'_>),
    ) -> kube::Result<bool> {
        let found = self.cluster.see().await?;
        let now = Timestamp::now();
        let mut is_out = true;
        for id in asked {
            // Deleted meanwhile: the garbage collector takes the rest.
            let Some(found) = found.get(id) else {
                continue;
            };
            let seen = &found.seen;
            if seen.is_published {
                self.published.insert(id.clone(), now);
            }
            let published = self.published.get(id).copied();
            let next = stage(seen, published, self.farewell, now);
            if self.told.get(id) != Some(&next) {
                tell(format_args!("{id}  {next}"));
                self.told.insert(id.clone(), next.clone());
            }
            is_out &= next == Stage::Out;
            self.cluster.act(id, found, &next).await?;
        }
        Ok(is_out)
    }
}

/// Whether it will be the same next time.
fn is_final(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if [401, 403].contains(&status.code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(namespace: &str, name: &str) -> Id {
        Id {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    #[test]
    fn who_is_not_there_is_told_who_is() {
        let there = BTreeSet::from([id("shop", "l7"), id("bank", "l7")]);
        let arguments = |all: bool, gateways: &[&str], namespace: Option<&str>| Detach {
            all,
            gateways: gateways.iter().map(ToString::to_string).collect(),
            namespace: namespace.map(str::to_owned),
            ..Detach::default()
        };
        let all = arguments(true, &[], None);
        assert_eq!(asked(&all, &there).unwrap(), there);
        let one = arguments(false, &["l7"], Some("shop"));
        assert_eq!(
            asked(&one, &there).unwrap(),
            BTreeSet::from([id("shop", "l7")])
        );
        let other = arguments(false, &["bank/l7"], None);
        assert_eq!(
            asked(&other, &there).unwrap(),
            BTreeSet::from([id("bank", "l7")])
        );
        let wrong = asked(&arguments(false, &["l8"], Some("shop")), &there);
        let said = wrong.unwrap_err().to_string();
        for words in ["shop/l8", "meltemi-waypoint", "bank/l7, shop/l7"] {
            assert!(said.contains(words), "{said}");
        }
    }
}
