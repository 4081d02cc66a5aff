//! What is wrong with manifests for Redis: each mistake at its place, with what to do.

use super::super::{Report, run};
use super::secrets::hides_secrets;
use crate::fixture::{Fixture, redis_settings};

pub(super) fn checked(fixture: &Fixture) -> Report {
    let report = run(&fixture.paths(), redis_settings());
    let mut findings = report.diagnostics.iter();
    assert!(findings.all(|d| d.remedy.is_some()), "{report}");
    report
}

#[test]
fn the_valid_manifests_have_no_findings() {
    let report = checked(&Fixture::redis());
    assert_eq!(report.to_string(), "8 objects: 0 errors, 0 warnings");
}

#[test]
fn the_examples_have_no_findings() {
    for (example, objects) in [("redis", 8), ("redis-cluster", 4)] {
        let path = format!("{}/../examples/{example}", env!("CARGO_MANIFEST_DIR"));
        let report = run(&[path.into()], redis_settings());
        let expected = format!("{objects} objects: 0 errors, 0 warnings");
        assert_eq!(report.to_string(), expected);
    }
}

/// A file, what is replaced in it and by what, where the finding is, and a part of it.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

const REDIS: &str = "redis.yaml";
const DESTINATION: &str = "destination.yaml";
const SECRET: &str = "secret.yaml";

const ERRORS: [Row; 36] = [
    (
        REDIS,
        "  host: [cache.shop]\n",
        "",
        "redis.yaml:5:3",
        "`spec.host` is missing",
    ),
    (
        REDIS,
        "[cache.shop]",
        "['*.shop']",
        "redis.yaml:5:10",
        "neither a wildcard",
    ),
    (
        REDIS,
        "  host:",
        "  hosts:",
        "redis.yaml:5:3",
        "did you mean `host`?",
    ),
    (
        REDIS,
        "[cache.shop]",
        "[cashe.shop]",
        "redis.yaml:5:10",
        "did you mean `cache.shop`?",
    ),
    (
        REDIS,
        "[edge]",
        "[a/b/c]",
        "redis.yaml:6:14",
        "write `name` or `namespace/name`",
    ),
    (
        REDIS,
        "[edge]",
        "[egde]",
        "redis.yaml:6:14",
        "the Gateways are default/edge",
    ),
    (
        REDIS,
        "1.5s",
        "1.5",
        "redis.yaml:8:16",
        "is a number without a unit",
    ),
    (REDIS, "1.5s", "0s", "redis.yaml:8:16", "as in `10s`"),
    (
        REDIS,
        "opTimeout",
        "optimeout",
        "redis.yaml:8:5",
        "did you mean `opTimeout`?",
    ),
    (
        REDIS,
        "opTimeout: 1.5s",
        "readPolicy: MASTR",
        "redis.yaml:8:17",
        "it takes MASTER, PREFER_MASTER, REPLICA",
    ),
    (
        REDIS,
        "opTimeout: 1.5s",
        "enableHashtagging: 'yes'",
        "redis.yaml:8:24",
        "write `true` or `false`",
    ),
    (
        REDIS,
        "opTimeout: 1.5s",
        "maxBufferSizeBeforeFlush: -1",
        "redis.yaml:8:31",
        "from 0 to 4294967295",
    ),
    (
        REDIS,
        "opTimeout: 1.5s",
        "slowCommandThreshold: soon",
        "redis.yaml:8:27",
        "not a duration",
    ),
    (
        REDIS,
        "{name: clients}",
        "{}",
        "redis.yaml:10:15",
        "`settings.auth.secret.name` is missing",
    ),
    (
        REDIS,
        "secret: {name: clients}",
        "plain: {username: app}",
        "redis.yaml:10:14",
        "`settings.auth.plain.password` is missing",
    ),
    (
        REDIS,
        "secret: {name: clients}",
        "plain: {password: hunter2}\n      secret: {name: clients}",
        "redis.yaml:9:5",
        "has both of secret and plain",
    ),
    (
        REDIS,
        "secret: {name: clients}",
        "{}",
        "redis.yaml:9:5",
        "has neither of secret and plain",
    ),
    (
        REDIS,
        "{name: clients}",
        "{name: Clients}",
        "redis.yaml:10:22",
        "is not the name of an object",
    ),
    (
        REDIS,
        "{name: clients}",
        "{name: servers}",
        "redis.yaml:10:22",
        "Secret default/servers has no field `password` or `token`",
    ),
    (
        REDIS,
        "{name: clients}",
        "{name: client}",
        "redis.yaml:10:22",
        "there is no Secret default/client; did you mean `clients`?",
    ),
    (
        REDIS,
        "    route: {host: cache.shop}\n",
        "",
        "redis.yaml:12:5",
        "`redis.route` is missing",
    ),
    (
        REDIS,
        "prefix: 'a:'}",
        "prefix: 1}",
        "redis.yaml:12:27",
        "put the value in quotes",
    ),
    (
        REDIS,
        "'a:'",
        "'a:session:'",
        "redis.yaml:14:27",
        "give each route a prefix of its own",
    ),
    (
        REDIS,
        "removePrefix",
        "remove",
        "redis.yaml:14:41",
        "the fields here are prefix, removePrefix",
    ),
    (
        REDIS,
        "port: 6380",
        "port: 6390",
        "redis.yaml:15:40",
        "its ports are 6379 (tcp-redis), 6380",
    ),
    (
        REDIS,
        "port: 6380",
        "port: 70000",
        "redis.yaml:15:40",
        "from 0 to 65535",
    ),
    (
        REDIS,
        "value: 12.5",
        "value: 120",
        "redis.yaml:18:27",
        "from 0 to 100",
    ),
    (
        REDIS,
        "{value: 12.5}",
        "{}",
        "redis.yaml:18:19",
        "`mirror.percentage.value` is missing",
    ),
    (
        REDIS,
        "type: ERROR",
        "type: EROR",
        "redis.yaml:22:12",
        "it takes DELAY or ERROR",
    ),
    (
        REDIS,
        "percentage: {value: 1}, ",
        "",
        "redis.yaml:22:5",
        "`faults.percentage` is missing",
    ),
    (
        REDIS,
        "type: ERROR, percentage: {value: 1}, delay: 20ms",
        "percentage: {value: 1}",
        "redis.yaml:22:5",
        "`faults.delay` is missing",
    ),
    (
        DESTINATION,
        "  host: sessions.shop\n",
        "",
        "destination.yaml:5:3",
        "`spec.host` is missing",
    ),
    (
        DESTINATION,
        "        auth:",
        "        mode: CLUSTR\n        auth:",
        "destination.yaml:10:15",
        "it takes PROXY or CLUSTER",
    ),
    (
        DESTINATION,
        "        auth:",
        "        discoveryEndpoints: ['a b']\n        auth:",
        "destination.yaml:10:30",
        "10.0.0.1:6379",
    ),
    (
        DESTINATION,
        "maxConnections: 7",
        "maxConnections: -7",
        "destination.yaml:8:29",
        "from 1 to 2147483647",
    ),
    (
        SECRET,
        "VHIwdWI0ZG9y",
        "Tr0ub4dor!",
        "secret.yaml:11:3",
        "`data.pw` is not base64",
    ),
];

