use std::time::Duration;

use super::super::{Model, Server};
use super::*;
use crate::check::Report;
use crate::controller::Controller;
use crate::fixture::{Fixture, REDIS_SERVICE, redis_settings};
use crate::manifest::{ConsistentHash, HashTable, Simple};
use crate::schema::{Configured, RefusedSetting, SettingsCheck};

mod destinations;
mod secrets;

fn loaded(fixture: &Fixture) -> (Controller, Report) {
    let mut controller = Controller::open(&fixture.paths(), redis_settings());
    let report = controller.load().report;
    (controller, report)
}

/// The model of manifests without an error.
fn valid(fixture: &Fixture, check: impl FnOnce(&Model)) {
    let (controller, report) = loaded(fixture);
    assert!(report.is_valid(), "{report}");
    check(controller.model());
}

/// A line for each rule of the only server.
fn rules(model: &Model) -> Vec<String> {
    model.servers[0]
        .rules
        .iter()
        .map(|rule| line(rule))
        .collect()
}

fn line(rule: &Rule) -> String {
    let conditions: Vec<_> = rule.matches().iter().flatten().map(condition).collect();
    let mut line = format!(
        "[{}] -> {}",
        conditions.join(","),
        rule.destinations[0].cluster
    );
    if let Some(removed) = &rule.remove_prefix {
        line += &format!(" without {}:{}", removed.attribute, removed.prefix);
    }
    for mirror in &rule.mirrors {
        let writes = if mirror.exclude_idempotent {
            "writes"
        } else {
            "all"
        };
        line += &format!(" {}% of {writes} to {}", mirror.percentage, mirror.cluster);
    }
    line
}

fn condition(matching: &AttributeMatch) -> String {
    let name = &matching.attribute;
    match &matching.condition {
        Condition::Prefix(prefix) if prefix.ignore_case => format!("{name}~{}*", prefix.value),
        Condition::Prefix(prefix) => format!("{name}={}*", prefix.value),
        Condition::Exact(exact) => format!("{name}={}", exact.value),
        other => format!("{name}: {other:?}"),
    }
}

/// The settings of a plugin as text, secrets included.
fn told(settings: &[Setting]) -> Vec<String> {
    let settings = settings.iter().map(|setting| match &setting.value {
        SettingValue::Plain(value) => format!("{}={value}", setting.name),
        SettingValue::Secret(secret) => format!("{}={} (secret)", setting.name, secret.text.0),
    });
    settings.collect()
}

fn cluster<'a>(model: &'a Model, host: &str) -> &'a super::super::Cluster {
    let mut clusters = model.clusters.iter();
    let found = clusters.find(|(name, _)| name.host == host);
    found.map(|(_, cluster)| cluster).unwrap()
}

#[test]
fn the_longest_prefix_comes_first_and_the_catch_all_last() {
    valid(&Fixture::redis(), |model| {
        assert_eq!(
            rules(model),
            [
                "[key=a:session:*] -> outbound|6380||sessions.shop without key:a:session: \
                 12.5% of writes to outbound|6400||copies.shop",
                "[key=a:*] -> outbound|6379||cache.shop",
                "[] -> outbound|6379||cache.shop",
            ]
        );
        let timeouts: Vec<_> = model.servers[0].rules.iter().map(|r| r.timeout).collect();
        assert_eq!(timeouts, [Some(Duration::from_millis(1500)); 3]);
    });
}

/// An edit of the RedisService, and the rules that it comes to.
type Row = (&'static str, &'static str, &'static [&'static str]);

const ROUTES: [Row; 5] = [
    (
        "  settings:\n",
        "  settings:\n    caseInsensitive: true\n",
        &[
            "[key~a:session:*] -> outbound|6380||sessions.shop without key:a:session: \
             12.5% of writes to outbound|6400||copies.shop",
            "[key~a:*] -> outbound|6379||cache.shop",
            "[] -> outbound|6379||cache.shop",
        ],
    ),
    // A mirror's port is its own, not the route's.
    (
        "    - route: {host: copies.shop}\n",
        "    - route: {host: sessions.shop, port: 6379}\n",
        &[
            "[key=a:session:*] -> outbound|6380||sessions.shop without key:a:session: \
             12.5% of writes to outbound|6379||sessions.shop",
            "[key=a:*] -> outbound|6379||cache.shop",
            "[] -> outbound|6379||cache.shop",
        ],
    ),
    // Without a percentage everything is copied.
    (
        "      percentage: {value: 12.5}\n      excludeReadCommands: true\n",
        "",
        &[
            "[key=a:session:*] -> outbound|6380||sessions.shop without key:a:session: \
             100% of all to outbound|6400||copies.shop",
            "[key=a:*] -> outbound|6379||cache.shop",
            "[] -> outbound|6379||cache.shop",
        ],
    ),
    // Of two catch-alls the later counts.
    (
        "  - match: {key: {prefix: 'a:'}}\n    route: {host: cache.shop}\n",
        "  - route: {host: copies.shop}\n",
        &[
            "[key=a:session:*] -> outbound|6380||sessions.shop without key:a:session: \
             12.5% of writes to outbound|6400||copies.shop",
            "[] -> outbound|6379||cache.shop",
        ],
    ),
    // An empty prefix is every key, and requests without one.
    (
        "  - route: {host: cache.shop}\n  faults",
        "  - match: {key: {prefix: ''}}\n    route: {host: copies.shop}\n  faults",
        &[
            "[key=a:session:*] -> outbound|6380||sessions.shop without key:a:session: \
             12.5% of writes to outbound|6400||copies.shop",
            "[key=a:*] -> outbound|6379||cache.shop",
            "[] -> outbound|6400||copies.shop",
        ],
    ),
];

