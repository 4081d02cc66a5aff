//! An explanation as text.

use std::fmt;

use super::{
    Concurrency, DestinationShare, EndpointShare, Explanation, GloballyLimited, Health, Limited,
    Mutated, RouteObject, RouteRef, Treatment,
};

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
        if let Some(source) = &self.source {
            writeln!(f, "source    {source}")?;
        }
        if let Some(principal) = &self.principal {
            writeln!(f, "principal {principal}")?;
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
                if let Some(alternative) = self.alternative {
                    write!(f, "\n          by its alternative {alternative}")?;
                }
                write!(f, "{}", self.treatment)?;
                self.destinations
                    .iter()
                    .try_for_each(|d| write!(f, "\n\n{d}"))
            }
        }
    }
}

impl fmt::Display for RouteRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.object {
            RouteObject::MetaRouter(name) => write!(f, "MetaRouter {name}")?,
            RouteObject::RedisService(name) => write!(f, "RedisService {name}")?,
        }
        if let Some(number) = self.number {
            write!(f, ", route {number}")?;
        }
        if !self.name.is_empty() {
            write!(f, " `{}`", self.name)?;
        }
        write!(f, " ({}:{})", self.file, self.line)
    }
}

/// Each on a line of its own, after the route's.
impl Treatment {
    fn fmt_repetitions(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(retries) = &self.retries {
            write!(f, "\n          tries {} times at most,", retries.attempts)?;
            write!(f, " after {}", retries.on.join(", "))?;
            if let Some(each) = &retries.per_try_timeout {
                write!(f, ", {each} each")?;
            }
            if let Some(longest) = &retries.longest {
                write!(f, ": {longest} at worst")?;
            }
            if retries.idempotent_only {
                let unless = "a request that may have been executed only where it is idempotent";
                write!(f, "\n          repeats {unless}")?;
            }
        }
        if let Some(hedge) = &self.hedge {
            write!(
                f,
                "\n          asks another endpoint, too, after {}",
                hedge.delay
            )?;
            if hedge.idempotent_only {
                write!(f, ", for a request that is idempotent")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Treatment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(removed) = &self.remove_prefix {
            write!(f, "\n          takes `{}` off", removed.prefix)?;
            write!(f, " the {}", removed.attribute)?;
            if let Some(sent) = &removed.sent {
                write!(f, ": `{sent}` is sent")?;
            }
        }
        if let Some(policy_of) = &self.policy_of {
            write!(f, "\n          as {policy_of} says:")?;
        }
        if let Some(timeout) = &self.timeout {
            write!(f, "\n          waits {timeout} for the answer")?;
        }
        self.fmt_repetitions(f)?;
        if let Some(limited) = &self.rate_limit {
            write!(f, "\n          {limited}")?;
        }
        if let Some(most) = self.max_requests {
            write!(f, "\n          at most {most} unanswered at a time")?;
        }
        if let Some(longest) = &self.max_connection_duration {
            write!(f, "\n          its client is told to leave after {longest}")?;
        }
        if let Some(idle) = &self.client_idle_timeout {
            write!(f, "\n          its client is closed when silent for {idle}")?;
        }
        if let Some(limited) = &self.global_rate_limit {
            write!(f, "\n          {limited}")?;
        }
        if let Some(Concurrency { least, most }) = &self.adaptive_concurrency {
            write!(
                f,
                "\n          refused where too many are under way: latencies say how many, {most} at \
                 most and {least} for each worker at least"
            )?;
        }
        for fault in &self.faults {
            write!(f, "\n          {}% are", fault.percentage)?;
            match (&fault.delay, &fault.error) {
                (Some(delay), Some(error)) => {
                    write!(f, " answered with the error `{error}` after {delay}")?;
                }
                (None, Some(error)) => write!(f, " answered with the error `{error}`")?,
                (delay, None) => write!(f, " delayed by {}", delay.as_deref().unwrap_or("0s"))?,
            }
        }
        for mirror in &self.mirrors {
            let which = match mirror.exclude_idempotent {
                true => " of what changes something",
                false => "",
            };
            let (share, cluster) = (mirror.percentage, &mirror.cluster);
            write!(f, "\n          copies {share}%{which} to {cluster}")?;
            if !mirror.exists {
                write!(f, ", and there is no such cluster")?;
            }
        }
        let (asked, answered) = (&self.request_mutation, &self.response_mutation);
        asked.iter().try_for_each(|it| it.tell(f, "the request"))?;
        answered.iter().try_for_each(|it| it.tell(f, "the answer"))
    }
}

impl fmt::Display for Limited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "limited by MetaRouter {}, ", self.limit)?;
        match self.condition {
            Some(number) => write!(f, "condition {number}")?,
            None => write!(f, "default bucket")?,
        }
        write!(
            f,
            ": {} per {}, {} at once",
            self.tokens_per_fill, self.fill_interval, self.max_tokens
        )
    }
}

