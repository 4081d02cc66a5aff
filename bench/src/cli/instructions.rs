//! The command that counts instructions.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::contender;
use crate::instructions::{CASES, Case, Counts, count};
use crate::report;

/// Count the instructions of a request, by what they are for, and compare with a budget.
///
/// Each case runs twice under callgrind, with one worker; what the longer run adds is a request's. A
/// count that moved by more than the margin is a reason to look, not an error: it is printed. Counts
/// depend on the build: those of a budget compare with the profile that it was written with.
///
/// Exit status: 0, or 1 if all of a case is more than the budget by over --fail percent.
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:\n  \
    meltemi-bench instructions\n  \
    meltemi-bench instructions dubbo-64x16\n  \
    meltemi-bench instructions --budget bench/instructions.json\n  \
    meltemi-bench instructions --budget bench/instructions.json --write    # after a look")]
pub(super) struct Instructions {
    /// Cases, such as redis-64x16; all unless given.
    #[arg(value_parser = case)]
    cases: Vec<&'static Case>,
    /// Counts to compare with.
    #[arg(long, value_name = "FILE")]
    budget: Option<PathBuf>,
    /// Put the counts down there instead.
    #[arg(long, requires = "budget")]
    write: bool,
    /// Percent by which a case or a part of it may move unseen; a part by 20 instructions at least.
    #[arg(long, default_value_t = 5.0)]
    margin: f64,
    /// Percent by which all of a case may exceed the budget; by default any.
    #[arg(long, requires = "budget")]
    fail: Option<f64>,
}

/// Counts by the name of a case.
type Budget = BTreeMap<String, Counts>;

impl Instructions {
    pub(super) fn run(self) -> Result<ExitCode> {
        contender::build(&[contender::Kind::Meltemi])?;
        let dir = tempfile::tempdir().context("make a directory for profiles")?;
        let cases = match self.cases.is_empty() {
            true => CASES.iter().collect(),
            false => self.cases.clone(),
        };
        let mut counted = Budget::new();
        for case in cases {
            eprintln!("{}", case.name);
            counted.insert(case.name.to_owned(), count(case, dir.path())?);
        }
        print!("{}", report::instructions(&counted));
        let Some(path) = &self.budget else {
            return Ok(ExitCode::SUCCESS);
        };
        if self.write {
            let mut budget = if path.exists() {
                read(path)?
            } else {
                Budget::new()
            };
            budget.extend(counted);
            let text = serde_json::to_string_pretty(&budget)? + "\n";
            fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
            return Ok(ExitCode::SUCCESS);
        }
        let budget = read(path)?;
        print!("{}", report::moved(&budget, &counted, self.margin));
        let most = self
            .fail
            .map_or(f64::INFINITY, |percent| 1.0 + percent / 100.0);
        let fits = |(case, counts): (&String, &Counts)| {
            let before = budget.get(case).map_or(f64::INFINITY, Counts::total);
            counts.total() <= before * most
        };
        Ok(match counted.iter().all(fits) {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        })
    }
}

fn read(path: &Path) -> Result<Budget> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let budget: Budget =
        serde_json::from_str(&text).with_context(|| format!("read {}", path.display()))?;
    if budget.is_empty() {
        bail!("{}: no counts in it", path.display());
    }
    Ok(budget)
}

fn case(name: &str) -> Result<&'static Case, String> {
    let named = CASES.iter().find(|case| case.name == name);
    named.ok_or_else(|| {
        let names: Vec<_> = CASES.iter().map(|case| case.name).collect();
        format!("expected one of {}", names.join(", "))
    })
}
