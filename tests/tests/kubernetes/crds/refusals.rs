//! What the API server refuses, and what it says.

use std::borrow::Cow;

pub(crate) struct Refusal {
    pub(crate) kind: Kind,
    /// In YAML's flow style; the rest is what makes it valid.
    pub(crate) spec: Cow<'static, str>,
    /// A part of what it says.
    pub(crate) says: &'static str,
    /// Whether `meltemi check` takes it: a bound of size.
    pub(crate) only_there: bool,
}

#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// A whole `spec` of a MetaRouter.
    MetaRouter,
    /// A route of one.
    Route,
    RedisService,
    RedisDestination,
    ApplicationProtocol,
    DubboAuthorizationPolicy,
}

use Kind::{
    ApplicationProtocol, DubboAuthorizationPolicy, MetaRouter, RedisDestination, RedisService,
    Route,
};

const fn row(kind: Kind, spec: &'static str, says: &'static str) -> Refusal {
    Refusal {
        kind,
        spec: Cow::Borrowed(spec),
        says,
        only_there: false,
    }
}

const DURATION: &str =
    "it is not a duration of at least 1ms: write a number with h, m, s or ms, as in `10s`";

pub(crate) const ROWS: &[Refusal] = &[
    row(MetaRouter, "{}", "spec.hosts: Required value"),
    row(
        MetaRouter,
        "hosts: []",
        "spec.hosts: Invalid value: 0: spec.hosts in body should have at least 1 items",
    ),
    row(
        MetaRouter,
        "hosts: [a, b]",
        "spec.hosts: Too many: 2: must have at most 1 item",
    ),
    row(MetaRouter, "hosts: ['*.shop']", "spec.hosts[0]"),
    row(MetaRouter, "hosts: [10.0.0.1]", "spec.hosts[0]"),
    row(
        MetaRouter,
        "hosts: [greeter.shop], gateways: [a/b/c]",
        "spec.gateways[0]",
    ),
    row(
        MetaRouter,
        "hosts: [greeter.shop], rotues: []",
        "unknown field \"spec.rotues\"",
    ),
    row(
        MetaRouter,
        "hosts: [greeter.shop], priority: 1.5",
        "spec.priority",
    ),
    row(
        MetaRouter,
        "hosts: [greeter.shop], localRateLimit: {}",
        "spec.localRateLimit",
    ),
    row(
        MetaRouter,
        "hosts: [greeter.shop], localRateLimit: {tokenBucket: {maxTokens: 0, tokensPerFill: 1, fillInterval: 1s}}",
        "spec.localRateLimit.tokenBucket.maxTokens: Invalid value: 0: \
         spec.localRateLimit.tokenBucket.maxTokens in body should be greater than or equal to 1",
    ),
    row(
        MetaRouter,
        "hosts: [greeter.shop], localRateLimit: {tokenBucket: {maxTokens: 1, tokensPerFill: 1, fillInterval: 0s}}",
        DURATION,
    ),
    row(
        MetaRouter,
        "hosts: [greeter.shop], localRateLimit: {conditions: [{tokenBucket: {maxTokens: 1, tokensPerFill: 1, fillInterval: 1s}}]}",
        "spec.localRateLimit.conditions[0]",
    ),
    row(
        MetaRouter,
        "hosts: [greeter.shop], globalRateLimit: {domain: d, rateLimitService: limiter.shop, descriptors: []}",
        "spec.globalRateLimit.descriptors",
    ),
    row(
        Route,
        "route: [{destination: {host: greeter.shop, subset: v1}, weight: 50}, \
         {destination: {host: greeter.shop, subset: v2}, weight: 40}]",
        "the weights of several destinations must add up to 100: change them so that they do",
    ),
    // It ends Aeraki's process.
    row(
        Route,
        "route: [{weight: 100}]",
        "spec.routes[0].route[0].destination: Required value",
    ),
    row(
        Route,
        "route: [{destination: {host: greeter.shop}, weight: 101}]",
        "should be less than or equal to 100",
    ),
    row(
        Route,
        "route: [{destination: {host: greeter.shop, port: {number: 0}}}]",
        "port.number",
    ),
    row(Route, "timeout: 10", "must be of type string"),
    row(Route, "timeout: 10 s", DURATION),
    row(Route, "timeout: 0s", DURATION),
    row(Route, "timeout: -1s", DURATION),
    row(Route, "timeout: soon", DURATION),
    row(
        Route,
        "timeout: 1s, retries: {attempts: 1, perTryTimeout: 2s}",
        "make it shorter, or `timeout` longer",
    ),
    row(
        Route,
        "timeout: 1s, hedge: {delay: 1s}",
        "so that no second endpoint is ever asked: make it shorter",
    ),
    row(
        Route,
        "retries: {attempts: 101}",
        "should be less than or equal to 100",
    ),
    row(
        Route,
        "retries: {attempts: 1, retryOn: sometimes}",
        "spec.routes[0].retries.retryOn",
    ),
    row(
        Route,
        "match: {attributes: {}}, matches: [{attributes: {}}]",
        "spec.routes[0]",
    ),
    row(
        Route,
        "matches: []",
        "spec.routes[0].matches: Invalid value: 0",
    ),
    row(
        Route,
        "match: {attributes: {method: {exact: a, prefix: b}}}",
        "must validate one and only one schema (oneOf)",
    ),
    row(
        Route,
        "match: {attributes: {method: {invert: true}}}",
        "\"spec.routes[0].match.attributes.method\" must validate at least one schema (anyOf)",
    ),
    row(
        Route,
        "match: {attributes: {method: {present: true, ignoreCase: true}}}",
        "\"spec.routes[0].match.attributes.method\" must validate at least one schema (anyOf)",
    ),
    row(
        Route,
        "match: {attributes: {method: {regex: ''}}}",
        "should be at least 1 chars long",
    ),
    row(
        Route,
        "match: {attributes: {method: {range: {start: 5, end: 5}}}}",
        "give an `end` above `start`",
    ),
    row(
        Route,
        "matches: [{source: {}}]",
        "spec.routes[0].matches[0].source",
    ),
    row(Route, "mirrorPercentage: {value: 10}", "spec.routes[0]"),
    row(
        Route,
        "mirror: {host: greeter.shop}, mirrors: [{destination: {host: greeter.shop}}]",
        "spec.routes[0]",
    ),
    row(
        Route,
        "mirror: {host: greeter.shop}, mirrorPercentage: {value: 100.5}",
        "should be less than or equal to 100",
    ),
    row(
        Route,
        "requestMutation: [{key: '', value: a}]",
        "should be at least 1 chars long",
    ),
    row(
        Route,
        "requestMutation: [{key: a}]",
        "spec.routes[0].requestMutation[0]",
    ),
    row(
        Route,
        "requestMutation: [{key: a, value: b, remove: true}]",
        "spec.routes[0].requestMutation[0]",
    ),
    row(Route, "fault: {}", "spec.routes[0].fault"),
    row(
        Route,
        "fault: {abort: {percentage: {value: 1}, status: teapot}}",
        "Unsupported value: \"teapot\"",
    ),
    row(
        Route,
        "circuitBreaker: {maxRequests: 0}",
        "should be greater than or equal to 1",
    ),
    row(RedisService, "host: []", "spec.host: Invalid value: 0"),
    row(
        RedisService,
        "host: [cache.shop], settings: {auth: {}}",
        "spec.settings.auth",
    ),
    row(
        RedisService,
        "host: [cache.shop], settings: {auth: {plain: {password: x}, secret: {name: y}}}",
        "spec.settings.auth",
    ),
    row(
        RedisService,
        "host: [cache.shop], settings: {readPolicy: NEAREST}",
        "Unsupported value: \"NEAREST\"",
    ),
    row(
        RedisService,
        "host: [cache.shop], settings: {opTimeout: 0s}",
        DURATION,
    ),
    row(
        RedisService,
        "host: [cache.shop], redis: [{match: {key: {prefix: a}}}]",
        "spec.redis[0].route: Required value",
    ),
    // It ends Aeraki's process.
    row(
        RedisService,
        "host: [cache.shop], faults: [{type: ERROR}]",
        "spec.faults[0].percentage: Required value",
    ),
    row(
        RedisService,
        "host: [cache.shop], faults: [{type: DELAY, percentage: {value: 1}}]",
        "spec.faults[0]",
    ),
    row(RedisDestination, "{}", "spec.host: Required value"),
    row(
        RedisDestination,
        "host: cache.shop, trafficPolicy: {connectionPool: {redis: {mode: SENTINEL}}}",
        "Unsupported value: \"SENTINEL\"",
    ),
    row(
        ApplicationProtocol,
        "protocol: x",
        "spec.codec: Required value",
    ),
    row(
        ApplicationProtocol,
        "protocol: '', codec: dubbo",
        "should be at least 1 chars long",
    ),
    // Istio has it, which only logs.
    row(
        DubboAuthorizationPolicy,
        "action: AUDIT",
        "spec.action: Unsupported value: \"AUDIT\": supported values: \"ALLOW\", \"DENY\"",
    ),
];

