//! When names are asked for, and what answers change: rows, and what always holds.

use std::collections::BTreeMap;

use meltemi_policy::{Locality, Place};
use proptest::prelude::*;

use super::*;
use crate::config::{
    Address, Cluster, Dialled, DnsTarget, Endpoint, Endpoints, Family, Health, Logical,
};

const SECOND: Duration = Duration::from_secs(1);

fn refresh() -> Refresh {
    Refresh {
        rate: 60 * SECOND,
        respects_ttl: true,
        jitter: Duration::ZERO,
        failure_base: 2 * SECOND,
        failure_max: 60 * SECOND,
        family: Family::V4,
    }
}

fn ask(name: &str, kind: DnsKind) -> Question {
    Question {
        name: name.into(),
        kind,
        refresh: refresh(),
    }
}

fn found(addresses: &[&str], ttl: u64) -> Found {
    let addresses = addresses.iter().map(|text| text.parse().unwrap());
    Found::Addresses {
        addresses: addresses.collect(),
        ttl: Duration::from_secs(ttl),
    }
}

fn failed() -> Found {
    Found::Failed("SERVFAIL".to_owned())
}

/// What is known after these answers, one a minute.
fn after(kind: DnsKind, answers: impl IntoIterator<Item = Found>) -> (Vec<String>, Option<Taken>) {
    let mut now = Instant::now();
    let question = ask("a.example", kind);
    let mut names = Names::new(1);
    names.want([question.clone()], now);
    let mut last = None;
    for answer in answers {
        last = names.take(&question, answer, now);
        now += 60 * SECOND;
    }
    let known = names.get(&question).unwrap();
    let addresses = known.addresses.iter().map(ToString::to_string);
    (addresses.collect(), last)
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn answers_mean_what_they_mean_to_envoy() {
    use DnsKind::{Logical, Strict};
    let both = || found(&["10.0.0.2", "10.0.0.1"], 5);
    let turned = || found(&["10.0.0.1", "10.0.0.2"], 5);
    let lies = || found(&["0.0.0.0", "224.0.0.1", "255.255.255.255", "::"], 5);
    let sorted: &[&str] = &["10.0.0.1", "10.0.0.2"];
    for (kind, answers, addresses, update, changed, dropped) in [
        (Strict, vec![both()], sorted, Update::Success, true, 0),
        // The order says nothing where each is an endpoint, and everything where they are one.
        (
            Strict,
            vec![both(), turned()],
            sorted,
            Update::Success,
            false,
            0,
        ),
        (
            Logical,
            vec![both(), turned()],
            sorted,
            Update::Success,
            true,
            0,
        ),
        (
            Strict,
            vec![both(), failed()],
            sorted,
            Update::Failure,
            false,
            0,
        ),
        (
            Strict,
            vec![both(), Found::Nothing(Absent::Name)],
            &[],
            Update::Empty,
            true,
            0,
        ),
        (
            Strict,
            vec![Found::Nothing(Absent::Name), Found::Nothing(Absent::Name)],
            &[],
            Update::Empty,
            false,
            0,
        ),
        (
            Logical,
            vec![turned(), Found::Nothing(Absent::Name)],
            sorted,
            Update::Failure,
            false,
            0,
        ),
        (
            Strict,
            vec![both(), lies()],
            sorted,
            Update::Failure,
            false,
            4,
        ),
        (
            Strict,
            vec![found(&["0.0.0.0", "::1"], 5)],
            &["::1"],
            Update::Success,
            true,
            1,
        ),
        (
            Strict,
            vec![found(&["::1", "::1"], 5)],
            &["::1"],
            Update::Success,
            true,
            0,
        ),
    ] {
        let shown = format!("{kind:?} {answers:?}");
        let (known, taken) = after(kind, answers);
        assert_eq!(known, addresses, "{shown}");
        let expected = Taken {
            update,
            changed,
            dropped,
        };
        assert_eq!(taken, Some(expected), "{shown}");
    }
}

#[test]
fn too_many_addresses_are_too_many() {
    let addresses: Vec<IpAddr> = (0..5000u32)
        .map(|n| IpAddr::V4((0x0a00_0000 + n).into()))
        .collect();
    let ttl = SECOND;
    let (known, taken) = after(DnsKind::Strict, [Found::Addresses { addresses, ttl }]);
    assert_eq!(known.len(), MOST_ADDRESSES);
    assert_eq!(taken.unwrap().dropped, 5000 - MOST_ADDRESSES);
}

/// How long after these answers the name is asked for again: the shortest and the longest.
fn wait(refresh: Refresh, answers: &[Found]) -> Duration {
    let now = Instant::now();
    let question = Question {
        refresh,
        ..ask("a.example", DnsKind::Strict)
    };
    let mut names = Names::new(1);
    names.want([question.clone()], now);
    for answer in answers {
        names.take(&question, answer.clone(), now);
    }
    names.deadline().unwrap() - now
}

#[test]
fn names_are_asked_for_again_in_time() {
    let a = |ttl| found(&["10.0.0.1"], ttl);
    let deaf = Refresh {
        respects_ttl: false,
        ..refresh()
    };
    let hasty = Refresh {
        rate: Duration::from_millis(1),
        ..refresh()
    };
    for (refresh, answers, expected) in [
        (refresh(), vec![a(5)], 5 * SECOND),
        // 0 is no time to live, as in Envoy.
        (refresh(), vec![a(0)], 60 * SECOND),
        (refresh(), vec![a(u32::MAX.into())], SLOWEST),
        (deaf, vec![a(5)], 60 * SECOND),
        (hasty, vec![a(0)], FASTEST),
        (refresh(), vec![failed(), a(5)], 5 * SECOND),
    ] {
        assert_eq!(wait(refresh, &answers), expected, "{refresh:?} {answers:?}");
    }
    // Half of the wait after a failure is chance; an answer begins anew.
    for (answers, whole) in [
        (vec![failed()], 2),
        (vec![failed(); 3], 8),
        (vec![failed(); 40], 60),
        (vec![Found::Nothing(Absent::Name); 2], 4),
        (vec![failed(), failed(), a(5), failed()], 2),
    ] {
        let waited = wait(refresh(), &answers);
        let whole = whole * SECOND;
        assert!(
            waited >= whole / 2 && waited < whole,
            "{answers:?}: {waited:?}"
        );
    }
}

#[test]
fn why_there_are_no_addresses_is_told_until_there_are() {
    for kind in [DnsKind::Strict, DnsKind::Logical] {
        let (question, now) = (ask("a.example", kind), Instant::now());
        let mut names = Names::new(0);
        names.want([question.clone()], now);
        let mut told = |found| {
            names.take(&question, found, now);
            names.get(&question).unwrap().error.clone()
        };
        let absent = told(Found::Nothing(Absent::Name));
        assert_eq!(absent.as_deref(), Some("there is no such name (NXDOMAIN)"));
        let absent = told(Found::Nothing(Absent::Addresses));
        assert_eq!(absent.as_deref(), Some("the name has no addresses"));
        assert_eq!(told(found(&["10.0.0.1"], 5)), None);
    }
}

#[test]
fn what_stays_is_known_and_what_is_new_is_awaited() {
    let now = Instant::now();
    let [a, b] = ["a.example", "b.example"].map(|name| ask(name, DnsKind::Strict));
    let mut names = Names::new(1);
    names.want([a.clone()], now);
    assert_eq!(names.due(now, 10), std::slice::from_ref(&a));
    // One lookup at a time.
    assert_eq!(
        (names.due(now + 60 * SECOND, 10), names.deadline()),
        (vec![], None)
    );
    names.take(&a, found(&["10.0.0.1"], 5), now);
    names.want([b.clone(), a.clone()], now);
    assert_eq!(names.awaited().collect::<Vec<_>>(), ["b.example"]);
    assert_eq!(names.get(&a).unwrap().addresses.len(), 1);
    names.take(&b, failed(), now);
    assert!(!names.is_awaited(&b));
    // Nobody asks for it any more, and a late end of its lookup means nothing.
    names.want([a], now);
    assert_eq!(names.take(&b, failed(), now), None);
}

#[test]
fn the_longest_due_come_first_and_no_more_than_may() {
    let start = Instant::now();
    let all: Vec<_> = (0..5)
        .map(|n| ask(&format!("{n}.example"), DnsKind::Strict))
        .collect();
    let mut names = Names::new(1);
    names.want(all.clone(), start);
    assert_eq!(names.due(start, 3), all[..3]);
    assert!(names.due(start, 3).is_empty());
    names.take(&all[1], found(&["10.0.0.1"], 1), start);
    assert_eq!(names.due(start + 2 * SECOND, 3), all[3..4]);
}

fn target(name: &str, port: u16, weight: u32) -> Endpoint<DnsTarget> {
    Endpoint {
        address: match name.parse::<IpAddr>() {
            Ok(ip) => DnsTarget::Address((ip, port).into()),
            Err(_) => DnsTarget::Name {
                name: name.into(),
                port,
            },
        },
        hostname: String::new(),
        weight,
        locality: format!("r/{weight}").parse().unwrap(),
        priority: 0,
        health: Health::Healthy,
        labels: [("weight".to_owned(), weight.to_string())].into(),
    }
}

/// A configuration with one cluster, and what asks for its names.
fn snapshot(kind: DnsKind, targets: Vec<Endpoint<DnsTarget>>) -> Arc<Snapshot> {
    let mut cluster = Cluster::new("orders");
    cluster.discovery = Discovery::Dns(Arc::new(Dns {
        kind,
        refresh: refresh(),
        endpoints: Endpoints {
            hosts: targets,
            ..Endpoints::default()
        },
    }));
    let clusters = [("orders".to_owned(), Arc::new(cluster))];
    Arc::new(Snapshot {
        clusters: clusters.into_iter().collect(),
        version: "v".to_owned(),
        ..Snapshot::default()
    })
}

fn hosts(snapshot: &Snapshot) -> Vec<String> {
    let hosts = snapshot.clusters["orders"].endpoints.hosts.iter();
    hosts
        .map(|host| format!("{} {} {}", host.address, host.hostname, host.weight))
        .collect()
}

#[test]
fn each_address_is_an_endpoint_like_its_name() {
    let now = Instant::now();
    let targets = vec![
        target("a.example", 1, 3),
        target("10.0.0.9", 2, 4),
        target("b.example", 1, 5),
    ];
    let raw = snapshot(DnsKind::Strict, targets);
    let mut names = Names::new(1);
    names.want(questions(&raw), now);
    let mut resolved = Resolved::default();
    let first = resolved.of(&raw, &names);
    assert_eq!(hosts(&first), ["10.0.0.9:2 10.0.0.9 4"]);
    names.take(
        &ask("a.example", DnsKind::Strict),
        found(&["10.0.0.2", "10.0.0.1"], 5),
        now,
    );
    // What another name has, too, is an endpoint once.
    names.take(
        &ask("b.example", DnsKind::Strict),
        found(&["10.0.0.1", "10.0.0.3"], 5),
        now,
    );
    let second = resolved.of(&raw, &names);
    let expected = [
        "10.0.0.1:1 a.example 3",
        "10.0.0.2:1 a.example 3",
        "10.0.0.9:2 10.0.0.9 4",
        "10.0.0.3:1 b.example 5",
    ];
    assert_eq!(hosts(&second), expected);
    let of_b = &second.clusters["orders"].endpoints.hosts[3];
    assert_eq!(
        (of_b.locality.to_string(), of_b.labels["weight"].as_str()),
        ("r/5".to_owned(), "5")
    );
    assert_ne!(first.version, second.version);
    // What did not change keeps its identity.
    let third = resolved.of(&raw, &names);
    assert_eq!(second.version, third.version);
    assert!(Arc::ptr_eq(
        &second.clusters["orders"],
        &third.clusters["orders"]
    ));
}

/// Istio weighs localities before names are resolved, and Envoy keeps that: a locality is not worth
/// more because its name has more addresses, nor less because one of its names has none.
#[test]
fn a_locality_weighs_what_its_names_do() {
    let now = Instant::now();
    let near = ["a.example", "c.example"].map(|name| target(name, 1, 1));
    let targets = near.into_iter().chain([target("b.example", 1, 2)]);
    let raw = snapshot(DnsKind::Strict, targets.collect());
    let mut names = Names::new(1);
    names.want(questions(&raw), now);
    for (name, addresses) in [
        ("a.example", ["10.0.0.1", "10.0.0.2", "10.0.0.4"].as_slice()),
        ("b.example", &["10.0.0.3"]),
    ] {
        names.take(&ask(name, DnsKind::Strict), found(addresses, 5), now);
    }
    let resolved = Resolved::default().of(&raw, &names);
    let own = Place {
        locality: &Locality::default(),
        labels: &BTreeMap::new(),
    };
    let placement = resolved.clusters["orders"].placement(own);
    assert_eq!(placement.members, [Some(0), Some(0), Some(0), Some(1)]);
    let weights = placement.groups.iter().map(|group| group.weight);
    assert_eq!(weights.collect::<Vec<_>>(), [2, 2]);
}

#[test]
fn one_endpoint_leads_elsewhere() {
    let now = Instant::now();
    let raw = snapshot(DnsKind::Logical, vec![target("a.example", 1, 3)]);
    let question = ask("a.example", DnsKind::Logical);
    let mut names = Names::new(1);
    names.want(questions(&raw), now);
    let mut resolved = Resolved::default();
    assert_eq!(hosts(&resolved.of(&raw, &names)), Vec::<String>::new());
    names.take(&question, found(&["10.0.0.2", "10.0.0.1"], 5), now);
    let first = resolved.of(&raw, &names);
    assert_eq!(hosts(&first), ["a.example:1 a.example 3"]);
    let address = first.clusters["orders"].endpoints.hosts[0].address.clone();
    assert_eq!(
        address.dialled(),
        Dialled::Tcp("10.0.0.2:1".parse().unwrap())
    );
    names.take(&question, found(&["10.0.0.1", "10.0.0.2"], 5), now);
    let second = resolved.of(&raw, &names);
    assert!(Arc::ptr_eq(
        &first.clusters["orders"],
        &second.clusters["orders"]
    ));
    assert_eq!(
        address.dialled(),
        Dialled::Tcp("10.0.0.1:1".parse().unwrap())
    );
    let same = Logical::new("a.example".into(), 1, "10.9.9.9".parse().unwrap());
    assert_eq!(address, Address::Logical(Arc::new(same)));
}

#[test]
fn a_configuration_without_names_is_what_it_was() {
    let raw = Arc::new(Snapshot::default());
    let resolved = Resolved::default().of(&raw, &Names::new(1));
    assert!(Arc::ptr_eq(&raw, &resolved));
}

fn any_found() -> impl Strategy<Value = Found> {
    let addresses =
        proptest::collection::vec(any::<u8>().prop_map(|n| IpAddr::from([n, 0, 0, n])), 0..5);
    prop_oneof![
        (addresses, 0u64..1_000_000).prop_map(|(addresses, ttl)| Found::Addresses {
            addresses,
            ttl: Duration::from_secs(ttl),
        }),
        Just(Found::Nothing(Absent::Name)),
        Just(Found::Nothing(Absent::Addresses)),
        Just(Found::Failed(String::new())),
    ]
}

proptest! {
    /// Whatever is answered: the last good answer is what is known, the next question is neither at
    /// once nor never, and a name of one endpoint that was ever resolved stays resolved.
    #[test]
    fn any_answers(
        answers in proptest::collection::vec(any_found(), 1..30),
        is_logical in any::<bool>(),
        jitter in 0u64..5_000,
    ) {
        let kind = if is_logical { DnsKind::Logical } else { DnsKind::Strict };
        let refresh = Refresh { jitter: Duration::from_millis(jitter), ..refresh() };
        let question = Question { refresh, ..ask("a.example", kind) };
        let mut now = Instant::now();
        let mut names = Names::new(jitter);
        names.want([question.clone()], now);
        let mut expected: Vec<IpAddr> = vec![];
        for answer in answers {
            prop_assert_eq!(names.due(now, 1), vec![question.clone()]);
            let before = expected.clone();
            let good = match &answer {
                Found::Addresses { addresses, .. } => {
                    let mut good = addresses.clone();
                    good.retain(can_be_dialled);
                    if !is_logical {
                        good.sort_unstable();
                        good.dedup();
                    }
                    (!good.is_empty()).then_some(good)
                }
                Found::Nothing(_) => (!is_logical).then(Vec::new),
                Found::Failed(_) => None,
            };
            expected = good.unwrap_or(expected);
            let taken = names.take(&question, answer, now).unwrap();
            prop_assert_eq!(taken.changed, before != expected);
            prop_assert_eq!(&names.get(&question).unwrap().addresses, &expected);
            let wait = names.deadline().unwrap() - now;
            prop_assert!(wait >= FASTEST && wait <= SLOWEST + 5 * SECOND, "{:?}", wait);
            now += wait;
        }
    }
}
