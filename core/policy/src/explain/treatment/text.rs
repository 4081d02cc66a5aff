//! A treatment as text.

use std::fmt;

use super::{FaultShare, MirrorShare, Mutated, Treatment};

/// Each on a line of its own, after the route's.
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
            write!(f, ", less where the message says less")?;
        }
        self.fmt_repetitions(f)?;
        self.fmt_limits(f)?;
        self.faults.iter().try_for_each(|fault| fault.tell(f))?;
        self.mirrors.iter().try_for_each(|mirror| mirror.tell(f))?;
        let (asked, answered) = (&self.request_mutation, &self.response_mutation);
        asked.iter().try_for_each(|it| it.tell(f, "the request"))?;
        answered.iter().try_for_each(|it| it.tell(f, "the answer"))
    }
}

impl Treatment {
    fn fmt_repetitions(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(retries) = &self.retries {
            write!(f, "\n          tries {} times at most,", retries.attempts)?;
            write!(f, " after {}", retries.on.join(", "))?;
            if let Some(each) = &retries.per_try_timeout {
                write!(f, ", {each} each")?;
            }
            if retries.idempotent_only {
                let unless = "a request that may have been executed only where it is idempotent";
                write!(f, "\n          repeats {unless}")?;
            }
        }
        if let Some(hedge) = &self.hedge {
            let delay = &hedge.delay;
            write!(f, "\n          asks another endpoint, too, after {delay}")?;
            if hedge.idempotent_only {
                write!(f, ", for a request that is idempotent")?;
            }
        }
        let repeats = self.retries.is_some() || self.hedge.is_some();
        if let Some(worst) = self.worst_case.as_ref().filter(|_| repeats) {
            write!(f, "\n          at worst sent {} times, ", worst.attempts)?;
            match &worst.longest {
                Some(longest) => write!(f, "answered after {longest}")?,
                None => write!(f, "answered at any time")?,
            }
            write!(f, " ({})", worst.because)?;
        }
        Ok(())
    }

    fn fmt_limits(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
        if let Some(concurrency) = &self.adaptive_concurrency {
            write!(f, "\n          {concurrency}")?;
        }
        Ok(())
    }
}

impl FaultShare {
    fn tell(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n          {}% are", self.percentage)?;
        match (&self.delay, &self.error) {
            (Some(delay), Some(error)) => {
                write!(f, " answered with the error `{error}` after {delay}")
            }
            (None, Some(error)) => write!(f, " answered with the error `{error}`"),
            (delay, None) => write!(f, " delayed by {}", delay.as_deref().unwrap_or("0s")),
        }
    }
}

impl MirrorShare {
    fn tell(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let which = match self.exclude_idempotent {
            true => " of what changes something",
            false => "",
        };
        let (share, cluster) = (self.percentage, &self.cluster);
        write!(f, "\n          copies {share}%{which} to {cluster}")?;
        match self.exists {
            true => Ok(()),
            false => write!(f, ", and there is no such cluster"),
        }
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
