//! Outlier detection over time: a real Envoy, as a proxy of Redis, and Meltemi before the same servers,
//! which fail by script. Ejections last as many intervals, and of a burst of requests both eject the same
//! endpoints for the same figures.

#[path = "outlier_time_differential/proxies.rs"]
mod proxies;

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use meltemi_tests::redis::{Scripted, Wire};
use meltemi_tests::{Envoy, PATIENCE, until};
use proxies::{Proxies, Rule, Side};

/// No reply of Redis.
const GARBAGE: &[u8] = b"?\r\n";

/// Short of the figures that are printed: significant digits.
const DIGITS: usize = 6;

#[test]
fn ejections_last_as_long_as_envoys() {
    let Some(binary) = Envoy::binary() else {
        return;
    };
    let rule = Rule {
        interval: Duration::from_secs(1),
        consecutive: 3,
        percent: 100,
        success: None,
        failure: None,
    };
    let servers = Scripted::start(2, |asked| {
        let fails = asked.node == 0 && asked.words.ends_with("fail");
        Some(if fails { GARBAGE } else { b"+ok\r\n" }.to_vec())
    });
    let addresses = [servers.address(0), servers.address(1)];
    let proxies = Proxies::start(&binary, &[("lengths", &rule, &addresses)]);
    let sides = proxies.sides("lengths", &addresses);
    let [mut theirs, mut ours] = both(&sides, |side| lengths(side, rule.interval));
    // Whether the interval that begins with the return counts as one in service is with Envoy a matter
    // of microseconds, since it notes when it took the endpoint back, and not when that was due.
    assert_eq!(ours.pop(), Some(2));
    assert!(matches!(theirs.pop(), Some(2 | 3)));
    assert_eq!(ours, theirs);
    // One base time is an interval, the longest three; an ejection in the middle of an interval ends
    // with the first whole one after it.
    assert_eq!(theirs, [3, 4, 4, 2, 3]);
}

/// What `run` says of Envoy and of Meltemi, at the same time.
fn both<'a, T: Send>(sides: &'a [Side<'a>; 2], run: impl Fn(&'a Side<'a>) -> T + Sync) -> [T; 2] {
    let run = &run;
    thread::scope(|scope| {
        let running = sides.each_ref().map(|side| scope.spawn(move || run(side)));
        running.map(|it| it.join().expect("this side does not fail"))
    })
}

/// For each ejection after the first, at the end of how many intervals it is over.
fn lengths(side: &Side<'_>, interval: Duration) -> Vec<u32> {
    let mut wire = Wire::connect(side.address);
    eject(side, &mut wire);
    let mut back = until_back(side);
    let intervals = |since: Instant, at: Instant| (at - since).div_duration_f64(interval);
    let mut lengths = vec![];
    // Always in the middle of an interval, since endpoints come back at the end of one.
    for in_service in [0.5, 0.5, 0.5, 5.5, 0.5, 2.5] {
        let due = back + interval.mul_f64(in_service);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let ejected = eject(side, &mut wire);
        let now_back = until_back(side);
        let before = intervals(back, ejected).floor();
        lengths.push((intervals(back, now_back).round() - before) as u32);
        back = now_back;
    }
    lengths
}

/// Has the first server fail until it is ejected.
fn eject(side: &Side<'_>, wire: &mut Wire) -> Instant {
    for _ in 0..6 {
        ask(side, wire, "fail");
    }
    until("it is ejected", || {
        side.ejected().contains(&0).then(Instant::now)
    })
}

fn until_back(side: &Side<'_>) -> Instant {
    until("it is taken back", || {
        side.ejected().is_empty().then(Instant::now)
    })
}

/// Each proxy has keys of its own, since servers count what they are asked by key.
fn ask(side: &Side<'_>, wire: &mut Wire, key: &str) {
    let command = format!("GET {}-{key}", side.name);
    if wire.try_call(&command).is_none() {
        *wire = Wire::connect(side.address);
    }
}

/// A burst of requests to servers of which each fails so many of its hundred.
struct Burst {
    name: &'static str,
    failures: &'static [usize],
    rule: Rule,
}

