//! The thread that serves the pages over HTTP.

use std::convert::Infallible;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tracing::{debug, error, warn};

use super::Sources;
use super::page;

/// A client that has not sent a whole head by then is closed.
const HEAD: Duration = Duration::from_secs(10);
/// After a failure to accept.
const PAUSE: Duration = Duration::from_millis(100);

/// The admin pages cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve the admin pages on {address}: {reason}")]
pub struct StartError {
    address: SocketAddr,
    reason: io::Error,
}

/// The thread that serves the pages. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Admin {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    /// Where the pages are.
    #[cfg(test)]
    pub(crate) address: SocketAddr,
}

/// Opens the address, says so on standard output, and serves the pages.
///
/// # Errors
/// The address cannot be opened, or the thread not be made.
pub(crate) fn start(address: SocketAddr, sources: Sources) -> Result<Admin, StartError> {
    let failed = |reason| StartError { address, reason };
    let listener = TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    let (stop, stopped) = oneshot::channel();
    let thread = thread::Builder::new()
        .name("admin".into())
        .spawn(move || {
            if let Err(error) = serve(listener, sources, stopped) {
                error!(%error, "the admin pages are not served");
            }
        })
        .map_err(failed)?;
    // Scripts and tests read the address from here. That nobody reads it is no reason to end.
    let _ = writeln!(io::stdout(), "admin {bound}");
    Ok(Admin {
        stop: Some(stop),
        thread: Some(thread),
        #[cfg(test)]
        address: bound,
    })
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.stop.take();
        if self
            .thread
            .take()
            .is_some_and(|thread| thread.join().is_err())
        {
            error!("the admin thread panicked");
        }
    }
}

fn serve(
    listener: TcpListener,
    sources: Sources,
    mut stopped: oneshot::Receiver<()>,
) -> io::Result<()> {
    let runtime = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()?;
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = &mut stopped => return Ok(()),
            };
            match accepted {
                Ok((stream, _)) => {
                    tokio::spawn(connection(stream, sources.clone()));
                }
                Err(error) => {
                    warn!(%error, "cannot accept an admin connection");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    })
}

async fn connection(stream: tokio::net::TcpStream, sources: Sources) {
    let pages = service_fn(|request| {
        let sources = &sources;
        async move { Ok::<_, Infallible>(page::answer(request, sources).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), pages)
        .await;
    if let Err(error) = served {
        debug!(%error, "an admin connection ended early");
    }
}
