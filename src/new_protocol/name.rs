//! The name of a protocol that does not exist yet.

use std::str::FromStr;

/// The placeholders of the templates.
const PLACEHOLDER: &str = "myproto";
const PLACEHOLDER_TYPE: &str = "MyProto";

/// What stands before a protocol in the name of a port (Aeraki's).
const PORTS: &str = "metaprotocol";

/// The longest name.
const LONGEST: usize = 32;

/// What Rust, Cargo or the template means something else by, as a crate's name or, with a capital,
/// as a type's.
const TAKEN: &[&str] = &[
    "abstract",
    "alloc",
    "answers",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "build",
    "client",
    "clone",
    "const",
    "continue",
    "copy",
    "core",
    "corpus",
    "correlation",
    "crate",
    "debug",
    "default",
    "deps",
    "do",
    "downstream",
    "drop",
    "duration",
    "dyn",
    "else",
    "enum",
    "eq",
    "err",
    "examples",
    "extend",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "frame",
    "from",
    "gen",
    "header",
    "if",
    "impl",
    "in",
    "incremental",
    "into",
    "iterator",
    "kind",
    "let",
    "limits",
    "line",
    "loop",
    "macro",
    "main",
    "match",
    "message",
    "mod",
    "move",
    "mut",
    "none",
    "ok",
    "opening",
    "option",
    "ord",
    "order",
    "override",
    "priv",
    "protocol",
    "pub",
    "ref",
    "release",
    "request",
    "result",
    "return",
    "self",
    "send",
    "server",
    "sharing",
    "size",
    "sized",
    "sniff",
    "some",
    "static",
    "std",
    "string",
    "struct",
    "super",
    "sync",
    "test",
    "trait",
    "traits",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "upstream",
    "use",
    "vec",
    "virtual",
    "where",
    "while",
    "yield",
];

/// A name that is at once a crate's, a protocol's id and the part of a port's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name(String);

impl Name {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the protocol's type.
    fn type_name(&self) -> String {
        let mut letters = self.0.chars();
        let first = letters.next().map(|first| first.to_ascii_uppercase());
        first.into_iter().chain(letters).collect()
    }

    /// `text` of a template with this name in it.
    pub(super) fn put_into(&self, text: &str) -> String {
        text.replace(PLACEHOLDER, &self.0)
            .replace(PLACEHOLDER_TYPE, &self.type_name())
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let allowed = |char: &char| char.is_ascii_lowercase() || char.is_ascii_digit();
        let lower = text.to_lowercase();
        let kept: String = lower.chars().filter(allowed).collect();
        let kept = kept.trim_start_matches(|char: char| char.is_ascii_digit());
        let kept = kept.get(..LONGEST).unwrap_or(kept);
        if kept != text || text.is_empty() {
            let remedy = match kept {
                "" => "for instance `telemetry2`".to_owned(),
                kept => format!("for instance `{kept}`"),
            };
            return Err(format!(
                "a protocol's name has up to {LONGEST} lower-case letters and digits and begins \
                 with a letter, since crates and ports are named after it; {remedy}"
            ));
        }
        let builtin = crate::builtin();
        if builtin.iter().any(|protocol| protocol.id() == text) {
            return Err(format!(
                "meltemi has a protocol of this name; a second one needs another, for instance \
                 `my{text}`"
            ));
        }
        if text == PORTS {
            return Err(format!(
                "`{PORTS}` in the name of a port says that a protocol's name follows, as in \
                 tcp-{PORTS}-dubbo; another name, for instance `my{PORTS}`"
            ));
        }
        if TAKEN.contains(&text) || text.starts_with("meltemi") {
            return Err(format!(
                "no crate of yours can have this name, since Rust, Cargo or Meltemi has it; for \
                 instance `{}proto`",
                text.trim_start_matches("meltemi")
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_put_into_code_and_manifests() {
        let name: Name = "kv2".parse().expect("a name");
        let text = "use myproto::MyProto; // tcp-myproto";
        assert_eq!(name.put_into(text), "use kv2::Kv2; // tcp-kv2");
    }

    #[test]
    fn what_is_no_name_is_refused_with_one_that_is() {
        for (text, remedy) in [
            ("My-Proto", "`myproto`"),
            ("2fast", "`fast`"),
            ("", "`telemetry2`"),
            ("größe", "`gre`"),
            ("../etc", "`etc`"),
            ("match", "`matchproto`"),
            ("std", "`stdproto`"),
            ("meltemi", "`proto`"),
            ("metaprotocol", "`mymetaprotocol`"),
        ] {
            let refused = text.parse::<Name>().unwrap_err();
            assert!(refused.contains(remedy), "{text}: {refused}");
        }
        let builtin = crate::builtin();
        let id = builtin.first().expect("a protocol").id();
        let refused = id.parse::<Name>().unwrap_err();
        assert!(refused.contains(&format!("`my{id}`")), "{refused}");
        assert!("a".repeat(33).parse::<Name>().is_err());
    }
}
