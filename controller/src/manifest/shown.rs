//! What of a file may be shown in findings: everything but what is, or may be, a secret.

use std::sync::Arc;

use super::Kind;
use super::decode::nearest;
use crate::diagnostic::{Position, SourceFile};
use crate::yaml::{Entry, Node, SyntaxError, Value};

/// Keys whose values are secrets, in whatever kind of object and in whatever case: a kind that is
/// mistyped holds them too. One slip in a key does not make its value public.
const SECRET_KEYS: &[&str] = &[
    "data",
    "stringdata",
    "password",
    "plain",
    "token",
    // The whole object once more.
    "kubectl.kubernetes.io/last-applied-configuration",
];

/// Of `auth` everything is secret but a reference to a Secret.
const AUTH: &str = "auth";
const REFERENCE: &str = "secret";

/// What of a Secret is none.
const PUBLIC_KEYS: &[&str] = &["apiVersion", "kind", "metadata", "type", "immutable"];

/// Words without which a document that cannot be parsed holds no secret that we would read.
const SECRET_WORDS: &[&str] = &["secret", "stringdata", "password", "plain", "token"];

/// Shorter values are hidden where they stand, but not where the same text stands elsewhere.
const SHORTEST: usize = 3;

/// The file with secrets blotted out, character by character so that places stay what they are.
/// Where a document cannot be parsed, and so a secret cannot be told from the rest, nothing of a
/// file that may have one is left.
pub(super) fn file(
    file: &Arc<SourceFile>,
    documents: &[Result<Node, SyntaxError>],
) -> Arc<SourceFile> {
    let mut secrets = Secrets::default();
    for document in documents.iter().flatten() {
        secrets.find(document, false);
    }
    let is_broken = documents.iter().any(Result::is_err);
    let text = if is_broken && mentions_secrets(&file.text) {
        String::new()
    } else if secrets.places.is_empty() && secrets.holders.is_empty() {
        return file.clone();
    } else {
        secrets.blot(&file.text)
    };
    Arc::new(SourceFile {
        name: file.name.clone(),
        text,
    })
}

fn mentions_secrets(text: &str) -> bool {
    let text = text.to_lowercase();
    SECRET_WORDS.iter().any(|word| text.contains(word))
}

fn names_secret(key: &str) -> bool {
    let key = key.to_lowercase();
    let slips = |known: &str| strsim::damerau_levenshtein(&key, known);
    key == AUTH || SECRET_KEYS.iter().any(|known| slips(known) <= 1)
}

/// Whether it is a Secret, or was meant to be one.
fn is_secret_object(entries: &[Entry]) -> bool {
    let kind = entries.iter().find(|entry| entry.key == "kind");
    let name = Kind::Secret.name();
    let is_near = |kind: &str| kind.starts_with(name) || nearest(kind, [name]).is_some();
    kind.is_some_and(|kind| matches!(&kind.value.value, Value::String(kind) if is_near(kind)))
}

/// Whose `data` is no secret.
fn is_config_map(entries: &[Entry]) -> bool {
    let kind = entries.iter().find(|entry| entry.key == "kind");
    let name = Kind::ConfigMap.name();
    kind.is_some_and(|kind| matches!(&kind.value.value, Value::String(kind) if kind == name))
}

#[derive(Default)]
struct Secrets {
    places: Vec<Position>,
    /// Where each key of the file stands.
    keys: Vec<Position>,
    /// Keys that hold a secret: what stands between one and the next key is hidden with its value,
    /// which a slip may have turned into a comment, a tag or an anchor.
    holders: Vec<Position>,
    /// Lines of values: an anchor may stand where nothing else says that it is a secret.
    values: Vec<String>,
}

