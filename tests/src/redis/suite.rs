//! Redis' own test suite, against an address.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::server::free_port;

/// The suite's directory.
pub struct Suite {
    home: PathBuf,
}

/// What became of each test, by its name; a name may stand for several.
pub type Verdicts = BTreeMap<String, Vec<Verdict>>;

/// What became of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Passed,
    /// Why not.
    Failed(String),
}

/// What a server under test cannot do when the suite did not start it, and what takes long.
const TAGS: &str = "-needs:repl -needs:debug -needs:config-maxmemory -slow -large-memory";

impl Suite {
    /// Where `scripts/install-redis-suite` puts it.
    #[must_use]
    pub fn find() -> Option<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/install-redis-suite");
        let output = Command::new(script).arg("--check").output().ok()?;
        let home = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| Self {
            home: PathBuf::from(home.trim()),
        })
    }

    /// Runs one unit, such as `unit/type/string`. A unit that hangs is ended by `timeout`.
    ///
    /// # Panics
    /// When the suite cannot be run.
    #[must_use]
    pub fn run(&self, unit: &str, address: SocketAddr) -> Verdicts {
        // It cleans up what others of its kind left behind, so each run has a copy of its own.
        let copy = TempDir::with_prefix("meltemi-suite-").expect("a temporary directory");
        let copied = Command::new("cp")
            .args(["-R", "."])
            .arg(copy.path())
            .current_dir(&self.home)
            .status();
        assert!(
            copied.is_ok_and(|status| status.success()),
            "the suite is copied"
        );
        // It looks for ports of its own below this one; the default is the same for all runs.
        let ports = free_port().saturating_add(32);
        let output = Command::new("timeout")
            .args(["--kill-after=5", "240", "./runtest"])
            .args(["--host", &address.ip().to_string()])
            .args(["--port", &address.port().to_string()])
            .args(["--baseport", &ports.to_string()])
            .args([
                "--singledb",
                "--no-latency",
                "--tags",
                TAGS,
                "--single",
                unit,
            ])
            .current_dir(copy.path())
            .output()
            .expect("the suite runs");
        let text = String::from_utf8_lossy(&output.stdout);
        let mut verdicts = Verdicts::new();
        for (name, verdict) in text.lines().filter_map(verdict) {
            verdicts.entry(name).or_default().push(verdict);
        }
        if !output.status.success() {
            eprintln!(
                "{unit}: the suite ended with {}\n{}",
                output.status,
                tail(&text)
            );
        }
        verdicts
    }
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}

/// `[ok]: NAME (N ms)`, `[err]: NAME in FILE`, coloured or not.
fn verdict(line: &str) -> Option<(String, Verdict)> {
    let plain: String = uncoloured(line);
    if let Some(name) = plain.strip_prefix("[ok]: ") {
        let name = name.rsplit_once(" (").map_or(name, |(name, _)| name);
        return Some((name.to_owned(), Verdict::Passed));
    }
    let rest = plain
        .strip_prefix("[err]: ")
        .or_else(|| plain.strip_prefix("[exception]: "))?;
    let (name, reason) = rest.split_once(" in tests/").unwrap_or((rest, ""));
    Some((name.to_owned(), Verdict::Failed(reason.to_owned())))
}

fn uncoloured(line: &str) -> String {
    let mut plain = String::new();
    let mut rest = line;
    while let Some(start) = rest.find('\u{1b}') {
        plain.push_str(&rest[..start]);
        let after = &rest[start..];
        rest = after.find('m').map_or("", |end| &after[end + 1..]);
    }
    plain.push_str(rest);
    plain
}
