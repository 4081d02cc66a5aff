//! The tables in the documentation are what the code says. `MELTEMI_BLESS=1` writes them.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, and a file that cannot be read is a failure"
)]

use std::{env, fs, path::Path};

use meltemi_codec::Protocol;

/// Puts `table` between the markers of this name, or holds what is there against it.
fn holds(name: &str, table: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/protocols/thrift.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(&format!("<!-- {name} -->\n")).unwrap();
    let (found, after) = rest.split_once(&format!("<!-- /{name} -->")).unwrap();
    if env::var_os("MELTEMI_BLESS").is_some() {
        let text = format!("{before}<!-- {name} -->\n{table}<!-- /{name} -->{after}");
        fs::write(&path, text).unwrap();
        return;
    }
    assert_eq!(found, table, "run the test with MELTEMI_BLESS=1");
}

/// Both tables in one test: blessing writes one file.
#[test]
fn the_tables_are_what_the_code_says() {
    let mut table = "| attribute | value |\n|---|---|\n".to_owned();
    for attribute in meltemi_thrift::protocol().attributes() {
        table += &format!("| `{}` | {} |\n", attribute.name, attribute.meaning);
    }
    holds("attributes", &table);

    let mut table = "| setting | values, the default first | meaning |\n|---|---|---|\n".to_owned();
    for setting in meltemi_thrift::SETTINGS {
        let (name, values) = (setting.name, setting.values);
        table += &format!("| `{name}` | {values} | {} |\n", setting.meaning);
    }
    holds("settings", &table);
}
