//! Where objects come from: files and directories, or standard input; or the API server of a cluster.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, SourceFile};

pub(crate) mod directory;
#[cfg(feature = "kubernetes")]
pub(crate) mod kubernetes;

/// Everything that a source holds at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Contents {
    /// By name, as people know it.
    pub(crate) files: BTreeMap<String, Arc<SourceFile>>,
    /// What could not be read.
    pub(crate) problems: Vec<Diagnostic>,
}
