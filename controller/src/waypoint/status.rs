//! What a waypoint's Gateway says of it: to people, and by its addresses to istiod, which sends connections there from
//! then on.

use serde_json::{Value, json};

use super::gateway::{BOUND, DETACH, Listener, Waypoint};
use crate::status::{Answer, Condition, GatewayNews, Kind, State, Truth, Wanted};

/// What there is of a waypoint besides its Gateway.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// Why it is refused, where it is.
    pub(super) refusal: Option<State>,
    /// Objects that cannot be as they should, in a sentence each.
    pub(super) problems: Vec<String>,
    /// Whether a pod of it is ready.
    pub(super) is_ready: bool,
    /// Of its Service.
    pub(super) cluster_ip: Option<String>,
    /// What its proxies make of what they are sent; none: not known yet.
    pub(super) news: Option<GatewayNews>,
}

/// All of it that is ours, with the times of what is written where that says the same.
pub(super) fn desired(
    waypoint: &Waypoint,
    standing: &Standing,
    cluster_domain: &str,
    now: &str,
) -> Value {
    let accepted = accepted(waypoint, standing);
    let programmed = programmed(waypoint, standing, &accepted);
    let is_programmed = programmed.status == Truth::True;
    let wanted = [(Kind::Accepted, accepted), (Kind::Programmed, programmed)];
    let wanted = wanted.into_iter().chain(mismatch(waypoint, standing));
    let written = &waypoint.status;
    let mut status = json!({
        "conditions": conditions(waypoint, &written["conditions"], wanted, now),
        "listeners": listeners(waypoint, standing, is_programmed, now),
    });
    // First in, last out: without an address istiod has connections pass by, whatever the proxies enforce.
    let may_be = waypoint.detached.is_none();
    if may_be && (is_programmed || waypoint.is_published()) {
        status["addresses"] = addresses(waypoint, standing, cluster_domain);
    }
    status
}

fn accepted(waypoint: &Waypoint, standing: &Standing) -> State {
    if let Some(refusal) = &standing.refusal {
        return refusal.clone();
    }
    let accepted = waypoint.accepted();
    let news = standing.news.as_ref();
    let warnings = news.and_then(|news| news.warnings.as_ref());
    let warnings = warnings.map(|it| format!(", but: {it}"));
    let plan = news.and_then(|news| news.plan.as_ref());
    let plan = plan.map(|it| format!("; behind it: {it}"));
    let (warnings, plan) = (warnings.unwrap_or_default(), plan.unwrap_or_default());
    let message = format!("{}{warnings}{plan}", accepted.message);
    State::new(accepted.status, &accepted.reason, message)
}

fn programmed(waypoint: &Waypoint, standing: &Standing, accepted: &State) -> State {
    let not_yet = |reason: &str, message: &str| State::new(Truth::False, reason, message);
    if waypoint.detached.is_some() {
        let message = format!(
            "it was taken out: connections pass it by, and no policy is enforced here; to attach it again take its \
             annotation {DETACH} away"
        );
        return not_yet("Detached", &message);
    }
    if accepted.status == Truth::False {
        return not_yet("Invalid", "it is not accepted; what there was of it stays");
    }
    if let [first, ..] = standing.problems.as_slice() {
        let problems = standing.problems.join("; ");
        let message = if standing.problems.len() > 1 {
            &problems
        } else {
            first
        };
        return not_yet("NoResources", message);
    }
    if !standing.is_ready {
        let message = format!("no pod of its Deployment {} is ready", waypoint.name);
        return not_yet("Pending", &message);
    }
    if waypoint.binding.as_deref() != Some(BOUND) {
        return not_yet("Pending", "it has no binding annotation yet");
    }
    match standing.news.as_ref().map(|news| &news.answer) {
        Some(Answer::Everywhere) => State::new(
            Truth::True,
            "Programmed",
            "a proxy is ready, and each has what it is sent",
        ),
        // What is on its way now was there before.
        Some(Answer::NotYet | Answer::Unheard) | None if waypoint.is_published() => {
            let message = "a proxy is ready; the others are being asked";
            State::new(Truth::True, "Programmed", message)
        }
        Some(Answer::NotYet | Answer::Unheard) | None => {
            not_yet("Pending", "the proxies are being asked")
        }
        Some(Answer::NoProxies) => {
            not_yet("Pending", "no proxy of it is connected to a controller")
        }
        Some(Answer::Nowhere) => not_yet(
            "Pending",
            "nothing is served at it: see its findings in the log",
        ),
        Some(answer) => {
            let state = answer.state();
            state.unwrap_or_else(|| not_yet("Pending", "the proxies are being asked"))
        }
    }
}

