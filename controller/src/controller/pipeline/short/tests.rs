use std::time::Instant;

use meltemi_proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Name as _;

use self::world::{Health, Policy, Shape, Step, Way, pipeline, step, step_beside, take};
use super::super::{Arrival, Arrived, Update};
use super::*;

mod world;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// The long way is gone beside the short ones, whenever it begins and ends; the other pipeline goes it at once, and no
    /// other.
    #[test]
    fn beside_the_short_ways_the_long_one_leads_to_the_same(steps in vec(step_beside(), 1..60)) {
        let mut beside = Beside::default();
        for step in &steps {
            take(&mut beside.short, step);
            take(&mut beside.long, step);
            match step {
                Step::Publish => beside.follow(),
                Step::SetOut => beside.set_out(),
                Step::Arrive => beside.arrive(),
                _ => {}
            }
        }
        // What changed while the last one was gone takes one more, at most.
        beside.arrive();
        let (one, other) = (look_again(&mut beside.short), look_again(&mut beside.long));
        prop_assert_eq!(one.resources, other.resources);
        prop_assert_eq!(one.report, other.report);
    }

    /// One takes the short way where there is one, the other never.
    #[test]
    fn the_short_way_gives_what_the_long_way_gives(steps in vec(step(), 1..40)) {
        let (mut short, mut long) = (pipeline(), pipeline());
        for step in &steps {
            take(&mut short, step);
            take(&mut long, step);
            if matches!(step, Step::Publish) {
                let followed = short.follow().map(|it| it.published);
                let published = followed.unwrap_or_else(|| short.apply().resources);
                let expected = look_again(&mut long).resources;
                prop_assert_eq!(published, expected);
            }
        }
        // What was put off is found in the end.
        let (one, other) = (look_again(&mut short), look_again(&mut long));
        prop_assert_eq!(one.resources, other.resources);
        prop_assert_eq!(one.report, other.report);
    }
}

fn look_again(pipeline: &mut Pipeline) -> Update {
    let journey = pipeline.set_out(Instant::now(), true);
    match pipeline.arrive(journey.go()) {
        Arrived::AtThePresent { update, .. } => update,
        Arrived::InThePast(_) | Arrived::Behind => panic!("nothing has changed meanwhile"),
    }
}

/// A pipeline with a long way beside it, as a cluster's controller has it, and one that waits for each.
struct Beside {
    short: Pipeline,
    long: Pipeline,
    /// With what it leads to.
    under_way: Option<(Arrival, Arc<Published>)>,
}

impl Default for Beside {
    fn default() -> Self {
        Self {
            short: pipeline(),
            long: pipeline(),
            under_way: None,
        }
    }
}

impl Beside {
    fn follow(&mut self) {
        let followed = self.short.follow();
        // Else it is followed again from where that leads.
        if let (Some(followed), None) = (followed, &self.under_way) {
            let expected = look_again(&mut self.long).resources;
            assert_eq!(followed.published, expected);
        }
    }

    fn set_out(&mut self) {
        if self.under_way.is_none() {
            let journey = self.short.set_out(Instant::now(), true);
            let expected = look_again(&mut self.long).resources;
            self.under_way = Some((journey.go(), expected));
        }
    }

    fn arrive(&mut self) {
        let Some((arrival, expected)) = self.under_way.take() else {
            return;
        };
        match self.short.arrive(arrival) {
            Arrived::AtThePresent { update, .. } => {
                let expected = look_again(&mut self.long).resources;
                assert_eq!(update.resources, expected);
            }
            Arrived::InThePast(update) => assert_eq!(update.resources, expected),
            Arrived::Behind => {}
        }
    }
}

/// The resources that are others than before.
fn changed(was: &Published, now: &Published) -> Vec<String> {
    let type_url = ClusterLoadAssignment::type_url();
    let changed = now.of_type(&type_url).filter(|(name, resource)| {
        was.get(&type_url, name)
            .is_none_or(|was| !std::ptr::eq(was, *resource))
    });
    changed.map(|(name, _)| name.to_owned()).collect()
}

