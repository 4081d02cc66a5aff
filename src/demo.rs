//! `meltemi demo`: providers, a proxy and a consumer on this machine, and what happens to calls
//! when a rule changes and a provider dies.
//!
//! The proxy is `meltemi run` as a person would start it, in a process of its own, over a copy of
//! `examples/dubbo`. Providers and consumer are small ones of this process; they speak Dubbo over
//! sockets of loopback.

mod consumer;
mod manifests;
mod provider;
mod proxy;
mod screen;
mod stage;
mod story;
mod tally;

use std::{io, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, bail};
use meltemi_core::{protocols::Protocols, proxy::termination};
use tokio::signal::unix::{SignalKind, signal};

use crate::{arguments::Demo, proxy::block_on};
use screen::Screen;
use stage::Stage;

/// The protocol that the demonstration speaks.
const PROTOCOL: &str = "dubbo";
/// Where the proxy runs, as the manifests see it.
const LOCALITY: &str = "eu/a";

pub(crate) fn main(arguments: &Demo, protocols: &Protocols) -> anyhow::Result<ExitCode> {
    if protocols.find(PROTOCOL).is_none() {
        bail!("the demonstration speaks {PROTOCOL}, which this build of meltemi does not have");
    }
    let hold = Duration::try_from_secs_f64(arguments.act).context("--act")?;
    let directory = directory(arguments.directory.clone())?;
    let screen = Screen::new(arguments.json);
    block_on(async {
        let interrupted = interrupted()?;
        let played = async {
            let mut stage = Stage::set(directory, screen).await?;
            let told = story::tell(&mut stage, hold).await;
            stage.clear(told).await
        };
        tokio::select! {
            told = played => match told {
                Ok(true) => Ok(ExitCode::SUCCESS),
                Ok(false) => Ok(ExitCode::FAILURE),
                // Who reads no more has seen enough.
                Err(error) if is_broken_pipe(&error) => Ok(ExitCode::FAILURE),
                Err(error) => Err(error),
            },
            () = interrupted => bail!("interrupted"),
        }
    })
}

/// Completes when the person, the terminal or the system wants an end: the proxy must not be left
/// behind.
fn interrupted() -> anyhow::Result<impl Future<Output = ()>> {
    let mut hangup = signal(SignalKind::hangup())?;
    let told = termination()?;
    Ok(async move {
        tokio::select! {
            () = told => {}
            _ = hangup.recv() => {}
        }
    })
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let cause = error.downcast_ref::<io::Error>();
    cause.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// The directory that the demonstration writes to. It stays, for the person to look at.
fn directory(told: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let directory = told.unwrap_or_else(|| {
        std::env::temp_dir().join(format!("meltemi-demo-{}", std::process::id()))
    });
    std::fs::create_dir_all(&directory)
        .with_context(|| format!("cannot make the directory {}", directory.display()))?;
    directory
        .canonicalize()
        .with_context(|| directory.display().to_string())
}
