//! What the README shows is what the binary prints.

use std::fs;
use std::path::Path;
use std::process::Command;

use meltemi_tests::binary;

/// A line of the README that stands for any number of printed ones.
const CUT: &str = "…";

fn root() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the tests lie in the workspace")
}

/// Whether the printed lines are the shown ones, with any lines for a [`CUT`].
fn fits(shown: &[&str], printed: &[&str]) -> bool {
    match (shown.split_first(), printed.split_first()) {
        (None, None) => true,
        (Some((&CUT, rest)), _) => {
            (0..=printed.len()).any(|from| printed.get(from..).is_some_and(|p| fits(rest, p)))
        }
        (Some((shown, rest)), Some((printed, others))) => shown == printed && fits(rest, others),
        _ => false,
    }
}

#[test]
fn an_explanation() {
    let readme = fs::read_to_string(root().join("README.md")).expect("there is a README");
    let (_, from) = readme
        .split_once("$ meltemi explain")
        .expect("the README explains a request");
    let (shown, _) = from.split_once("\n```").expect("the block ends");
    let (command, shown) = shown.split_once("sayHello\n").expect("a call of sayHello");
    let command = format!("{command}sayHello").replace("\\\n", " ");
    let output = Command::new(binary())
        .arg("explain")
        .args(command.split_whitespace())
        .current_dir(root())
        .output()
        .expect("meltemi starts");
    let printed = String::from_utf8(output.stdout).expect("text");
    let (shown, printed): (Vec<_>, Vec<_>) = (shown.lines().collect(), printed.lines().collect());
    assert!(fits(&shown, &printed), "{shown:#?}\nbut\n{printed:#?}");
}
