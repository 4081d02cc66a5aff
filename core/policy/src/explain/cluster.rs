//! How a cluster's endpoints are dialled, repeated to and left out, in words.

use std::fmt;
use std::time::Duration;

use super::seconds;
use crate::limits::DEFAULT_CONNECT_TIMEOUT;

/// How connections are made and kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connections {
    pub connect_timeout: Duration,
    /// Without requests for so long it is closed; none: as by default.
    pub idle_timeout: Option<Duration>,
    /// None: it is not probed.
    pub keepalive: Option<Keepalive>,
}

/// TCP's own probes; what is not given is the system's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Unanswered probes after which a connection is dead.
    pub probes: Option<u32>,
    /// Idle for so long, it is probed.
    pub time: Option<Duration>,
    /// Between two probes.
    pub interval: Option<Duration>,
}

impl Connections {
    /// What is not as by default; none where all is.
    #[must_use]
    pub fn described(&self) -> Option<String> {
        let timeout = Some(self.connect_timeout).filter(|it| *it != DEFAULT_CONNECT_TIMEOUT);
        let parts = [
            timeout.map(|it| format!("made in {} or not at all", seconds(it))),
            self.idle_timeout
                .map(|it| format!("closed when idle for {}", seconds(it))),
            self.keepalive.map(|it| it.to_string()),
        ];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

impl fmt::Display for Keepalive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "probed")?;
        if let Some(time) = self.time {
            write!(f, " when idle for {}", seconds(time))?;
        }
        if let Some(interval) = self.interval {
            write!(f, " every {}", seconds(interval))?;
        }
        match self.probes {
            Some(probes) => write!(f, " and dead after {probes} probes"),
            None => Ok(()),
        }
    }
}

/// How many requests may be repetitions at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// Of those in flight.
    pub percent: f64,
    /// So many always may.
    pub min_concurrency: u32,
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            percent,
            min_concurrency,
        } = self;
        write!(
            f,
            "{percent}% of the requests under way may be repetitions, and {min_concurrency} always may"
        )
    }
}

/// What connections are encrypted and verified by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encryption<'a> {
    /// Where the certificate that is shown to servers comes from; none: they are shown none.
    pub identity: Option<&'a str>,
    /// None: the server is told no name.
    pub sni: Option<&'a str>,
    /// Of which a server's certificate must have one; none: it may be for anybody.
    pub names: Vec<String>,
    /// Where those come from who vouch for servers; none: whoever answers is believed.
    pub trust: Option<&'a str>,
}

impl fmt::Display for Encryption<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = match self.identity {
            Some(_) => "MUTUAL",
            None => "SIMPLE",
        };
        write!(f, "TLS {mode}")?;
        if let Some(sni) = self.sni {
            write!(f, " to {sni}")?;
        }
        if let Some(identity) = self.identity {
            write!(f, ", shows {identity}")?;
        }
        let Some(trust) = self.trust else {
            return write!(f, ": whoever answers is believed");
        };
        let names = match self.names.as_slice() {
            [] => "anybody".to_owned(),
            names => names.join(" or "),
        };
        write!(
            f,
            ": the certificate is for {names}, by an authority of {trust}"
        )
    }
}

/// Which failures eject an endpoint, and for how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outliers {
    /// Failures of any kind in a row; with `split` only what an endpoint answers. 0: they never eject.
    pub consecutive: u32,
    /// Timeouts, refused and lost connections in a row; 0: they never eject.
    pub gateway: u32,
    /// Those have a row of their own, and so many of it eject.
    pub split: bool,
    pub local: u32,
    /// Whether errors of the application count.
    pub application_errors: bool,
    pub interval: Duration,
    pub base: Duration,
    pub longest: Duration,
    /// An ejection lasts up to so much longer, at random.
    pub jitter: Duration,
    pub max_percent: u32,
    /// One may be ejected whatever the percentage.
    pub always_one: bool,
    /// In thousandths of a standard deviation below the mean; none: rates are not compared.
    pub success_rate: Option<u32>,
    pub failure_percentage: Option<FailedParts>,
}

/// Failures of so many percent in an interval eject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailedParts {
    pub threshold: u32,
    pub request_volume: u32,
}

