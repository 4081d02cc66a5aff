//! `metadata.creationTimestamp`, of which the order of age is all that matters.

/// Seconds since the epoch of a time as Kubernetes writes it: `2026-01-31T23:59:59Z`.
pub(super) fn seconds(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(time, ':')?;
    let is_date = (1..=12).contains(&month) && (1..=31).contains(&day);
    (is_date && hour < 24 && minute < 60 && second <= 60)
        .then(|| days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second)
}

fn numbers(text: &str, separator: char) -> Option<[i64; 3]> {
    let mut parts = text.split(separator).map(|part| part.parse::<u16>().ok());
    let numbers = [
        parts.next()??.into(),
        parts.next()??.into(),
        parts.next()??.into(),
    ];
    parts.next().is_none().then_some(numbers)
}

/// Days since the epoch in the Gregorian calendar; a year begins in March, so that the leap day is
/// its last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn times_are_seconds_since_the_epoch() {
        let rows = [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-03-01T00:00:00Z", Some(951_868_800)),
            ("2024-02-29T12:34:56Z", Some(1_709_210_096)),
            ("2026-11-25T04:00:00Z", Some(1_795_579_200)),
            ("yesterday", None),
            ("2026-11-25", None),
            ("2026-13-25T04:00:00Z", None),
            ("2026-11-25T24:00:00Z", None),
        ];
        for (text, expected) in rows {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}
