//! Where the Meltemi crates are that a new one depends on.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::REPOSITORY;

/// The checkout that this binary was built from, where it was.
const BUILT_FROM: &str = env!("CARGO_MANIFEST_DIR");

/// A place that Cargo gets crates from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A checkout on this machine.
    Checkout(PathBuf),
    /// The repository.
    Repository,
}

/// The checkout at `told`; else the one that this binary was built from, if it still exists; else
/// the repository.
pub(super) fn find(told: Option<&Path>) -> anyhow::Result<Source> {
    if let Some(path) = told {
        let path = path
            .canonicalize()
            .with_context(|| format!("--meltemi {}", path.display()))?;
        if !is_checkout(&path) {
            bail!(
                "--meltemi {}: there is no core/codec/Cargo.toml; name the root of a checkout of \
                 {REPOSITORY}, or leave the option out",
                path.display()
            );
        }
        return Ok(Source::Checkout(path));
    }
    let own = Path::new(BUILT_FROM);
    Ok(if is_checkout(own) && !is_of_cargo(own) {
        Source::Checkout(own.to_owned())
    } else {
        Source::Repository
    })
}

fn is_checkout(path: &Path) -> bool {
    ["Cargo.toml", "core/codec/Cargo.toml"]
        .iter()
        .all(|file| path.join(file).is_file())
}

/// Whether Cargo made the checkout for itself (`cargo install --git`), and may remove it.
fn is_of_cargo(path: &Path) -> bool {
    path.components()
        .zip(path.components().skip(1))
        .any(|(one, next)| one.as_os_str() == "git" && next.as_os_str() == "checkouts")
}

impl Source {
    /// `text` of a template with the dependencies in it.
    pub(super) fn named(&self, text: &str) -> String {
        text.replace("@meltemi-codec@", &self.dependency("core/codec"))
            .replace("@meltemi@", &self.dependency(""))
    }

    /// The crate at `place` of the repository, as a dependency's table has it.
    fn dependency(&self, place: &str) -> String {
        match self {
            Self::Checkout(root) => {
                let path = root.join(place);
                format!(
                    "path = {}",
                    quoted(path.to_string_lossy().trim_end_matches('/'))
                )
            }
            Self::Repository => format!("git = {}", quoted(REPOSITORY)),
        }
    }
}

/// A string of TOML.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dependency_is_a_path_or_the_repository() {
        let text = "meltemi-codec = { @meltemi-codec@ }\nmeltemi = { @meltemi@ }";
        let checkout = Source::Checkout("/srv/mel\"temi".into());
        assert_eq!(
            checkout.named(text),
            "meltemi-codec = { path = \"/srv/mel\\\"temi/core/codec\" }\n\
             meltemi = { path = \"/srv/mel\\\"temi\" }"
        );
        let repository = Source::Repository.named(text);
        assert_eq!(repository.matches(REPOSITORY).count(), 2, "{repository}");
    }

    #[test]
    fn a_checkout_is_one() {
        let told = find(Some(Path::new(BUILT_FROM))).expect("this one");
        assert!(matches!(told, Source::Checkout(_)));
        let refused = find(Some(&Path::new(BUILT_FROM).join("src"))).expect_err("no checkout");
        assert!(
            refused.to_string().contains("core/codec/Cargo.toml"),
            "{refused}"
        );
        assert!(is_of_cargo(Path::new(
            "/u/.cargo/git/checkouts/meltemi-1/2"
        )));
    }
}
