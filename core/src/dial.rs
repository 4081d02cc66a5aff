//! Connections that the proxy makes for itself, off the workers: to check endpoints, to ask rate limit
//! services.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use crate::config::{Address, Dialled};
use crate::tls::Tls;

/// A connection, whatever it is made of.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Socket for T {}

/// Connects as requests do: where the cluster has TLS, never without. `protocols` are those that are
/// offered by ALPN.
pub(crate) async fn dial(
    address: &Address,
    tls: Option<&Tls>,
    protocols: &[&[u8]],
) -> io::Result<Box<dyn Socket>> {
    match address.dialled() {
        Dialled::Tcp(address) => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            over(stream, (tls, Some(address.ip())), protocols).await
        }
        Dialled::Unix(path) => over(UnixStream::connect(path).await?, (tls, None), protocols).await,
    }
}

async fn over(
    stream: impl Socket + 'static,
    (tls, endpoint): (Option<&Tls>, Option<IpAddr>),
    protocols: &[&[u8]],
) -> io::Result<Box<dyn Socket>> {
    let Some(tls) = tls else {
        return Ok(Box::new(stream));
    };
    let (mut config, name) = tls.client(endpoint).map_err(io::Error::other)?;
    if !protocols.is_empty() {
        let protocols = protocols.iter().map(|protocol| protocol.to_vec());
        Arc::make_mut(&mut config).alpn_protocols = protocols.collect();
    }
    let stream = TlsConnector::from(config).connect(name, stream).await?;
    Ok(Box::new(stream))
}
