//! The files of a new crate: real ones, beside this module, with `myproto` for the name.

/// A file of the new directory.
pub(super) struct File {
    pub(super) path: &'static str,
    pub(super) text: &'static str,
}

/// The files in `$directory` of the templates; a path that the template has under another name,
/// so that it is not taken for one of this repository's, is written `"path" = "name"`.
macro_rules! files {
    ($directory:literal: $($path:literal $(= $name:literal)?),* $(,)?) => {
        &[$(File {
            path: $path,
            text: include_str!(files!(@from $directory, $path $(, $name)?)),
        }),*]
    };
    (@from $directory:literal, $path:literal) => {
        concat!("template/", $directory, "/", $path)
    };
    (@from $directory:literal, $path:literal, $name:literal) => {
        concat!("template/", $directory, "/", $name)
    };
}

const COMMON: &[File] = files!("common":
    "Cargo.toml" = "Cargo.toml.in",
    ".gitignore" = "gitignore",
    "benches/codec.rs",
    "fuzz/Cargo.toml" = "fuzz/Cargo.toml.in",
    "fuzz/.gitignore" = "fuzz/gitignore",
    "fuzz/fuzz_targets/downstream.rs",
    "fuzz/fuzz_targets/upstream.rs",
    "manifests/gateway.yaml",
    "manifests/router.yaml",
    "manifests/service.yaml",
    "proxy/Cargo.toml" = "proxy/Cargo.toml.in",
    "proxy/src/main.rs",
    "proxy/tests/proxied.rs",
    "tests/conformance.rs",
);

const BY_ID: &[File] = files!("by_id":
    "README.md",
    "examples/client.rs",
    "examples/server.rs",
    "src/downstream.rs",
    "src/frame.rs",
    "src/lib.rs",
    "src/upstream.rs",
    "tests/support/corpus.rs",
);

const IN_ORDER: &[File] = files!("in_order":
    "README.md",
    "examples/client.rs",
    "examples/server.rs",
    "src/downstream.rs",
    "src/lib.rs",
    "src/line.rs",
    "src/upstream.rs",
    "tests/support/corpus.rs",
);

/// The files of a crate whose answers come in order, or carry an id.
pub(super) fn files(in_order: bool) -> impl Iterator<Item = &'static File> {
    let own = if in_order { IN_ORDER } else { BY_ID };
    COMMON.iter().chain(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_is_forgotten_or_written_twice() {
        for (in_order, own) in [(false, "by_id"), (true, "in_order")] {
            let mut paths: Vec<_> = files(in_order).map(|file| file.path).collect();
            let written = paths.len();
            paths.sort_unstable();
            paths.dedup();
            assert_eq!(paths.len(), written);
            let templates =
                std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/new_protocol/template");
            let there = count(&templates.join("common")) + count(&templates.join(own));
            assert_eq!(written, there, "{own}");
        }
    }

    fn count(directory: &std::path::Path) -> usize {
        let entries = std::fs::read_dir(directory).expect("the templates are there");
        let entries = entries.map(|entry| entry.expect("an entry").path());
        entries
            .map(|path| if path.is_dir() { count(&path) } else { 1 })
            .sum()
    }
}
