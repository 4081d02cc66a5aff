//! System calls of a request, by strace: those of the floor, and those of Meltemi.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::contender::Contender;
use crate::load::Budget;
use crate::process::{Process, START, find_program};
use crate::suite::Source;

/// System calls of one request, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Calls(pub(crate) BTreeMap<String, f64>);

impl Calls {
    pub(crate) fn total(&self) -> f64 {
        self.0.values().sum()
    }
}

/// Counts all threads of a proxy while so many requests of `source` pass it, whose connections are there already
/// unless they come and go.
pub(crate) fn count(
    contender: &Contender,
    mut source: Source,
    requests: u64,
    dir: &Path,
) -> Result<Calls> {
    let proxy = contender.proxy.as_ref().context("a proxy is a process")?;
    let budget = |requests| Budget {
        time: Duration::from_secs(120),
        requests,
    };
    source.run(budget(requests / 10))?;
    let summary = dir.join("strace.txt");
    let strace = attach(proxy, &summary, dir)?;
    let sample = source.run(budget(requests))?;
    strace.interrupt()?;
    let text = fs::read_to_string(&summary).context("read what strace counted")?;
    let counted = parse(&text).into_iter();
    Ok(Calls(
        counted
            .map(|(name, calls)| (name, calls as f64 / sample.requests as f64))
            .collect(),
    ))
}

fn attach(proxy: &Process, summary: &Path, dir: &Path) -> Result<Process> {
    let program = find_program("strace");
    let program = program.context("strace is not installed: apt-get install strace")?;
    let mut command = Command::new(program);
    command.args(["-c", "-f", "-U", "calls,name", "-o"]);
    command.arg(summary).args(["-p", &proxy.id().to_string()]);
    let mut strace = Process::start("strace", &command, dir)?;
    let deadline = Instant::now() + START;
    while !proxy.is_traced()? {
        if !strace.is_running() || Instant::now() > deadline {
            bail!("strace may not look at the proxy{}", strace.log_tail());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(strace)
}

/// Lines of a number and a name; rules, the header and the sum are none.
fn parse(summary: &str) -> BTreeMap<String, u64> {
    let line = |line: &str| {
        let (calls, name) = line.trim().split_once(char::is_whitespace)?;
        let name = name.trim();
        (name != "total").then_some((name.to_owned(), calls.parse().ok()?))
    };
    summary.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_read_without_its_sum() {
        let text = "    calls syscall\n--------- ----------------\n      120 epoll_wait\n       \
                    40 writev\n--------- ----------------\n      160 total\n";
        let expected = [("epoll_wait".to_owned(), 120), ("writev".to_owned(), 40)];
        assert_eq!(parse(text), BTreeMap::from(expected));
    }
}
