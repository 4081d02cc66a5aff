//! Ring hashing (ketama), as Envoy does it: the same hosts in the same order give the same ring.
//!
//! The rule is Envoy's `RingHashLoadBalancer`: each host has points on the ring in proportion to
//! its weight, the `i`th at xxHash64 of `address:port_i`; a key belongs to the next point.

use xxhash_rust::xxh64::xxh64;

/// Envoy's default of the least number of points.
pub const MINIMUM_SIZE: u32 = 1_024;
/// Envoy's bound of the number of points.
const MAXIMUM_SIZE: f64 = 8.0 * 1024.0 * 1024.0;

/// A ring of hosts.
#[derive(Clone, Debug, Default)]
pub struct Ring<T> {
    members: Vec<T>,
    /// Hash and member of each point, in the order of the hashes.
    points: Vec<(u64, u32)>,
}

impl<T> Ring<T> {
    /// A ring of at least `minimum` points, where weights allow. Each member comes with its name
    /// (Envoy: `address:port`) and its weight, which is at least 1.
    pub fn new(members: impl IntoIterator<Item = (T, String, u32)>, minimum: u32) -> Self {
        let mut kept = Vec::new();
        let mut named = Vec::new();
        for (member, name, weight) in members {
            kept.push(member);
            named.push((name, f64::from(weight.max(1))));
        }
        let sum: f64 = named.iter().map(|(_, weight)| weight).sum();
        let least = named.iter().map(|(_, weight)| weight / sum);
        let least = least.fold(1.0, f64::min);
        // The lightest host has a whole number of points, so that the others are not rounded off.
        let scale = ((least * f64::from(minimum)).ceil() / least).min(MAXIMUM_SIZE);
        let (mut points, mut target) = (Vec::new(), 0.0);
        for (index, (name, weight)) in (0_u32..).zip(&named) {
            target += scale * weight / sum;
            for point in 0_u32.. {
                if points.len() as f64 >= target {
                    break;
                }
                points.push((xxh64(format!("{name}_{point}").as_bytes(), 0), index));
            }
        }
        points.sort_unstable_by_key(|(hash, _)| *hash);
        Self {
            members: kept,
            points,
        }
    }

    /// The member that has this hash.
    #[must_use]
    pub fn at(&self, hash: u64) -> Option<&T> {
        self.members.get(self.index(hash)?)
    }

    /// The place of that member among the members.
    #[must_use]
    pub fn index(&self, hash: u64) -> Option<usize> {
        let next = self.points.partition_point(|(point, _)| *point < hash);
        let (_, index) = self.points.get(next).or_else(|| self.points.first())?;
        usize::try_from(*index).ok()
    }

    /// The members, in the order in which they were given.
    pub fn members(&self) -> impl ExactSizeIterator<Item = &T> {
        self.members.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(weights: &[u32]) -> Ring<usize> {
        let members = weights
            .iter()
            .enumerate()
            .map(|(index, weight)| (index, format!("127.0.0.1:{}", 90 + index), *weight));
        Ring::new(members, MINIMUM_SIZE)
    }

    #[test]
    fn nobody_has_a_key_of_nobody() {
        assert_eq!(ring(&[]).at(7), None);
    }

    #[test]
    fn points_follow_the_weights() {
        let ring = ring(&[1, 1, 2]);
        let points = |member: u32| ring.points.iter().filter(|(_, m)| *m == member).count();
        assert_eq!([points(0), points(1), points(2)], [256, 256, 512]);
    }

    #[test]
    fn a_key_belongs_to_the_next_point_and_the_last_ones_to_the_first() {
        let ring = ring(&[1, 1]);
        let (first, last) = (ring.points[0], ring.points[ring.points.len() - 1]);
        assert_eq!(ring.at(first.0), Some(&(first.1 as usize)));
        assert_eq!(ring.at(last.0 + 1), Some(&(first.1 as usize)));
        assert_eq!(ring.at(0), Some(&(first.1 as usize)));
    }

    #[test]
    fn the_loss_of_one_moves_a_small_part_of_the_others() {
        let (before, after) = (ring(&[1; 5]), ring(&[1; 4]));
        let hashes = (0..10_000_u64).map(|n| xxh64(&n.to_le_bytes(), 0));
        let kept: Vec<u64> = hashes.filter(|hash| before.at(*hash) != Some(&4)).collect();
        let moved = kept
            .iter()
            .filter(|hash| before.at(**hash) != after.at(**hash));
        // The others have a fourth more points each than before, so a fifth of the keys may move.
        assert!(moved.count() * 4 < kept.len());
    }
}
