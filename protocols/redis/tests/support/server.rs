//! A real redis-server on a socket of its own, and the little of its protocol that tests speak.

use std::{
    io::{BufRead, BufReader, Read, Write},
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
    _folder: TempDir,
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
        Some(Self::spawn())
    }

    fn spawn() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new("redis-server")
            .current_dir(folder.path())
            .args(["--port", "0", "--unixsocket", "socket"])
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
            _folder: folder,
        }
    }

    /// Sends a command and reads its reply.
    pub(crate) fn ask(&mut self, request: &[&str]) -> Value {
        self.send(request);
        self.value()
    }

    /// Sends a command and returns the bytes of its reply.
    pub(crate) fn ask_raw(&mut self, request: &[&str]) -> Vec<u8> {
        self.send(request);
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

    fn send(&mut self, request: &[&str]) {
        let mut bytes = format!("*{}\r\n", request.len());
        for argument in request {
            bytes.push_str(&format!("${}\r\n{argument}\r\n", argument.len()));
        }
        self.connection
            .get_mut()
            .write_all(bytes.as_bytes())
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
