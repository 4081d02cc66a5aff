//! A consumer under load, whose counts are asked for while it runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::process::Process;
use crate::wait::until;

/// A consumer whose threads call without pause and check that each answer is theirs.
pub struct Load {
    process: Arc<Process>,
    read: usize,
}

/// What happened since the counts were last asked for.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Right answers, by the label of the provider that gave them.
    pub calls: BTreeMap<String, u64>,
    /// Failed calls, by kind.
    pub errors: BTreeMap<String, u64>,
    /// Answers that belong to another call.
    pub wrong: Vec<String>,
    /// Which calls failed, when and why: the first of them.
    pub failed: Vec<String>,
    /// The slowest call, in milliseconds.
    pub slowest: u64,
    /// The local ports of the consumer's connections: the same ports are the same connections.
    pub connections: Vec<u64>,
}

impl Load {
    /// Waits until it has started.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn of(process: Arc<Process>) -> Self {
        let ((), read) = process.line(0, "that it started", |line| {
            line.contains("started").then_some(())
        });
        Self { process, read }
    }

    /// The counts since the last time.
    pub fn mark(&mut self) -> Counts {
        self.process.tell("mark");
        self.next()
    }

    /// Counts runs of at least `calls` calls, until one is as `wanted`: however slow the machine,
    /// a run tells the same. Returns all that was counted on the way, and the last run.
    ///
    /// # Panics
    /// When no run is.
    pub fn runs_until(
        &mut self,
        what: &str,
        calls: u64,
        wanted: impl Fn(&Counts) -> bool,
    ) -> (Counts, Counts) {
        let mut all = Counts::default();
        let mut run = Counts::default();
        until(what, || {
            run.add(self.mark());
            if run.made() < calls {
                return None;
            }
            let run = std::mem::take(&mut run);
            all.add(run.clone());
            wanted(&run).then(|| (std::mem::take(&mut all), run))
        })
    }

    /// Ends the load when each call in flight has its answer; the last counts.
    pub fn stop(mut self) -> Counts {
        self.process.tell("stop");
        let counts = self.next();
        until("a load ends", || self.process.status());
        counts
    }

    fn next(&mut self) -> Counts {
        let (counts, read) = self.process.line(self.read, "its counts", counts);
        self.read = read;
        counts
    }
}

impl Counts {
    /// Adds later counts to these.
    pub fn add(&mut self, later: Self) {
        for (label, calls) in later.calls {
            *self.calls.entry(label).or_default() += calls;
        }
        for (kind, errors) in later.errors {
            *self.errors.entry(kind).or_default() += errors;
        }
        self.wrong.extend(later.wrong);
        self.failed.extend(later.failed);
        self.slowest = self.slowest.max(later.slowest);
        self.connections = later.connections;
    }

    /// Right answers.
    pub fn total(&self) -> u64 {
        self.calls.values().sum()
    }

    /// Calls, however they ended.
    pub fn made(&self) -> u64 {
        self.total() + self.errors.values().sum::<u64>()
    }

    /// Right answers of one provider.
    pub fn of(&self, label: &str) -> u64 {
        self.calls.get(label).copied().unwrap_or(0)
    }

    /// Whether no call failed and none got the answer of another.
    pub fn is_clean(&self) -> bool {
        self.errors.is_empty() && self.wrong.is_empty()
    }
}

fn counts(line: &str) -> Option<Counts> {
    let line: Value = serde_json::from_str(line).ok()?;
    let map = |name| -> Option<BTreeMap<String, u64>> {
        let entries = line.get(name)?.as_object()?.iter();
        entries
            .map(|(key, count)| Some((key.clone(), count.as_u64()?)))
            .collect()
    };
    let texts = |name| -> Option<Vec<String>> {
        let texts = line.get(name)?.as_array()?.iter();
        Some(
            texts
                .filter_map(|it| Some(it.as_str()?.to_owned()))
                .collect(),
        )
    };
    let ports = line.get("connections")?.as_array()?.iter();
    Some(Counts {
        calls: map("calls")?,
        errors: map("errors")?,
        wrong: texts("wrong")?,
        failed: texts("failed")?,
        slowest: line.get("slowest")?.as_u64()?,
        connections: ports.filter_map(Value::as_u64).collect(),
    })
}
