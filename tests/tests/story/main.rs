//! The life of an installation on three nodes in two zones, beside a real istiod, while real Dubbo clients call all the time.
//! No call fails, but those that [`Library`] explains.
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
use objects::Library;

const NEAR: &str = "eu-a";
const FAR: &str = "eu-b";
/// The client that was there before there was a waypoint.
const EARLY: &str = "caller-early";
/// One that comes when there is one.
const LATE: &str = "caller-late";
/// One of the older generation of the library.
const OLDER: &str = "caller-older";
/// One that comes when the service has opted out.
const LAST: &str = "caller-last";

#[test]
fn an_installation_comes_lives_and_goes_and_costs_no_call() {
    let Some(lab) = Lab::start() else {
        return;
    };
    let mut callers = Callers::default();
    services_run_without_us(&lab, &mut callers);
    let before = lab.told_of_service();
    helm_installs(&lab, &mut callers);
    a_service_opts_in(&lab, &mut callers);
    near_is_first(&lab, &mut callers);
    a_rule_changes(&lab, &mut callers);
    the_controller_restarts_and_is_gone(&lab, &mut callers);
    a_zone_is_drained_and_comes_back(&lab, &mut callers);
    helm_upgrades_and_rolls_back(&lab, &mut callers);
    a_service_opts_out(&lab, &mut callers);
    helm_uninstalls(&lab, &mut callers);
    for client in [OLDER, LATE, LAST] {
        callers.leaves(&lab, client);
    }
    let after = lab.told_of_service();
    assert_eq!(before, after, "what ztunnels are told of the service");
}

fn services_run_without_us(lab: &Lab, callers: &mut Callers) {
    lab.cluster.apply(objects::SERVICE);
    lab.cluster.apply(&objects::providers("v1", 3));
    lab.cluster.apply(&objects::providers("v2", 1));
    lab.is_rolled_out("shop", "greeter-v1", 3);
    lab.is_rolled_out("shop", "greeter-v2", 1);
    callers.comes(lab, EARLY, Library::Three, None);
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
    callers.comes(lab, LATE, Library::Three, Some(objects::LANE));
    // The rule has the one version alone; without it any provider would do.
    callers.is_answered_by(LATE, || lab.in_zone("greeter-v1-", NEAR));
    lab.rule_is_in_force();
    callers.are_well("the service has opted in");
}

/// Both hops: the waypoint's pod, and the provider.
fn near_is_first(lab: &Lab, callers: &mut Callers) {
    assert_eq!(lab.in_zone("l7-", FAR).len(), 1);
    goes_through(lab, LATE, NEAR);
    callers.is_answered_by(LATE, || lab.in_zone("greeter-v1-", NEAR));
}

/// Waits until a client's newest connection goes to the waypoint's pods of a zone.
fn goes_through(lab: &Lab, client: &str, zone: &str) {
    until(
        &format!("{client} goes through the waypoint in {zone}"),
        || {
            let pods = lab.in_zone("l7-", zone);
            match lab.last_way(client)? {
                Via::Waypoint(pod) if pods.contains(&pod) => Some(()),
                _ => None,
            }
        },
    );
}

fn a_rule_changes(lab: &Lab, callers: &mut Callers) {
    lab.cluster.apply(&objects::router(true));
    callers.is_answered_by(LATE, || lab.everywhere("greeter-v2-"));
    lab.rule_is_in_force();
    lab.cluster.apply(&objects::router(false));
    callers.is_answered_by(LATE, || lab.in_zone("greeter-v1-", NEAR));
    callers.are_well("a rule has changed");
}

fn the_controller_restarts_and_is_gone(lab: &Lab, callers: &mut Callers) {
    let controller = |replicas: u64| {
        lab.is_rolled_out("meltemi-system", "meltemi-controller", replicas);
    };
    let _ = lab.kubectl("rollout restart deployment/meltemi-controller -n meltemi-system");
    controller(2);
    callers.are_well("the controller has restarted");
    let scale = "scale deployment/meltemi-controller -n meltemi-system --replicas";
    let _ = lab.kubectl(&format!("{scale} 0"));
    controller(0);
    lab.cluster.apply(&objects::router(true));
    callers.are_well("the controller is gone");
    // What was written meanwhile counts once it is back.
    let _ = lab.kubectl(&format!("{scale} 2"));
    callers.is_answered_by(LATE, || lab.everywhere("greeter-v2-"));
    controller(2);
    lab.cluster.apply(&objects::router(false));
    callers.is_answered_by(LATE, || lab.in_zone("greeter-v1-", NEAR));
    callers.are_well("the controller is back");
}

