//! Ways to reach the control plane: over the network, or in the same process.

use std::io;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tonic::transport::{Channel, Endpoint, Error};
use tower::service_fn;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A control plane that vanished without a word is noticed after these two together.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Buffered in each direction of an in-memory connection.
const PIPE: usize = 64 << 10;

/// The control plane's end of each in-memory connection, in the order in which they were dialled.
pub type Dialled = mpsc::Receiver<DuplexStream>;

/// A channel to `http://HOST:PORT`, which connects when it is first used and again when it has to.
///
/// # Errors
///
/// `address` is not a URI.
pub fn connect(address: String) -> Result<Channel, Error> {
    Ok(Endpoint::from_shared(address)?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .tcp_nodelay(true)
        .connect_lazy())
}

/// A channel to a control plane in this process, which is to serve what the other value yields.
pub fn in_memory() -> (Channel, Dialled) {
    let (dial, dialled) = mpsc::channel(1);
    let connector = service_fn(move |_| {
        let dial = dial.clone();
        async move {
            let (ours, theirs) = tokio::io::duplex(PIPE);
            let sent = dial.send(theirs).await;
            sent.map_err(|_| io::Error::from(io::ErrorKind::ConnectionRefused))?;
            Ok::<_, io::Error>(TokioIo::new(ours))
        }
    });
    let channel = Endpoint::from_static("http://in-memory").connect_with_connector_lazy(connector);
    (channel, dialled)
}
