//! Keys, and the values that follow from them.

pub(super) const KEY: usize = 16;
pub(super) const VALUE: usize = 64;
/// Of keys that begin with `large`.
pub(super) const LARGE_VALUE: usize = 1024 * 1024;
/// A client uses its keys in turn; more than it ever has in flight.
pub(crate) const KEYS_OF_A_CLIENT: u64 = 128;

/// What follows the key in its value, where that is as long as it can be.
static PADDING: [u8; LARGE_VALUE - KEY] = [b'x'; LARGE_VALUE - KEY];

/// Bytes of the value of `key`.
pub(super) fn value_len(key: &[u8; KEY]) -> usize {
    match key.starts_with(b"large") {
        true => LARGE_VALUE,
        false => VALUE,
    }
}

/// What follows `key` in its value.
pub(super) fn padding(key: &[u8; KEY]) -> &'static [u8] {
    PADDING.get(..value_len(key) - KEY).unwrap_or_default()
}

pub(super) fn is_value_of(value: &[u8], key: &[u8]) -> bool {
    let padding = key.try_into().map(padding);
    padding.is_ok_and(|padding| value.strip_prefix(key) == Some(padding))
}

/// `large:00049:0127`, whose value is large.
pub(super) fn large_key(connection: u32, id: u64) -> [u8; KEY] {
    let mut key = key(connection, id);
    let [start @ .., _, _, _, _, _, _, _, _, _, _, _] = &mut key;
    start.copy_from_slice(b"large");
    key
}

/// `bench:00049:0127`.
pub(super) fn key(connection: u32, id: u64) -> [u8; KEY] {
    let mut key = *b"bench:00000:0000";
    let [_, _, _, _, _, _, client @ .., _, _, _, _, _] = &mut key;
    put_decimal(client, connection.into());
    let [.., n0, n1, n2, n3] = &mut key;
    let mut number = [0; 4];
    put_decimal(&mut number, id % KEYS_OF_A_CLIENT);
    [*n0, *n1, *n2, *n3] = number;
    key
}

/// Overwrites `digits` with the last digits of `number`.
fn put_decimal(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}
