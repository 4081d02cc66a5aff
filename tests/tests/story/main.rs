//! The life of an installation on three nodes in two zones, beside a real istiod, while real Dubbo clients call all the time.
//! No call fails.
//!
//! Pods come from the real controllers and scheduler and run as a kubelet would have them ([`Pods`]); what they dial goes the
//! way that istiod tells ztunnel ([`Ztunnels`]).
//!
//! [`Pods`]: meltemi_tests::kubernetes::Pods
//! [`Ztunnels`]: meltemi_tests::kubernetes::Ztunnels

mod callers;
mod lab;
mod objects;

use meltemi_tests::kubernetes::Via;
use meltemi_tests::until;

use callers::Callers;
use lab::Lab;

const NEAR: &str = "eu-a";
const FAR: &str = "eu-b";
/// The client that was there before there was a waypoint.
const EARLY: &str = "caller-early";
/// One that comes when there is one.
const LATE: &str = "caller-late";

#[test]
fn an_installation_comes_lives_and_goes_and_no_call_fails() {
    let Some(lab) = Lab::start() else {
        return;
    };
    let mut callers = Callers::default();
    services_run_without_us(&lab, &mut callers);
    helm_installs(&lab, &mut callers);
    a_service_opts_in(&lab, &mut callers);
    near_is_first(&lab, &mut callers);
}

fn services_run_without_us(lab: &Lab, callers: &mut Callers) {
    lab.cluster.apply(objects::SERVICE);
    lab.cluster.apply(&objects::providers("v1", 3));
    lab.cluster.apply(&objects::providers("v2", 1));
    lab.is_rolled_out("shop", "greeter-v1", 3);
    lab.is_rolled_out("shop", "greeter-v2", 1);
    callers.comes(lab, EARLY, "caller-3", None);
    callers.are_well("before anything is installed");
    assert!(matches!(lab.last_way(EARLY), Some(Via::Endpoint(_))));
}

fn helm_installs(lab: &Lab, callers: &mut Callers) {
    for chart in ["meltemi-crds", "meltemi"] {
        let install = ["install", chart, chart, "-n", "meltemi-system"];
        let _ = lab.helm.prints(&install);
    }
    lab.is_rolled_out("meltemi-system", "meltemi-controller", 2);
    lab.cluster.apply(objects::WAYPOINT);
    lab.cluster.apply(&objects::router(false));
    // Its autoscaler wants two.
    lab.is_rolled_out("shop", "l7", 2);
    lab.is_programmed();
    lab.is_bound(false);
    callers.are_well("helm has installed");
}

fn a_service_opts_in(lab: &Lab, callers: &mut Callers) {
    let _ = lab.kubectl("label service greeter -n shop istio.io/use-waypoint=l7");
    lab.is_bound(true);
    callers.comes(lab, LATE, "caller-2", Some(objects::LANE));
    // The rule has the one version alone; without it any provider would do.
    callers.is_answered_by(LATE, || lab.in_zone("greeter-v1-", NEAR));
    lab.rule_is_in_force();
    callers.are_well("the service has opted in");
}

/// Both hops.
fn near_is_first(lab: &Lab, callers: &mut Callers) {
    let near = lab.in_zone("l7-", NEAR);
    assert_eq!((near.len(), lab.in_zone("l7-", FAR).len()), (1, 1));
    let way = until("the late client has connected", || lab.last_way(LATE));
    assert!(
        matches!(&way, Via::Waypoint(pod) if near.contains(pod)),
        "{way:?}: {near:?}"
    );
    callers.is_answered_by(LATE, || lab.in_zone("greeter-v1-", NEAR));
}
