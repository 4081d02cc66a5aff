//! A request through the real binary, over the manifests of this directory.

use std::{
    env, fs,
    io::{self, BufRead, BufReader},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};

#[allow(dead_code)]
#[path = "../../examples/client.rs"]
mod client;
#[allow(dead_code)]
#[path = "../../examples/server.rs"]
mod server;

/// The running proxy. It and its manifests go with the test.
struct Proxy {
    process: Child,
    manifests: PathBuf,
    address: SocketAddr,
}

impl Proxy {
    /// Runs it before the server at `port`, on a port of the system's choice.
    fn before(port: u16) -> io::Result<Self> {
        let manifests = env::temp_dir().join(format!("myproto-{}", std::process::id()));
        fs::create_dir_all(&manifests)?;
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests");
        for (name, from, to) in [
            ("gateway.yaml", "number: 7070", "number: 0".to_owned()),
            ("service.yaml", ": 7071", format!(": {port}")),
            ("router.yaml", "", String::new()),
        ] {
            let text = fs::read_to_string(own.join(name))?;
            fs::write(manifests.join(name), text.replacen(from, &to, 1))?;
        }
        let mut process = Command::new(env!("CARGO_BIN_EXE_myproto-proxy"))
            .args(["run", "--log", "warn", "--admin", "127.0.0.1:0", "-f"])
            .arg(&manifests)
            .stdout(Stdio::piped())
            .spawn()?;
        let output = process.stdout.take().map(BufReader::new);
        let mut lines = output.ok_or(io::ErrorKind::NotFound)?.lines();
        let address = lines.find_map(|line| {
            let line = line.ok()?;
            line.strip_prefix("listening default/myproto/tcp-myproto ")?
                .parse()
                .ok()
        });
        Ok(Self {
            process,
            manifests,
            address: address.expect("the proxy says where it listens"),
        })
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.manifests);
    }
}

#[test]
fn a_request_reaches_the_server_and_its_answer_the_client() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let proxy = Proxy::before(listener.local_addr()?.port())?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || server::serve(stream, "one"));
        }
    });
    let answer = client::ask(TcpStream::connect(proxy.address)?, &["GET", "a"])?;
    assert_eq!(answer, "OK one does GET a");
    Ok(())
}
