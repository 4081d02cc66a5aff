//! Speaks TLS for clients that do not: Python's `ssl`, which is OpenSSL.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use tempfile::TempDir;

use crate::certificates::Pair;
use crate::process::Process;

/// A running initiator; killed when dropped.
pub struct Initiator {
    process: Process,
    address: SocketAddr,
    _directory: TempDir,
}

const PROGRAM: &str = "
import asyncio, ssl, sys
target, name, ca, version, *own = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
if own:
    context.load_cert_chain(*own)
context.minimum_version = context.maximum_version = ssl.TLSVersion[version]

async def copy(reader, writer, what):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except (OSError, ssl.SSLError) as error:
        print(what, error, flush=True)
    writer.close()

async def serve(reader, writer):
    try:
        fro, to = await asyncio.open_connection(
            '127.0.0.1', int(target), ssl=context, server_hostname=name)
    except (OSError, ssl.SSLError) as error:
        print('refused', error, flush=True)
        return writer.close()
    session = to.get_extra_info('ssl_object')
    subject = session.getpeercert()['subject'][0][0][1]
    print('session', session.version(), subject, flush=True)
    await asyncio.gather(copy(reader, to, 'refused'), copy(fro, writer, 'refused'))

async def main():
    server = await asyncio.start_server(serve, '127.0.0.1', 0)
    print('port', server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
";

impl Initiator {
    /// Towards a server that is believed to be `name` by this authority; `own` is shown. `version` is
    /// such as `TLSv1_3`. None where there is no Python.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(
        server: SocketAddr,
        (name, authority): (&str, &str),
        own: Option<&Pair>,
        version: &str,
    ) -> Option<Self> {
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
            .args(["-c", PROGRAM, &server.port().to_string(), name])
            .arg(file("ca.crt", authority))
            .arg(version);
        if let Some(own) = own {
            command
                .arg(file("own.crt", &own.certificate))
                .arg(file("own.key", &own.key));
        }
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

    /// Where clients connect to it.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Of each connection the version of TLS and the subject of the server.
    #[must_use]
    pub fn sessions(&self) -> Vec<String> {
        self.lines("session ")
    }

    /// Why connections did not come to be, or broke.
    #[must_use]
    pub fn refusals(&self) -> Vec<String> {
        self.lines("refused ")
    }

    fn lines(&self, kind: &str) -> Vec<String> {
        let lines = self.process.lines().into_iter();
        let lines = lines.filter_map(|line| line.strip_prefix(kind).map(str::to_owned));
        lines.collect()
    }
}
