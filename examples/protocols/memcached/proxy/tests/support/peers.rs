//! Real memcached servers, and the proxy before them.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Whether `program` can be started. Where it cannot, a line says how it comes here, and the test
/// passes unless peers are required.
pub fn has(program: &str, arguments: &[&str]) -> bool {
    let started = Command::new(program)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let has = started.is_ok_and(|status| status.success());
    if !has {
        assert!(
            env::var_os("MELTEMI_REQUIRE_PEERS").is_none(),
            "{program} is missing: scripts/install-memcached installs it"
        );
        println!("left out: {program} is missing; scripts/install-memcached installs it");
    }
    has
}

/// A directory that goes with its owner.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("memcached-{}-{count}", std::process::id());
        let path = env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a temporary directory");
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A process that ends with its owner.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A memcached on a port of the system's choice.
pub struct Memcached {
    _process: Running,
    _directory: Directory,
    pub address: SocketAddr,
}

impl Memcached {
    pub fn start() -> Self {
        let directory = Directory::new();
        let file = directory.0.join("port");
        let user = Command::new("id").arg("-un").output().expect("a user");
        let user = String::from_utf8(user.stdout).expect("a name");
        let process = Command::new("memcached")
            .args(["-l", "127.0.0.1", "-p", "-1", "-U", "0", "-u", user.trim()])
            .env("MEMCACHED_PORT_FILENAME", &file)
            .spawn()
            .expect("memcached starts");
        let process = Running(process);
        let port = until("memcached says its port", || {
            let text = fs::read_to_string(&file).ok()?;
            text.trim().strip_prefix("TCP INET: ")?.parse().ok()
        });
        Self {
            _process: process,
            _directory: directory,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
        }
    }
}

/// The proxy over the manifests of this directory.
pub struct Proxy {
    _process: Running,
    _directory: Directory,
    pub address: SocketAddr,
}

impl Proxy {
    /// Before these servers.
    pub fn before(servers: &[&Memcached]) -> Self {
        let directory = Directory::new();
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests");
        for entry in fs::read_dir(own).expect("there are manifests") {
            let path = entry.expect("a file").path();
            let text = fs::read_to_string(&path).expect("a manifest");
            let name = path.file_name().expect("a name");
            let text = text.replace("number: 11211\n        name", "number: 0\n        name");
            fs::write(directory.0.join(name), endpoints(&text, servers)).expect("written");
        }
        let mut process = Command::new(env!("CARGO_BIN_EXE_memcached-proxy"))
            .args(["run", "--log", "warn", "--admin", "127.0.0.1:0", "-f"])
            .arg(&directory.0)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the proxy starts");
        let output = process.stdout.take().expect("its output");
        let process = Running(process);
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        let address = lines.find_map(|line| {
            let address = line.strip_prefix("listening default/cache/tcp-memcached ")?;
            address.parse().ok()
        });
        Self {
            _process: process,
            _directory: directory,
            address: address.expect("the proxy says where it listens"),
        }
    }
}

/// `text` with these servers for the two of the example.
fn endpoints(text: &str, servers: &[&Memcached]) -> String {
    let Some((before, rest)) = text.split_once("  endpoints:\n") else {
        return text.to_owned();
    };
    let (_, after) = rest.split_once("---\n").expect("a rule follows");
    let list: String = servers
        .iter()
        .map(|server| {
            let port = server.address.port();
            format!("    - address: 127.0.0.1\n      ports: {{ tcp-memcached: {port} }}\n")
        })
        .collect();
    format!("{before}  endpoints:\n{list}---\n{after}")
}

/// Asks `condition` until it gives a value.
fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
