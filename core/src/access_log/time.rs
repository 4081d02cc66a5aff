//! The time of day in RFC 3339, UTC, to the microsecond.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// A time that displays as `2026-11-25T04:20:04.000123Z`.
pub(super) struct Rfc3339(pub(super) SystemTime);

const DAY: u64 = 86_400;

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A clock before 1970 is not set; its lines say so by their date.
        let since = self.0.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (days, second) = (since.as_secs() / DAY, since.as_secs() % DAY);
        let (year, month, day) = date(days);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let micros = since.subsec_micros();
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z"
        )
    }
}

/// Year, month and day of so many days after 1970-01-01, in the Gregorian calendar.
///
/// Years are counted from March, so that the leap day is the last of its year, in eras of 400
/// years, which all have the same length.
fn date(days: u64) -> (u64, u64, u64) {
    const ERA: u64 = 146_097;
    // 719,468 days lie between 0000-03-01 and 1970-01-01.
    let days = days + 719_468;
    let (era, day) = (days / ERA, days % ERA);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn known_times() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.000042Z"),
            (951_782_399, "2000-02-28T23:59:59.000042Z"),
            (951_782_400, "2000-02-29T00:00:00.000042Z"),
            (951_868_800, "2000-03-01T00:00:00.000042Z"),
            (1_709_164_800, "2024-02-29T00:00:00.000042Z"),
            (1_735_689_599, "2024-12-31T23:59:59.000042Z"),
            (1_795_580_404, "2026-11-25T04:20:04.000042Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000042Z"),
        ] {
            let time = UNIX_EPOCH + Duration::new(seconds, 42_000);
            assert_eq!(Rfc3339(time).to_string(), expected);
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut last = date(0);
        for days in 1..200_000 {
            let next = date(days);
            let (year, month, day) = last;
            let follows = next == (year, month, day + 1)
                || next == (year, month + 1, 1) && day >= 28
                || next == (year + 1, 1, 1) && (month, day) == (12, 31);
            assert!(follows, "{last:?} then {next:?}");
            last = next;
        }
    }
}
