use proptest::collection::vec;
use proptest::prelude::*;

use self::world::{Health, Shape, Step, Way, pipeline, step, take};
use super::*;

mod world;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

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
                let expected = long.look_again(Instant::now()).resources;
                prop_assert_eq!(published, expected);
            }
        }
        // What was put off is found in the end.
        let (one, other) = (short.look_again(Instant::now()), long.look_again(Instant::now()));
        prop_assert_eq!(one.resources, other.resources);
        prop_assert_eq!(one.report, other.report);
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
    let rows: &[(&str, Option<Step>, Step, bool)] = &[
        ("a slice", None, slice(0), true),
        ("a pod that nobody picks", None, pod(1), true),
        ("a pod that a ServiceEntry picks", None, pod(2), false),
        ("a route", None, router(0, Way::Subset(2)), true),
        ("one that is new", None, router(2, Way::Plain), true),
        ("one that goes", None, Step::NoRouter(0), true),
        ("one to nobody", None, router(0, Way::Unknown), false),
        ("one that hides others", None, router(2, Way::First), false),
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
