//! Keys, and the values that follow from them.

pub(super) const KEY: usize = 16;
pub(super) const VALUE: usize = 64;
/// A client uses its keys in turn; more than it ever has in flight.
pub(crate) const KEYS_OF_A_CLIENT: u64 = 128;

/// What follows the key in its value.
pub(super) const PADDING: [u8; VALUE - KEY] = [b'x'; VALUE - KEY];

pub(super) fn is_value_of(value: &[u8], key: &[u8]) -> bool {
    value.strip_prefix(key) == Some(&PADDING)
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
