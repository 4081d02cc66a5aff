//! The tables in the documentation are what the code says. `MELTEMI_BLESS=1` writes them.

use std::path::Path;

use meltemi_codec::kit::{attribute_table, documented};

/// Both tables in one test: blessing writes one file.
#[test]
fn the_tables_are_what_the_code_says() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/protocols/thrift.md");
    let attributes = attribute_table(&meltemi_thrift::protocol());
    documented(&page, "attributes", &attributes);

    let mut table = "| setting | values, the default first | meaning |\n|---|---|---|\n".to_owned();
    for setting in meltemi_thrift::SETTINGS {
        let (name, values) = (setting.name, setting.values);
        table += &format!("| `{name}` | {values} | {} |\n", setting.meaning);
    }
    documented(&page, "settings", &table);
}
