//! Regenerates the checked-in Rust code of `meltemi-proto` from its `.proto` files, without protoc.
//!
//! `cargo run -p meltemi-proto-codegen` writes it; with `--check` nothing is written, and the names
//! of the files that differ are printed with exit status 1.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use anyhow::{Context, bail};
use prost::Message as _;
use prost_types::FileDescriptorSet;

/// The files that nothing else imports; the rest follows from their imports.
const ROOTS: [&str; 15] = [
    "aeraki/meta_protocol_proxy/config/route/v1alpha/route.proto",
    "envoy/config/cluster/v3/cluster.proto",
    "envoy/config/endpoint/v3/endpoint.proto",
    "envoy/config/listener/v3/listener.proto",
    "envoy/extensions/transport_sockets/tls/v3/secret.proto",
    "envoy/extensions/transport_sockets/tls/v3/tls.proto",
    "envoy/service/discovery/v3/ads.proto",
    "envoy/service/ratelimit/v3/rls.proto",
    "istio/v1/auth/ca.proto",
    "meltemi/config/v1/cluster.proto",
    "meltemi/config/v1/health_check.proto",
    "meltemi/config/v1/listener.proto",
    "meltemi/config/v1/rejection.proto",
    "meltemi/config/v1/self.proto",
    "meltemi/config/v1/service.proto",
];

fn main() -> anyhow::Result<ExitCode> {
    let check = match env::args().nth(1).as_deref() {
        None => false,
        Some("--check") => true,
        Some(other) => bail!("unknown argument {other}; the only one is --check"),
    };
    let package = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("codegen lies inside the package that it generates for")?;
    let checked_in = package.join("src/gen");

    let fresh = tempfile::tempdir()?;
    generate(&package.join("proto"), fresh.path())?;
    let fresh = read_all(fresh.path())?;
    if check {
        return report(&fresh, &read_all(&checked_in)?);
    }
    if checked_in.exists() {
        fs::remove_dir_all(&checked_in)?;
    }
    fs::create_dir_all(&checked_in)?;
    for (name, text) in fresh {
        fs::write(checked_in.join(name), text)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn generate(sources: &Path, out: &Path) -> anyhow::Result<()> {
    let descriptors = protox::compile(ROOTS, [sources])?;
    fs::write(out.join("descriptors.bin"), reflection(&descriptors))?;
    let mut config = prost_build::Config::new();
    config
        .enable_type_names()
        .type_name_domain(["."], "type.googleapis.com")
        .bytes(["."])
        // Written by hand: its value may be a secret.
        .skip_debug([".envoy.config.core.v3.DataSource"])
        // Maps in key order, so that a resource's version can be the hash of its encoding.
        .btree_map(["."])
        // `prost_types::Any` copies its value; ours shares it among all subscribers.
        .extern_path(".google.protobuf.Any", "crate::Any")
        .include_file("packages.rs");
    tonic_prost_build::configure()
        .build_transport(false)
        .out_dir(out)
        .compile_fds_with_config(descriptors, config)?;
    Ok(())
}

/// What it takes to show messages as JSON: the descriptors, without the comments and places of their sources.
fn reflection(descriptors: &FileDescriptorSet) -> Vec<u8> {
    let mut bare = descriptors.clone();
    for file in &mut bare.file {
        file.source_code_info = None;
    }
    bare.encode_to_vec()
}

fn read_all(dir: &Path) -> anyhow::Result<BTreeMap<OsString, Vec<u8>>> {
    let mut files = BTreeMap::new();
    if !dir.exists() {
        return Ok(files);
    }
    for entry in fs::read_dir(dir)? {
        let path: PathBuf = entry?.path();
        let name = path.file_name().context("a directory entry has a name")?;
        files.insert(name.to_owned(), fs::read(&path)?);
    }
    Ok(files)
}

fn report(
    fresh: &BTreeMap<OsString, Vec<u8>>,
    checked_in: &BTreeMap<OsString, Vec<u8>>,
) -> anyhow::Result<ExitCode> {
    let mut differing: Vec<_> = fresh
        .keys()
        .chain(checked_in.keys())
        .filter(|name| fresh.get(*name) != checked_in.get(*name))
        .collect();
    differing.sort();
    differing.dedup();
    for name in &differing {
        println!("proto/src/gen/{}", name.display());
    }
    if differing.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("stale: run `cargo run -p meltemi-proto-codegen` and commit the result");
    Ok(ExitCode::FAILURE)
}