/// Whether clients speak what the ports of their services are named for: said once they did not, and from then on.
fn mismatch(waypoint: &Waypoint, standing: &Standing) -> Option<(Kind, State)> {
    let kind = Kind::ProtocolMismatch;
    let news = standing.news.as_ref();
    if let Some(told) = news.and_then(|news| news.mismatches.clone()) {
        return Some((kind, State::new(Truth::True, "OtherProtocol", told)));
    }
    let mut written = waypoint.status["conditions"].as_array()?.iter();
    let written = written.find(|it| it["type"] == kind.as_str())?;
    let written: Condition = serde_json::from_value(written.clone()).ok()?;
    let is_heard = news.is_some_and(|news| !news.is_new);
    let state = match written.status {
        Truth::True if !is_heard => State::new(Truth::True, &written.reason, written.message),
        _ => {
            let message = "no client was seen lately that speaks something else than its service's port is named for";
            State::new(Truth::False, "NoMismatch", message)
        }
    };
    Some((kind, state))
}

fn addresses(waypoint: &Waypoint, standing: &Standing, cluster_domain: &str) -> Value {
    let Waypoint {
        namespace, name, ..
    } = waypoint;
    // istiod takes the first name, whatever its place, and looks for the Service in the Gateway's namespace.
    let host = format!("{name}.{namespace}.svc.{cluster_domain}");
    let host = json!({"type": "Hostname", "value": host});
    let ip = standing.cluster_ip.iter();
    let ip = ip.map(|ip| json!({"type": "IPAddress", "value": ip}));
    std::iter::once(host).chain(ip).collect()
}

fn listeners(
    waypoint: &Waypoint,
    standing: &Standing,
    is_programmed: bool,
    now: &str,
) -> Vec<Value> {
    let attached = standing.news.as_ref().and_then(|it| it.attached.as_ref());
    let attached =
        |name: &str| attached.map_or(0, |(of, rules)| if of == name { *rules } else { 0 });
    let written = waypoint.status["listeners"].as_array();
    let listeners = waypoint.listeners.iter().map(|listener| {
        let mut known = written.into_iter().flatten();
        let known = known.find(|it| it["name"] == listener.name.as_str());
        let known = known.map_or(&Value::Null, |it| &it["conditions"]);
        let (kinds, is_all) = listener.kinds();
        let kinds = kinds.iter();
        let kinds = kinds.map(|(group, kind)| json!({"group": group, "kind": kind}));
        let wanted = of_listener(listener, is_all, is_programmed);
        json!({
            "name": listener.name,
            "attachedRoutes": attached(&listener.name),
            "supportedKinds": kinds.collect::<Vec<_>>(),
            "conditions": conditions(waypoint, known, wanted, now),
        })
    });
    listeners.collect()
}

fn of_listener(listener: &Listener, is_all: bool, is_programmed: bool) -> [(Kind, State); 3] {
    let refusal = listener.refusal();
    let resolved = match is_all {
        true => State::new(
            Truth::True,
            "ResolvedRefs",
            "everything that it names is there",
        ),
        false => {
            let message = "`allowedRoutes.kinds` has others than MetaRouter and RedisService";
            State::new(Truth::False, "InvalidRouteKinds", message)
        }
    };
    let programmed = match (&refusal, is_programmed) {
        (Some(_), _) => State::new(Truth::False, "Invalid", "it is not accepted"),
        (None, true) => State::new(Truth::True, "Programmed", "proxies listen"),
        (None, false) => State::new(Truth::False, "Pending", "its Gateway is not programmed"),
    };
    let accepted = || State::new(Truth::True, "Accepted", "it is served");
    [
        (Kind::Accepted, refusal.unwrap_or_else(accepted)),
        (Kind::Programmed, programmed),
        (Kind::ResolvedRefs, resolved),
    ]
}

