//! `meltemi run`: proxy and control plane in one process, joined by an in-memory pipe.

use std::{io, process::ExitCode, sync::Arc};

use anyhow::bail;
use meltemi_controller::{Controller, Event, ads::Server, check::Report};
use meltemi_core::{protocols::Protocols, xds};
use tokio::sync::{mpsc, watch};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};

use crate::{arguments::Run, output, proxy, schemas};

/// A proxy that rejects much at once is not heard out: what is dropped is in the log.
const REJECTIONS: usize = 64;

pub(crate) fn main(arguments: Run, protocols: Arc<Protocols>) -> anyhow::Result<ExitCode> {
    let manifests = &arguments.manifests;
    let place = &arguments.process.place;
    let settings = schemas::settings(&protocols, &manifests.root_namespace, Some(place));
    let mut controller = Controller::open(&manifests.files, settings);
    let first = controller.load();
    if !first.report.diagnostics.is_empty() {
        output::tell(&first.report);
    }
    if !first.report.is_valid() {
        bail!("the manifests have errors: nothing was started");
    }
    proxy::block_on(async {
        let (resources, served) = watch::channel(Some(first.resources));
        let (rejected, rejections) = mpsc::channel(REJECTIONS);
        let (events, log) = mpsc::channel(1);
        let (control_plane, dialled) = xds::ControlPlane::in_memory();
        let incoming = ReceiverStream::new(dialled).map(Ok::<_, io::Error>);
        tokio::spawn(controller.run(resources, rejections, events));
        let server = Server::new(served, rejected).in_private();
        tokio::spawn(server.serve(incoming, std::future::pending()));
        tokio::spawn(report(log, first.report));
        let identity = xds::Identity::default();
        proxy::data_plane(control_plane, &identity, &arguments.process, protocols).await
    })
}

/// Tells what has changed since the last change.
async fn report(mut events: mpsc::Receiver<Event>, mut last: Report) {
    while let Some(event) = events.recv().await {
        match event {
            Event::Changed(report) => {
                for diagnostic in report.since(&last) {
                    output::tell(format_args!("{diagnostic}\n"));
                }
                let (objects, errors) = (report.objects, report.errors());
                tracing::info!(objects, errors, "manifests changed");
                last = report;
            }
            Event::Rejected(diagnostic) => output::tell(format_args!("{diagnostic}\n")),
        }
    }
}
