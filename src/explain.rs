//! `meltemi explain`.

use std::process::ExitCode;

use meltemi_controller::explain::{self, Query};
use meltemi_core::protocols::Protocols;

use crate::{
    arguments::{Explain, Format},
    output, schemas,
};

/// The exit status where no route matches.
const NO_ROUTE: u8 = 3;

pub(crate) fn main(explain: &Explain, protocols: &Protocols) -> anyhow::Result<ExitCode> {
    let manifests = &explain.manifests;
    let settings = schemas::settings(protocols, &manifests.root_namespace, Some(&explain.place));
    let query = Query {
        service: explain.service.clone(),
        gateway: explain.gateway.clone(),
        attributes: explain.attributes.clone(),
        source: explain.source,
        principal: explain.principal.clone(),
        failed: explain.failed.clone(),
    };
    let explanation = explain::run(&manifests.files, settings, &query)?;
    match explain.output.output {
        Format::Text => output::answer(&explanation)?,
        Format::Json => output::answer(serde_json::to_string_pretty(&explanation)?)?,
    }
    Ok(match explanation.route {
        Some(_) => ExitCode::SUCCESS,
        None => ExitCode::from(NO_ROUTE),
    })
}
