//! Keys, and where they live.

/// The longest key, in bytes as they are written (`KEY_MAX_LENGTH`).
pub(crate) const LONGEST: usize = 250;

/// A hash of which all bits are worth the same: FNV-1a, whose low bits are good and whose high
/// ones are not, and the finalizer of SplitMix64, which spreads them.
pub(crate) fn hash(key: &[u8]) -> u64 {
    let fnv = key.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (fnv ^ fnv >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

/// Room for a key that was in base64, so that none has to be made.
pub(crate) type Room = [u8; LONGEST];

/// The key that a meta command with the flag `b` names by `text`. What is no base64 is the server's
/// to refuse, and any place is good for it.
pub(crate) fn decoded<'a>(text: &'a [u8], room: &'a mut Room) -> &'a [u8] {
    match base64(text, room) {
        Some(len) => room.get(..len).unwrap_or_default(),
        None => text,
    }
}

fn base64(text: &[u8], room: &mut Room) -> Option<usize> {
    let end = text.iter().rposition(|byte| *byte != b'=')?;
    if !text.len().is_multiple_of(4) || text.len() - end > 3 {
        return None;
    }
    let (mut bits, mut held, mut len) = (0_u32, 0, 0);
    for byte in text.get(..=end)? {
        bits = bits << 6 | u32::from(six(*byte)?);
        held += 6;
        if held >= 8 {
            held -= 8;
            *room.get_mut(len)? = (bits >> held & 0xff) as u8;
            len += 1;
        }
    }
    Some(len)
}

fn six(byte: u8) -> Option<u8> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_base64_is_the_key_in_text() {
        for (text, key) in [
            (&b"Zm9v"[..], &b"foo"[..]),
            (b"Zm8=", b"fo"),
            (b"Zg==", b"f"),
            (b"+/+/", &[0xfb, 0xff, 0xbf]),
        ] {
            assert_eq!(decoded(text, &mut [0; LONGEST]), key);
        }
        for no_base64 in [&b"Zm9"[..], b"====", b"Z===", b"Zm*v", b""] {
            assert_eq!(decoded(no_base64, &mut [0; LONGEST]), no_base64);
        }
    }

    #[test]
    fn keys_spread_over_all_bits() {
        for shift in [0, 8, 28, 56, 61] {
            let mut counts = [0_u32; 8];
            for n in 0..8000 {
                let hash = hash(format!("user:{n}").as_bytes());
                counts[(hash >> shift & 7) as usize] += 1;
            }
            assert!(
                counts.iter().all(|n| (850..1150).contains(n)),
                "{shift}: {counts:?}"
            );
        }
    }
}
