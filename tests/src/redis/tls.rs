//! A real redis-server that is reached by TLS.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::Server;
use super::server::free_port;
use crate::certificates::Pair;

/// Its plaintext port, with which tests ask it, is never told to a proxy.
pub struct Encrypted {
    server: Server,
    address: SocketAddr,
    directory: TempDir,
}

impl Encrypted {
    /// With this certificate; where there are `clients`, they have to show one of that authority.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(pair: &Pair, clients: Option<&str>) -> Self {
        let directory = TempDir::with_prefix("meltemi-tls-").expect("a temporary directory");
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            fs::write(&path, text).expect("a temporary directory can be written");
            path.display().to_string()
        };
        let certificate = file("server.crt", &pair.certificate);
        let key = file("server.key", &pair.key);
        let authority = file("clients.crt", clients.unwrap_or(&pair.certificate));
        let asks = if clients.is_some() { "yes" } else { "no" };
        let port = free_port();
        let server = Server::start(&[
            "--tls-port",
            &port.to_string(),
            "--tls-cert-file",
            &certificate,
            "--tls-key-file",
            &key,
            "--tls-ca-cert-file",
            &authority,
            "--tls-auth-clients",
            asks,
        ]);
        Self {
            server,
            address: (Ipv4Addr::LOCALHOST, port).into(),
            directory,
        }
    }

    /// Where it speaks TLS.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The server, in plaintext.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// From now on clients have to show a certificate of these authorities.
    ///
    /// # Panics
    /// When it refuses them.
    pub fn trust(&self, authorities: &str) {
        let path = self.path("clients.crt");
        fs::write(&path, authorities).expect("a temporary directory can be written");
        self.reload("tls-ca-cert-file", &path);
    }

    /// From now on it shows this certificate.
    ///
    /// # Panics
    /// When it refuses it.
    pub fn show(&self, pair: &Pair) {
        let (certificate, key) = (self.path("server.crt"), self.path("server.key"));
        fs::write(&certificate, &pair.certificate).expect("a temporary directory can be written");
        fs::write(&key, &pair.key).expect("a temporary directory can be written");
        let (certificate, key) = (certificate.display(), key.display());
        let words = format!("CONFIG SET tls-cert-file {certificate} tls-key-file {key}");
        assert_eq!(self.server.connect().call(&words), "+OK");
    }

    fn reload(&self, setting: &str, path: &Path) {
        let words = format!("CONFIG SET {setting} {}", path.display());
        assert_eq!(self.server.connect().call(&words), "+OK");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The connections that were made by TLS, by the server's own numbers.
    #[must_use]
    pub fn connections(&self) -> Vec<String> {
        let list = self.server.connect().call("CLIENT LIST");
        let laddr = format!("laddr={}", self.address);
        let encrypted = list.lines().filter(|line| line.contains(&laddr));
        let ids = encrypted.filter_map(|line| line.split(' ').find(|part| part.starts_with("id=")));
        ids.map(str::to_owned).collect()
    }
}