#[test]
fn routes_as_aeraki_means_them() {
    for (from, to, expected) in ROUTES {
        let fixture = Fixture::redis();
        fixture.edit("redis.yaml", from, to);
        valid(&fixture, |model| assert_eq!(rules(model), expected, "{to}"));
    }
}

#[test]
fn without_routes_everything_goes_to_the_host_itself() {
    let fixture = Fixture::redis();
    let (head, _) = REDIS_SERVICE.split_once("  redis:\n").unwrap();
    fixture.write("redis.yaml", head);
    valid(&fixture, |model| {
        assert_eq!(rules(model), ["[] -> outbound|6379||cache.shop"]);
    });
}

#[test]
fn what_a_redis_service_asks_for() {
    let fixture = Fixture::redis();
    fixture.edit(
        "redis.yaml",
        "  settings:\n",
        "  settings:\n    readPolicy: PREFER_REPLICA\n    enableHashtagging: true\n    \
         enableRedirection: true\n    enableCommandStats: true\n    slowCommandThreshold: 10ms\n    \
         maxBufferSizeBeforeFlush: 1024\n    maxUpstreamUnknownConnections: 5\n",
    );
    valid(&fixture, |model| {
        let Server { policy, .. } = &*model.servers[0];
        assert_eq!(
            told(&policy.settings),
            [
                "username=app (secret)",
                "password=hunter2 (secret)",
                "readPolicy=PREFER_REPLICA",
                "hashTags=true",
                "enableRedirection=true",
            ]
        );
        assert!(policy.operation_metrics);
        assert_eq!(policy.slow_request, Some(Duration::from_millis(10)));
        let buffering = policy.buffering.unwrap();
        // Envoy's default beside a size.
        assert_eq!(
            (buffering.bytes, buffering.timeout),
            (1024, Duration::from_millis(3))
        );
        let [fault] = policy.faults.as_slice() else {
            panic!("{:?}", policy.faults)
        };
        assert_eq!(fault.operations, ["get", "set"]);
        assert_eq!(fault.percentage, 1.0);
        assert_eq!(fault.delay, Some(Duration::from_millis(20)));
        assert!(fault.error.is_some());
        for cluster in model.clusters.values() {
            assert_eq!(cluster.max_unknown_nodes, Some(5));
        }
    });
}

#[test]
fn an_application_protocol_tells_its_plugin_what_no_redis_service_overrules() {
    let fixture = Fixture::redis();
    fixture.write(
        "protocol.yaml",
        "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: ApplicationProtocol\n\
         metadata: {name: redis}\nspec: {protocol: redis, codec: redis, settings: {readPolicy: \
         ANY, depth: 12, ratio: 0.5, strict: true}}\n",
    );
    let settings = |expected: &[&str]| {
        valid(&fixture, |model| {
            assert_eq!(told(&model.servers[0].policy.settings), expected);
        });
    };
    let secrets = ["username=app (secret)", "password=hunter2 (secret)"];
    let mut expected = vec!["depth=12", "ratio=0.5", "readPolicy=ANY", "strict=true"];
    expected.extend(secrets);
    // As Aeraki has it where nobody says anything.
    expected.push("hashTags=false");
    settings(&expected);

    fixture.edit("protocol.yaml", "ratio: 0.5", "hashTags: true");
    fixture.edit(
        "redis.yaml",
        "    opTimeout: 1.5s\n",
        "    readPolicy: REPLICA\n    enableRedirection: false\n",
    );
    let mut expected = vec!["depth=12", "hashTags=true", "strict=true"];
    expected.extend(secrets);
    expected.extend(["readPolicy=REPLICA", "enableRedirection=false"]);
    settings(&expected);
}

