//! What clients see of each key of a Redis Cluster is linear, while its slots move and its primaries
//! change.
//!
//! Redis replicates asynchronously: a primary that is killed takes with it what it acknowledged and
//! had not sent yet (<https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>,
//! "Write safety"), which is no fault of a proxy. So of what a primary served that is killed later,
//! only what is known to have reached its replica is judged: after each answer the client asks that
//! very primary, without the proxy, for a further write and `WAIT 1`. An operation without that may
//! have happened or not. Moves of slots and `CLUSTER FAILOVER` lose nothing, so that everything is
//! judged there.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use meltemi_tests::history::{Operation, linearizable};
use meltemi_tests::redis::{Cluster, Server, Wire};
use meltemi_tests::{Meltemi, until};

#[path = "redis_cluster_history/load.rs"]
mod load;
#[path = "redis_cluster_history/pipeline.rs"]
mod pipeline;

use load::Load;
use pipeline::Pipeline;

const CLIENTS: u64 = 6;

/// Stops the clients, also where what they run beside fails: the test would wait for them for ever.
struct Stopping<'a>(&'a AtomicBool);

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Runs clients while `trouble` happens; returns what they saw of each key.
fn histories(load: &Load, trouble: impl FnOnce()) -> Vec<Vec<Operation>> {
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|n| scope.spawn(move || load.client(n)))
            .collect();
        let stopping = Stopping(&load.stop);
        trouble();
        drop(stopping);
        for client in clients {
            client.join().expect("a client saw nothing wrong");
        }
    });
    load.histories()
}

fn judge(load: &Load, histories: &[Vec<Operation>]) {
    for (key, history) in load.keys.iter().zip(histories) {
        let answered = history.iter().filter(|o| o.returned.is_some()).count();
        println!("{key}: {answered} of {} operations judged", history.len());
        assert!(answered > 20, "{key}: only {answered} operations");
        if let Err(contradiction) = linearizable(history) {
            panic!("{key}: {contradiction}");
        }
    }
}

#[test]
fn histories_are_linear_while_slots_move_and_primaries_change() {
    if !Server::is_installed() {
        return;
    }
    let cluster = Cluster::start();
    let manifests = cluster.manifests("opTimeout: 5s");
    let meltemi = Meltemi::run(manifests.path());
    let load = Load::of(&cluster, meltemi.address("default/edge/redis"));
    let histories = histories(&load, || {
        let started = Instant::now();
        let mut turn = 0;
        while started.elapsed() < Duration::from_secs(10) || turn < 10 {
            let key = &load.keys[turn % load.keys.len()];
            let slot = cluster.slot(key);
            let from = cluster.owner(slot);
            let others = (0..6).filter(|n| *n != from && cluster.node(*n).is_primary());
            let to = others.clone().nth(turn % 2).expect("two other primaries");
            cluster.move_slot(slot, from, to);
            if turn % 5 == 4 {
                let replica = (0..6).filter(|n| !cluster.node(*n).is_primary());
                cluster.fail_over(replica.clone().nth(turn % 3).expect("three replicas"));
            }
            cluster.settle();
            turn += 1;
        }
        println!("{turn} slots moved");
    });
    judge(&load, &histories);
    load.report();
}

/// Requests that one client has sent are on their way to the old owner of a slot when the proxy hears
/// of the new one, and some have to wait while others need not.
#[test]
fn pipelines_keep_their_order_while_slots_move() {
    if !Server::is_installed() {
        return;
    }
    let cluster = Cluster::start();
    let manifests = cluster.manifests("opTimeout: 30s");
    let meltemi = Meltemi::run(manifests.path());
    let tags: Vec<String> = (0..6)
        .map(|n| cluster.key_of(n % 3, &format!("pipe:{n}:")))
        .collect();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let run = |tag: &String| {
            let wire = Wire::connect(meltemi.address("default/edge/redis"));
            let (pipeline, stop) = (Pipeline::new(wire, tag), &stop);
            scope.spawn(move || pipeline.run(stop))
        };
        let pipelines: Vec<_> = tags.iter().map(run).collect();
        let stopping = Stopping(&stop);
        for turn in 0..40 {
            let slot = cluster.slot(&tags[turn % tags.len()]);
            let from = cluster.owner(slot);
            cluster.move_slot(slot, from, (from + 1 + turn % 2) % 3);
        }
        drop(stopping);
        for pipeline in pipelines {
            let done = pipeline.join().expect("all answers were in order");
            println!("{} batches, {} excused", done.batches, done.excused);
            assert!(done.batches > 10, "{}", done.batches);
        }
    });
}

#[test]
fn histories_are_linear_over_the_death_of_a_primary() {
    if !Server::is_installed() {
        return;
    }
    let cluster = Mutex::new(Cluster::start());
    let lock = || cluster.lock().expect("nobody panicked");
    let manifests = lock().manifests("opTimeout: 2s");
    let meltemi = Meltemi::run(manifests.path());
    let mut load = Load::of(&lock(), meltemi.address("default/edge/redis"));
    load.doom(&lock(), 0);
    let histories = histories(&load, || {
        load.until_served(200);
        lock().node_mut(0).kill();
        load.dead.store(load.now(), Ordering::SeqCst);
        let promoted = until("the replica is a primary", || {
            lock().node(3).is_primary().then_some(load.now())
        });
        let served = until("its keys are served again", || load.served_again());
        let after = Duration::from_nanos(served.saturating_sub(promoted));
        println!("served {after:?} after the promotion");
        assert!(after < Duration::from_secs(4), "{after:?}: nobody asked");
        assert!(lock().node_mut(0).run());
        lock().settle();
        load.until_served(200);
    });
    judge(&load, &histories);
    load.report();
}

/// What a client may be told while a cluster changes.
fn is_excused(reply: &str) -> bool {
    ["-ERR proxy: ", "-CLUSTERDOWN ", "-LOADING "]
        .iter()
        .any(|kind| reply.starts_with(kind))
}
