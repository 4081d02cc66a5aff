//! The thread that serves the pages over HTTP.

use std::convert::Infallible;
use std::future::pending;
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

/// Opens the address, and that where only a part of the pages is, says so on standard output, and serves the pages.
///
/// # Errors
/// An address cannot be opened, or the thread not be made.
pub(crate) fn start(address: SocketAddr, sources: Sources) -> Result<Admin, StartError> {
    let failed = |reason| StartError { address, reason };
    let (listener, bound) = open(address)?;
    let status = sources.options.status.map(open).transpose()?;
    let bound_status = status.as_ref().map(|(_, bound)| *bound);
    let listeners = (listener, status.map(|(listener, _)| listener));
    let (stop, stopped) = oneshot::channel();
    let thread = thread::Builder::new()
        .name("admin".into())
        .spawn(move || {
            if let Err(error) = serve(listeners, &sources, stopped) {
                error!(%error, "the admin pages are not served");
            }
        })
        .map_err(failed)?;
    // Scripts and tests read the addresses from here. That nobody reads them is no reason to end.
    let _ = writeln!(io::stdout(), "admin {bound}");
    if let Some(bound) = bound_status {
        let _ = writeln!(io::stdout(), "status {bound}");
    }
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

fn open(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let open = || {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let bound = listener.local_addr()?;
        Ok((listener, bound))
    };
    open().map_err(|reason| StartError { address, reason })
}

fn serve(
    (pages, status): (TcpListener, Option<TcpListener>),
    sources: &Sources,
    stopped: oneshot::Receiver<()>,
) -> io::Result<()> {
    let runtime = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()?;
    runtime.block_on(async move {
        let pages = accept(
            tokio::net::TcpListener::from_std(pages)?,
            sources,
            Part::All,
        );
        let status = status.map(tokio::net::TcpListener::from_std).transpose()?;
        let status = async {
            match status {
                Some(listener) => accept(listener, sources, Part::Status).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = pages => {}
            () = status => {}
            _ = stopped => {}
        }
        Ok(())
    })
}

/// Which of the pages are behind an address.
#[derive(Clone, Copy)]
enum Part {
    All,
    Status,
}

async fn accept(listener: tokio::net::TcpListener, sources: &Sources, part: Part) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(connection(stream, sources.clone(), part));
            }
            Err(error) => {
                warn!(%error, "cannot accept an admin connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn connection(stream: tokio::net::TcpStream, sources: Sources, part: Part) {
    let pages = service_fn(|request| {
        let sources = &sources;
        async move {
            Ok::<_, Infallible>(match part {
                Part::All => page::answer(request, sources).await,
                Part::Status => page::status(request, sources).await,
            })
        }
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
