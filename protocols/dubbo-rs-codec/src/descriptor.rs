//! JVM parameter descriptors: `Ljava/lang/String;I[J` says how many arguments follow.

/// A parameter descriptor that no JVM would write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the parameter descriptor is malformed at byte {at}")]
pub struct BadDescriptor {
    pub at: usize,
}

/// Counts the parameters that a descriptor (without parentheses) names.
///
/// # Errors
///
/// [`BadDescriptor`] at the first byte that begins or continues no type.
#[inline]
pub fn parameter_count(descriptor: &[u8]) -> Result<u32, BadDescriptor> {
    let mut rest = descriptor;
    let mut count = 0;
    while let [first, tail @ ..] = rest {
        let here = BadDescriptor {
            at: descriptor.len() - rest.len(),
        };
        match first {
            b'[' if tail.is_empty() => return Err(here),
            // Dimensions belong to the element type behind them.
            b'[' => {
                rest = tail;
                continue;
            }
            b'B' | b'C' | b'D' | b'F' | b'I' | b'J' | b'S' | b'Z' => rest = tail,
            b'L' => {
                let end = memchr::memchr(b';', tail).ok_or(here)?;
                rest = tail.get(end + 1..).unwrap_or_default();
            }
            _ => return Err(here),
        }
        count += 1;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_a_jvm_would() {
        for (descriptor, count) in [
            ("", 0),
            ("I", 1),
            ("Ljava/lang/String;I[J", 3),
            ("[[Ljava/lang/String;", 1),
            (
                "IJLjava/lang/String;DZ[BLlab/api/Person;Ljava/util/List;Ljava/util/Map;[I",
                10,
            ),
            (
                "Ljava/lang/String;[Ljava/lang/String;[Ljava/lang/Object;",
                3,
            ),
        ] {
            assert_eq!(
                parameter_count(descriptor.as_bytes()),
                Ok(count),
                "{descriptor}"
            );
        }
        for (descriptor, at) in [("V", 0), ("IQ", 1), ("[", 0), ("I[[", 2), ("Ljava/lang", 0)] {
            assert_eq!(
                parameter_count(descriptor.as_bytes()),
                Err(BadDescriptor { at }),
                "{descriptor}"
            );
        }
    }
}
