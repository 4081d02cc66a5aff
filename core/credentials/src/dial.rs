//! Control planes that are dialled: with TLS, by authorities in a file that somebody else replaces.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use meltemi_tls::{PeerName, ServerCheck, Trust};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A control plane that vanished without a word is noticed after these two together.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a control plane cannot be dialled.
#[derive(Debug, thiserror::Error)]
pub enum Undiallable {
    #[error(transparent)]
    Uri(#[from] tonic::transport::Error),
    #[error("the host is neither a DNS name nor an IP address")]
    Host,
    /// Nothing of a token is in it.
    #[error("{0}")]
    Credentials(String),
}

/// How any control plane is dialled.
///
/// # Errors
/// It is no URI.
pub fn endpoint(uri: String) -> Result<Endpoint, tonic::transport::Error> {
    Ok(Endpoint::from_shared(uri)?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .tcp_nodelay(true))
}

/// One at `HOST:PORT`, with TLS: whoever answers has to have a certificate for `name`, or for HOST, of one of the authorities
/// that the file holds in PEM as it connects. It connects when it is first used and again when it has to.
///
/// # Errors
/// It cannot be part of a URI, no certificate can be for HOST, or the authorities cannot be read now.
pub fn encrypted(
    authority: &str,
    authorities: PathBuf,
    name: Option<PeerName>,
) -> Result<Channel, Undiallable> {
    let uri = format!("https://{authority}");
    let parsed: Uri = uri.parse().map_err(|_| Undiallable::Host)?;
    let dialled = Encrypted::new(&parsed, authorities, name).ok_or(Undiallable::Host)?;
    let unusable = |error: io::Error| Undiallable::Credentials(error.to_string());
    dialled.settings.now().map_err(unusable)?;
    let connector = service_fn(move |_| {
        let dialled = dialled.clone();
        async move { dialled.connect().await.map(TokioIo::new) }
    });
    Ok(endpoint(uri)?.connect_with_connector_lazy(connector))
}

#[derive(Clone)]
struct Encrypted {
    address: (String, u16),
    name: ServerName<'static>,
    settings: Arc<Settings>,
}

impl Encrypted {
    /// None where the URI has no host that a certificate can be for, or no port.
    fn new(uri: &Uri, authorities: PathBuf, name: Option<PeerName>) -> Option<Self> {
        let host = uri.host()?.trim_start_matches('[').trim_end_matches(']');
        let settings = Settings {
            name: name.or_else(|| host.parse().ok())?,
            authorities,
            made: Mutex::default(),
        };
        Some(Self {
            address: (host.to_owned(), uri.port_u16()?),
            name: ServerName::try_from(host.to_owned()).ok()?,
            settings: Arc::new(settings),
        })
    }

    async fn connect(&self) -> io::Result<TlsStream<TcpStream>> {
        let config = self.settings.now()?;
        let (host, port) = &self.address;
        let connected = async {
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            stream.set_nodelay(true)?;
            let connected = TlsConnector::from(config).connect(self.name.clone(), stream);
            connected.await.map_err(worded)
        };
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, connected).await;
        connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// With what was wrong in a handshake told for people.
fn worded(error: io::Error) -> io::Error {
    let reason = error.get_ref().and_then(|reason| reason.downcast_ref());
    match reason {
        Some(reason) => io::Error::other(meltemi_tls::words(reason)),
        None => error,
    }
}

/// What connections begin with.
struct Settings {
    name: PeerName,
    authorities: PathBuf,
    /// With the text that it was made of: as long as that is the same, sessions are resumed.
    made: Mutex<Option<(Vec<u8>, Arc<ClientConfig>)>>,
}

impl Settings {
    /// By the authorities of now.
    fn now(&self) -> io::Result<Arc<ClientConfig>> {
        let text = fs::read(&self.authorities).map_err(|error| self.unusable(&error))?;
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, config)) = &*made
            && *of == text
        {
            return Ok(Arc::clone(config));
        }
        let trust = Trust::from_pem(&text, None).map_err(|error| self.unusable(&error))?;
        let check = ServerCheck::Named(trust, vec![self.name.clone()]);
        let mut config = meltemi_tls::client(None, check).map_err(io::Error::other)?;
        Arc::make_mut(&mut config).alpn_protocols = vec![b"h2".to_vec()];
        *made = Some((text, Arc::clone(&config)));
        Ok(config)
    }

    fn unusable(&self, error: &dyn std::error::Error) -> io::Error {
        let path = Path::display(&self.authorities);
        io::Error::other(format!("{path}: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_what_a_certificate_can_be_for() {
        let of = |uri: &str| Encrypted::new(&uri.parse().unwrap(), PathBuf::new(), None);
        for (uri, host) in [
            ("https://xds.meltemi:15010", "xds.meltemi"),
            ("https://127.0.0.1:15010", "127.0.0.1"),
            ("https://[::1]:15010", "::1"),
        ] {
            let dialled = of(uri).unwrap();
            assert_eq!(dialled.address, (host.to_owned(), 15010));
            assert_eq!(dialled.name.to_str(), host);
        }
        for uri in ["https://a_b!:1", "https://xds"] {
            assert!(of(uri).is_none(), "{uri}");
        }
    }
}
