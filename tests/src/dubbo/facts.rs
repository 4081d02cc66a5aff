//! What a consumer saw, check by check.

use serde_json::Value;

/// One check of a story. Equal facts mean equal behaviour: they hold no port and no time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    pub story: String,
    pub check: String,
    pub ok: bool,
    pub saw: String,
}

/// The facts among a consumer's lines.
pub fn facts(lines: &[String]) -> Vec<Fact> {
    lines.iter().filter_map(|line| fact(line)).collect()
}

fn fact(line: &str) -> Option<Fact> {
    let line: Value = serde_json::from_str(line).ok()?;
    let text = |name| Some(line.get(name)?.as_str()?.to_owned());
    Some(Fact {
        story: text("story")?,
        check: text("check")?,
        ok: line.get("ok")?.as_bool()?,
        saw: text("saw")?,
    })
}

/// Whether the line is the count at the end of the story.
pub(super) fn ends(line: &str, story: &str) -> Option<()> {
    let line: Value = serde_json::from_str(line).ok()?;
    (line.get("story")? == story && line.get("failed").is_some()).then_some(())
}
