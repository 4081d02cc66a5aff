//! Every error and warning of a set of manifests, without applying anything.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Serialize;
use serde::ser::SerializeStruct as _;

use crate::controller::Controller;
use crate::diagnostic::Diagnostic;
use crate::schema::Settings;

mod aeraki;
mod plan;

pub use aeraki::{Compared, Difference, Migration};
pub use plan::{Effect, HttpPort, PastIt, Plan, Planned, PlannedLead, PoliciesOf, SeenPolicy, Way};
#[cfg(feature = "kubernetes")]
pub(crate) use plan::{planned, told};

/// What was found, by file and line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub diagnostics: Vec<Diagnostic>,
    /// Objects that take effect.
    pub objects: usize,
}

/// Reads the manifests under these paths (`-` is standard input) and says what is wrong with them.
#[must_use]
pub fn run(paths: &[PathBuf], settings: Settings) -> Report {
    Controller::open(paths, settings).load().report
}

/// The same, and what those that were written for Aeraki mean here.
#[must_use]
pub fn migration(paths: &[PathBuf], settings: Settings) -> Migration {
    let mut controller = Controller::open(paths, settings);
    let report = controller.load().report;
    Migration::of(report, controller.index())
}

/// The same, and what waypoints change for the services that ask for them.
#[must_use]
pub fn plan(paths: &[PathBuf], settings: Settings) -> Plan {
    let mut controller = Controller::open(paths, settings);
    let report = controller.load().report;
    let root = &controller.settings().root_namespace;
    Plan::of(report, controller.model(), (controller.objects(), root))
}

impl Report {
    #[must_use]
    pub fn errors(&self) -> usize {
        self.diagnostics.iter().filter(|d| d.is_error()).count()
    }

    #[must_use]
    pub fn warnings(&self) -> usize {
        self.diagnostics.len() - self.errors()
    }

    /// Whether nothing is refused.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.errors() == 0
    }

    /// How many objects and findings there are.
    #[must_use]
    pub fn summary(&self) -> String {
        let count = |n: usize, what: &str| match n {
            1 => format!("1 {what}"),
            n => format!("{n} {what}s"),
        };
        format!(
            "{}: {}, {}",
            count(self.objects, "object"),
            count(self.errors(), "error"),
            count(self.warnings(), "warning")
        )
    }

    /// What it says of the objects of a namespace, and of what stands in files.
    ///
    /// An object of a cluster stands where its own name is.
    #[must_use]
    pub fn of_namespace(&self, namespace: &str) -> Self {
        let is_asked = |diagnostic: &&Diagnostic| {
            let Some(object) = &diagnostic.object else {
                return true;
            };
            let place = diagnostic.place.as_ref();
            *object.namespace == *namespace || place.is_some_and(|it| it.file != object.to_string())
        };
        Self {
            diagnostics: self.diagnostics.iter().filter(is_asked).cloned().collect(),
            objects: self.objects,
        }
    }

    /// What this report says and the earlier one does not.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Vec<&Diagnostic> {
        let mut known: BTreeMap<_, Vec<&Diagnostic>> = BTreeMap::new();
        for diagnostic in &earlier.diagnostics {
            known
                .entry(diagnostic.sort_key())
                .or_default()
                .push(diagnostic);
        }
        let is_new = |d: &&Diagnostic| {
            let alike = known.get(&d.sort_key());
            !alike.is_some_and(|alike| alike.contains(d))
        };
        self.diagnostics.iter().filter(is_new).collect()
    }
}

/// All findings, and a line with their number.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for diagnostic in &self.diagnostics {
            writeln!(f, "{diagnostic}\n")?;
        }
        f.write_str(&self.summary())
    }
}

impl Serialize for Report {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut report = serializer.serialize_struct("Report", 4)?;
        report.serialize_field("errors", &self.errors())?;
        report.serialize_field("warnings", &self.warnings())?;
        report.serialize_field("objects", &self.objects)?;
        report.serialize_field("diagnostics", &self.diagnostics)?;
        report.end()
    }
}

#[cfg(test)]
mod tests;
