//! `meltemi check`.

use std::process::ExitCode;

use meltemi_core::protocols::Protocols;

use crate::{
    arguments::{Check, Format},
    output, schemas,
};

pub(crate) fn main(check: &Check, protocols: &Protocols) -> anyhow::Result<ExitCode> {
    let manifests = &check.manifests;
    let settings = schemas::settings(protocols, &manifests.root_namespace, None);
    let report = meltemi_controller::check::run(&manifests.files, settings);
    match check.output.output {
        Format::Text => output::answer(&report)?,
        Format::Json => output::answer(serde_json::to_string_pretty(&report)?)?,
    }
    Ok(ExitCode::from(u8::from(!report.is_valid())))
}
