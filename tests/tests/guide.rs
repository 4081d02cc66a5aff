//! `docs/writing-a-protocol.md`, step by step as it is written.
//!
//! A `console` block is commands and what they say; one that ends in `&` keeps running. A `yaml`
//! block is written to the file that it names, a `diff` block is applied, and what a `rust` block
//! shows is in the file that it names. `…` stands for any lines, at the end of a line for the rest
//! of it. Ports and the admin address are of the system's choice, wherever the guide has its own.

use std::fmt::Write;
use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;

use meltemi_tests::{Process, binary, until};
use tempfile::TempDir;

#[path = "support/cargo.rs"]
mod cargo;

use cargo::{command, pin_versions, root};

const CUT: &str = "…";

/// Ports that the guide names.
const PORTS: [u16; 4] = [7070, 7071, 7072, 15000];

/// A block of the guide.
struct Block {
    kind: String,
    file: String,
    text: String,
    line: usize,
}

fn blocks(guide: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = guide.lines().enumerate();
    while let Some((line, fence)) = lines.next() {
        let Some(info) = fence.strip_prefix("```") else {
            continue;
        };
        let (kind, file) = info.split_once(' ').unwrap_or((info, ""));
        let mut text = String::new();
        for (_, inside) in lines.by_ref().take_while(|(_, line)| *line != "```") {
            let _ = writeln!(text, "{inside}");
        }
        blocks.push(Block {
            kind: kind.to_owned(),
            file: file.to_owned(),
            text,
            line: line + 1,
        });
    }
    blocks
}

/// Whether a printed line is the shown one, or begins as it does up to a [`CUT`].
fn same(shown: &str, printed: &str) -> bool {
    match shown.strip_suffix(CUT) {
        Some(beginning) => printed.starts_with(beginning),
        None => shown == printed,
    }
}

/// Whether the printed lines are the shown ones, with any lines for a [`CUT`] alone.
fn fits(shown: &[&str], printed: &[&str]) -> bool {
    match (shown.split_first(), printed.split_first()) {
        (None, None) => true,
        (Some((&CUT, rest)), _) => {
            (0..=printed.len()).any(|from| printed.get(from..).is_some_and(|p| fits(rest, p)))
        }
        (Some((shown, rest)), Some((printed, others))) => {
            same(shown, printed) && fits(rest, others)
        }
        _ => false,
    }
}

/// A person who follows the guide.
struct Reader {
    /// Where the commands run; it changes with `cd`.
    directory: PathBuf,
    /// The guide's ports, and those in their place.
    ports: Vec<(String, String)>,
    running: Vec<Process>,
    _place: TempDir,
}

impl Reader {
    fn new() -> Self {
        let place = TempDir::with_prefix("meltemi-guide-").expect("a temporary directory");
        let listeners = PORTS.map(|_| TcpListener::bind("127.0.0.1:0").expect("a port"));
        let port = |listener: &TcpListener| listener.local_addr().expect("bound").port();
        let ports = PORTS.iter().zip(&listeners);
        Self {
            directory: place.path().to_owned(),
            ports: ports
                .map(|(own, listener)| (own.to_string(), port(listener).to_string()))
                .collect(),
            running: Vec::new(),
            _place: place,
        }
    }

    fn with_ports(&self, text: &str) -> String {
        let replace = |text: String, (own, other): &(String, String)| text.replace(own, other);
        self.ports.iter().fold(text.to_owned(), replace)
    }

    fn follow(&mut self, block: &Block) {
        match &*block.kind {
            "console" => self.console(block),
            "yaml" => {
                let text = self.with_ports(&block.text);
                let draft = self.directory.join(".draft");
                fs::write(&draft, text).expect("written");
                fs::rename(draft, self.directory.join(&block.file)).expect("renamed");
            }
            "diff" => {
                let draft = self.directory.join("step.diff");
                fs::write(&draft, &block.text).expect("written");
                self.run("patch -p0 <step.diff && rm step.diff", &[CUT], block.line);
            }
            "rust" => self.shows(block),
            kind => panic!(
                "line {}: a block of kind {kind:?} cannot be tested",
                block.line
            ),
        }
    }