fn bursts() -> Vec<Burst> {
    let rule = Rule {
        interval: Duration::from_secs(3),
        consecutive: 0,
        percent: 100,
        success: None,
        failure: None,
    };
    let success = |stdev_factor| Rule {
        success: Some(stdev_factor),
        ..rule
    };
    let burst = |name, failures, rule| Burst {
        name,
        failures,
        rule,
    };
    let failure = Rule {
        failure: Some(30),
        ..rule
    };
    let capped = Rule {
        percent: 40,
        ..failure
    };
    vec![
        // Mean 90, threshold 52: the example in Envoy's source.
        burst("example", &[50, 0, 0, 0, 0], success(1900)),
        burst("uneven", &[3, 47, 1, 12, 8, 5], success(1700)),
        burst("several", &[31, 2, 40, 0, 7], success(300)),
        burst("percentage", &[29, 30, 0, 31, 99], failure),
        burst("capped", &[90, 2, 60, 70, 80], capped),
    ]
}

#[test]
fn a_burst_ejects_the_same_endpoints_for_the_same_figures() {
    let Some(binary) = Envoy::binary() else {
        return;
    };
    let bursts = bursts();
    let servers: Vec<_> = bursts.iter().map(|it| scripted(it.failures)).collect();
    let addresses = bursts.iter().zip(&servers).map(|(burst, servers)| {
        let all = 0..burst.failures.len();
        all.map(|node| servers.address(node)).collect()
    });
    let addresses: Vec<Vec<_>> = addresses.collect();
    let clusters = bursts.iter().zip(&addresses);
    let clusters: Vec<_> = clusters
        .map(|(burst, addresses)| (burst.name, &burst.rule, addresses.as_slice()))
        .collect();
    let proxies = Proxies::start(&binary, &clusters);
    for (burst, addresses) in bursts.iter().zip(&addresses) {
        let sides = proxies.sides(burst.name, addresses);
        let [theirs, ours] = both(&sides, |side| judged(side, burst));
        let context = || format!("{}\n{theirs:?}\n{ours:?}", burst.name);
        assert!(theirs.len() < burst.failures.len(), "{}", context());
        if burst.rule.percent < 100 {
            // Who of them is ejected first is chance.
            assert_eq!(ours.len(), theirs.len(), "{}", context());
            assert!(!ours.contains(&1) && !theirs.contains(&1), "{}", context());
            continue;
        }
        assert_eq!(ours, theirs, "{}", context());
        let [theirs, ours] = sides
            .each_ref()
            .map(|side| side.figures(&burst.rule, &ours));
        assert_eq!(ours.len(), theirs.len(), "{}", burst.name);
        for (ours, theirs) in ours.into_iter().zip(theirs) {
            let printed = format!("{ours:.*e}", DIGITS - 1);
            assert_eq!(printed.parse(), Ok(theirs), "{}: {ours}", burst.name);
        }
    }
}

/// Each fails the first of what it is asked about a key.
fn scripted(failures: &'static [usize]) -> Scripted {
    Scripted::start(failures.len(), |asked| {
        let fails = asked.times <= failures[asked.node];
        Some(if fails { GARBAGE } else { b"+ok\r\n" }.to_vec())
    })
}

/// Who is ejected after a burst, which counts only where one interval has all of it: nobody else has a
/// hundred requests.
fn judged(side: &Side<'_>, burst: &Burst) -> BTreeSet<usize> {
    let start = Instant::now();
    let mut wire = Wire::connect(side.address);
    for number in 0.. {
        for _ in 0..100 * burst.failures.len() {
            ask(side, &mut wire, &format!("burst-{number}"));
        }
        let sent = Instant::now();
        while sent.elapsed() < 2 * burst.rule.interval {
            let ejected = side.ejected();
            if !ejected.is_empty() {
                return ejected;
            }
            thread::sleep(Duration::from_millis(20));
        }
        assert!(start.elapsed() < PATIENCE, "{}: {}", side.name, burst.name);
    }
    unreachable!("it numbers without end")
}
