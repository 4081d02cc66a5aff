//! Durations, as Istio and protobuf's JSON write them.

use std::time::Duration;

use super::decode::{Decoder, Fields};
use crate::diagnostic::{Code, Diagnostic};
use crate::yaml::Value;

const SHORTEST: Duration = Duration::from_millis(1);
/// Protobuf's own bound.
const LONGEST: Duration = Duration::from_secs(315_576_000_000);

const UNITS: &str = "write a number with h, m, s or ms, as in `10s`";

impl Fields<'_> {
    pub(super) fn duration(&self, d: &mut Decoder, name: &str) -> Option<Duration> {
        let node = self.node(name)?;
        if matches!(node.value, Value::Integer(_) | Value::Float(_)) {
            let message = format!("`{}` is a number without a unit", self.path_of(name));
            let diagnostic = Diagnostic::error(Code::WrongType, message);
            d.report(node.at, diagnostic.remedy(UNITS));
            return None;
        }
        let text = self.string(d, name)?;
        let parsed = parse_duration(&text.value).filter(|p| (SHORTEST..=LONGEST).contains(p));
        if parsed.is_none() {
            let message = format!(
                "`{}` is not a duration of at least 1ms and at most 10,000 years: `{}`",
                self.path_of(name),
                text.value
            );
            let diagnostic = Diagnostic::error(Code::InvalidValue, message);
            d.report(text.at, diagnostic.remedy(UNITS));
        }
        parsed
    }
}

/// Go's notation: numbers with units, one after the other, as in `1m30s` or `1.5s`.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let unit = tail
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        let number: f64 = number.parse().ok()?;
        total = total.checked_add(Duration::try_from_secs_f64(number * seconds).ok()?)?;
        rest = tail;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        let rows = [
            ("10s", Some(10_000)),
            ("1m30s", Some(90_000)),
            ("1.5s", Some(1_500)),
            ("250ms", Some(250)),
            ("2h", Some(7_200_000)),
            ("", None),
            ("10", None),
            ("s", None),
            ("-1s", None),
            ("1d", None),
            ("99999999999999999999h", None),
        ];
        for (text, millis) in rows {
            assert_eq!(
                parse_duration(text),
                millis.map(Duration::from_millis),
                "{text}"
            );
        }
    }
}