fn a_zone_is_drained_and_comes_back(lab: &Lab, callers: &mut Callers) {
    // Nobody saves a client from the end of a provider that it is connected to itself.
    callers.leaves(lab, EARLY);
    callers.comes(lab, OLDER, Library::Two, None);
    callers.are_well("the early client has left");
    let _ = lab.kubectl("drain node-1 node-2 --force --pod-selector app!=caller --timeout 170s");
    callers.is_answered_by(LATE, || lab.in_zone("greeter-v1-", FAR));
    for client in [OLDER, LATE] {
        goes_through(lab, client, FAR);
    }
    lab.is_rolled_out("shop", "l7", 2);
    callers.are_well("a zone is drained");
    let _ = lab.kubectl("uncordon node-1 node-2");
    let _ = lab.kubectl("rollout restart deployment/greeter-v1 deployment/l7 -n shop");
    lab.is_rolled_out("shop", "l7", 2);
    lab.is_rolled_out("shop", "greeter-v1", 3);
    for client in [OLDER, LATE] {
        goes_through(lab, client, NEAR);
        callers.is_answered_by(client, || lab.in_zone("greeter-v1-", NEAR));
    }
    callers.are_well("the zone is back");
}

fn helm_upgrades_and_rolls_back(lab: &Lab, callers: &mut Callers) {
    let images = || {
        let deployments = lab.kubectl("get deployment -A -l app.kubernetes.io/managed-by -o yaml");
        deployments.matches(":next").count()
    };
    assert_eq!(images(), 0);
    let upgrade = [
        "upgrade",
        "meltemi",
        "meltemi",
        "-n",
        "meltemi-system",
        "--set",
        "tag=next",
    ];
    let rollback = ["rollback", "meltemi", "1", "-n", "meltemi-system"];
    for (arguments, is_next) in [(&upgrade[..], true), (&rollback, false)] {
        let _ = lab.helm.prints(arguments);
        lab.is_rolled_out("meltemi-system", "meltemi-controller", 2);
        until("the waypoint is of the new version", || {
            ((images() > 1) == is_next && (images() > 0) == is_next).then_some(())
        });
        lab.is_rolled_out("shop", "l7", 2);
        lab.is_programmed();
        callers.are_well(arguments[0]);
    }
}

fn a_service_opts_out(lab: &Lab, callers: &mut Callers) {
    for value in ["-", "=l7", "-"] {
        let _ = lab.kubectl(&format!(
            "label service greeter -n shop istio.io/use-waypoint{value}"
        ));
        lab.is_bound(value != "-");
        callers.are_well("the service has opted out, or in again");
    }
    callers.comes(lab, LAST, Library::Two, None);
    callers.are_well("a client has come after that");
    assert!(matches!(lab.last_way(LAST), Some(Via::Endpoint(_))));
}

fn helm_uninstalls(lab: &Lab, callers: &mut Callers) {
    // Connections that are still there end with the pods that have them, and not with the Gateway.
    let _ = lab.kubectl("rollout restart deployment/l7 -n shop");
    lab.is_rolled_out("shop", "l7", 2);
    for client in [OLDER, LATE] {
        until(&format!("{client} goes to its provider"), || {
            matches!(lab.last_way(client)?, Via::Endpoint(_)).then_some(())
        });
    }
    callers.are_well("nobody is left at the waypoint");
    let _ = lab.kubectl("delete gateways.gateway.networking.k8s.io l7 -n shop");
    until("the waypoint is gone", || {
        let parts = "get deployment,service,hpa,pdb,serviceaccount,pod -n shop -o name";
        let labelled = format!("{parts} -l gateway.networking.k8s.io/gateway-name=l7");
        lab.kubectl(&labelled).is_empty().then_some(())
    });
    callers.are_well("the waypoint is gone");
    let _ = lab
        .helm
        .prints(&["uninstall", "meltemi", "-n", "meltemi-system"]);
    until("the controller is gone", || {
        lab.pods
            .named("meltemi-system", "")
            .is_empty()
            .then_some(())
    });
    callers.are_well("helm has uninstalled");
}