#[test]
fn each_error_is_told_at_its_place() {
    for (file, from, to, place, expected) in ERRORS {
        let fixture = Fixture::redis();
        fixture.edit(file, from, to);
        let report = checked(&fixture);
        assert!(report.errors() > 0, "{to}: {report}");
        let text = fixture.anonymous(&report.to_string());
        assert!(text.contains(&format!("--> {place}\n")), "{to}: {text}");
        assert!(text.contains(expected), "{to}: {text}");
        hides_secrets(&text);
    }
}

const WARNINGS: [Row; 5] = [
    (
        REDIS,
        "opTimeout: 1.5s",
        "bufferFlushTimeout: 3ms",
        "redis.yaml:8:5",
        "set `maxBufferSizeBeforeFlush`",
    ),
    (
        REDIS,
        "  - route: {host: cache.shop}",
        "  - match: {key: {removePrefix: true}}\n    route: {host: cache.shop}",
        "redis.yaml:20:19",
        "there is no prefix",
    ),
    (
        REDIS,
        "  gateways: [edge]\n",
        "",
        "redis.yaml:3:18",
        "this RedisService acts nowhere",
    ),
    (
        REDIS,
        "- match: {key: {prefix: 'a:'}}\n    ",
        "- ",
        "redis.yaml:12:5",
        "a later one without a prefix counts",
    ),
    (
        REDIS,
        "copies.shop",
        "nowhere.shop",
        "redis.yaml:17:21",
        "until a ServiceEntry defines the host",
    ),
];

#[test]
fn what_has_no_effect_is_told() {
    for (file, from, to, place, expected) in WARNINGS {
        let fixture = Fixture::redis();
        fixture.edit(file, from, to);
        let report = checked(&fixture);
        assert_eq!(
            (report.errors(), report.warnings()),
            (0, 1),
            "{to}: {report}"
        );
        let text = fixture.anonymous(&report.to_string());
        assert!(text.contains(&format!("--> {place}\n")), "{to}: {text}");
        assert!(text.contains(expected), "{to}: {text}");
    }
}

#[test]
fn a_host_without_a_port_for_redis_is_an_error() {
    let fixture = Fixture::redis();
    fixture.edit(
        "service.yaml",
        "hosts: [cache.shop]\n  ports: [{number: 6379, name: tcp-redis}]",
        "hosts: [cache.shop]\n  ports: [{number: 6379, name: http}]",
    );
    let text = checked(&fixture).to_string();
    assert!(
        text.contains("no port of cache.shop speaks redis"),
        "{text}"
    );
    assert!(text.contains("tcp-metaprotocol-redis"), "{text}");
}

#[test]
fn a_command_in_upper_case_is_no_command() {
    for (condition, expected) in [
        ("exact: GET", Some("write `get`")),
        ("prefix: 'CONFIG|'", Some("write `config|`")),
        ("exact: Get, invert: true", Some("write `get`")),
        ("exact: GET, ignoreCase: true", None),
        ("exact: get", None),
    ] {
        let fixture = Fixture::redis();
        fixture.write(
            "limits.yaml",
            &format!(
                "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: MetaRouter\n\
                 metadata: {{name: limits}}\nspec:\n  hosts: [cache.shop]\n  gateways: [edge]\n  \
                 localRateLimit:\n    conditions:\n    \
                 - match: {{attributes: {{command: {{{condition}}}}}}}\n      \
                 tokenBucket: {{maxTokens: 1, tokensPerFill: 1, fillInterval: 1s}}\n"
            ),
        );
        let report = checked(&fixture);
        let text = fixture.anonymous(&report.to_string());
        assert_eq!(report.is_valid(), expected.is_none(), "{text}");
        if let Some(remedy) = expected {
            assert!(text.contains("--> limits.yaml:9:"), "{text}");
            assert!(text.contains(remedy), "{text}");
        }
    }
}
