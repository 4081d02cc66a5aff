//! Meltemi: `meltemi proxy` with one worker, configured by `meltemi-controller` from manifests.

mod manifest;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use self::manifest::SERVER;
pub(crate) use self::manifest::{HOST, manifests};
use super::{Contender, Kind, Setup, Start, wrapped};
use crate::process::Process;
use crate::wire::Protocol;

pub(super) fn start(kind: Kind, setup: &Setup) -> Result<Start> {
    let program = match kind {
        Kind::MeltemiUnmetered => unmetered(),
        _ => sibling("meltemi"),
    };
    let Some(program) = program else {
        return Ok(absent());
    };
    let dir = setup.dir.join(kind.name());
    fs::create_dir_all(&dir)?;
    fs::write(dir.join("bench.yaml"), manifests(kind, setup))?;
    let mut command = wrapped(setup, &program);
    let mut companions = Vec::new();
    if setup.in_one {
        command.args(["run", "-f"]).arg(&dir);
    } else {
        let Some(controller) = sibling("meltemi-controller") else {
            return Ok(absent());
        };
        let (controller, xds) = control(setup.protocol, &dir, &controller)?;
        command.args(["proxy", "--xds", &xds]);
        companions.push(controller);
    }
    command.args(["--admin", "127.0.0.1:0"]);
    command.args(options(kind));
    let proxy = Process::start(kind.name(), &command, &setup.dir)?;
    let target = listening(&proxy)?;
    let mut contender = Contender::behind(kind, target, proxy);
    contender._companions = companions;
    Ok(Start::Running(contender))
}

fn absent() -> Start {
    Start::Absent(
        "build it beside this program: cargo build --release -p meltemi-controller && \
         cargo build --release -p meltemi --no-default-features"
            .to_owned(),
    )
}

/// A controller of the manifests in `dir`, and where it serves.
pub(crate) fn control(protocol: Protocol, dir: &Path, program: &Path) -> Result<(Process, String)> {
    let mut command = Command::new(program);
    command
        .arg("-f")
        .arg(dir)
        .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .args(["--protocol", schema(protocol)]);
    let controller = Process::start("controller", &command, dir)?;
    let xds = controller.expect_line("xds ")?;
    Ok((controller, xds))
}

/// Where a proxy with these manifests listens.
pub(crate) fn listening(proxy: &Process) -> Result<SocketAddr> {
    proxy
        .expect_line(&format!("listening default/bench/{SERVER} "))?
        .parse()
        .context("the address that meltemi proxy printed")
}

fn options(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::MeltemiTwoWorkers => &["--workers", "2"],
        Kind::MeltemiLog => &["--workers", "1", "--access-log", "/dev/null"],
        Kind::MeltemiLogSampled => &[
            "--workers",
            "1",
            "--access-log",
            "/dev/null",
            "--access-log-percent",
            "1",
        ],
        _ => &["--workers", "1"],
    }
}

/// The protocol as the controller is told of it, which has no plugins.
fn schema(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Dubbo => "dubbo:interface",
        Protocol::Redis => "redis",
        Protocol::Thrift => "thrift:service",
    }
}

/// Builds Meltemi where cargo runs this program, so that no binary of yesterday is measured: as in its image,
/// where a proxy links no client of Kubernetes.
pub(crate) fn build() -> Result<()> {
    let profile = profile_dir()?;
    let target = profile.parent().unwrap_or(&profile);
    // One after the other: in one build the features of both would be those of each.
    cargo_build(target, &["-p", "meltemi-controller"])?;
    build_alone()
}

/// The same without the controller, for a proxy that reads manifests by itself.
pub(crate) fn build_alone() -> Result<()> {
    let profile = profile_dir()?;
    let target = profile.parent().unwrap_or(&profile);
    cargo_build(target, &["-p", "meltemi", "--no-default-features"])
}

/// The same without metrics, in a directory of its own below that of the build.
pub(crate) fn build_unmetered() -> Result<()> {
    cargo_build(
        &profile_dir()?.join(UNMETERED),
        &[
            "-p",
            "meltemi",
            "--no-default-features",
            "--features",
            "meltemi-core/unmetered",
        ],
    )
}

const UNMETERED: &str = "unmetered";

fn unmetered() -> Option<PathBuf> {
    let own = profile_dir().ok()?;
    let program = own.join(UNMETERED).join(own.file_name()?).join("meltemi");
    Some(program).filter(|program| program.is_file())
}

/// The profile that this program, and Meltemi beside it, are built with.
pub(crate) fn profile() -> Result<String> {
    let dir = profile_dir()?;
    let name = dir.file_name().unwrap_or_default();
    Ok(name.to_string_lossy().into_owned())
}

/// Where this program lies: `debug` or `release` of a target directory.
fn profile_dir() -> Result<PathBuf> {
    let own = std::env::current_exe().context("find this program's own path")?;
    let dir = own.parent().context("this program lies in no directory")?;
    Ok(dir.to_owned())
}

fn cargo_build(target_dir: &Path, what: &[&str]) -> Result<()> {
    let Some(cargo) = std::env::var_os("CARGO") else {
        return Ok(());
    };
    let mut command = Command::new(cargo);
    command.arg("build").args(what);
    command.arg("--target-dir").arg(target_dir);
    // A profile's directory has its name, but for that of `dev`.
    let dir = profile_dir()?;
    if let Some(profile) = dir.file_name().filter(|name| *name != "debug") {
        command.arg("--profile").arg(profile);
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
