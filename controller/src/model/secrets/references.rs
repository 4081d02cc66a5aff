//! Which Secrets an object names.

use super::super::tls::AUTHORITIES_APART;
use crate::manifest::{Auth, Kind, Object, ObjectRef, Spec};

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
        let asked = gateway.listeners.iter().filter_map(|it| it.tls.as_ref());
        let certificates = asked.flat_map(|tls| &tls.certificates);
        let secrets = certificates.filter(|it| it.is_secret).map(|it| {
            let elsewhere = it.namespace.as_ref();
            let namespace = elsewhere.map_or(&**namespace, |it| &it.value);
            ObjectRef::new(Kind::Secret, namespace, &it.name.value)
        });
        return secrets.collect();
    }
    let names = match &object.spec {
        Spec::RedisService(service) => password(service.settings.auth.as_ref()),
        Spec::RedisDestination(destination) => password(destination.auth.as_ref()),
        Spec::DestinationRule(rule) => {
            let named = rule.tls().filter_map(|tls| tls.credential_name.as_ref());
            named.flat_map(|name| both(&name.value)).collect()
        }
        Spec::Gateway(gateway) => {
            let asked = gateway.servers.iter().filter_map(|it| it.tls.as_ref());
            let named = asked.filter_map(|tls| Some((tls, tls.credential_name.as_ref()?)));
            let names = named.flat_map(|(tls, name)| {
                let mut names = both(&name.value);
                // Whoever asks clients for nothing verifies nobody.
                let is_simple = tls.mode.as_ref().is_some_and(|mode| mode.value == "SIMPLE");
                names.truncate(if is_simple { 1 } else { 2 });
                names
            });
            names.collect()
        }
        _ => vec![],
    };
    let names = names.into_iter();
    names
        .map(|name| ObjectRef::new(Kind::Secret, namespace, &name))
        .collect()
}

fn password(auth: Option<&Auth>) -> Vec<String> {
    match auth {
        Some(Auth::Secret(reference)) => vec![reference.name.value.clone()],
        Some(Auth::Plain { .. }) | None => vec![],
    }
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
