//! Meltemi: `meltemi proxy` with one worker, configured by `meltemi-controller` from manifests.

mod manifest;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use self::manifest::{SERVER, manifests};
use super::{Contender, Kind, Setup, Start, wrapped};
use crate::process::Process;
use crate::wire::Protocol;

pub(super) fn start(kind: Kind, setup: &Setup) -> Result<Start> {
    let (Some(proxy), Some(controller)) = (sibling("meltemi"), sibling("meltemi-controller"))
    else {
        return Ok(Start::Absent(
            "build it beside this program: cargo build --release -p meltemi -p meltemi-controller"
                .to_owned(),
        ));
    };
    let name = kind.name();
    let dir = setup.dir.join(name);
    fs::create_dir_all(&dir)?;
    fs::write(dir.join("bench.yaml"), manifests(kind, setup))?;

    let mut command = Command::new(controller);
    command
        .arg("-f")
        .arg(&dir)
        .args(["--listen", "127.0.0.1:0"])
        .args(["--protocol", schema(setup.protocol)]);
    let controller = Process::start(&format!("{name}-controller"), &command, &setup.dir)?;
    let xds = controller.expect_line("xds ")?;

    let mut command = wrapped(setup, &proxy);
    command.args([
        "proxy",
        "--xds",
        &xds,
        "--workers",
        "1",
        "--admin",
        "127.0.0.1:0",
    ]);
    let proxy = Process::start(name, &command, &setup.dir)?;
    let target = proxy
        .expect_line(&format!("listening default/bench/{SERVER} "))?
        .parse()
        .context("the address that meltemi proxy printed")?;
    let mut contender = Contender::behind(kind, target, proxy);
    contender._companions.push(controller);
    Ok(Start::Running(contender))
}

/// The protocol as the controller is told of it, which has no plugins.
fn schema(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Dubbo => "dubbo:interface",
        Protocol::Redis => "redis",
        Protocol::Thrift => "thrift:service",
    }
}

/// Builds Meltemi where cargo runs this program, so that no binary of yesterday is measured.
pub(crate) fn build() -> Result<()> {
    let Some(cargo) = std::env::var_os("CARGO") else {
        return Ok(());
    };
    let own = std::env::current_exe().context("find this program's own path")?;
    let profile_dir = own.parent().context("this program lies in no directory")?;
    let mut command = Command::new(cargo);
    command.args([
        "build",
        "-p",
        "meltemi",
        "-p",
        "meltemi-controller",
        "--target-dir",
    ]);
    command.arg(profile_dir.parent().unwrap_or(profile_dir));
    if profile_dir.ends_with("release") {
        command.arg("--release");
    }
    if !command.status().context("run cargo")?.success() {
        bail!("Meltemi does not build; `--only` chooses other contenders");
    }
    Ok(())
}

/// A program of the same build: debug beside debug, release beside release.
pub(crate) fn sibling(name: &str) -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    Some(own.parent()?.join(name)).filter(|path: &PathBuf| Path::is_file(path))
}
