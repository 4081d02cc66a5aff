//! Ring hashing (ketama), as Envoy does it: the same hosts in the same order give the same ring.

use xxhash_rust::xxh64::xxh64;

use super::HashedHost;

/// Envoy's default of the greatest number of points.
const MAXIMUM_SIZE: f64 = 8.0 * 1024.0 * 1024.0;

/// A ring of hosts.
///
/// The rule is Envoy's `RingHashLoadBalancer`: each host has points on the ring in proportion to
/// its part, the `i`th at xxHash64 of `name_i`; a hash belongs to the next point.
#[derive(Clone, Debug)]
pub(super) struct Ring {
    /// Hash and host of each point, in the order of the hashes.
    points: Vec<(u64, u32)>,
}

impl Ring {
    /// A ring of at least `minimum` points, where the parts allow.
    pub(super) fn new(hosts: &[HashedHost], minimum: u32) -> Self {
        let least = hosts.iter().map(|host| host.part).fold(1.0, f64::min);
        // The lightest host has a whole number of points, so that the others are not rounded off.
        let scale = ((least * f64::from(minimum)).ceil() / least).min(MAXIMUM_SIZE);
        let (mut points, mut target) = (Vec::new(), 0.0);
        for host in hosts {
            target += scale * host.part;
            for point in 0_u32.. {
                if points.len() as f64 >= target {
                    break;
                }
                let name = format!("{}_{point}", host.name);
                points.push((xxh64(name.as_bytes(), 0), host.host));
            }
        }
        points.sort_by_key(|(hash, _)| *hash);
        Self { points }
    }

    pub(super) fn at(&self, hash: u64) -> Option<u32> {
        let next = self.points.partition_point(|(point, _)| *point < hash);
        let point = self.points.get(next).or_else(|| self.points.first());
        point.map(|(_, host)| *host)
    }
}
