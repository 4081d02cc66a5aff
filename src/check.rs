//! `meltemi check`.

use std::process::ExitCode;

use meltemi_controller::{Settings, check::Report};
use meltemi_core::protocols::Protocols;

use crate::{
    arguments::{Check, Format, Subject},
    output, schemas,
};

pub(crate) fn main(check: &Check, protocols: &Protocols) -> anyhow::Result<ExitCode> {
    let subject = &check.subject;
    let settings = schemas::settings(protocols, &subject.root_namespace, None);
    let report = report(subject, settings)?;
    match check.output.output {
        Format::Text => output::answer(&report)?,
        Format::Json => output::answer(serde_json::to_string_pretty(&report)?)?,
    }
    Ok(ExitCode::from(u8::from(!report.is_valid())))
}

fn report(subject: &Subject, settings: Settings) -> anyhow::Result<Report> {
    #[cfg(feature = "cluster")]
    if let Some(cluster) = crate::cluster::read(subject, &settings)? {
        let report = cluster.report();
        return Ok(match &subject.namespace {
            Some(namespace) => report.of_namespace(namespace),
            None => report.clone(),
        });
    }
    Ok(meltemi_controller::check::run(&subject.files, settings))
}
