//! The attributes in the documentation are what the code says. `MELTEMI_BLESS=1` writes them.

use std::path::Path;

use meltemi_codec::kit::{attribute_table, documented};

#[test]
fn the_attributes_are_what_the_code_says() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/protocols/dubbo.md");
    let attributes = attribute_table(&meltemi_dubbo::protocol());
    documented(&page, "attributes", &attributes);
}