fn conditions(
    waypoint: &Waypoint,
    written: &Value,
    wanted: impl IntoIterator<Item = (Kind, State)>,
    now: &str,
) -> Vec<Condition> {
    let wanted = wanted.into_iter().map(|(kind, state)| Wanted {
        kind,
        state,
        generation: waypoint.generation,
    });
    timed(wanted, written, now)
}

/// As they are written: each since its status is what it is.
pub(super) fn timed(
    wanted: impl IntoIterator<Item = Wanted>,
    written: &Value,
    now: &str,
) -> Vec<Condition> {
    let written = written.as_array().into_iter().flatten();
    let written = written.filter_map(|it| serde_json::from_value(it.clone()).ok());
    let written: Vec<Condition> = written.collect();
    let wanted = wanted.into_iter().map(|wanted| {
        let before = written.iter().find(|it| it.kind == wanted.kind.as_str());
        wanted.timed(before, now)
    });
    wanted.collect()
}

#[cfg(test)]
mod tests {
    use super::super::gateway::BINDING;
    use super::super::gateway::tests::waypoint;
    use super::*;

    fn bound(status: Value) -> Waypoint {
        waypoint(|it| {
            it["metadata"]["annotations"] = json!({ BINDING: BOUND });
            it["status"] = status.clone();
        })
    }

    fn standing(answer: Answer) -> Standing {
        Standing {
            is_ready: true,
            cluster_ip: Some("10.96.0.7".to_owned()),
            news: Some(GatewayNews {
                answer,
                warnings: None,
                plan: None,
                attached: None,
                mismatches: None,
                is_new: false,
            }),
            ..Standing::default()
        }
    }

    fn says(waypoint: &Waypoint, standing: &Standing) -> (String, bool) {
        let status = desired(waypoint, standing, "cluster.local", "now");
        let programmed = &status["conditions"][1];
        let text = |field: &str| programmed[field].as_str().unwrap().to_owned();
        let has_addresses = status["addresses"].is_array();
        (
            format!("{}/{}", text("status"), text("reason")),
            has_addresses,
        )
    }

    #[test]
    fn addresses_come_with_the_first_proxy_and_stay() {
        let published =
            json!({"addresses": [{"type": "Hostname", "value": "l7.shop.svc.cluster.local"}]});
        let refused = || Answer::Refused {
            what: "the listener shop/l7/proxy".to_owned(),
            reason: "no".to_owned(),
        };
        let rows = [
            (
                Answer::Everywhere,
                ("True/Programmed", true),
                ("True/Programmed", true),
            ),
            (
                Answer::NotYet,
                ("False/Pending", false),
                ("True/Programmed", true),
            ),
            (
                Answer::Unheard,
                ("False/Pending", false),
                ("True/Programmed", true),
            ),
            (
                Answer::NoProxies,
                ("False/Pending", false),
                ("False/Pending", true),
            ),
            (
                Answer::Nowhere,
                ("False/Pending", false),
                ("False/Pending", true),
            ),
            (
                Answer::Missing,
                ("False/NotAcknowledged", false),
                ("False/NotAcknowledged", true),
            ),
            (
                refused(),
                ("False/RejectedByProxy", false),
                ("False/RejectedByProxy", true),
            ),
        ];
        for (answer, first, later) in rows {
            let standing = standing(answer);
            for (status, (expected, is_published)) in
                [(Value::Null, first), (published.clone(), later)]
            {
                let found = says(&bound(status), &standing);
                assert_eq!(found, (expected.to_owned(), is_published), "{standing:?}");
            }
        }
    }

    #[test]
    fn one_that_was_taken_out_has_no_address_whatever_there_is_of_it() {
        let published = json!({"addresses": [{"type": "IPAddress", "value": "10.96.0.7"}]});
        for status in [Value::Null, published] {
            let mut gateway = bound(status);
            gateway.detached = Some("2026-01-01T00:00:00Z".to_owned());
            let found = says(&gateway, &standing(Answer::Everywhere));
            assert_eq!(found, ("False/Detached".to_owned(), false));
        }
    }

