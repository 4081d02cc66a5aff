//! What a pod asks of its kubelet, as far as ours have it: anything else is refused, never passed over.

use std::time::Duration;

use serde_json::Value;

#[derive(Debug)]
pub(super) struct Asked {
    pub(super) ready: Option<Check>,
    pub(super) alive: Option<Check>,
    /// How long `preStop` sleeps.
    pub(super) pre_stop: Duration,
    pub(super) restart: Restart,
}

/// A probe.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) port: u16,
    /// Of HTTP; none: that somebody listens is enough.
    pub(super) path: Option<String>,
    pub(super) period: Duration,
    pub(super) timeout: Duration,
    /// So many in a row say no.
    pub(super) failures: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Restart {
    Always,
    OnFailure,
    Never,
}

impl Asked {
    /// # Errors
    /// A sentence about what is not known here.
    pub(super) fn of(pod: &Value) -> Result<Self, String> {
        let spec = &pod["spec"];
        let one = match spec["containers"].as_array().map(Vec::as_slice) {
            Some([one]) if spec["initContainers"].is_null() => one,
            _ => return Err("it has more than one container".to_owned()),
        };
        if !one["startupProbe"].is_null() || !one["lifecycle"]["postStart"].is_null() {
            return Err("it has a startupProbe or postStart".to_owned());
        }
        Ok(Self {
            ready: Check::of(one, "readinessProbe")?,
            alive: Check::of(one, "livenessProbe")?,
            pre_stop: pre_stop(&one["lifecycle"]["preStop"])?,
            restart: match spec["restartPolicy"].as_str() {
                Some("Never") => Restart::Never,
                Some("OnFailure") => Restart::OnFailure,
                _ => Restart::Always,
            },
        })
    }
}

impl Check {
    fn of(container: &Value, name: &str) -> Result<Option<Self>, String> {
        let probe = &container[name];
        if probe.is_null() {
            return Ok(None);
        }
        let (http, tcp) = (&probe["httpGet"], &probe["tcpSocket"]);
        let of_http = port(container, &http["port"]);
        let Some(port) = of_http.or_else(|| port(container, &tcp["port"])) else {
            return Err(format!(
                "its {name} is not of HTTP or TCP, or of an unknown port"
            ));
        };
        let number = |field: &str, unless: u64| probe[field].as_u64().unwrap_or(unless);
        Ok(Some(Self {
            port,
            path: http["path"].as_str().map(str::to_owned),
            period: Duration::from_secs(number("periodSeconds", 10)),
            timeout: Duration::from_secs(number("timeoutSeconds", 1)),
            failures: number("failureThreshold", 3).try_into().unwrap_or(u32::MAX),
        }))
    }
}

/// By its number, or the name that the container has for it.
fn port(container: &Value, port: &Value) -> Option<u16> {
    let number = match port.as_u64() {
        Some(number) => number,
        None => {
            let mut ports = container["ports"].as_array()?.iter();
            ports.find(|it| it["name"] == *port)?["containerPort"].as_u64()?
        }
    };
    number.try_into().ok()
}

fn pre_stop(hook: &Value) -> Result<Duration, String> {
    match hook["sleep"]["seconds"].as_u64() {
        Some(seconds) => Ok(Duration::from_secs(seconds)),
        None if hook.is_null() => Ok(Duration::ZERO),
        None => Err("its preStop is no sleep".to_owned()),
    }
}
