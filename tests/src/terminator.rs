//! Ends TLS before a server that has none: Python's `ssl`, which is OpenSSL.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use tempfile::TempDir;

use crate::certificates::Pair;
use crate::process::Process;

/// A running terminator; killed when dropped.
pub struct Terminator {
    process: Process,
    address: SocketAddr,
    _directory: TempDir,
}

const PROGRAM: &str = "
import asyncio, ssl, sys
target, cert, key, version = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(cert, key)
context.minimum_version = context.maximum_version = ssl.TLSVersion[version]

async def copy(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except (OSError, ssl.SSLError):
        pass
    writer.close()

async def serve(reader, writer):
    session = writer.get_extra_info('ssl_object')
    print('session', session.version(), 'resumed' if session.session_reused else 'new', flush=True)
    to, fro = await asyncio.open_connection('127.0.0.1', target)
    await asyncio.gather(copy(reader, fro), copy(to, writer))

async def main():
    server = await asyncio.start_server(serve, '127.0.0.1', 0, ssl=context)
    print('port', server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
";

impl Terminator {
    /// Before a server on this port of loopback; `version` is such as `TLSv1_3`. None where there is no
    /// Python.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(port: u16, pair: &Pair, version: &str) -> Option<Self> {
        let python = Command::new("python3").arg("--version").output();
        if !python.is_ok_and(|output| output.status.success()) {
            eprintln!("skipped: there is no python3");
            return None;
        }
        let directory = TempDir::with_prefix("meltemi-tls-").expect("a temporary directory");
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            fs::write(&path, text).expect("a temporary directory can be written");
            path
        };
        let mut command = Command::new("python3");
        command
            .args(["-c", PROGRAM, &port.to_string()])
            .arg(file("server.crt", &pair.certificate))
            .arg(file("server.key", &pair.key))
            .arg(version);
        let process = Process::spawn("python3", &mut command);
        let (port, _) = process.line(0, "its port", |line| {
            line.strip_prefix("port ")?.parse::<u16>().ok()
        });
        Some(Self {
            process,
            address: (Ipv4Addr::LOCALHOST, port).into(),
            _directory: directory,
        })
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Of each connection its version of TLS, and whether it is `new` or `resumed`.
    #[must_use]
    pub fn sessions(&self) -> Vec<String> {
        let lines = self.process.lines().into_iter();
        let sessions = lines.filter_map(|line| line.strip_prefix("session ").map(str::to_owned));
        sessions.collect()
    }
}