    #[test]
    fn nothing_is_published_before_all_of_it_is_there() {
        let full = || standing(Answer::Everywhere);
        let unbound = waypoint(|_| {});
        assert_eq!(says(&unbound, &full()), ("False/Pending".to_owned(), false));
        let rows = [
            (
                Standing {
                    is_ready: false,
                    ..full()
                },
                "False/Pending",
            ),
            (
                Standing {
                    problems: vec!["p".to_owned()],
                    ..full()
                },
                "False/NoResources",
            ),
            (
                Standing {
                    refusal: Some(State::new(Truth::False, "InvalidParameters", "m")),
                    ..full()
                },
                "False/Invalid",
            ),
            (
                Standing {
                    news: None,
                    ..full()
                },
                "False/Pending",
            ),
        ];
        for (standing, expected) in rows {
            let found = says(&bound(Value::Null), &standing);
            assert_eq!(found, (expected.to_owned(), false), "{standing:?}");
        }
    }

    /// `True/OtherProtocol`, after what is written and heard.
    fn says_of_mismatches(written: Value, mismatches: Option<&str>, is_new: bool) -> String {
        let mut standing = standing(Answer::Everywhere);
        standing.news = standing.news.map(|news| GatewayNews {
            mismatches: mismatches.map(str::to_owned),
            is_new,
            ..news
        });
        let status = desired(&bound(written), &standing, "cluster.local", "now");
        let condition = &status["conditions"][2];
        let text = |field: &str| condition[field].as_str().unwrap_or("-").to_owned();
        format!(
            "{}/{}: {}",
            text("status"),
            text("reason"),
            text("message").split(' ').next().unwrap()
        )
    }

    #[test]
    fn what_clients_speak_is_told_until_all_proxies_were_heard_without_it() {
        let written = |truth: &str| {
            json!({"conditions": [{
                "type": "meltemi.io/ProtocolMismatch", "status": truth, "reason": "OtherProtocol",
                "message": "before", "lastTransitionTime": "then",
            }]})
        };
        let rows = [
            (Value::Null, None, false, "-/-: -"),
            (Value::Null, Some("now"), false, "True/OtherProtocol: now"),
            (Value::Null, Some("now"), true, "True/OtherProtocol: now"),
            (
                written("True"),
                Some("now"),
                true,
                "True/OtherProtocol: now",
            ),
            (written("True"), None, true, "True/OtherProtocol: before"),
            (written("True"), None, false, "False/NoMismatch: no"),
            (written("False"), None, true, "False/NoMismatch: no"),
        ];
        for (written, mismatches, is_new, expected) in rows {
            let found = says_of_mismatches(written.clone(), mismatches, is_new);
            assert_eq!(found, expected, "{written} {mismatches:?} {is_new}");
        }
    }

    #[test]
    fn all_of_it() {
        let mut gateway = bound(Value::Null);
        let other = waypoint(|it| {
            it["spec"]["listeners"] = json!([
                {"name": "web", "port": 80, "protocol": "HTTP"},
                {"name": "mesh", "port": 15008, "protocol": "HBONE", "allowedRoutes": {"kinds": [{"kind": "TCPRoute"}]}},
            ]);
        });
        gateway.listeners = other.listeners;
        let mut standing = standing(Answer::Everywhere);
        standing.news = standing.news.map(|news| GatewayNews {
            warnings: Some("NotCaptured: Service shop/a is headless".to_owned()),
            plan: Some("port 80 of Service shop/a is passed on".to_owned()),
            attached: Some(("mesh".to_owned(), 2)),
            ..news
        });
        let status = desired(&gateway, &standing, "cluster.local", "2026-01-01T00:00:00Z");
        insta::assert_snapshot!(serde_saphyr::to_string(&status).unwrap());
        // Said again it is the same, whenever that is.
        gateway.status = status.clone();
        assert_eq!(
            desired(&gateway, &standing, "cluster.local", "later"),
            status
        );
    }
}
