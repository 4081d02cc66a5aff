//! The bytes at the start of an argument that tell one request from every other.

pub(super) const STAMP: usize = 24;

fn stamp(connection: u32, id: u64) -> [u8; STAMP] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let number = (u128::from(connection) << 64) | u128::from(id);
    std::array::from_fn(|i| DIGITS[((number >> (4 * (STAMP - 1 - i))) & 0xf) as usize])
}

/// Writes the stamp over the bytes of `out` at `at`.
pub(super) fn put(out: &mut [u8], at: usize, connection: u32, id: u64) {
    if let Some(target) = out.get_mut(at..at + STAMP) {
        target.copy_from_slice(&stamp(connection, id));
    }
}

/// What follows the stamp at the start of `value`, if it is that of this request.
pub(super) fn strip(value: &[u8], connection: u32, id: u64) -> Option<&[u8]> {
    value.strip_prefix(&stamp(connection, id))
}
