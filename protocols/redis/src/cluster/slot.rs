//! Where a key lives: its slot in a Redis Cluster, its hash elsewhere.

use meltemi_codec::{Constraint, Role};
use memchr::memchr;

/// How many slots a Redis Cluster has.
pub const SLOTS: u32 = 16384;

/// The slot of a key (<https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>).
#[must_use]
pub fn slot(key: &[u8]) -> u32 {
    u32::from(crc16(tag(key))) % SLOTS
}

/// The part of a key that its slot is made of: what is between its first `{` and the next `}`,
/// unless there is no such or nothing in between.
#[must_use]
#[inline]
pub fn tag(key: &[u8]) -> &[u8] {
    let tagged = || {
        let inside = key.get(memchr(b'{', key)? + 1..)?;
        let close = memchr(b'}', inside)?;
        inside.get(..close).filter(|tag| !tag.is_empty())
    };
    tagged().unwrap_or(key)
}

/// The hash by which load balancers choose where keys have no slots: MurmurHash64A with the seed
/// of Envoy's `MurmurHash::murmurHash2` (that is, libstdc++'s `std::hash` of strings), so that a
/// key stays where Envoy's redis_proxy put it.
#[must_use]
#[inline]
pub fn hash(bytes: &[u8]) -> u64 {
    const SEED: u64 = 0xc70f_6907;
    const MUL: u64 = 0xc6a4_a793_5bd1_e995;
    let shift_mix = |value: u64| value ^ (value >> 47);
    let mut hash = SEED ^ (bytes.len() as u64).wrapping_mul(MUL);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let data = shift_mix(u64::from_le_bytes(*word).wrapping_mul(MUL)).wrapping_mul(MUL);
        hash = (hash ^ data).wrapping_mul(MUL);
    }
    if !rest.is_empty() {
        let data = rest
            .iter()
            .rev()
            .fold(0, |data, byte| data << 8 | u64::from(*byte));
        hash = (hash ^ data).wrapping_mul(MUL);
    }
    shift_mix(shift_mix(hash).wrapping_mul(MUL))
}

/// The shard of a key. `tags` is whether the hash is of the tag alone, as the slot always is
/// (`enableHashtagging` of Envoy's redis_proxy).
#[must_use]
pub fn shard(key: &[u8], tags: bool, role: Role) -> Constraint {
    let (slot, hash) = slot_and_hash(key, tags);
    Constraint::Shard { slot, hash, role }
}

/// The slot of a key, and its hash or that of its tag alone.
#[must_use]
#[inline]
pub fn slot_and_hash(key: &[u8], tags: bool) -> (u32, u64) {
    let tag = tag(key);
    let slot = u32::from(crc16(tag)) % SLOTS;
    (slot, hash(if tags { tag } else { key }))
}

/// CRC-16/XMODEM: polynomial 0x1021, from 0, nothing reflected. Four bytes at a time, each by a
/// table that has shifted it past those behind it.
#[inline]
fn crc16(bytes: &[u8]) -> u16 {
    let entry = |table: &[u16; 256], byte: u8| table.get(usize::from(byte)).copied().unwrap_or(0);
    let [one, two, three, four] = &TABLES;
    let (words, rest) = bytes.as_chunks::<4>();
    let crc = words.iter().fold(0_u16, |crc, [a, b, c, d]| {
        let [high, low] = crc.to_be_bytes();
        entry(four, high ^ a) ^ entry(three, low ^ b) ^ entry(two, *c) ^ entry(one, *d)
    });
    rest.iter().fold(crc, |crc, byte| {
        let [high, low] = crc.to_be_bytes();
        u16::from_be_bytes([low, 0]) ^ entry(one, high ^ byte)
    })
}

/// The checksum of each byte, and of each byte that one, two or three bytes of 0 follow.
static TABLES: [[u16; 256]; 4] = tables();

#[expect(clippy::indexing_slicing, reason = "const fn knows no iterators")]
const fn tables() -> [[u16; 256]; 4] {
    let mut tables = [[0; 256]; 4];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut table = 0;
        while table < 4 {
            let mut bit = 0;
            while bit < 8 {
                let carry = crc & 0x8000 != 0;
                crc <<= 1;
                if carry {
                    crc ^= 0x1021;
                }
                bit += 1;
            }
            tables[table][byte] = crc;
            table += 1;
        }
        byte += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_cluster_specification() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        assert_eq!(crc16(b""), 0);
        for length in 0..9 {
            let bytes = b"\xff\x00{:Zq\x80~".get(..length).unwrap();
            let bitwise = bytes.iter().fold(0_u16, |crc, byte| {
                let crc = crc ^ u16::from(*byte) << 8;
                (0..8).fold(crc, |crc, _| crc << 1 ^ (0x1021 * (crc >> 15)))
            });
            assert_eq!(crc16(bytes), bitwise, "{length}");
        }
    }

    /// What `CLUSTER KEYSLOT` of redis-server 7.0.15 says.
    #[test]
    fn slots_are_those_of_redis() {
        let cases: &[(&str, u32)] = &[
            ("123456789", 12739),
            ("foo", 12182),
            ("bar", 5061),
            ("{user1000}.following", 3443),
            ("{user1000}.followers", 3443),
            ("foo{}{bar}", 8363),
            ("foo{{bar}}zap", 4015),
            ("foo{bar}{zap}", 5061),
            ("{bar", 4015),
            ("", 0),
        ];
        for (key, expected) in cases {
            assert_eq!(slot(key.as_bytes()), *expected, "{key}");
        }
    }

    #[test]
    fn a_tag_is_what_the_first_braces_hold() {
        let cases = [
            ("{a}b", "a"),
            ("x{a}{b}", "a"),
            ("x{{a}}", "{a"),
            ("{}a", "{}a"),
            ("{}{a}", "{}{a}"),
            ("a}b{c", "a}b{c"),
            ("}{a}", "a"),
        ];
        for (key, expected) in cases {
            assert_eq!(tag(key.as_bytes()), expected.as_bytes(), "{key}");
        }
    }

    /// What `std::hash<std::string>` of libstdc++ 12 says, which Envoy's default seed makes
    /// `murmurHash2` equal to.
    #[test]
    fn hashes_are_those_of_envoy() {
        let cases: &[(&[u8], u64)] = &[
            (b"", 0x553e_9390_1e46_2a6e),
            (b"a", 0x454d_dee4_88c1_ed6b),
            (b"foo", 0x85a8_e535_edf1_1e5a),
            (b"bar", 0x9f3e_11fb_306a_76b3),
            (b"12345678", 0x8c5b_90a3_3a04_dca5),
            (b"123456789", 0xaaeb_28d3_d5f1_65c0),
            (b"user:1000", 0x8994_edea_5ecc_efdb),
            (b"{user:1000}.following", 0x92da_19cb_7b4e_7aec),
            (b"\xff\xfe\xfd", 0xa1fc_41df_7d29_b44d),
        ];
        for (key, expected) in cases {
            assert_eq!(hash(key), *expected, "{}", key.escape_ascii());
        }
    }

    #[test]
    fn keys_with_one_tag_share_a_hash_only_where_tags_count() {
        let of = |key: &[u8], tags| shard(key, tags, Role::Primary);
        assert_eq!(of(b"{t}a", true), of(b"{t}b", true));
        assert_ne!(of(b"{t}a", false), of(b"{t}b", false));
    }
}
