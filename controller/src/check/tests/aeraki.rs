//! What objects that were written for Aeraki mean here.

use super::*;
use crate::check::{Compared, Migration};
use crate::diagnostic::SourceFile;

fn compared(manifests: &str) -> Vec<Compared> {
    let mut controller = Controller::open(&[], settings());
    let file = SourceFile {
        name: "aeraki.yaml".to_owned(),
        text: manifests.to_owned(),
    };
    let update = controller.load_files([file]);
    Migration::of(update.report, controller.index()).aeraki
}

fn object(kind: &str, group: &str, spec: &str) -> String {
    format!(
        "apiVersion: {group}.aeraki.io/v1alpha1\nkind: {kind}\nmetadata: {{name: a, namespace: shop}}\nspec: {{{spec}}}\n"
    )
}

fn fields(manifests: &str) -> Vec<&'static str> {
    let compared = compared(manifests);
    let differences = compared.iter().flat_map(|it| &it.differences);
    differences.map(|it| it.field).collect()
}

#[test]
fn each_difference_of_a_router_is_named() {
    let routers: &[(&str, &[&str])] = &[
        ("routes: [{route: [{destination: {host: a.demo}}]}]", &[]),
        ("routes: [{match: {attributes: {method: {exact: a}}}}]", &[]),
        (
            "routes: [{match: {attributes: {method: {}}}}]",
            &["match.attributes"],
        ),
        ("routes: [{requestMutation: [{key: a, value: b}]}]", &[]),
        (
            "routes: [{responseMutation: [{key: a, value: b}]}]",
            &["responseMutation"],
        ),
        (
            "routes: [{route: [{destination: {host: a}}]}]",
            &["destination.host"],
        ),
        (
            "localRateLimit: {tokenBucket: {maxTokens: 1, tokensPerFill: 1, fillInterval: 1s}}",
            &["localRateLimit"],
        ),
        (
            "globalRateLimit: {domain: a, rateLimitService: a.demo, descriptors: [{property: method, descriptorKey: a}, \
             {property: interface, descriptorKey: b}]}",
            &[
                "globalRateLimit.match",
                "globalRateLimit.descriptors",
                "globalRateLimit.requestTimeout",
            ],
        ),
    ];
    for (spec, expected) in routers {
        let with_gateway = format!("hosts: [a.demo], gateways: [edge], {spec}");
        let router = object("MetaRouter", "metaprotocol", &with_gateway);
        assert_eq!(fields(&router), *expected, "{spec}");
        let without = object(
            "MetaRouter",
            "metaprotocol",
            &format!("hosts: [a.demo], {spec}"),
        );
        assert_eq!(
            fields(&without),
            [&["gateways"], *expected].concat(),
            "{spec}"
        );
    }
}

#[test]
fn each_difference_of_a_redis_service_is_named() {
    let services: &[(&str, &[&str])] = &[
        ("settings: {opTimeout: 1s}", &[]),
        ("", &["settings.opTimeout"]),
        (
            "settings: {opTimeout: 1s, readPolicy: PREFER_REPLICA, caseInsensitive: true, maxUpstreamUnknownConnections: 1}",
            &[
                "settings.caseInsensitive",
                "settings.maxUpstreamUnknownConnections",
                "settings.readPolicy",
            ],
        ),
        (
            "settings: {opTimeout: 1s}, redis: [{route: {host: a.demo}, mirror: [{route: {host: b.demo}, percentage: {value: 1}}]}]",
            &["redis[].mirror"],
        ),
    ];
    for (spec, expected) in services {
        let service = format!("host: [a.demo], gateways: [edge], {spec}");
        assert_eq!(
            fields(&object("RedisService", "redis", &service)),
            *expected,
            "{spec}"
        );
    }
}

#[test]
fn two_rules_of_a_host_and_refused_ones_are_told() {
    let router = |name: &str, namespace: &str, spec: &str| {
        format!(
            "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: MetaRouter\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
             spec: {{hosts: [a.demo], gateways: [edge], {spec}}}\n---\n"
        )
    };
    let one = router("one", "shop", "routes: [{}]");
    let both = one.clone() + &router("two", "bank", "routes: [{}]");
    assert_eq!(fields(&both), ["hosts", "hosts"]);
    let wrong = router(
        "two",
        "shop",
        "routes: [{match: {attributes: {a: {regex: '('}}}}]",
    );
    let compared = compared(
        &(wrong
            + "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: ApplicationProtocol\n\
        metadata: {name: dubbo}\nspec: {protocol: dubbo, codec: aeraki.meta_protocol.codec.dubbo}\n"),
    );
    let said: Vec<_> = compared.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "MetaRouter shop/two (aeraki.yaml:3:18) is refused",
            "ApplicationProtocol dubbo (aeraki.yaml:8:18) applies unchanged",
        ]
    );
}
