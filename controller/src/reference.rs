//! The reference of a kind's fields, written from the tables that its manifests are decoded by.

use std::fmt::Write;

use crate::manifest::META_ROUTER;
use crate::manifest::shape::{Absent, Described, Shape, Takes};

mod examples;

pub use examples::{Example, SURROUNDINGS, meta_router as meta_router_examples};

const HEAD: &str = "\
# MetaRouter: every field

`apiVersion: metaprotocol.aeraki.io/v1alpha1`. This page is written by
`cargo run --package meltemi-controller --example reference` from the tables that manifests are decoded by.
How the fields act together is in [manifests.md](manifests.md#metarouter).

A field is absent where it is not written, or null. Durations are as in Go: `1m30s`, `1.5s`, `250ms`.
⚠ marks what does not act yet.
";

/// The page `docs/reference/metarouter.md`.
#[must_use]
pub fn meta_router() -> String {
    let mut page = HEAD.to_owned();
    for shape in shapes(&META_ROUTER) {
        section(&mut page, shape);
    }
    page.push_str("\n## Where the examples run\n\n");
    page.push_str("Each example is checked and run as a part of a MetaRouter beside these:\n\n");
    // Writing into a string cannot fail.
    let _ = write!(page, "```yaml\n{SURROUNDINGS}```\n");
    page
}

/// A shape, and all that are within it: each once, the outer before the inner.
fn shapes(root: &'static Shape) -> Vec<&'static Shape> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(shape) = found.get(next).copied() {
        let inner = shape.fields.iter().filter_map(|field| field.takes.shape());
        for shape in inner {
            if found.iter().all(|other| other.name != shape.name) {
                found.push(shape);
            }
        }
        next += 1;
    }
    found
}

fn section(page: &mut String, shape: &Shape) {
    let _ = writeln!(page, "\n## {}\n", shape.name);
    if !shape.meaning.is_empty() {
        let _ = writeln!(page, "{}\n", shape.meaning);
    }
    if !shape.given.is_empty() {
        let given = shape.given;
        let _ = writeln!(
            page,
            "The examples have, where they do not show it, `{given}`.\n"
        );
    }
    page.push_str("| field | takes | when absent | meaning | example |\n|---|---|---|---|---|\n");
    for field in shape.fields {
        row(page, field);
    }
}

fn row(page: &mut String, field: &Described) {
    let cells = [
        format!("`{}`", field.name()),
        takes(&field.takes),
        absent(&field.absent),
        field.meaning.to_owned(),
        format!("`{}`", field.example),
    ];
    // A bar would end the cell, in code too.
    let cells = cells.map(|cell| cell.replace('|', "\\|"));
    let _ = writeln!(page, "| {} |", cells.join(" | "));
}

fn takes(takes: &Takes) -> String {
    match takes {
        Takes::Text => "a text".to_owned(),
        Takes::Boolean => "`true` or `false`".to_owned(),
        Takes::Scalar => "a text, a number or a boolean".to_owned(),
        Takes::Integer {
            least: i64::MIN,
            most: i64::MAX,
        } => "a whole number of 64 bits".to_owned(),
        Takes::Integer { least, most } => format!("a whole number from {least} to {most}"),
        Takes::Number { least, most } => format!("a number from {least} to {most}"),
        Takes::Duration => "a duration of at least 1ms".to_owned(),
        Takes::Words(words) => format!("some of {}, separated by commas", quoted(words)),
        Takes::OneOf(words) => format!("one of {}", quoted(words)),
        Takes::Mapping(shape) => link(shape),
        Takes::TextOr(shape) => format!("a text, or {}", link(shape)),
        Takes::List(of) => format!("a list: {}", self::takes(of)),
        Takes::Map(of) => format!("by name: {}", self::takes(of)),
    }
}

fn quoted(words: &[&str]) -> String {
    let words: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
    words.join(", ")
}

fn link(shape: &Shape) -> String {
    let anchor = shape.name.to_lowercase().replace(' ', "-");
    format!("[{}](#{anchor})", shape.name)
}

fn absent(absent: &Absent) -> String {
    match absent {
        Absent::Required => "an error".to_owned(),
        Absent::Default(value) => format!("`{value}`"),
        Absent::Means(what) => (*what).to_owned(),
    }
}

#[cfg(test)]
mod tests;
