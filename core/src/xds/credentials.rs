//! Whom we believe to be the control plane, and what we show to it. Both are files that somebody else replaces.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use meltemi_tls::{PeerName, ServerCheck, Trust};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Uri;

use super::channel::CONNECT_TIMEOUT;

/// The files that a connection with TLS is made of.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// In PEM: those who may vouch for the control plane.
    pub authorities: PathBuf,
    pub token: Option<Token>,
}

/// A file with a bearer token in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token(PathBuf);

/// No token is larger: metadata of a request is not.
const LARGEST_TOKEN: usize = 12 << 10;

impl Token {
    #[must_use]
    pub fn in_file(path: PathBuf) -> Self {
        Self(path)
    }

    /// What it is now. Errors never hold any of it.
    pub(super) fn bearer(&self) -> Result<MetadataValue<Ascii>, String> {
        let path = self.0.display();
        let text = fs::read_to_string(&self.0)
            .map_err(|error| format!("cannot read the token of {path}: {error}"))?;
        let token = text.trim();
        if token.is_empty() || token.len() > LARGEST_TOKEN {
            let size = token.len();
            return Err(format!("{path} holds no token: it is of {size} bytes"));
        }
        let bearer = format!("Bearer {token}").parse();
        let mut bearer: MetadataValue<Ascii> =
            bearer.map_err(|_| format!("{path} holds no token: it has more than one line"))?;
        bearer.set_sensitive(true);
        Ok(bearer)
    }
}

/// A control plane that is dialled with TLS.
#[derive(Clone)]
pub(super) struct Encrypted {
    address: (String, u16),
    name: ServerName<'static>,
    settings: Arc<Settings>,
}

impl Encrypted {
    /// None where the URI has no host that a certificate can be for, or no port.
    pub(super) fn new(uri: &Uri, authorities: PathBuf) -> Option<Self> {
        let host = uri.host()?.trim_start_matches('[').trim_end_matches(']');
        let settings = Settings {
            name: host.parse().ok()?,
            authorities,
            made: Mutex::default(),
        };
        Some(Self {
            address: (host.to_owned(), uri.port_u16()?),
            name: ServerName::try_from(host.to_owned()).ok()?,
            settings: Arc::new(settings),
        })
    }

    /// Whether a connection could begin now.
    pub(super) fn check(&self) -> io::Result<()> {
        self.settings.now().map(drop)
    }

    pub(super) async fn connect(&self) -> io::Result<TlsStream<TcpStream>> {
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
    fn a_token_is_read_each_time() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let token = Token::in_file(file.path().to_owned());
        let rows = [
            ("one\n", Ok("Bearer one")),
            ("two", Ok("Bearer two")),
            ("", Err("of 0 bytes")),
            ("secret\nand more", Err("more than one line")),
            (&"x".repeat(LARGEST_TOKEN + 1), Err("of 12289 bytes")),
        ];
        for (text, expected) in rows {
            fs::write(file.path(), text).unwrap();
            match (token.bearer(), expected) {
                (Ok(bearer), Ok(expected)) => {
                    assert_eq!(bearer.to_str().unwrap(), expected);
                    assert!(bearer.is_sensitive());
                }
                (Err(reason), Err(expected)) => {
                    assert!(reason.contains(expected), "{reason}");
                    assert!(!reason.contains("secret"), "{reason}");
                }
                (found, expected) => panic!("{found:?} is not {expected:?}"),
            }
        }
        drop(file);
        assert!(token.bearer().unwrap_err().contains("cannot read"));
    }

    #[test]
    fn a_host_is_what_a_certificate_can_be_for() {
        let of = |uri: &str| Encrypted::new(&uri.parse().unwrap(), PathBuf::new());
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
