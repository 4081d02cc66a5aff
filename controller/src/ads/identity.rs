//! Who a client has proven to be, and what that lets it ask for.

use std::fmt;

use super::node::{NamespacedName, Node};

/// The service account of a pod, as the API server vouches for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    pub namespace: String,
    pub service_account: String,
    pub pod: Pod,
}

/// One pod: another of the same name has another `uid`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pod {
    pub name: String,
    pub uid: String,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            namespace,
            service_account,
            pod,
        } = self;
        write!(f, "{namespace}/{} ({service_account})", pod.name)
    }
}

/// What a node says of itself: whose proxy it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim<'a> {
    /// Of the Gateway that it serves.
    pub namespace: &'a str,
    /// The one that the Gateway's proxies run as, where that is known.
    pub service_account: Option<&'a str>,
    /// The pod that it says it is, where it does.
    pub pod: Option<&'a str>,
}

/// What a client claims and has not proven.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    #[error("it serves a Gateway of namespace {claimed}, and its token is of namespace {proven}")]
    Namespace { claimed: String, proven: String },
    #[error("the Gateway's proxies run as service account {claimed}, and its token is of {proven}")]
    ServiceAccount { claimed: String, proven: String },
    #[error("it says that it is pod {claimed}, and its token is of pod {proven}")]
    Pod { claimed: String, proven: String },
    /// Everything is for nobody who has to say who they are.
    #[error("it names no Gateway, as `meltemi proxy --gateway NAMESPACE/NAME` does")]
    NoGateway,
}

/// Whether this client may be sent what the Gateway's proxies are.
///
/// A Gateway's proxies run in its namespace: who may start pods there may have what it serves, and nobody else.
///
/// # Errors
/// The first of namespace, service account and pod that is another.
pub fn may_serve(identity: &Identity, claim: &Claim<'_>) -> Result<(), Mismatch> {
    let differs = |claimed: Option<&str>, proven: &str| {
        let claimed = claimed.filter(|claimed| *claimed != proven)?;
        Some((claimed.to_owned(), proven.to_owned()))
    };
    if let Some((claimed, proven)) = differs(Some(claim.namespace), &identity.namespace) {
        return Err(Mismatch::Namespace { claimed, proven });
    }
    if let Some((claimed, proven)) = differs(claim.service_account, &identity.service_account) {
        return Err(Mismatch::ServiceAccount { claimed, proven });
    }
    match differs(claim.pod, &identity.pod.name) {
        Some((claimed, proven)) => Err(Mismatch::Pod { claimed, proven }),
        None => Ok(()),
    }
}

/// Whether this client is what it says of itself: of each Gateway that it claims, and of its pod. Of some Gateways
/// `account` says as whom their proxies run.
///
/// # Errors
/// The first that it is not.
pub(super) fn may_be<'a>(
    identity: &Identity,
    node: &Node,
    account: impl Fn(&NamespacedName) -> Option<&'a str>,
) -> Result<(), Mismatch> {
    let gateways = node.gateways.as_ref().ok_or(Mismatch::NoGateway)?;
    let pod = node.pod.as_ref();
    if let Some(pod) = pod
        && (&*pod.namespace, &*pod.name) != (&identity.namespace, &identity.pod.name)
    {
        return Err(Mismatch::Pod {
            claimed: pod.to_string(),
            proven: format!("{}/{}", identity.namespace, identity.pod.name),
        });
    }
    gateways.iter().try_for_each(|gateway| {
        let claim = Claim {
            namespace: &gateway.namespace,
            service_account: account(gateway),
            pod: pod.map(|pod| &*pod.name),
        };
        may_serve(identity, &claim)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            namespace: "shop".to_owned(),
            service_account: "edge".to_owned(),
            pod: Pod {
                name: "edge-1".to_owned(),
                uid: "u".to_owned(),
            },
        }
    }

    #[test]
    fn a_node_is_what_its_token_says() {
        type Row<'a> = (Option<&'a [&'a str]>, Option<&'a str>, Option<&'a str>);
        let rows: [Row<'_>; 9] = [
            (Some(&["shop/edge"]), None, None),
            (Some(&["shop/edge", "shop/b"]), Some("shop/edge-1"), None),
            (Some(&[]), None, None),
            (None, Some("shop/edge-1"), Some("names no Gateway")),
            (Some(&["bank/edge"]), None, Some("namespace bank")),
            (Some(&["shop/edge", "bank/b"]), None, Some("namespace bank")),
            (Some(&["shop/edge"]), Some("shop/edge-2"), Some("edge-2")),
            (Some(&["shop/edge"]), Some("bank/edge-1"), Some("bank/")),
            // A waypoint: of another service account.
            (Some(&["shop/edge", "shop/waypoint"]), None, Some("account")),
        ];
        let account =
            |gateway: &NamespacedName| (&*gateway.name == "waypoint").then_some("waypoint");
        for (gateways, pod, refused) in rows {
            let node = Node {
                id: "n".to_owned(),
                gateways: gateways.map(|all| all.iter().map(|it| it.parse().unwrap()).collect()),
                pod: pod.map(|pod| pod.parse().unwrap()),
                ..Node::default()
            };
            let found = may_be(&identity(), &node, account);
            let found = found.err().map(|it| it.to_string());
            let is_expected = match (&found, refused) {
                (Some(found), Some(words)) => found.contains(words),
                (found, refused) => found.is_none() && refused.is_none(),
            };
            assert!(is_expected, "{node:?}: {found:?}");
        }
    }

    #[test]
    fn a_gateway_is_served_to_its_own_proxies() {
        let identity = identity();
        let rows = [
            (("shop", None, None), None),
            (("shop", Some("edge"), None), None),
            (("shop", Some("edge"), Some("edge-1")), None),
            (("bank", None, None), Some("namespace bank")),
            (("", None, None), Some("namespace ,")),
            (("bank", Some("edge"), Some("edge-1")), Some("namespace")),
            (("shop", Some("admin"), None), Some("account admin")),
            (("shop", Some("edge"), Some("edge-2")), Some("pod edge-2")),
            (("shop", None, Some("")), Some("pod ,")),
        ];
        for ((namespace, service_account, pod), refused) in rows {
            let claim = Claim {
                namespace,
                service_account,
                pod,
            };
            let found = may_serve(&identity, &claim);
            match refused {
                None => assert_eq!(found, Ok(()), "{claim:?}"),
                Some(words) => {
                    let found = found.unwrap_err().to_string();
                    assert!(found.contains(words), "{claim:?}: {found}");
                }
            }
        }
    }
}
