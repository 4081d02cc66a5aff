//! `meltemi check`.

use std::fmt::Display;
use std::process::ExitCode;

use meltemi_controller::{Settings, check::Report};
use meltemi_core::protocols::Protocols;
use serde::Serialize;

use crate::{
    arguments::{Check, Format, Subject},
    output, schemas,
};

pub(crate) fn main(check: &Check, protocols: &Protocols) -> anyhow::Result<ExitCode> {
    let subject = &check.subject;
    let settings = schemas::settings(protocols, &subject.root_namespace, None);
    if check.from_aeraki {
        return migration(check, settings);
    }
    if check.plan {
        return plan(check, settings);
    }
    let report = report(subject, settings)?;
    answer(&report, report.is_valid(), check)
}

fn migration(check: &Check, settings: Settings) -> anyhow::Result<ExitCode> {
    let subject = &check.subject;
    #[cfg(feature = "cluster")]
    if let Some(cluster) = crate::cluster::read(subject, &settings)? {
        let migration = cluster.migration();
        return answer(&migration, migration.report.is_valid(), check);
    }
    let migration = meltemi_controller::check::migration(&subject.files, settings);
    answer(&migration, migration.report.is_valid(), check)
}

fn plan(check: &Check, settings: Settings) -> anyhow::Result<ExitCode> {
    let subject = &check.subject;
    #[cfg(feature = "cluster")]
    if let Some(cluster) = crate::cluster::read(subject, &settings)? {
        let plan = match &subject.namespace {
            Some(namespace) => cluster.plan().of_namespace(namespace),
            None => cluster.plan(),
        };
        return answer(&plan, plan.report.is_valid(), check);
    }
    let plan = meltemi_controller::check::plan(&subject.files, settings);
    answer(&plan, plan.report.is_valid(), check)
}

fn answer(
    said: &(impl Display + Serialize),
    is_valid: bool,
    check: &Check,
) -> anyhow::Result<ExitCode> {
    match check.output.output {
        Format::Text => output::answer(said)?,
        Format::Json => output::answer(serde_json::to_string_pretty(said)?)?,
    }
    Ok(ExitCode::from(u8::from(!is_valid)))
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
