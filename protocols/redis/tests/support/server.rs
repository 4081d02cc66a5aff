//! A real redis-server on a socket of its own, and the little of its protocol that tests speak.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    os::unix::net::UnixStream,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

/// The version that the table is made from: Debian 12's.
pub(crate) const VERSION: &str = "7.0.15";

/// A server that ends with the test.
pub(crate) struct Server {
    child: Child,
    connection: BufReader<UnixStream>,
    folder: TempDir,
}

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Text(String),
    Error(String),
    Integer(i64),
    List(Vec<Self>),
    Null,
}

impl Server {
    /// Starts one, or says in one line what is skipped without it.
    pub(crate) fn start(skipped: &str) -> Option<Self> {
        let version = Command::new("redis-server").arg("--version").output();
        let installed = version.is_ok_and(|output| {
            String::from_utf8_lossy(&output.stdout).contains(&format!("v={VERSION} "))
        });
        let required = std::env::var("MELTEMI_REQUIRE_PEERS").is_ok_and(|value| value == "1");
        assert!(
            installed || !required,
            "redis-server {VERSION} is missing: apt-get install redis-server"
        );
        if !installed {
            // The test harness swallows what the print macros write in a test that passes.
            let notice = format!("skipped: {skipped}; install redis-server {VERSION}\n");
            std::io::stderr().write_all(notice.as_bytes()).unwrap();
            return None;
        }
        Some(Self::spawn(&["--port", "0"]))
    }

    /// A node of a cluster that knows no other yet, and its port, if a server can be started.
    pub(crate) fn node(skipped: &str) -> Option<(Self, u16)> {
        // Both ports are free when they are chosen; somebody may take one before the server does.
        let free = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [port, bus] = free.map(|it| it.local_addr().unwrap().port());
        Self::start(skipped)?;
        let (text, bus) = (port.to_string(), bus.to_string());
        let node = Self::spawn(&[
            "--port",
            &text,
            "--cluster-enabled",
            "yes",
            "--cluster-port",
            &bus,
            "--cluster-node-timeout",
            "2000",
            "--repl-diskless-sync-delay",
            "0",
        ]);
        Some((node, port))
    }

    fn spawn(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new("redis-server")
            .current_dir(folder.path())
            .args(["--bind", "127.0.0.1", "--unixsocket", "socket"])
            .args(arguments)
            .args(["--save", "", "--appendonly", "no"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stdout.take().unwrap());
        let ready = log
            .lines()
            .map_while(Result::ok)
            .any(|line| line.contains("ready to accept connections"));
        if !ready {
            let _ = child.kill();
            panic!("redis-server did not start");
        }
        let stream = UnixStream::connect(folder.path().join("socket")).unwrap();
        Self {
            child,
            connection: BufReader::new(stream),
            folder,
        }
    }

    /// Sends a command and reads its reply.
    pub(crate) fn ask(&mut self, request: &[&str]) -> Value {
        self.send(request);
        self.value()
    }

    /// Sends a command and returns the bytes of its reply.
    pub(crate) fn ask_raw(&mut self, request: &[&str]) -> Vec<u8> {
        self.exchange(&command(request))
    }

    /// Sends the bytes of a command and returns those of its reply.
    pub(crate) fn exchange(&mut self, request: &[u8]) -> Vec<u8> {
        self.connection.get_mut().write_all(request).unwrap();
        // An echo after it shows where the reply ends.
        const END: &str = "the end of the reply before";
        self.send(&["ECHO", END]);
        let end = format!("${}\r\n{END}\r\n", END.len()).into_bytes();
        let mut bytes = Vec::new();
        while !bytes.ends_with(&end) {
            let mut byte = [0];
            self.connection.read_exact(&mut byte).unwrap();
            bytes.push(byte[0]);
        }
        bytes.truncate(bytes.len() - end.len());
        bytes
    }

    /// Another connection, which sends this and waits for an answer to it.
    pub(crate) fn beside(&self, request: &[&str]) -> UnixStream {
        let mut stream = UnixStream::connect(self.folder.path().join("socket")).unwrap();
        stream.write_all(&command(request)).unwrap();
        stream.read_exact(&mut [0]).unwrap();
        stream
    }

    fn send(&mut self, request: &[&str]) {
        self.connection
            .get_mut()
            .write_all(&command(request))
            .unwrap();
    }

    fn value(&mut self) -> Value {
        let mut line = String::new();
        self.connection.read_line(&mut line).unwrap();
        let line = line.strip_suffix("\r\n").unwrap();
        let (tag, rest) = line.split_at(1);
        match tag {
            "+" => Value::Text(rest.to_owned()),
            "-" => Value::Error(rest.to_owned()),
            ":" => Value::Integer(rest.parse().unwrap()),
            "$" | "*" if rest == "-1" => Value::Null,
            "$" => {
                let mut bytes = vec![0; rest.parse::<usize>().unwrap() + 2];
                self.connection.read_exact(&mut bytes).unwrap();
                bytes.truncate(bytes.len() - 2);
                Value::Text(String::from_utf8(bytes).unwrap())
            }
            "*" => Value::List((0..rest.parse().unwrap()).map(|_| self.value()).collect()),
            _ => panic!("unexpected reply {line:?}"),
        }
    }
}

/// The bytes of a command.
pub(crate) fn command(request: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", request.len());
    for argument in request {
        bytes.push_str(&format!("${}\r\n{argument}\r\n", argument.len()));
    }
    bytes.into_bytes()
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Value {
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            other => panic!("no text: {other:?}"),
        }
    }

    pub(crate) fn integer(&self) -> i64 {
        match self {
            Self::Integer(number) => *number,
            other => panic!("no integer: {other:?}"),
        }
    }

    pub(crate) fn list(&self) -> &[Self] {
        match self {
            Self::List(list) => list,
            other => panic!("no list: {other:?}"),
        }
    }

    /// The value of an entry of a flat map.
    pub(crate) fn field(&self, name: &str) -> &Self {
        self.list()
            .chunks(2)
            .find(|entry| entry[0].text() == name)
            .map(|entry| &entry[1])
            .unwrap()
    }
}
