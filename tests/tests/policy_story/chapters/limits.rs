//! What is beyond a limit is told to try later.

use meltemi_tests::{RateLimitService, until};

use crate::peers::{Answer, Call};
use crate::proxied::{CLUSTER, Route, Rules, matching};
use crate::stage::Stage;

const TOKENS: usize = 7;

pub(super) fn tokens(stage: &mut Stage) {
    // So slow that nothing is added meanwhile.
    let router = format!(
        "localRateLimit: {{conditions: [{{match: {}, tokenBucket: \
         {{maxTokens: {TOKENS}, tokensPerFill: 1, fillInterval: 1h}}}}]}}",
        matching(&*stage.peers, Call::Who)
    );
    let rules = Rules {
        router: &router,
        ..Rules::default()
    };
    spent(stage, rules);
}

/// A real rate limit service counts them.
pub(super) fn tokens_elsewhere(stage: &mut Stage) {
    // A year, so that none ends meanwhile.
    let config = format!(
        "domain: story\ndescriptors:\n- key: call\n  \
         rate_limit: {{unit: year, requests_per_unit: {TOKENS}}}\n"
    );
    let Some(service) = RateLimitService::start(&config) else {
        return;
    };
    let router = format!(
        "globalRateLimit: {{match: {}, domain: story, rateLimitService: 'limiter.test:8081', \
         denyOnFail: true, requestTimeout: 60s, descriptors: [{{property: {}, descriptorKey: call}}]}}",
        matching(&*stage.peers, Call::Who),
        stage.peers.attribute(Call::Who).0,
    );
    let beside = format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata:\n  name: limiter\nspec:\n  \
         hosts: [limiter.test]\n  ports: [{{number: 8081, name: grpc, protocol: GRPC}}]\n  \
         resolution: STATIC\n  endpoints: [{{address: 127.0.0.1, ports: {{grpc: {}}}}}]\n",
        service.address().port()
    );
    let rules = Rules {
        router: &router,
        beside: &beside,
        ..Rules::default()
    };
    spent(stage, rules);
}

/// The clients in turn have as many calls as there are tokens, and read why they have no more.
fn spent(stage: &mut Stage, rules: Rules<'_>) {
    let proxied = stage.before(&[stage.a.port()], rules);
    let mut made = 0;
    while made < TOKENS + 6 {
        for library in &mut stage.libraries {
            if made < TOKENS {
                library.gets(Call::Who, "a");
            } else {
                library.hears(Call::Who, "rate-limited", "a rate limit was reached");
            }
            made += 1;
        }
    }
    let limited = proxied.metric("meltemi_requests_total", &["flag=\"RL\""]);
    assert_eq!(limited, (made - TOKENS) as u64);
    // Nobody was asked for these.
    proxied.logs(&[], made - TOKENS);
}

pub(super) fn full_route(stage: &mut Stage) {
    let rules = Rules {
        routes: &[Route(None, "circuitBreaker: {maxRequests: 1}")],
        ..Rules::default()
    };
    let reason = "as many requests of its route are unanswered as its `circuitBreaker` allows";
    one_at_a_time(stage, rules, reason);
}

pub(super) fn full_cluster(stage: &mut Stage) {
    let rules = Rules {
        policy: "connectionPool: {http: {http2MaxRequests: 1}}",
        ..Rules::default()
    };
    let reason =
        format!("as many requests to {CLUSTER} are under way as its `http2MaxRequests` allows");
    one_at_a_time(stage, rules, &reason);
}

/// Each client in turn has the one request, and the others read why they have none.
fn one_at_a_time(stage: &mut Stage, rules: Rules<'_>, reason: &str) {
    let proxied = stage.before(&[stage.a.port()], rules);
    for library in &mut stage.libraries {
        library.gets(Call::Who, "a");
    }
    for _ in 0..stage.libraries.len() {
        stage.libraries.rotate_left(1);
        let [first, others @ ..] = stage.libraries.as_mut_slice() else {
            return;
        };
        stage.a.freeze();
        first.client.begin(Call::Who);
        until("it is asked", || {
            (proxied.waiting_at(&*stage.a) == 1).then_some(())
        });
        for library in others {
            library.hears(Call::Who, "overloaded", reason);
        }
        stage.a.thaw();
        assert_eq!(first.client.answer(), Answer::value("a"));
        for library in &mut stage.libraries {
            library.gets(Call::Who, "a");
        }
    }
}