#[test]
fn a_setting_that_the_plugin_refuses_is_an_error_where_it_stands() {
    let fixture = Fixture::redis();
    fixture.write(
        "protocol.yaml",
        "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: ApplicationProtocol\n\
         metadata: {name: redis}\nspec:\n  protocol: redis\n  codec: redis\n  settings:\n    \
         readPolicy: ANY\n    depth: 12\n",
    );
    let mut settings = redis_settings();
    settings.check = Some(SettingsCheck::new(|plugin, settings| {
        assert_eq!(plugin, "redis");
        match settings.iter().find(|(name, _)| *name != "readPolicy") {
            None => Ok(Configured { open: false }),
            Some((name, _)) => Err(RefusedSetting {
                name: (*name).to_owned(),
                reason: "there is readPolicy".to_owned(),
            }),
        }
    }));
    let report = crate::check::run(&fixture.paths(), settings.clone());
    assert_eq!(report.errors(), 1, "{report}");
    let text = fixture.anonymous(&report.to_string());
    assert!(text.contains("--> protocol.yaml:9:5"), "{text}");
    assert!(
        text.contains("refuses the setting `depth`: there is readPolicy"),
        "{text}"
    );
    fixture.edit("protocol.yaml", "    depth: 12\n", "");
    let report = crate::check::run(&fixture.paths(), settings);
    assert!(report.is_valid(), "{report}");
}

const ROUTER: &str = "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: MetaRouter\n\
                      metadata: {name: limits}\nspec:\n  hosts: [sessions.shop]\n  gateways: \
                      [edge]\n  routes:\n  - match: {attributes: {command: {exact: get}}}\n";

#[test]
fn a_meta_router_leads_nowhere_where_a_redis_service_decides() {
    let fixture = Fixture::redis();
    fixture.write("router.yaml", ROUTER);
    valid(&fixture, |model| assert_eq!(rules(model).len(), 3));
    // Copies are in the place of no answer: it may say where they go.
    let copied = format!("{ROUTER}    mirror: {{host: cache.shop}}\n");
    fixture.write("router.yaml", &copied);
    valid(&fixture, |model| {
        let copied = rules(model)
            .into_iter()
            .filter(|rule| rule.ends_with("100% of all to outbound|6379||cache.shop"));
        assert_eq!(copied.count(), 3);
    });
    fixture.write("router.yaml", ROUTER);
    // Alone it is a catch-all to its host.
    fixture.remove("redis.yaml");
    valid(&fixture, |model| {
        assert_eq!(rules(model), ["[] -> outbound|6379||sessions.shop"]);
    });
    // And so are two of them together.
    let second = ROUTER.replace("name: limits", "name: more-limits");
    fixture.write("second.yaml", &second);
    valid(&fixture, |model| {
        assert_eq!(rules(model), ["[] -> outbound|6379||sessions.shop"]);
    });
    fixture.remove("second.yaml");
    fixture.edit(
        "router.yaml",
        "{exact: get}}}\n",
        "{exact: get}}}\n    route: [{destination: {host: cache.shop}}]\n",
    );
    // Where nothing else says where requests go, it may: its host is what a route leaves out.
    fixture.edit(
        "router.yaml",
        "  routes:\n",
        "  routes:\n  - match: {attributes: {key: {exact: a}}}\n",
    );
    valid(&fixture, |model| {
        assert_eq!(
            rules(model),
            [
                "[key=a] -> outbound|6379||sessions.shop",
                "[command=get] -> outbound|6379||cache.shop",
            ]
        );
    });
    fixture.write("redis.yaml", REDIS_SERVICE);
    let (_, report) = loaded(&fixture);
    assert_eq!(report.errors(), 1, "{report}");
    let text = report.to_string();
    assert!(text.contains("error[UnexpectedDestination]"), "{text}");
    assert!(
        text.contains("in a RedisService, by the prefix of the key"),
        "{text}"
    );
}

#[test]
fn of_two_redis_services_for_a_server_the_one_that_was_there_stays() {
    let fixture = Fixture::redis();
    let (mut controller, report) = loaded(&fixture);
    assert!(report.is_valid(), "{report}");
    let second = REDIS_SERVICE.replace("metadata: {name: cache}", "metadata: {name: a}");
    fixture.write("second.yaml", &second);
    let report = controller.reload().unwrap().report;
    let text = report.to_string();
    assert_eq!(report.errors(), 1, "{text}");
    assert!(text.contains("error[SecondRedisService]"), "{text}");
    for named in ["RedisService default/a", "RedisService default/cache"] {
        assert!(text.contains(named), "{text}");
    }
    let decides = controller.model().servers[0].decides();
    assert_eq!(decides.id.to_string(), "RedisService default/cache");
}

#[test]
fn a_redis_service_of_another_namespace_is_no_owner() {
    let fixture = Fixture::redis();
    fixture.edit(
        "redis.yaml",
        "{name: cache}",
        "{name: cache, namespace: thief}",
    );
    fixture.edit("redis.yaml", "[edge]", "[default/edge]");
    fixture.edit(
        "redis.yaml",
        "secret: {name: clients}",
        "plain: {password: x}",
    );
    let (controller, report) = loaded(&fixture);
    assert_eq!(report.errors(), 1, "{report}");
    let text = report.to_string();
    assert!(text.contains("error[NotHostOwner]"), "{text}");
    assert!(
        text.contains("move the RedisService to namespace default"),
        "{text}"
    );
    assert!(controller.model().servers[0].rules.is_empty());
}
