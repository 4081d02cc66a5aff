//! What every contender calls.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process::{Process, START, free_address, own_command};
use crate::wire::{KEYS_OF_A_CLIENT, Protocol, append_set};

/// One upstream process.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
}

/// Which program stands upstream.
#[derive(Clone, Debug)]
pub(crate) enum Program {
    /// This program's own responder, which costs next to nothing.
    Echo(Protocol),
    /// A real redis-server, holding the keys of so many clients.
    RedisServer { program: PathBuf, clients: u32 },
}

impl Upstream {
    /// Starts upstream `number`; its log goes to `dir`.
    pub(crate) fn start(program: &Program, number: usize, dir: &std::path::Path) -> Result<Self> {
        let name = format!("upstream-{number}");
        match program {
            Program::Echo(protocol) => {
                let mut command = own_command()?;
                command.args(["echo", "--protocol", protocol.name()]);
                let process = Process::start(&name, &command, dir)?;
                let address = process.expect_line("listening ")?.parse()?;
                Ok(Self { process, address })
            }
            Program::RedisServer { program, clients } => {
                let address = free_address()?;
                let mut command = Command::new(program);
                command.args(["--port", &address.port().to_string()]);
                command.args(["--bind", "127.0.0.1", "--save", "", "--maxclients", "15000"]);
                let mut process = Process::start(&name, &command, dir)?;
                fill(&mut process, address, *clients)
                    .with_context(|| format!("fill {}", program.display()))?;
                Ok(Self { process, address })
            }
        }
    }
}

/// Sets every key that this benchmark reads: all that `clients` use in turn, and the first of each
/// idle connection, of which there may be 10,000.
fn fill(process: &mut Process, address: SocketAddr, clients: u32) -> Result<()> {
    let deadline = Instant::now() + START;
    let mut stream = loop {
        match TcpStream::connect(address) {
            Ok(stream) => break stream,
            Err(error) if Instant::now() > deadline || !process.is_running() => {
                bail!("it does not listen: {error}{}", process.log_tail());
            }
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    stream.set_read_timeout(Some(START))?;
    let mut request = Vec::new();
    for client in 0..clients.max(IDLE_CLIENTS) {
        let keys = if client < clients {
            KEYS_OF_A_CLIENT
        } else {
            1
        };
        request.clear();
        for id in 0..keys {
            append_set(&mut request, client, id);
        }
        stream.write_all(&request)?;
        let mut answer = vec![0; b"+OK\r\n".len() * keys as usize];
        stream.read_exact(&mut answer)?;
        if answer.chunks(5).any(|one| one != b"+OK\r\n") {
            bail!("it answers SET with {}", answer.escape_ascii());
        }
    }
    Ok(())
}

/// The most idle connections whose keys exist.
pub(crate) const IDLE_CLIENTS: u32 = 20_000;
