//! Standard output and standard error that nobody reads any more, or that are full.

use std::fs::OpenOptions;
use std::io::{Read, Write, pipe};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use meltemi_tests::{Endpoint, Manifests, Meltemi, Process, binary, until};

fn manifests() -> Manifests {
    let manifests = Manifests::dubbo_gateway();
    let endpoint = Endpoint {
        port: 1,
        version: "v1",
        locality: "r1/z1/s1",
    };
    manifests.service("hello.test", &[endpoint]);
    manifests.routes("hello.test", "");
    manifests
}

/// Standard error on a full disk, and one whose reader has left.
fn deaf() -> [Stdio; 2] {
    let full = OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .expect("Linux has a full device");
    let (_, abandoned) = pipe().expect("a pipe");
    [full.into(), abandoned.into()]
}

fn meltemi(command: &str, manifests: &Path) -> Command {
    let mut meltemi = Command::new(binary());
    meltemi.args([command, "-f"]).arg(manifests);
    meltemi
}

#[test]
fn a_proxy_goes_on_when_its_log_cannot_be_written() {
    for stderr in deaf() {
        let manifests = manifests();
        let mut command = meltemi("run", manifests.path());
        command.args(["--admin", "127.0.0.1:0"]);
        let process = Process::spawn_with_stderr("meltemi", &mut command, Some(stderr));
        let mut meltemi = Meltemi::of(process);
        let address = meltemi.address("default/edge/dubbo");
        // What is not Dubbo is worth a line of the log, and its connection closes.
        let mut stranger = TcpStream::connect(address).expect("a listener");
        stranger
            .write_all(b"GET / HTTP/1.1\r\n\r\n")
            .expect("an open connection");
        let _ = stranger.read_to_end(&mut Vec::new());
        // So is a change, and an invalid one is told in full; the next is heard of all the same.
        manifests.routes("hello.test", "- nonsense: 1");
        let gateway = std::fs::read_to_string(manifests.path().join("gateway.yaml"))
            .expect("the Gateway was written");
        for name in ["second", "third"] {
            let text = gateway.replace("name: edge", &format!("name: {name}"));
            manifests.write(&format!("{name}.yaml"), &text);
            let opened = meltemi.address(&format!("default/{name}/dubbo"));
            TcpStream::connect(opened).expect("the change is in force");
        }
        TcpStream::connect(address).expect("the first listener is open");
        meltemi.process().signal("TERM");
        assert_eq!(meltemi.wait().code(), Some(0));
    }
}

/// A pipe holds 64 KiB. The log of this many strangers is more.
const STRANGERS: usize = 600;

#[test]
fn a_reader_that_has_stalled_holds_nobody_up() {
    let (_unread, stderr) = pipe().expect("a pipe");
    let manifests = manifests();
    let mut command = meltemi("run", manifests.path());
    command.args(["--admin", "127.0.0.1:0"]);
    let process = Process::spawn_with_stderr("meltemi", &mut command, Some(stderr.into()));
    let mut meltemi = Meltemi::of(process);
    let address = meltemi.address("default/edge/dubbo");
    for _ in 0..STRANGERS {
        let mut stranger = TcpStream::connect(address).expect("a listener");
        stranger
            .write_all(b"GET / HTTP/1.1\r\n\r\n")
            .expect("an open connection");
        assert_eq!(stranger.read(&mut [0]).unwrap_or(0), 0, "closed");
    }
    meltemi.process().signal("TERM");
    assert_eq!(meltemi.wait().code(), Some(0));
}

#[test]
fn a_reader_that_leaves_does_not_change_what_check_and_explain_end_with() {
    let manifests = manifests();
    let explain = ["--service", "hello.test"];
    for (command, arguments) in [("check", &[][..]), ("explain", &explain[..])] {
        let (_, abandoned) = pipe().expect("a pipe");
        let mut command = meltemi(command, manifests.path());
        let ended = command
            .args(arguments)
            .stdout(abandoned)
            .output()
            .expect("meltemi starts");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!((ended.status.code(), &*said), (Some(0), ""));
    }
}

/// It holds, and is worth a warning.
const IGNORED: &str = "
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: ignored}
spec: {host: hello.test, workloadSelector: {matchLabels: {app: hello}}}
";

#[test]
fn the_first_load_of_a_log_that_cannot_be_written_may_have_warnings() {
    let [full, _] = deaf();
    let manifests = manifests();
    manifests.write("other.yaml", IGNORED);
    let mut command = meltemi("run", manifests.path());
    command.args(["--admin", "127.0.0.1:0"]);
    let process = Process::spawn_with_stderr("meltemi", &mut command, Some(full));
    let meltemi = Meltemi::of(process);
    until("a listener", || {
        TcpStream::connect(meltemi.address("default/edge/dubbo")).ok()
    });
}
