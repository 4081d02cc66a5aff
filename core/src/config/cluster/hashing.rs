//! Endpoints by a hash. What is hashed the route or the cluster says, or it is the key that the protocol
//! has; a request without it goes to an endpoint at random.

use meltemi_policy::Hashing;
use meltemi_policy::hashing::{DEFAULT_RING_SIZE, DEFAULT_TABLE_SIZE};
use meltemi_proto::envoy::config::cluster::v3::cluster::common_lb_config::ConsistentHashingLbConfig;
use meltemi_proto::envoy::config::cluster::v3::cluster::{CommonLbConfig, LbConfig};

use super::super::invalid::Invalid;

/// Envoy's bounds.
const LARGEST_TABLE: u64 = 5_000_011;
const LARGEST_RING: u64 = 8 * 1024 * 1024;

fn common(common: Option<&CommonLbConfig>) -> Option<&ConsistentHashingLbConfig> {
    common?.consistent_hashing_lb_config.as_ref()
}

pub(super) fn by_hostname(config: Option<&CommonLbConfig>) -> bool {
    common(config).is_some_and(|hashing| hashing.use_hostname_for_hashing)
}

pub(super) fn balance_factor(config: Option<&CommonLbConfig>) -> Result<Option<u32>, Invalid> {
    let factor = common(config).and_then(|hashing| hashing.hash_balance_factor);
    match factor {
        Some(factor @ ..100) => {
            let field = "common_lb_config.consistent_hashing_lb_config.hash_balance_factor";
            Err(Invalid::new(field, format!("{factor} is below 100")))
        }
        factor => Ok(factor),
    }
}

pub(super) fn maglev(config: Option<&LbConfig>) -> Result<Hashing, Invalid> {
    let size = match config {
        Some(LbConfig::MaglevLbConfig(maglev)) => maglev.table_size,
        _ => None,
    };
    let field = "maglev_lb_config.table_size";
    let size = size.unwrap_or(DEFAULT_TABLE_SIZE.into());
    let table_size = bounded(field, size, LARGEST_TABLE)?;
    if !is_prime(table_size) {
        return Err(Invalid::new(field, format!("{size} is not a prime number")));
    }
    Ok(Hashing::Maglev { table_size })
}

pub(super) fn ring(config: Option<&LbConfig>) -> Result<Hashing, Invalid> {
    let size = match config {
        Some(LbConfig::RingHashLbConfig(ring)) => ring.minimum_ring_size,
        _ => None,
    };
    let field = "ring_hash_lb_config.minimum_ring_size";
    let size = size.unwrap_or(DEFAULT_RING_SIZE.into());
    let minimum_size = bounded(field, size, LARGEST_RING)?;
    Ok(Hashing::Ring { minimum_size })
}

fn bounded(field: &str, size: u64, largest: u64) -> Result<u32, Invalid> {
    let small = u32::try_from(size).ok();
    small
        .filter(|_| (1..=largest).contains(&size))
        .ok_or_else(|| Invalid::new(field, format!("{size} is not between 1 and {largest}")))
}

/// By trial: the square root of the largest table is 2,236.
fn is_prime(number: u32) -> bool {
    let mut divisors = (2..).take_while(|d| d * d <= number);
    number > 1 && divisors.all(|d| !number.is_multiple_of(d))
}
