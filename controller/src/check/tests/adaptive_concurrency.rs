//! Adaptive concurrency that cannot be meant.

use super::super::run;
use crate::fixture::{Fixture, settings};

/// What is said of it, on the ninth line.
fn said(written: &str) -> String {
    let fixture = Fixture::valid();
    let text = format!("  - name: hello\n    adaptiveConcurrency: {written}");
    fixture.edit("router.yaml", "  - name: hello", &text);
    fixture.anonymous(&run(&fixture.paths(), settings()).to_string())
}

#[test]
fn what_can_be_meant_has_no_findings() {
    for good in [
        "{concurrencyUpdateInterval: 100ms, minRttCalcParams: {interval: 60s}}",
        "{sampleAggregatePercentile: {value: 90}, maxConcurrencyLimit: 3, concurrencyUpdateInterval: 1ms, minRttCalcParams: {interval: 60s, requestCount: 1, jitter: {value: 0}, minConcurrency: 3, buffer: {value: 100}}}",
    ] {
        assert_eq!(said(good), "4 objects: 0 errors, 0 warnings", "{good}");
    }
}

#[test]
fn every_mistake_is_told_with_its_place_and_what_to_do() {
    for (written, place, message, remedy) in [
        (
            "{minRttCalcParams: {interval: 60s}}",
            "{minRtt",
            "`adaptiveConcurrency.concurrencyUpdateInterval` is missing",
            "add `concurrencyUpdateInterval`",
        ),
        (
            "{concurrencyUpdateInterval: 100ms}",
            "{conc",
            "`adaptiveConcurrency.minRttCalcParams` is missing",
            "add `minRttCalcParams`",
        ),
        (
            "{concurrencyUpdateInterval: 100ms, minRttCalcParams: {requestCount: 5}}",
            "{requestCount",
            "`minRttCalcParams.interval` is missing",
            "add `interval`",
        ),
        (
            "{sampleAggregatePercentile: {value: 101}, concurrencyUpdateInterval: 100ms, minRttCalcParams: {interval: 60s}}",
            "101",
            "must be from 0 to 100, not 101",
            "within these bounds",
        ),
        (
            "{maxConcurrencyLimit: 0, concurrencyUpdateInterval: 100ms, minRttCalcParams: {interval: 60s}}",
            "0,",
            "`adaptiveConcurrency.maxConcurrencyLimit` must be from 1",
            "within these bounds",
        ),
        (
            "{maxConcurrencyLimit: 2, concurrencyUpdateInterval: 100ms, minRttCalcParams: {interval: 60s}}",
            "minRttCalcParams",
            "`minRttCalcParams.minConcurrency` is above `maxConcurrencyLimit`",
            "make it smaller",
        ),
        (
            "{concurrencyUpdateInterval: -1s, minRttCalcParams: {interval: 60s}}",
            "-1s",
            "is not a duration",
            "as in `10s`",
        ),
        (
            "{concurrencyUpdateInterval: 1s, minRttCalcParams: {interval: 60s, minConcurency: 4}}",
            "minConcurency",
            "did you mean `minConcurrency`?",
            "the fields here are",
        ),
    ] {
        let report = said(written);
        let column = "    adaptiveConcurrency: ".len() + written.find(place).unwrap() + 1;
        for part in [&format!("router.yaml:9:{column}"), message, remedy] {
            assert!(report.contains(part), "{written}: no {part:?} in {report}");
        }
    }
}
