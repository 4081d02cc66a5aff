//! The command that counts instructions.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::contender;
use crate::instructions::{CASES, Case, Counts, count, flame};
use crate::report;

/// Count the instructions of a request, by what they are for, and compare with a budget.
///
/// Each case runs twice under callgrind, with one worker; what the longer run adds is a request's. A
/// count that moved by more than the margin is a reason to look, not an error: it is printed. Counts
/// depend on the build: those of a budget compare with the profile that it was written with, which it names.
///
/// With --flame the instructions of one case are drawn by who calls whom, as an SVG that needs nothing else.
///
/// Exit status: 0, or 1 if all of a case is more than the budget by over --fail percent.
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:\n  \
    meltemi-bench instructions\n  \
    meltemi-bench instructions dubbo-64x16\n  \
    meltemi-bench instructions --budget bench/instructions.json\n  \
    meltemi-bench instructions --budget bench/instructions.json --write    # after a look\n  \
    meltemi-bench instructions dubbo-64x16 --flame dubbo-64x16.svg")]
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
    /// Draw the one case that is named there, in the place of counting.
    #[arg(long, value_name = "SVG", conflicts_with = "budget")]
    flame: Option<PathBuf>,
    /// Percent of all below which that leaves a function out.
    #[arg(long, default_value_t = 0.5, requires = "flame")]
    least: f64,
    /// Percent by which all of a case may exceed the budget; by default any.
    #[arg(long, requires = "budget")]
    fail: Option<f64>,
}

/// Counts of a build.
#[derive(Deserialize, Serialize)]
struct Budget {
    /// The profile that it was built with.
    #[serde(default = "release")]
    build: String,
    /// By the name of a case.
    #[serde(flatten)]
    cases: Cases,
}

type Cases = BTreeMap<String, Counts>;

fn release() -> String {
    "release".to_owned()
}

impl Instructions {
    pub(super) fn run(self) -> Result<ExitCode> {
        contender::build_alone()?;
        let dir = tempfile::tempdir().context("make a directory for profiles")?;
        let cases = match self.cases.is_empty() {
            true => CASES.iter().collect(),
            false => self.cases.clone(),
        };
        if let Some(path) = &self.flame {
            return draw(&cases, path, (dir.path(), self.least));
        }
        let build = contender::profile()?;
        let budget = self.budget.as_deref().map(|path| read(path, self.write));
        let budget = budget.transpose()?;
        if let Some(budget) = &budget
            && budget.build != build
            && !self.write
        {
            let before = &budget.build;
            bail!(
                "the budget is of the profile {before}, and this build is of {build}: run it with `cargo run --profile {before}`"
            );
        }
        let mut counted = Cases::new();
        for case in cases {
            eprintln!("{}", case.name);
            counted.insert(case.name.to_owned(), count(case, dir.path())?);
        }
        print!("{}", report::instructions(&counted));
        let (Some(path), Some(mut budget)) = (&self.budget, budget) else {
            return Ok(ExitCode::SUCCESS);
        };
        if self.write {
            budget.build = build;
            budget.cases.extend(counted);
            let text = serde_json::to_string_pretty(&budget)? + "\n";
            fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
            return Ok(ExitCode::SUCCESS);
        }
        print!("{}", report::moved(&budget.cases, &counted, self.margin));
        let most = self
            .fail
            .map_or(f64::INFINITY, |percent| 1.0 + percent / 100.0);
        let fits = |(case, counts): (&String, &Counts)| {
            let before = budget.cases.get(case).map_or(f64::INFINITY, Counts::total);
            counts.total() <= before * most
        };
        Ok(match counted.iter().all(fits) {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        })
    }
}

/// Nothing is in a budget that is still to be written.
fn read(path: &Path, may_be_new: bool) -> Result<Budget> {
    if may_be_new && !path.exists() {
        return Ok(Budget {
            build: release(),
            cases: Cases::new(),
        });
    }
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let budget: Budget =
        serde_json::from_str(&text).with_context(|| format!("read {}", path.display()))?;
    if budget.cases.is_empty() {
        bail!("{}: no counts in it", path.display());
    }
    Ok(budget)
}

fn draw(cases: &[&Case], path: &Path, (dir, least): (&Path, f64)) -> Result<ExitCode> {
    let [case] = cases else {
        bail!("--flame draws one case: name it, such as dubbo-64x16");
    };
    let stacks = flame(case, dir)?;
    let svg = report::flame(case.name, &stacks, least / 100.0);
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
    }
    fs::write(path, svg).with_context(|| format!("write {}", path.display()))?;
    Ok(ExitCode::SUCCESS)
}

fn case(name: &str) -> Result<&'static Case, String> {
    let named = CASES.iter().find(|case| case.name == name);
    named.ok_or_else(|| {
        let names: Vec<_> = CASES.iter().map(|case| case.name).collect();
        format!("expected one of {}", names.join(", "))
    })
}
