//! An explanation as text.

use std::fmt;

use super::{DestinationShare, Explanation, RouteRef};

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "service   {}", self.service)?;
        writeln!(f, "server    {} ({})", self.server, self.protocol)?;
        for (i, attribute) in self.attributes.iter().enumerate() {
            let label = if i == 0 { "request" } else { "" };
            let origin = if attribute.from_annotation {
                "  (the service's annotation)"
            } else {
                ""
            };
            writeln!(
                f,
                "{label:10}{}={}{origin}",
                attribute.name, attribute.value
            )?;
        }
        let locality = if self.locality.is_empty() {
            "unknown"
        } else {
            &self.locality
        };
        writeln!(f, "locality  {locality}")?;
        for passed in &self.passed_over {
            writeln!(f, "\nnot       {}", passed.route)?;
            for because in &passed.because {
                writeln!(f, "          {because}")?;
            }
        }
        match &self.route {
            None => {
                write!(f, "\nno route  the client is told so")?;
                let mut note = self.note.iter();
                note.try_for_each(|note| write!(f, "\n          {note}"))
            }
            Some(route) => {
                write!(f, "\ntakes     {route}")?;
                self.destinations
                    .iter()
                    .try_for_each(|d| write!(f, "\n\n{d}"))
            }
        }
    }
}

impl fmt::Display for RouteRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MetaRouter {}", self.meta_router)?;
        if let Some(number) = self.number {
            write!(f, ", route {number}")?;
        }
        if !self.name.is_empty() {
            write!(f, " `{}`", self.name)?;
        }
        write!(f, " ({}:{})", self.file, self.line)
    }
}

impl fmt::Display for DestinationShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>4}%     {}", self.weight, self.cluster)?;
        let (Some(balance), Some(locality)) = (self.load_balancer, self.locality) else {
            return write!(f, "\n          requests fail: there is no such cluster");
        };
        write!(f, "\n          {balance}, {locality}")?;
        if self.tiers.is_empty() {
            return write!(f, "\n          requests fail: there is no endpoint");
        }
        for tier in &self.tiers {
            write!(f, "\n          tier {}: {}%", tier.priority, tier.share)?;
            for endpoint in &tier.endpoints {
                let share = format!("{}%", endpoint.share);
                write!(
                    f,
                    "\n            {share:>6}  {:<22} {}",
                    endpoint.address, endpoint.locality
                )?;
            }
        }
        Ok(())
    }
}
