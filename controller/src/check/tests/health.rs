//! What is said of health checks and outlier detection.

use super::{run, spoilt};
use crate::fixture::{Fixture, settings};
use crate::schema::{RefusedSetting, SettingsCheck};

/// What is said of this trafficPolicy, between the snippets.
fn policy(text: &str) -> String {
    let text = format!("    {text}\n    tls: {{mode: DISABLE}}\n");
    let said = spoilt(&[(
        "rule.yaml",
        "    outlierDetection: {consecutive5xxErrors: 3}\n",
        &text,
    )]);
    let lines = said.lines().filter(|line| {
        let line = line.trim_start();
        let is_number = line.starts_with(|c: char| c.is_ascii_digit());
        let is_snippet = line.starts_with('|') || is_number && !line.contains(" objects: ");
        let is_of_policy = !line.contains("LocalityInactive");
        is_of_policy && !is_snippet && !line.starts_with("= help: set `trafficPolicy")
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn bad_values_are_named() {
    for (given, said) in [
        (
            "healthCheck: {interval: 0s}",
            "`healthCheck.interval` is not a duration",
        ),
        (
            "healthCheck: {timeout: soon}",
            "`healthCheck.timeout` is not a duration",
        ),
        (
            "healthCheck: {unhealthyThreshold: 0}",
            "must be from 1 to 4294967295, not 0",
        ),
        (
            "healthCheck: {healthyThreshold: -1}",
            "must be from 1 to 4294967295, not -1",
        ),
        ("healthCheck: {intervall: 1s}", "did you mean `interval`?"),
        (
            "healthCheck: {tcp: true, settings: {check: x}}",
            "one of tcp and settings",
        ),
        (
            "healthCheck: {settings: {check: [x]}}",
            "must be a string, a number or a boolean",
        ),
        (
            "outlierDetection: {maxEjectionPercent: 101}",
            "must be from 0 to 100, not 101",
        ),
        (
            "outlierDetection: {consecutiveGatewayErrors: -1}",
            "must be from 0 to 4294967295",
        ),
        (
            "outlierDetection: {consecutiveLocalOriginFailures: 3}",
            "needs `splitExternal",
        ),
        (
            "outlierDetection: {successRate: {stddevFactor: 1}}",
            "did you mean `stdevFactor`?",
        ),
        (
            "outlierDetection: {failurePercentage: {threshold: 101}}",
            "not 101",
        ),
        (
            "outlierDetection: {alwaysEjectOneHost: 1}",
            "must be true or false",
        ),
    ] {
        let found = policy(given);
        assert!(found.contains(said), "{given}: {found}");
        assert!(found.contains("rule.yaml:7:"), "{given}: {found}");
        assert!(found.contains(" 1 error,"), "{given}: {found}");
    }
}

#[test]
fn what_is_in_force_is_no_finding() {
    for given in [
        "outlierDetection: {consecutive5xxErrors: 2, consecutiveGatewayErrors: 1, \
         splitExternalLocalOriginErrors: true, consecutiveLocalOriginFailures: 3, interval: 1s, \
         baseEjectionTime: 1s, maxEjectionTime: 9s, maxEjectionTimeJitter: 1s, maxEjectionPercent: 50, \
         minHealthPercent: 10, alwaysEjectOneHost: false, applicationErrors: true, successRate: {}, \
         failurePercentage: {threshold: 50, minimumHosts: 1, requestVolume: 1}}",
        "outlierDetection: {}\n    healthCheck: {interval: 5s, intervalJitter: 1s, timeout: 1s, \
         unhealthyThreshold: 2, healthyThreshold: 2, tcp: true}",
        "outlierDetection: {}\n    portLevelSettings: [{port: {number: 20880}, outlierDetection: {}, \
         healthCheck: {}}]",
    ] {
        let found = policy(given);
        assert!(found.contains("0 errors, 0 warnings"), "{given}: {found}");
    }
}

#[test]
fn a_setting_that_the_plugin_refuses_is_named() {
    let fixture = Fixture::valid();
    let policy = "    healthCheck: {settings: {check: x}}\n    outlierDetection";
    fixture.edit("rule.yaml", "    outlierDetection", policy);
    let mut settings = settings();
    settings.check = Some(SettingsCheck::new(|_, given| {
        assert_eq!(given, [("check", "x")]);
        Err(RefusedSetting {
            name: "check".to_owned(),
            reason: "there is none".to_owned(),
        })
    }));
    let said = run(&fixture.paths(), settings).to_string();
    let expected = "the plugin `dubbo` refuses the setting `check`: there is none";
    assert!(said.contains(expected), "{said}");
    assert!(said.contains("rule.yaml:7:37"), "{said}");
}