/// How much of anything there may be, so that expressions have a cost that the API server can see.
pub(crate) fn bounds() -> Vec<Refusal> {
    let list = |count: usize, item: &dyn Fn(usize) -> String| {
        let items: Vec<_> = (0..count).map(item).collect();
        items.join(", ")
    };
    let mutations = list(33, &|number| format!("{{key: k{number}, value: v}}"));
    // They add up to 100.
    let destinations = list(33, &|number| {
        let weight = if number == 0 { 4 } else { 3 };
        format!("{{destination: {{host: greeter.shop}}, weight: {weight}}}")
    });
    let attributes = list(17, &|number| format!("a{number}: {{exact: v}}"));
    let long = "v".repeat(1025);
    [
        (format!("requestMutation: [{mutations}]"), "must have at most 32 items"),
        (format!("route: [{destinations}]"), "spec.routes[0].route: Too many: 33: must have at most 32 items"),
        (format!("match: {{attributes: {{{attributes}}}}}"), "spec.routes[0].match.attributes: Too many: 17: must have at most 16 items"),
        (
            format!("match: {{attributes: {{method: {{exact: {long}}}}}}}"),
            "spec.routes[0].match.attributes.method.exact: Too long: may not be more than 1024 bytes",
        ),
    ]
    .map(|(spec, says)| Refusal {
        kind: Route,
        spec: Cow::Owned(spec),
        says,
        only_there: true,
    })
    .into()
}

