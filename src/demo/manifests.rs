//! The manifests of `examples/dubbo`, copied to where a person can look at them while they change.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};

const ROUTER: &str = "router.yaml";
const GATEWAY: &str = "gateway.yaml";
const SERVICE: &str = "service.yaml";

/// The example as it is in the repository.
const EXAMPLE: [(&str, &str); 5] = [
    (
        "protocol.yaml",
        include_str!("../../examples/dubbo/protocol.yaml"),
    ),
    (GATEWAY, include_str!("../../examples/dubbo/gateway.yaml")),
    (SERVICE, include_str!("../../examples/dubbo/service.yaml")),
    (
        "destination-rule.yaml",
        include_str!("../../examples/dubbo/destination-rule.yaml"),
    ),
    (ROUTER, include_str!("../../examples/dubbo/router.yaml")),
];

/// The server that the example's Gateway has, as `meltemi run` names it.
pub(super) const SERVER: &str = "default/dubbo/tcp-metaprotocol-dubbo";

/// A directory with a copy of the example.
pub(super) struct Manifests {
    directory: PathBuf,
}

impl Manifests {
    /// Copies the example. Each of `ports` is a provider's port there and the one that it has
    /// really; the Gateway's is the system's choice, on loopback.
    pub(super) fn copy(directory: PathBuf, ports: &[(u16, u16)]) -> anyhow::Result<Self> {
        fs::create_dir_all(&directory)?;
        let manifests = Self { directory };
        for (name, text) in EXAMPLE {
            let text = match name {
                GATEWAY => replaced(
                    text,
                    "- port:\n        number: 20880",
                    "- bind: 127.0.0.1\n      port:\n        number: 0",
                )?,
                SERVICE => ports.iter().try_fold(text.to_owned(), |text, (from, to)| {
                    let line = |port| format!("tcp-metaprotocol-dubbo: {port}");
                    replaced(&text, &line(from), &line(to))
                })?,
                _ => text.to_owned(),
            };
            manifests.write(name, &text)?;
        }
        Ok(manifests)
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The file with the route whose weights change.
    pub(super) fn router(&self) -> PathBuf {
        self.directory.join(ROUTER)
    }

    /// Changes the weights of the route that has `from`, in this order.
    pub(super) fn shift_weights(&self, from: [u32; 2], to: [u32; 2]) -> anyhow::Result<()> {
        let path = self.router();
        let mut text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        for (from, to) in from.into_iter().zip(to) {
            text = replaced(
                &text,
                &format!("weight: {from}\n"),
                &format!("weight: {to}\n"),
            )?;
        }
        self.write(ROUTER, &text)?;
        Ok(())
    }

    /// Whole, by a rename: a watcher never reads half a file.
    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let draft = self.directory.join(format!(".{name}"));
        fs::write(&draft, text)?;
        fs::rename(draft, self.directory.join(name))
    }
}

fn replaced(text: &str, from: &str, to: &str) -> anyhow::Result<String> {
    ensure!(
        text.contains(from),
        "the example has no {from:?} any more: it was edited, or the demonstration is out of date"
    );
    Ok(text.replacen(from, to, 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::provider::ROLES;

    #[test]
    fn every_provider_is_in_the_example_as_the_demonstration_has_it() {
        let (_, service) = EXAMPLE[2];
        for role in ROLES {
            let start = service.find(&format!("greeter-{}\n", role.name)).unwrap();
            let entry = service[start..].split("---").next().unwrap();
            for said in [
                format!("tcp-metaprotocol-dubbo: {}", role.example_port),
                format!("locality: {}", role.locality),
                format!("version: {}", role.version),
            ] {
                assert!(
                    entry.contains(&said),
                    "{}: no {said} in\n{entry}",
                    role.name
                );
            }
        }
        assert_eq!(service.matches("kind: WorkloadEntry").count(), ROLES.len());
    }
}