    /// A piece of code is as it is in its file, of this repository or of the new crate.
    fn shows(&self, block: &Block) {
        let own = root().join(&block.file);
        let file = if own.is_file() && block.file.starts_with("examples/") {
            own
        } else {
            self.directory.join(&block.file)
        };
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file:?}: {error}"));
        let (line, shown) = (block.line, &block.text);
        assert!(
            text.contains(shown),
            "line {line}: not in {file:?}:\n{shown}"
        );
    }

    fn console(&mut self, block: &Block) {
        let text = self.with_ports(&block.text);
        let mut steps: Vec<(&str, Vec<&str>)> = Vec::new();
        for line in text.lines() {
            match (line.strip_prefix("$ "), steps.last_mut()) {
                (Some(command), _) => steps.push((command, Vec::new())),
                (None, Some((_, shown))) => shown.push(line),
                (None, None) => panic!("line {}: output of no command", block.line),
            }
        }
        for (command, shown) in steps {
            if let Some(directory) = command.strip_prefix("cd ") {
                self.directory.push(directory);
                pin_versions(&self.directory);
                self.change_ports();
            } else if let Some(command) = command.strip_suffix(" &") {
                self.start(command, &shown);
            } else {
                self.run(command, &shown, block.line);
            }
        }
    }

    /// In the manifests, and in the test that changes them itself.
    fn change_ports(&self) {
        for directory in ["manifests", "proxy/tests"] {
            for entry in
                fs::read_dir(self.directory.join(directory)).expect("written for the reader")
            {
                let file = entry.expect("an entry").path();
                let text = fs::read_to_string(&file).expect("text");
                fs::write(&file, self.with_ports(&text)).expect("written");
            }
        }
    }

    fn shell(&self, script: &str) -> std::process::Command {
        let mut shell = command("bash", &self.directory);
        let bin = binary().parent().expect("the binary lies in a directory");
        let path = std::env::var("PATH").unwrap_or_default();
        shell.env("PATH", format!("{}:{path}", bin.display()));
        // The admin address is 127.0.0.1:15000 unless told, which two tests at once cannot have.
        let admin = &self.ports.last().expect("four ports").1;
        let script = script.replace(" run -f", &format!(" run --admin 127.0.0.1:{admin} -f"));
        shell.arg("-c").arg(script);
        shell
    }

    /// Starts what keeps running, and waits until it has said all that is shown.
    fn start(&mut self, command: &str, shown: &[&str]) {
        let process = Process::spawn(command, &mut self.shell(&format!("exec {command}")));
        let mut from = 0;
        for shown in shown {
            let find = |line: &str| same(shown, line).then_some(());
            from = process.line(from, shown, find).1;
        }
        self.running.push(process);
    }

    /// Runs a command to its end. A client is asked again until a change of manifests has arrived.
    fn run(&self, command: &str, shown: &[&str], line: usize) {
        let once = || {
            let mut shell = self.shell(&format!("{{ {command}; }} 2>&1"));
            let output = shell.stdin(Stdio::null()).output().expect("bash starts");
            String::from_utf8(output.stdout).expect("text")
        };
        // What is cut from the guide may not hide that something went wrong.
        let passes = shown.iter().any(|it| it.starts_with("test result: ok"));
        let is_shown = |said: &str| {
            let failed = said.contains("test result: FAILED");
            fits(shown, &said.lines().collect::<Vec<_>>()) && !(passes && failed)
        };
        let mut said = once();
        if !is_shown(&said) && command.contains("--example client") {
            said = until(command, || Some(once()).filter(|said| is_shown(said)));
        }
        assert!(
            is_shown(&said),
            "line {line}: {command}\n{}\n--- but\n{said}",
            shown.join("\n")
        );
    }
}

#[test]
fn every_step_is_as_it_is_written() {
    let guide = root().join("docs/writing-a-protocol.md");
    let guide = fs::read_to_string(guide).expect("there is a guide");
    let blocks = blocks(&guide);
    assert!(blocks.len() > 10, "the guide has lost its steps");
    let mut reader = Reader::new();
    for block in &blocks {
        reader.follow(block);
    }
}