/// The row as a manifest.
pub(crate) fn manifest(row: &Refusal) -> String {
    let inner = match row.spec.as_ref() {
        "{}" => "",
        spec => spec,
    };
    let (group, kind, spec) = match row.kind {
        MetaRouter => (META, "MetaRouter", format!("{{{inner}}}")),
        Route => {
            let destination = match inner.starts_with("route:") {
                true => String::new(),
                false => "route: [{destination: {host: greeter.shop}}], ".to_owned(),
            };
            let route = format!(
                "{{hosts: [greeter.shop], gateways: [edge], routes: [{{{destination}{inner}}}]}}"
            );
            (META, "MetaRouter", route)
        }
        RedisService => (REDIS, "RedisService", format!("{{{inner}}}")),
        RedisDestination => (REDIS, "RedisDestination", format!("{{{inner}}}")),
        ApplicationProtocol => (META, "ApplicationProtocol", format!("{{{inner}}}")),
        DubboAuthorizationPolicy => (DUBBO, "DubboAuthorizationPolicy", format!("{{{inner}}}")),
    };
    format!("apiVersion: {group}/v1alpha1\nkind: {kind}\nmetadata: {{name: wrong}}\nspec: {spec}\n")
}

const META: &str = "metaprotocol.aeraki.io";
const DUBBO: &str = "dubbo.aeraki.io";
const REDIS: &str = "redis.aeraki.io";
