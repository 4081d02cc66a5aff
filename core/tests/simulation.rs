//! The engine under seeded schedules: clients, servers and a network that does its worst.
//!
//! `MELTEMI_SIM_SCHEDULES=N` sets how many schedules run (2,000 unless told), `MELTEMI_SIM_SEED=S`
//! replays the one schedule that a failure named.

#![allow(clippy::unwrap_used)] // Everything here is a test.

#[path = "simulation/authorization.rs"]
mod authorization;
#[path = "simulation/client.rs"]
mod client;
#[path = "simulation/config.rs"]
mod config;
#[path = "simulation/limits.rs"]
mod limits;
#[path = "simulation/server.rs"]
mod server;
#[path = "simulation/totals.rs"]
mod totals;
#[path = "simulation/wire.rs"]
mod wire;
#[path = "simulation/world.rs"]
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use wire::Dialect;
use world::World;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is not a number: {text}"))
    })
}

fn run(dialect: Dialect, share: u64) {
    let schedules = number("MELTEMI_SIM_SCHEDULES").unwrap_or(2_000) / share;
    let seeds = match number("MELTEMI_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..schedules.max(1),
    };
    let mut totals = totals::Totals::default();
    for seed in seeds {
        let outcome = catch_unwind(AssertUnwindSafe(|| World::new(dialect, seed).run()));
        match outcome {
            Ok(schedule) => totals.add(&schedule),
            Err(panic) => {
                eprintln!("{dialect:?}: seed {seed} fails; replay it with MELTEMI_SIM_SEED={seed}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    println!("{dialect:?}: {totals:?}");
    if number("MELTEMI_SIM_SEED").is_none() {
        totals.assert_everything_happened();
    }
}

#[test]
fn by_id_keeps_the_invariants() {
    run(Dialect::ById, 2);
}

#[test]
fn in_order_keeps_the_invariants() {
    run(Dialect::InOrder, 2);
}
