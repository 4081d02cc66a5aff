//! Tables of a documentation page that are what the code says.

use std::{env, fmt::Write, fs, path::Path};

use crate::protocol::Protocol;

/// Holds what stands between `<!-- NAME -->` and `<!-- /NAME -->` of a page against `table`; where
/// the environment has `MELTEMI_BLESS`, writes it there.
///
/// # Panics
/// Where the page cannot be read, has no such place, or says something else.
pub fn documented(page: &Path, name: &str, table: &str) {
    let shown = page.display();
    let text = fs::read_to_string(page).unwrap_or_else(|error| panic!("{shown}: {error}"));
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let place = text.split_once(&begin).and_then(|(before, rest)| {
        let (found, after) = rest.split_once(&end)?;
        Some((before, found, after))
    });
    let Some((before, found, after)) = place else {
        panic!("{shown} has no place for `{name}`: write {begin}{end} where it belongs");
    };
    if found == table {
        return;
    }
    if env::var_os("MELTEMI_BLESS").is_some() {
        let text = format!("{before}{begin}{table}{end}{after}");
        fs::write(page, text).unwrap_or_else(|error| panic!("{shown}: {error}"));
        return;
    }
    let differs = found
        .lines()
        .zip(table.lines())
        .find(|(old, new)| old != new);
    panic!(
        "{shown}: `{name}` is out of date; run this test with MELTEMI_BLESS=1. It differs at {differs:?}"
    );
}

/// A protocol's attributes and their meaning, as Markdown.
#[must_use]
pub fn attribute_table(protocol: &dyn Protocol) -> String {
    let mut table = "| attribute | value |\n|---|---|\n".to_owned();
    for attribute in protocol.attributes() {
        let meaning = attribute.meaning.replace('|', "\\|");
        let _ = writeln!(table, "| `{}` | {meaning} |", attribute.name);
    }
    table
}
