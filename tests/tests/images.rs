//! The images: built from nothing but binaries and what the distribution has, the same each time, and what is in them runs
//! as the user that they name.

use std::path::Path;
use std::process::{Command, Output};

use meltemi_tests::binary;
use meltemi_tests::kubernetes::{Programs, charts, controller_binary};
use tempfile::TempDir;

fn run(command: &mut Command) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("it starts");
    let text = String::from_utf8_lossy(&stdout).into_owned();
    assert!(
        status.success(),
        "{command:?}: {text}{}",
        String::from_utf8_lossy(&stderr)
    );
    text
}

fn build(store: &Path) -> String {
    let binaries = binary().parent().expect("a directory");
    let script = charts().join("../scripts/build-images");
    run(Command::new(script).arg(binaries).arg(store))
}

fn buildah(store: &Path) -> Command {
    let mut command = Command::new("buildah");
    command
        .args(["--storage-driver", "vfs", "--root"])
        .arg(store.join("root"))
        .arg("--runroot")
        .arg(store.join("run"));
    command
}

#[test]
fn images_are_the_same_each_time_and_run_as_nobody() {
    // Where the peers are not required they are not installed.
    if Programs::find().is_none() || Command::new("buildah").arg("--version").output().is_err() {
        return;
    }
    let _ = controller_binary();
    let store = TempDir::with_prefix("meltemi-images-").expect("a temporary directory");
    let first = build(store.path());
    assert_eq!(first.lines().count(), 2, "{first}");
    assert_eq!(build(store.path()), first);
    for line in first.lines() {
        let (program, image) = line.split_once(' ').expect("a name and an id");
        let container = run(buildah(store.path()).args(["from", image]));
        let container = container.trim();
        let says = |arguments: &[&str]| {
            let program = format!("/usr/bin/{program}");
            let head = ["run", "--isolation", "chroot", container, "--", &program];
            run(buildah(store.path()).args([&head, arguments].concat()))
        };
        let version = says(&["--version"]);
        assert!(version.starts_with(&format!("{program} ")), "{version}");
        let settings = "{{.OCIv1.Config.User}} {{.OCIv1.Config.Entrypoint}}";
        let inspected =
            run(buildah(store.path()).args(["inspect", "--format", settings, container]));
        assert_eq!(
            inspected.trim(),
            format!("65532:65532 [/usr/bin/{program}]")
        );
    }
}
