//! Which versions of the objects take effect: an error makes an object fall back to its last good
//! version, and never withdraws what is in force.

use std::sync::Arc;

use crate::diagnostic::{Code, Diagnostic};
use crate::index::{Index, Objects, Refused};
use crate::manifest::{Kind, Object, ObjectRef};
use crate::model::{self, Finding, Model};
use crate::schema::Settings;

/// What takes effect, and everything that is wrong with the newest versions.
pub(crate) struct Resolution {
    pub(crate) model: Model,
    pub(crate) objects: Objects,
    pub(crate) findings: Vec<Diagnostic>,
}

/// Builds the model, replacing what is to blame for an error until there is nothing to replace.
///
/// The findings are those of the first attempt, on the newest versions: what follows from a
/// replacement is not the user's doing.
pub(crate) fn resolve(index: &Index, settings: &Settings) -> Resolution {
    let (mut objects, mut findings) = index.objects();
    let (mut model, mut model_findings) = model::build(&objects, settings);
    let refused = index.refused();
    let own = model_findings
        .iter()
        .filter(|f| !follows(f.diagnostic.code, &refused));
    findings.extend(own.map(|f| f.diagnostic.clone()));
    // Each pass moves at least one object to its last good version, or out: it ends.
    while let Some(replaced) = replace(index, &objects, &model_findings) {
        objects = replaced;
        (model, model_findings) = model::build(&objects, settings);
    }
    findings.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
    findings.dedup();
    Resolution {
        model,
        objects,
        findings,
    }
}

/// Whether a finding of this kind may be there only because objects of these kinds were refused.
/// One mistake is said once.
fn follows(code: Code, refused: &Refused) -> bool {
    let absent: &[Kind] = match code {
        Code::UnknownHost | Code::UnknownPort => &[Kind::ServiceEntry, Kind::ApplicationProtocol],
        Code::UnknownProtocol => &[Kind::ApplicationProtocol],
        Code::UnknownSubset | Code::LocalityInactive => &[Kind::DestinationRule],
        Code::UnknownGateway | Code::NoMatchingServer => &[Kind::Gateway, Kind::ServiceEntry],
        Code::EmptySubset | Code::NoEndpoints => &[Kind::WorkloadEntry, Kind::ServiceEntry],
        _ => return false,
    };
    refused.unnamed || absent.iter().any(|kind| refused.kinds.contains(kind))
}

/// The objects without those that are to blame and were changed; none if there is no such object.
fn replace(index: &Index, objects: &Objects, findings: &[Finding]) -> Option<Objects> {
    let culprits: Vec<(ObjectRef, Option<Arc<Object>>)> = findings
        .iter()
        .filter_map(|finding| {
            finding.blame.iter().find_map(|id| {
                let object = objects.get(id)?;
                (!index.is_in_force(object)).then(|| (id.clone(), index.last_good(id)))
            })
        })
        .collect();
    if culprits.is_empty() {
        return None;
    }
    let mut replaced = objects.clone();
    for (id, good) in culprits {
        match good {
            Some(good) => replaced.insert(id, good),
            None => replaced.remove(&id),
        };
    }
    Some(replaced)
}
