use super::*;
use crate::fixture::redis_settings;

const LIMIT: &str = "  localRateLimit:
    conditions:
    - match: {attributes: {method: {exact: sayHello}}}
      tokenBucket: {maxTokens: 3, tokensPerFill: 1, fillInterval: 2s}
    - match: {attributes: {lane: {exact: canary}}}
      tokenBucket: {maxTokens: 7, tokensPerFill: 7, fillInterval: 1s}
";

#[test]
fn the_bucket_and_the_faults_of_a_request_are_told() {
    let fixture = Fixture::valid();
    fixture.edit("router.yaml", "  gateways:", &format!("{LIMIT}  gateways:"));
    fixture.edit(
        "router.yaml",
        "  - name: hello\n",
        "  - name: hello\n    fault:\n      delay: {percentage: {value: 5}, fixedDelay: 2s}\n      \
         abort: {percentage: {value: 0.5}, status: overloaded}\n",
    );
    let of = |attributes: &[(&str, &str)]| {
        let asked = query("greeter.shop", attributes);
        explained(&fixture, &asked, "")
    };
    let text = of(&[("method", "sayHello")]).to_string();
    for line in [
        "limited by MetaRouter default/greeter, condition 1: 1 per 2s, 3 at once",
        "5% are delayed by 2s",
        "0.5% are answered with the error `overloaded`",
    ] {
        assert!(text.contains(&format!("\n          {line}\n")), "{text}");
    }
    let limited = of(&[("method", "bye"), ("lane", "canary")])
        .treatment
        .rate_limit;
    assert_eq!(limited.and_then(|it| it.condition), Some(2));
    assert_eq!(of(&[("method", "bye")]).treatment.rate_limit, None);

    let default =
        "  localRateLimit:\n    tokenBucket: {maxTokens: 9, tokensPerFill: 1, fillInterval: 1m}\n";
    fixture.edit("router.yaml", "  localRateLimit:\n", default);
    let text = of(&[("method", "bye")]).to_string();
    assert!(
        text.contains("default/greeter, default bucket: 1 per 60s, 9 at once"),
        "{text}"
    );
}

#[test]
fn what_bounds_those_under_way_is_told() {
    let fixture = Fixture::valid();
    fixture.edit(
        "router.yaml",
        "  - name: hello\n",
        "  - name: hello\n    adaptiveConcurrency: {concurrencyUpdateInterval: 100ms, \
         maxConcurrencyLimit: 64, minRttCalcParams: {interval: 60s}}\n",
    );
    let asked = query("greeter.shop", &[("method", "sayHello")]);
    let text = explained(&fixture, &asked, "").to_string();
    let line = "latencies say how many, 64 at most and 3 for each worker at least";
    assert!(text.contains(line), "{text}");
}

#[test]
fn a_limit_without_routes_is_over_all_that_a_redisservice_routes() {
    let fixture = Fixture::redis();
    fixture.write(
        "policy.yaml",
        "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: MetaRouter\nmetadata: {name: policy}\n\
         spec:\n  hosts: [cache.shop]\n  gateways: [edge]\n  localRateLimit:\n    \
         tokenBucket: {maxTokens: 1, tokensPerFill: 1, fillInterval: 1s}\n",
    );
    for key in ["a:session:7", "other"] {
        let asked = query("cache.shop", &[("command", "get"), ("key", key)]);
        let explanation = run(&fixture.paths(), redis_settings(), &asked).unwrap();
        let treatment = explanation.treatment;
        assert_eq!(
            treatment.policy_of.as_deref(),
            Some("MetaRouter default/policy")
        );
        assert_eq!(treatment.rate_limit.unwrap().limit, "default/policy");
    }
}
