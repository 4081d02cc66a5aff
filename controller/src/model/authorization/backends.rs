//! Policies at the servers of a service that sidecars reach through a Gateway: the servers see the Gateway, so that it asks
//! of clients what they would have been asked there.

use std::collections::BTreeMap;

use meltemi_policy::authorization::{Action, Policy, Subject};

use super::super::{Bound, Context, Port, Reach, Service};
use super::{Attaching, Used, conditions};

/// Whether a policy for workloads with these labels is for some of those behind a Gateway that stands in their place. What is
/// for some of them counts for all: which it will be is not known when a client is judged.
pub(super) fn are_selected(
    used: &Used<'_>,
    labels: &BTreeMap<String, String>,
    policy: &Attaching<'_>,
) -> bool {
    let (Some(bound), Some(_)) = (used.bound, used.hop) else {
        return false;
    };
    let root = &*policy.context.settings.root_namespace;
    let own = &*policy.object.id.namespace;
    let service = service(bound, policy.context);
    service.is_some_and(|service| service.reach((own, root), labels) > Reach::None)
}

/// What it says of clients, by the port that these dial. None: it speaks of the Gateway alone.
pub(super) fn said_of_clients(
    policy: &Policy,
    used: &Used<'_>,
    context: &Context<'_>,
) -> Option<Policy> {
    let mut said = used.hop?.rest(policy)?;
    let bound = used.bound?;
    let port = service(bound, context).and_then(|service| service.port(bound.port));
    let listened: Vec<_> = port.into_iter().flat_map(Port::listened).collect();
    let denies = said.action == Action::Deny;
    for condition in conditions(&mut said) {
        let invert = condition.invert;
        if let Subject::Port(ports) = &mut condition.subject {
            let is_meant = is_meant(&listened, ports, denies != invert);
            *ports = is_meant.then_some(bound.port).into_iter().collect();
        }
    }
    Some(said)
}

fn service<'a>(bound: &Bound, context: &Context<'a>) -> Option<&'a Service> {
    let service = context.services.find(&bound.host, &bound.namespace);
    service.filter(|it| bound.is_of(it))
}

/// Whether servers that listen on some ports count as listening on one of these. In doubt that is as it is worse for the
/// client.
fn is_meant(listened: &[u16], ports: &[u16], in_doubt: bool) -> bool {
    let mut is_one = listened.iter().map(|it| ports.contains(it));
    match (in_doubt, listened) {
        (_, []) => in_doubt,
        (true, _) => is_one.any(|it| it),
        (false, _) => is_one.all(|it| it),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_of_some_servers_counts_against_the_client() {
        // What servers listen on, the ports that are asked for, and what that is without doubt, and in it.
        let rows: [(&[u16], &[u16], [bool; 2]); 5] = [
            (&[1, 1], &[1, 2], [true, true]),
            (&[1, 2], &[1], [false, true]),
            (&[1], &[2], [false, false]),
            (&[], &[1], [false, true]),
            (&[1], &[], [false, false]),
        ];
        for (listened, ports, expected) in rows {
            let found = [false, true].map(|in_doubt| is_meant(listened, ports, in_doubt));
            assert_eq!(found, expected, "{listened:?} {ports:?}");
        }
    }
}
