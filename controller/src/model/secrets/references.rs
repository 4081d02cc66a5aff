//! Which Secrets an object names.

use std::collections::BTreeSet;

use super::super::tls::AUTHORITIES_APART;
use crate::manifest::{Auth, Kind, KubernetesGateway, Object, ObjectRef, Spec};

/// The kinds that name Secrets.
pub(crate) const REFERRING: &[Kind] = &[
    Kind::DestinationRule,
    Kind::Gateway,
    Kind::KubernetesGateway,
    Kind::RedisDestination,
    Kind::RedisService,
];

/// Those that it names; of a name that may stand for two, both. But for a Gateway of the Gateway API, all are of its own
/// namespace.
pub(crate) fn references(object: &Object) -> Vec<ObjectRef> {
    let namespace = &object.id.namespace;
    if let Spec::KubernetesGateway(gateway) = &object.spec {
        return of_listeners(gateway, namespace);
    }
    let names: BTreeSet<_> = match &object.spec {
        Spec::RedisService(service) => password(service.settings.auth.as_ref()).collect(),
        Spec::RedisDestination(destination) => password(destination.auth.as_ref()).collect(),
        Spec::DestinationRule(rule) => {
            let named = rule.tls().filter_map(|tls| tls.credential_name.as_ref());
            named.flat_map(|name| both(&name.value)).collect()
        }
        Spec::Gateway(gateway) => {
            let asked = gateway.servers.iter().filter_map(|it| it.tls.as_ref());
            let names = asked.flat_map(|tls| {
                let named = tls.credentials.iter().map(|it| it.name.value.clone());
                // Whoever asks clients for nothing verifies nobody.
                let is_simple = tls.mode.as_ref().is_some_and(|mode| mode.value == "SIMPLE");
                let verifying = tls.ca_credential.as_ref().or(tls.credentials.first());
                let verifying = verifying.filter(|_| !is_simple);
                named.chain(verifying.into_iter().flat_map(|it| both(&it.name.value)))
            });
            names.collect()
        }
        _ => BTreeSet::new(),
    };
    let names = names.into_iter();
    names
        .map(|name| ObjectRef::new(Kind::Secret, namespace, &name))
        .collect()
}

/// Of the Gateway API.
fn of_listeners(gateway: &KubernetesGateway, own: &str) -> Vec<ObjectRef> {
    let asked = gateway.listeners.iter().filter_map(|it| it.tls.as_ref());
    let certificates = asked.flat_map(|tls| {
        let verifies = tls.istio_mode.is_some();
        tls.certificates.iter().map(move |it| (it, verifies))
    });
    let validations = gateway.tls.validations();
    let authorities = validations.flat_map(|it| &it.authorities);
    let named = certificates.chain(authorities.map(|it| (it, true)));
    let secrets = named.filter(|(it, _)| it.is_secret);
    let secrets = secrets.flat_map(|(it, verifies)| {
        let namespace = it.namespace.as_ref().map_or(own, |it| &it.value);
        let mut names = both(&it.name.value);
        names.truncate(if verifies { 2 } else { 1 });
        let names = names.into_iter();
        names.map(move |name| ObjectRef::new(Kind::Secret, namespace, &name))
    });
    secrets.collect()
}

fn password(auth: Option<&Auth>) -> impl Iterator<Item = String> {
    let name = match auth {
        Some(Auth::Secret(reference)) => Some(reference.name.value.clone()),
        Some(Auth::Plain { .. }) | None => None,
    };
    name.into_iter()
}

/// The Secret, and the one that may hold the authorities apart.
fn both(name: &str) -> Vec<String> {
    vec![name.to_owned(), format!("{name}{AUTHORITIES_APART}")]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::diagnostic::SourceFile;
    use crate::manifest::decode_file;

    #[test]
    fn an_object_names_secrets_of_its_namespace() {
        let rows = [
            (
                "networking.istio.io/v1\nkind: Gateway",
                "{servers: [{port: {number: 1, name: tcp-redis}, tls: {mode: SIMPLE, credentialName: a}}, \
                 {port: {number: 2, name: tcp-dubbo}, tls: {mode: MUTUAL, credentialName: b}}]}",
                &["a", "b", "b-cacert"][..],
            ),
            (
                "networking.istio.io/v1\nkind: DestinationRule",
                "{host: x, trafficPolicy: {tls: {mode: SIMPLE, credentialName: a}}, subsets: [{name: v1, \
                 trafficPolicy: {tls: {mode: MUTUAL, credentialName: b}}}]}",
                &["a", "a-cacert", "b", "b-cacert"],
            ),
            (
                "redis.aeraki.io/v1alpha1\nkind: RedisService",
                "{host: [x], settings: {auth: {secret: {name: a}}}, redis: [{route: {host: x}}]}",
                &["a"],
            ),
            (
                "redis.aeraki.io/v1alpha1\nkind: RedisDestination",
                "{host: x, trafficPolicy: {connectionPool: {redis: {auth: {secret: {name: a}}}}}}",
                &["a"],
            ),
            ("v1\nkind: Service", "{ports: [{port: 1}]}", &[]),
        ];
        for (kind, spec, expected) in rows {
            let text = format!(
                "apiVersion: {kind}\nmetadata: {{name: n, namespace: shop}}\nspec: {spec}\n"
            );
            let name = "a.yaml".to_owned();
            let decoded = decode_file(&Arc::new(SourceFile { name, text })).pop();
            let object = decoded.and_then(|it| it.object).expect(kind);
            let mut named = references(&object);
            named.sort();
            let names: Vec<_> = named.iter().map(|id| &*id.name).collect();
            assert_eq!(names, expected, "{kind}");
            assert!(named.iter().all(|id| &*id.namespace == "shop"));
            assert_eq!(!names.is_empty(), REFERRING.contains(&object.id.kind));
        }
    }
}
