//! Whether the proxy is ready, or why not.

use super::Sources;
use crate::config::Listener;
use crate::driver::ListenerState;

/// Why the proxy is not ready; nothing if it is.
pub(super) fn reasons(sources: &Sources) -> Vec<String> {
    if sources.acceptor.telemetry.process().is_draining() {
        return vec!["draining".into()];
    }
    let snapshot = sources.snapshot();
    if snapshot.version.is_empty() {
        let names = sources.names.lock();
        let awaited: Vec<_> = names.awaited().collect();
        return vec![match awaited.as_slice() {
            [] => "no configuration yet".into(),
            awaited => format!("names are being resolved: {}", awaited.join(", ")),
        }];
    }
    let listeners = sources.acceptor.table.all();
    let reasons = snapshot.listeners.values().filter_map(|wanted| {
        let name = &wanted.name;
        match listeners.get(name) {
            Some(listener) if listener.bind == wanted.bind => match &listener.state {
                ListenerState::Open(_) => encryption(wanted),
                // Nobody can connect there, so that nobody misses it.
                ListenerState::Unsupported { .. } => None,
                ListenerState::Failed { reason, .. } => Some(reason.clone()),
            },
            _ => Some(format!("listener {name}: not opened yet")),
        }
    });
    reasons.collect()
}

/// Why no client can be let in.
fn encryption(listener: &Listener) -> Option<String> {
    let reason = listener.tls.as_ref()?.shown().err()?;
    let name = &listener.name;
    Some(format!("listener {name}: TLS is not available: {reason}"))
}
