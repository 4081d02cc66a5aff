//! What is made of objects of some kinds alone, and need not be made again while these are the very same.

use std::ops::Deref;
use std::sync::Arc;

use super::{Finding, Findings};
use crate::index::{Objects, OfKind};
use crate::manifest::Kind;

#[derive(Clone, Debug)]
pub(crate) struct Kept<T> {
    kinds: &'static [Kind],
    /// What it was made of; none: it counts as made of something else.
    of: Option<Vec<Option<OfKind>>>,
    made: T,
    findings: Vec<Finding>,
}

impl<T: Clone> Kept<T> {
    /// Makes it, or takes over what was made earlier of the same.
    pub(super) fn new(
        (kinds, objects): (&'static [Kind], &Objects),
        earlier: Option<&Self>,
        findings: &mut Findings,
        make: impl FnOnce(&mut Findings) -> T,
    ) -> Self {
        let of = of(kinds, objects);
        if let Some(earlier) = earlier.filter(|earlier| earlier.is_of(&of)) {
            findings.0.extend(earlier.findings.iter().cloned());
            return earlier.clone();
        }
        let mut own = Findings::default();
        let made = make(&mut own);
        findings.0.extend(own.0.iter().cloned());
        Self {
            kinds,
            of: Some(of),
            made,
            findings: own.0,
        }
    }

    fn is_of(&self, other: &[Option<OfKind>]) -> bool {
        let is_same = |(one, other): (&Option<OfKind>, &Option<OfKind>)| match (one, other) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        };
        let of = self.of.as_deref();
        of.is_some_and(|of| of.iter().zip(other).all(is_same))
    }
}

#[cfg(feature = "kubernetes")]
impl<T> Kept<T> {
    /// To be brought up to date by hand, after which it is as if made of these objects; its findings remain.
    pub(super) fn revise(&mut self, objects: &Objects) -> &mut T {
        self.of = Some(of(self.kinds, objects));
        &mut self.made
    }

    /// It is to be made again.
    pub(super) fn forget(&mut self) {
        self.of = None;
    }
}

fn of(kinds: &[Kind], objects: &Objects) -> Vec<Option<OfKind>> {
    kinds
        .iter()
        .map(|kind| objects.kind(*kind).cloned())
        .collect()
}

impl<T> Deref for Kept<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.made
    }
}