impl Secrets {
    fn find(&mut self, node: &Node, is_secret: bool) {
        let scalar = match &node.value {
            Value::List(items) => {
                items.iter().for_each(|item| self.find(item, is_secret));
                return;
            }
            Value::Map(entries) => {
                let is_object = is_secret_object(entries);
                let is_public = is_config_map(entries);
                for entry in entries {
                    let holds_secret = match is_object {
                        true => !PUBLIC_KEYS.contains(&entry.key.as_str()),
                        false if is_public && entry.key == "data" => is_secret,
                        false => is_secret || names_secret(&entry.key),
                    };
                    self.keys.push(entry.at);
                    if holds_secret {
                        self.holders.push(entry.at);
                    }
                    match &entry.value.value {
                        Value::Map(within) if entry.key == AUTH => self.find_auth(within),
                        _ => self.find(&entry.value, holds_secret),
                    }
                }
                return;
            }
            Value::Null => return,
            Value::Bool(value) => value.to_string(),
            Value::Integer(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
            Value::String(text) => text.clone(),
        };
        if !is_secret {
            return;
        }
        self.places.push(node.at);
        let lines = scalar.lines().map(str::trim);
        let lines = lines.filter(|line| line.chars().count() >= SHORTEST);
        self.values.extend(lines.map(str::to_owned));
    }

    fn find_auth(&mut self, entries: &[Entry]) {
        for entry in entries {
            self.keys.push(entry.at);
            self.find(&entry.value, entry.key != REFERENCE);
        }
    }

    fn blot(mut self, text: &str) -> String {
        let mut blotted: Vec<char> = text.chars().collect();
        let length = blotted.len();
        let starts = line_starts(&blotted);
        let span = |place: &Position| {
            let line = starts.get(place.line.saturating_sub(1) as usize);
            let start = line.map_or(0, |line| line + place.column.saturating_sub(1) as usize);
            let end = start.saturating_add(place.width as usize);
            start.min(length)..end.min(length)
        };
        let mut keys: Vec<usize> = self.keys.iter().map(|key| span(key).start).collect();
        keys.sort_unstable();
        for holder in self.holders.iter().map(span) {
            let next = keys.partition_point(|key| *key < holder.end);
            let end = keys.get(next).copied().unwrap_or(length);
            if let Some(held) = blotted.get_mut(holder.end..end) {
                within_structure(held).iter_mut().for_each(blot);
            }
        }
        for place in self.places.iter().map(span) {
            blotted[place].iter_mut().for_each(blot);
        }
        let mut text: String = blotted.into_iter().collect();
        // The longest first: a shorter one may be a part of it.
        self.values
            .sort_by_key(|value| std::cmp::Reverse(value.len()));
        self.values.dedup();
        for value in &self.values {
            let blots = "*".repeat(value.chars().count());
            text = text.replace(value, &blots);
        }
        text
    }
}

/// What stands between a key and the next without the marks of mappings and lists around it.
fn within_structure(held: &mut [char]) -> &mut [char] {
    let opens = |c: &char| c.is_whitespace() || matches!(c, ':' | '{' | '[');
    let closes = |c: &char| c.is_whitespace() || matches!(c, '}' | ']' | ',');
    let start = held.iter().position(|c| !opens(c)).unwrap_or(held.len());
    let end = held
        .iter()
        .rposition(|c| !closes(c))
        .map_or(start, |last| last + 1);
    held.get_mut(start..end).unwrap_or_default()
}

fn blot(c: &mut char) {
    if !matches!(c, '\n' | '\r') {
        *c = '*';
    }
}

/// Where each line begins, in characters.
fn line_starts(text: &[char]) -> Vec<usize> {
    let ends = text.iter().enumerate().filter(|(_, c)| **c == '\n');
    std::iter::once(0)
        .chain(ends.map(|(end, _)| end + 1))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::parse_stream;

    /// The text that may be shown.
    fn shown(text: &str) -> String {
        let whole = Arc::new(SourceFile {
            name: "a.yaml".to_owned(),
            text: text.to_owned(),
        });
        file(&whole, &parse_stream(text)).text.clone()
    }

    #[test]
    fn secrets_are_blotted_out_in_whatever_style() {
        let rows = [
            "stringData: {password: hunter2}",
            "stringData:\n  password: 'hunter2'\n",
            "stringData:\n  password: \"hunter2 \\\"x\"\nkind: Secret\n",
            "stringData:\n  password: |\n    hunter2\n    more\nkind: Secret\n",
            "stringData:\n  password: >-\n    hunter2\n\n    more\n",
            "stringData:\n  password:\n    hunter2\n    more\n",
            "note: &pw hunter2\nstringData: {password: *pw}\n",
            "a: 1\n---\n# two\nspec:\n  auth: {plain: {username: é, pasword: hunter2}}\n",
            "spec: {auth: {plain: {password: hunter2}}, x: [1]}",
            "DATA: [hunter2]",
            "kind: Secret\nsdata: {a: {b: [hunter2]}}\n",
            "{kind: Secrt, x: hunter2}",
            "spec: {auth: {plan: {pw: hunter2}}}",
            "spec: {auth: hunter2}",
            "kind: SecretList\nitems: [{sdata: {a: hunter2}}]\n",
            "metadata: {annotations: {kubectl.kubernetes.io/last-applied-configuration: hunter2}}",
            "pasword: hunter2",
            "kind: ConfigMap\ndata: {password: hunter2}\n",
            "kind: ConfgMap\ndata: {x: hunter2}\n",
            "spec: [hunter2\npassword: hunter2",
            "{stringData: {a: hunter2}",
            "stringData:\n  password: &hunter2\nkind: Secret\n",
            "stringData:\n  password: !hunter2\n",
            "stringData:\n  password: #hunter2\n  username: app\n",
            "stringData: &hunter2\n  password: a # hunter\nkind: Secret\n",
            "spec: {auth: {plain: {password: &hunter2 }, x: 1}}",
        ];
        for text in rows {
            let shown = shown(text);
            assert!(!shown.contains("hunter"), "{text}\n{shown}");
            if !shown.is_empty() {
                let lines =
                    |text: &str| text.lines().map(|l| l.chars().count()).collect::<Vec<_>>();
                assert_eq!(lines(&shown), lines(text), "{text}\n{shown}");
            }
        }
    }

    #[test]
    fn everything_else_is_shown() {
        let rows = [
            "spec: {hosts: [greeter.shop]}",
            "a: [1",
            "spec:\n  routes: []\n---\nx: y\n",
            "auth: {secret: {name: clients, passwordField: pw}}",
            "kind: ConfigMap\ndata: {mesh: enabled}\n",
        ];
        for text in rows {
            assert_eq!(shown(text), text);
        }
        let beside = "stringData: {a: b}\nkind: Secret\n";
        assert_eq!(shown(beside), "stringData: {a: *}\nkind: Secret\n");
    }
}
