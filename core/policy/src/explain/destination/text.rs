//! A destination as text.

use std::fmt;

use super::{DestinationShare, EndpointShare, Health, KeyOwner, Tier};

impl fmt::Display for DestinationShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>4}%     {}", self.weight, self.cluster)?;
        self.tell(f)?;
        self.fallbacks.iter().try_for_each(|next| {
            write!(f, "\n\nelse      {}", next.cluster)?;
            next.tell(f)
        })
    }
}

impl DestinationShare {
    fn tell(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(balance) = &self.load_balancer else {
            return write!(f, "\n          requests fail: there is no such cluster");
        };
        write!(f, "\n          {balance}")?;
        if let Some(locality) = &self.locality {
            write!(f, ", {locality}")?;
        }
        self.tell_use(f)?;
        if self.tiers.is_empty() {
            return write!(f, "\n          requests fail: there is no endpoint");
        }
        if let Some(key) = &self.key {
            write!(f, "\n          {key}")?;
        }
        if let Some(resolution) = self.resolution {
            write!(f, "\n          {resolution}")?;
        }
        if let Some(why) = self.unhashed {
            write!(f, "\n          {why}")?;
        }
        self.tiers
            .iter()
            .try_for_each(|tier| self.tell_tier(tier, f))?;
        if !self.left_out.is_empty() {
            write!(
                f,
                "\n          left out, since `distribute` has no share for it:"
            )?;
        }
        self.left_out.iter().try_for_each(|e| write!(f, "\n{e}"))
    }

    /// How its endpoints are dialled, bounded and watched.
    fn tell_use(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |before: &str, text: Option<&String>| match text {
            Some(text) => write!(f, "\n          {before}{text}"),
            None => Ok(()),
        };
        line("", self.tls.as_ref())?;
        line("connections are ", self.connections.as_ref())?;
        line("a new endpoint warms up: ", self.warmup.as_ref())?;
        self.limits.iter().try_for_each(|it| line("", Some(it)))?;
        line("", self.retry_budget.as_ref())?;
        line("endpoints are ejected ", self.outlier_detection.as_ref())?;
        line("endpoints are checked ", self.health_check.as_ref())
    }

    fn tell_tier(&self, tier: &Tier, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n          tier {}: {}%", tier.priority, tier.share)?;
        write!(f, "{}", tier.health)?;
        let all: u32 = self.tiers.iter().map(|tier| tier.health.capacity).sum();
        let (capacity, panic) = (tier.health.capacity, tier.health.panic);
        if self.tiers.len() > 1 && all < 100 && capacity > 0 && !panic {
            write!(f, "; of {all}% that all tiers could take")?;
        }
        if tier.share > 0 && tier.health.healthy == 0 && !panic {
            write!(f, ": requests fail")?;
        }
        tier.endpoints.iter().try_for_each(|e| write!(f, "\n{e}"))
    }
}

impl fmt::Display for KeyOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.endpoint {
            Some(endpoint) => write!(f, "the key is at {endpoint}")?,
            None => write!(f, "the key is nowhere: requests fail")?,
        }
        write!(f, " (hash {:#018x})", self.hash)
    }
}

/// Only where there is something to calculate.
impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            healthy,
            total,
            overprovisioning,
            capacity,
            panic_threshold,
            panic,
        } = *self;
        if healthy == total {
            return Ok(());
        }
        write!(
            f,
            ", {healthy} of {total} healthy, who could take {capacity}% \
             ({overprovisioning} × {healthy} / {total}, at most 100)"
        )?;
        match panic {
            true => write!(
                f,
                "; too few in all, and here fewer than {panic_threshold}%, so that all of them are used"
            ),
            false => Ok(()),
        }
    }
}

impl fmt::Display for EndpointShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = format!("{}%", self.share);
        let (address, locality) = (&self.address, &self.locality);
        write!(f, "            {share:>6}  {address:<22} {locality}")?;
        match self.failed {
            true => write!(f, " (failed)"),
            false => Ok(()),
        }
    }
}
