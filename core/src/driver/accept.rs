//! Accepting connections, and handing each to the worker with the fewest.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use super::listeners::ListenerTable;
use super::socket::Listening;
use super::workers::Workers;
use crate::telemetry::Telemetry;

/// Between two attempts to accept where no file descriptor or memory is left.
const REACCEPT: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// What every listener needs.
#[derive(Clone)]
pub(crate) struct Acceptor {
    pub(crate) workers: Arc<Workers>,
    pub(crate) table: Arc<ListenerTable>,
    pub(crate) telemetry: Arc<Telemetry>,
}

/// Accepts for one listener until it is aborted.
pub(super) async fn serve(acceptor: Acceptor, name: Arc<str>, listening: Listening) {
    info!(listener = %name, address = %listening.bound(), "listener opened");
    // Scripts and tests wait for this line and read the system's choice of a port from it.
    // That nobody reads it is no reason to end.
    let _ = writeln!(io::stdout(), "listening {name} {}", listening.bound());
    accept_all(&acceptor, &name, &listening).await;
}

async fn accept_all(acceptor: &Acceptor, name: &Arc<str>, listening: &Listening) {
    let mut delay = REACCEPT.0;
    loop {
        match listening.accept().await {
            Ok((socket, peer)) => {
                delay = REACCEPT.0;
                acceptor.table.update(name, |status| status.accepted += 1);
                acceptor.workers.accept(name, socket, peer);
            }
            // The client gave up before it was accepted.
            Err(error) if is_of_the_connection(&error) => {}
            Err(error) => {
                // Out of file descriptors or memory: the connection stays in the backlog.
                acceptor.telemetry.process().accept_failed();
                warn!(listener = %name, %error, retry = ?delay, "cannot accept a connection");
                tokio::time::sleep(delay).await;
                delay = (delay * 2).min(REACCEPT.1);
            }
        }
    }
}

fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::NotConnected
    )
}
