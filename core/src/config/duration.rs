//! Durations that are above zero.

use std::time::Duration;

use super::invalid::Invalid;

const LONGEST: Duration = Duration::from_secs(315_576_000_000);

/// A protobuf duration that a timer can be set to.
pub(super) fn duration(field: &str, value: meltemi_proto::Duration) -> Result<Duration, Invalid> {
    let value = Duration::try_from(value)
        .map_err(|_| Invalid::new(field, "is negative or out of range"))?;
    if value.is_zero() {
        return Err(Invalid::new(field, "must be above 0"));
    }
    // Protobuf's own bound. A timer that is set to more, or to some times more, has no end.
    if value > LONGEST {
        return Err(Invalid::new(field, "must not be above 10,000 years"));
    }
    Ok(value)
}