#[test]
fn the_short_way_leaves_all_else_as_it_is() {
    let mut pipeline = pipeline();
    let was = pipeline.apply().resources;
    // Nothing is different: nothing is published anew.
    let same = pipeline.apply().resources;
    assert!(Arc::ptr_eq(&was.all, &same.all));
    // What status is made of stays as it was.
    let kept = pipeline.model.clone();
    take(&mut pipeline, &Step::Slice(1, 0, vec![(1, Health::Ready)]));
    let now = pipeline.follow().expect("it is short").published;
    let name = "outbound|20880||s1.default.svc.cluster.local";
    assert_eq!(changed(&was, &now), [name]);
    let count = |model: &Model| {
        let name: ClusterName = name.parse().expect("a name");
        let cluster = model.clusters.get(&name);
        cluster.map_or(0, |cluster| cluster.endpoints.len())
    };
    assert_eq!((count(&kept), count(&pipeline.model)), (0, 1));
}

#[test]
fn whatever_is_out_of_the_ordinary_takes_the_long_way() {
    let slice = |service| Step::Slice(service, 0, vec![(1, Health::Ready)]);
    let pod = |label| Step::Pod(1, label, 0, true);
    let router = |number, way| Step::Router(number, 0, way);
    let rule = Step::Rule;
    let rows: &[(&str, Option<Step>, Step, bool)] = &[
        ("a slice", None, slice(0), true),
        ("a pod that nobody picks", None, pod(1), true),
        ("a pod that a ServiceEntry picks", None, pod(2), false),
        ("a route", None, router(0, Way::Subset(2)), true),
        ("one that is new", None, router(2, Way::Plain), true),
        ("one that goes", None, Step::NoRouter(0), true),
        ("one to nobody", None, router(0, Way::Unknown), false),
        ("one that hides others", None, router(2, Way::First), false),
        ("a policy", None, rule(0, Policy::Connections(1, 2)), true),
        ("a warning", None, rule(0, Policy::UnknownPort), true),
        ("other pods", None, rule(0, Policy::OtherLabels), true),
        ("a bad hash", None, rule(0, Policy::BadHash), false),
        ("times of clients", None, rule(0, Policy::Times(1)), false),
        ("TLS", None, rule(0, Policy::Tls), false),
        ("other subsets", None, rule(0, Policy::FewerSubsets), false),
        ("other hosts", None, rule(0, Policy::Wide), false),
        ("no rule any more", None, Step::NoRule(0), false),
        ("a node", None, Step::Node(0, 1), false),
        ("a slice that is wrong", None, Step::BadSlice(0), false),
        ("a Service", None, Step::Service(0, Shape::Near), false),
        (
            "what has an alias",
            Some(Step::Service(1, Shape::Alias(0))),
            slice(0),
            false,
        ),
        (
            "beside an alias",
            Some(Step::Service(1, Shape::Alias(0))),
            slice(2),
            true,
        ),
        ("seeds", Some(Step::Seeds(0)), slice(0), false),
        ("beside seeds", Some(Step::Seeds(0)), slice(2), true),
    ];
    for (what, before, step, is_short) in rows {
        let mut pipeline = pipeline();
        if let Some(before) = before {
            take(&mut pipeline, before);
            assert!(pipeline.follow().is_none(), "{what}");
            pipeline.apply();
        }
        take(&mut pipeline, step);
        assert_eq!(pipeline.follow().is_some(), *is_short, "{what}");
    }
}

#[test]
fn where_no_object_changed_the_long_way_says_what_did() {
    let mut pipeline = pipeline();
    assert!(pipeline.stand_beside_aeraki(true));
    assert!(pipeline.follow().is_none());
    take(&mut pipeline, &Step::Router(0, 0, Way::Subset(2)));
    assert!(pipeline.follow().is_none());
}
