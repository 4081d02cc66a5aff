//! What is made of objects of some kinds alone, and need not be made again while these are the very same.

use std::ops::Deref;
use std::sync::Arc;

use super::{Finding, Findings};
use crate::index::{Objects, OfKind};
use crate::manifest::Kind;

#[derive(Clone, Debug)]
pub(crate) struct Kept<T> {
    /// What it was made of.
    of: OfKinds,
    /// It is to be made again all the same.
    is_stale: bool,
    made: T,
    findings: Arc<[Finding]>,
}

type OfKinds = Vec<(Kind, Option<OfKind>)>;

impl<T: Clone> Kept<T> {
    /// Makes it, or takes over what was made earlier of the same.
    pub(super) fn new(
        (kinds, objects): (&[Kind], &Objects),
        earlier: Option<&Self>,
        findings: &mut Findings,
        make: impl FnOnce(&mut Findings) -> T,
    ) -> Self {
        let of = of(kinds.iter().copied(), objects);
        if let Some(earlier) = earlier.filter(|earlier| earlier.is_of(&of)) {
            findings.0.extend(earlier.findings.iter().cloned());
            return earlier.clone();
        }
        let mut own = Findings::default();
        let made = make(&mut own);
        findings.0.extend(own.0.iter().cloned());
        Self {
            of,
            is_stale: false,
            made,
            findings: own.0.into(),
        }
    }

    fn is_of(&self, other: &OfKinds) -> bool {
        let mut pairs = self.of.iter().zip(other);
        !self.is_stale
            && pairs.all(|((_, one), (_, other))| OfKind::is_same(one.as_ref(), other.as_ref()))
    }
}

#[cfg(feature = "kubernetes")]
impl<T> Kept<T> {
    /// To be brought up to date by hand, after which it is as if made of these objects; its findings remain.
    pub(super) fn revise(&mut self, objects: &Objects) -> &mut T {
        self.of = of(self.of.iter().map(|(kind, _)| *kind), objects);
        &mut self.made
    }

    /// It is to be made again.
    pub(super) fn forget(&mut self) {
        self.is_stale = true;
    }
}

fn of(kinds: impl Iterator<Item = Kind>, objects: &Objects) -> OfKinds {
    kinds
        .map(|kind| (kind, objects.kind(kind).cloned()))
        .collect()
}

impl<T> Deref for Kept<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.made
    }
}
