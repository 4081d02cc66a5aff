//! What is wrong with objects taken together.

use super::Need;
use crate::diagnostic::{Diagnostic, Position};
use crate::manifest::{Object, ObjectRef};

/// Something wrong with the objects taken together.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) diagnostic: Diagnostic,
    /// The objects of which one would have to be refused, most likely first; empty where refusing
    /// one would make things worse.
    pub(crate) blame: Vec<ObjectRef>,
    /// What would mend it, where somebody took it away.
    pub(crate) needs: Vec<Need>,
}

/// Collects findings.
#[derive(Debug, Default)]
pub(crate) struct Findings(pub(crate) Vec<Finding>);

impl Findings {
    /// A finding at a place of an object, which is to blame for it.
    pub(super) fn at(&mut self, object: &Object, at: Position, diagnostic: Diagnostic) {
        let blame = if diagnostic.is_error() {
            vec![object.id.clone()]
        } else {
            vec![]
        };
        self.push(object.finding(diagnostic, at), blame);
    }

    /// As [`Self::at`], but nothing gets better by refusing the object.
    pub(super) fn blameless(&mut self, object: &Object, at: Position, diagnostic: Diagnostic) {
        self.push(object.finding(diagnostic, at), vec![]);
    }

    pub(super) fn push(&mut self, diagnostic: Diagnostic, blame: Vec<ObjectRef>) {
        self.0.push(Finding {
            diagnostic,
            blame,
            needs: vec![],
        });
    }

    /// Says what the finding before this lacks.
    pub(super) fn needing(&mut self, needs: impl IntoIterator<Item = Need>) {
        if let Some(last) = self.0.last_mut() {
            last.needs.extend(needs);
        }
    }

    /// Objects that may be to blame for the finding before this too.
    pub(super) fn or_blame(&mut self, others: impl IntoIterator<Item = ObjectRef>) {
        if let Some(last) = self.0.last_mut() {
            last.blame.extend(others);
        }
    }
}
