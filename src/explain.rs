//! `meltemi explain`.

use std::process::ExitCode;

use meltemi_controller::{
    Settings,
    explain::{self, Explanation, Query},
};
use meltemi_core::protocols::Protocols;

use crate::{
    arguments::{Explain, Format, Subject},
    output, schemas,
};

/// The exit status where no route matches.
const NO_ROUTE: u8 = 3;

pub(crate) fn main(explain: &Explain, protocols: &Protocols) -> anyhow::Result<ExitCode> {
    let root_namespace = &explain.subject.root_namespace;
    let settings = schemas::settings(protocols, root_namespace, Some(&explain.place));
    let query = Query {
        service: explain.service.clone(),
        gateway: explain.gateway.clone(),
        attributes: explain.attributes.clone(),
        source: explain.source,
        principal: explain.principal.clone(),
        failed: explain.failed.clone(),
    };
    let explanation = answer(&explain.subject, settings, query)?;
    match explain.output.output {
        Format::Text => output::answer(&explanation)?,
        Format::Json => output::answer(serde_json::to_string_pretty(&explanation)?)?,
    }
    Ok(match explanation.route {
        Some(_) => ExitCode::SUCCESS,
        None => ExitCode::from(NO_ROUTE),
    })
}

fn answer(subject: &Subject, settings: Settings, query: Query) -> anyhow::Result<Explanation> {
    #[cfg(feature = "cluster")]
    if let Some(cluster) = crate::cluster::read(subject, &settings)? {
        let report = cluster.report();
        if !report.is_valid() {
            output::tell(format_args!(
                "note: what has errors is left out here, and `meltemi check` says what it is: {}",
                report.summary()
            ));
        }
        let query = match &subject.namespace {
            Some(namespace) => query.within(namespace),
            None => query,
        };
        return Ok(explain::in_cluster(&cluster, &query)?);
    }
    Ok(explain::run(&subject.files, settings, &query)?)
}