impl Outliers {
    fn causes(&self) -> Vec<String> {
        let any = match (self.split, self.application_errors) {
            (false, false) => "failures",
            (false, true) => "failures or errors of the application",
            (true, false) => "errors of its own",
            (true, true) => "errors of its own or of the application",
        };
        let unreached = "timeouts, refused and lost connections";
        let row =
            |count: u32, what: &str| (count > 0).then(|| format!("after {count} {what} in a row"));
        let causes = [
            row(self.consecutive, any),
            row(self.gateway, unreached).filter(|_| !self.split),
            row(self.local, unreached).filter(|_| self.split),
            self.success_rate.map(|factor| {
                let factor = f64::from(factor) / 1000.0;
                format!("when it succeeds {factor} standard deviations less than the others")
            }),
            self.failure_percentage.map(|it| {
                let (threshold, volume) = (it.threshold, it.request_volume);
                format!("when {threshold}% of at least {volume} requests of an interval fail")
            }),
        ];
        causes.into_iter().flatten().collect()
    }
}

impl fmt::Display for Outliers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let causes = self.causes();
        if causes.is_empty() {
            return write!(f, "by nothing");
        }
        let (base, longest) = (seconds(self.base), seconds(self.longest));
        write!(
            f,
            "{}, for {base} and longer each time",
            causes.join(", or ")
        )?;
        write!(f, ", {longest} at most")?;
        if !self.jitter.is_zero() {
            write!(f, " and up to {} more", seconds(self.jitter))?;
        }
        write!(f, "; looked at every {}", seconds(self.interval))?;
        if self.max_percent >= 100 {
            return Ok(());
        }
        write!(f, "; at most {}% at a time", self.max_percent)?;
        match self.always_one {
            true => write!(f, ", but one always may be"),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn only_what_is_not_by_default_is_said_of_connections() {
        let plain = Connections {
            connect_timeout: secs(5),
            idle_timeout: None,
            keepalive: None,
        };
        assert_eq!(plain.described(), None);
        let keepalive = Keepalive {
            probes: Some(3),
            time: Some(secs(60)),
            interval: None,
        };
        let told = Connections {
            connect_timeout: secs(1),
            idle_timeout: Some(secs(600)),
            keepalive: Some(keepalive),
        };
        let expected = "made in 1s or not at all, closed when idle for 600s, probed when idle for 60s \
                        and dead after 3 probes";
        assert_eq!(told.described().as_deref(), Some(expected));
    }

    fn outliers() -> Outliers {
        Outliers {
            consecutive: 5,
            gateway: 0,
            split: false,
            local: 5,
            application_errors: false,
            interval: secs(10),
            base: secs(30),
            longest: secs(300),
            jitter: Duration::ZERO,
            max_percent: 10,
            always_one: true,
            success_rate: None,
            failure_percentage: None,
        }
    }

    #[test]
    fn causes_and_lengths_of_ejections_are_said() {
        let rest = ", for 30s and longer each time, 300s at most; looked at every 10s; at most 10% at \
                    a time, but one always may be";
        let plain = outliers();
        let gateway = Outliers {
            gateway: 2,
            ..plain
        };
        let split = Outliers {
            split: true,
            ..gateway
        };
        let rates = Outliers {
            consecutive: 0,
            success_rate: Some(1900),
            failure_percentage: Some(FailedParts {
                threshold: 85,
                request_volume: 50,
            }),
            ..plain
        };
        for (of, causes) in [
            (plain, "after 5 failures in a row"),
            (
                gateway,
                "after 5 failures in a row, or after 2 timeouts, refused and lost connections in a row",
            ),
            (
                split,
                "after 5 errors of its own in a row, or after 5 timeouts, refused and lost \
                 connections in a row",
            ),
            (
                rates,
                "when it succeeds 1.9 standard deviations less than the others, or when 85% of at \
                 least 50 requests of an interval fail",
            ),
        ] {
            assert_eq!(of.to_string(), format!("{causes}{rest}"));
        }
        let all = Outliers {
            max_percent: 100,
            ..plain
        };
        let lasts = "for 30s and longer each time, 300s at most; looked at every 10s";
        assert_eq!(
            all.to_string(),
            format!("after 5 failures in a row, {lasts}")
        );
        let nothing = Outliers {
            consecutive: 0,
            ..plain
        };
        assert_eq!(nothing.to_string(), "by nothing");
    }
}