impl fmt::Display for GloballyLimited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            limit,
            cluster,
            domain,
            timeout,
            ..
        } = self;
        if !self.missing.is_empty() {
            let missing = self.missing.join(", ");
            return write!(
                f,
                "not limited globally by MetaRouter {limit}: it has no {missing}"
            );
        }
        let entries = self.descriptor.iter();
        let entries: Vec<_> = entries
            .map(|it| format!("{}={}", it.key, it.value))
            .collect();
        let entries = entries.join(", ");
        write!(f, "limited globally by MetaRouter {limit}: {cluster}")?;
        if !self.exists {
            write!(f, " (there is no such cluster)")?;
        }
        let otherwise = match self.deny_on_fail {
            true => "it is refused",
            false => "it goes on",
        };
        write!(
            f,
            " is asked about {entries} in {domain}; without a verdict in {timeout} {otherwise}"
        )
    }
}

impl Mutated {
    fn tell(&self, f: &mut fmt::Formatter<'_>, what: &str) -> fmt::Result {
        let key = &self.key;
        f.write_str("\n          ")?;
        match &self.value {
            None => write!(f, "removes `{key}` from {what}"),
            Some(_) if self.skipped => {
                write!(
                    f,
                    "leaves `{key}` of {what} as it is: the value for it is empty"
                )
            }
            Some(value) => write!(f, "sets `{key}` of {what} to `{value}`"),
        }
    }
}

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
        let (Some(balance), Some(locality)) = (&self.load_balancer, &self.locality) else {
            return write!(f, "\n          requests fail: there is no such cluster");
        };
        write!(f, "\n          {balance}, {locality}")?;
        if let Some(tls) = &self.tls {
            write!(f, "\n          {tls}")?;
        }
        if let Some(warmup) = &self.warmup {
            write!(f, "\n          a new endpoint warms up: {warmup}")?;
        }
        self.limits
            .iter()
            .try_for_each(|it| write!(f, "\n          {it}"))?;
        if let Some(check) = &self.health_check {
            write!(f, "\n          endpoints are checked {check}")?;
        }
        if self.tiers.is_empty() {
            return write!(f, "\n          requests fail: there is no endpoint");
        }
        if let Some(key) = &self.key {
            match &key.endpoint {
                Some(endpoint) => write!(f, "\n          the key is at {endpoint}")?,
                None => write!(f, "\n          the key is nowhere: requests fail")?,
            }
            write!(f, " (hash {:#018x})", key.hash)?;
        }
        if let Some(why) = self.unhashed {
            write!(f, "\n          {why}")?;
        }
        for tier in &self.tiers {
            write!(f, "\n          tier {}: {}%", tier.priority, tier.share)?;
            write!(f, "{}", tier.health)?;
            if tier.share > 0 && tier.health.healthy == 0 && !tier.health.panic {
                write!(f, ": requests fail")?;
            }
            tier.endpoints.iter().try_for_each(|e| write!(f, "\n{e}"))?;
        }
        if !self.left_out.is_empty() {
            write!(
                f,
                "\n          left out, since `distribute` has no share for it:"
            )?;
        }
        self.left_out.iter().try_for_each(|e| write!(f, "\n{e}"))
    }
}

/// Only where there is something to calculate.
impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.healthy == self.total {
            return Ok(());
        }
        let (healthy, total, capacity) = (self.healthy, self.total, self.capacity);
        write!(
            f,
            ", {healthy} of {total} healthy, who could take {capacity}% "
        )?;
        write!(f, "(140 × {healthy} / {total}, at most 100)")?;
        match self.panic {
            true => write!(f, "; too few in all, so that all of them are used"),
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
