//! What names may look like: as Kubernetes and Istio have it, and so that what is printed of them
//! cannot be taken for something else.

use super::Located;
use super::decode::Decoder;
use crate::diagnostic::{Code, Diagnostic};

/// A kind of names.
pub(super) struct Rule {
    permits: fn(&str) -> bool,
    what: &'static str,
    remedy: &'static str,
}

/// RFC 1123's subdomain, of which Kubernetes bounds the whole and not the labels.
pub(super) const OBJECT: Rule = Rule {
    permits: |name| name.len() <= 253 && name.split('.').all(is_label),
    what: "the name of an object",
    remedy: "use lower-case letters, digits, `-` and `.`, at most 253, with a letter or digit at \
             each end",
};

/// RFC 1123's label.
pub(super) const NAMESPACE: Rule = Rule {
    permits: |name| name.len() <= 63 && is_label(name),
    what: "a namespace",
    remedy: "use lower-case letters, digits and `-`, at most 63, with a letter or digit at each end",
};

/// A DNS name, whole or short.
pub(super) const HOST: Rule = Rule {
    permits: is_host,
    what: "the name of a host",
    remedy: "give one DNS name, such as greeter.shop, and neither a wildcard nor an address",
};

/// The same, or `*` in place of its first labels.
pub(super) const WILDCARD_HOST: Rule = Rule {
    permits: |host| host == "*" || is_host(host.strip_prefix("*.").unwrap_or(host)),
    what: "the name of a host",
    remedy: "give a DNS name, such as greeter.shop; only its first label may be `*`",
};

/// What DNS can be asked for. What ends in a number would be an address (WHATWG's URL, too); as in Istio
/// a dot at the end is allowed, with which no search domain is tried.
pub(crate) fn is_resolvable(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let last = name.rsplit('.').next().unwrap_or_default();
    is_host(name) && !last.bytes().all(|c| c.is_ascii_digit())
}

/// What stands in reports and in the names of resources beside other names.
pub(super) const WORD: Rule = Rule {
    permits: |name| {
        !name.contains(|c: char| c.is_whitespace() || c.is_control() || "/|".contains(c))
    },
    what: "a name",
    remedy: "leave out blanks, control characters, `/` and `|`",
};

/// A path that follows `unix://`.
pub(super) const PATH: Rule = Rule {
    permits: |path| !path.contains(char::is_control),
    what: "a path",
    remedy: "leave out control characters",
};

impl Decoder {
    /// Says it where a name is none.
    pub(super) fn check_name(&mut self, path: &str, name: &Located<String>, rule: &Rule) -> bool {
        let permits = (rule.permits)(&name.value);
        if !permits {
            let message = format!(
                "`{path}` is not {}: `{}`",
                rule.what,
                name.value.escape_debug()
            );
            let diagnostic = Diagnostic::error(Code::InvalidValue, message);
            self.report(name.at, diagnostic.remedy(rule.remedy));
        }
        permits
    }
}

fn is_label(label: &str) -> bool {
    let lower = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let bytes = label.as_bytes();
    bytes.iter().all(|&c| lower(c) || c == b'-')
        && bytes.first().is_some_and(|&c| lower(c))
        && bytes.last().is_some_and(|&c| lower(c))
}

pub(super) fn is_host(host: &str) -> bool {
    let is_label = |label: &str| {
        let mut chars = label.chars();
        !label.is_empty()
            && label.len() <= 63
            && chars.all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.len() <= 253 && host.split('.').all(is_label) && host.parse::<std::net::IpAddr>().is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_kubernetes_and_istio() {
        let [long, longest] = [64, 254].map(|length| "a".repeat(length));
        let rows: [(&Rule, &[&str], &[&str]); 5] = [
            (
                &OBJECT,
                &["a", "a-b.c1", "0", &long],
                &["", "A", "a.", "-a", "a_b", "a b", "a/b", &longest],
            ),
            (
                &NAMESPACE,
                &["a", "a-1"],
                &["", "a.b", "A", "a-", "a\nb", &long],
            ),
            (
                &HOST,
                &["a", "a.B_c", "x-y.z"],
                &[
                    "", "a|b", "a/b", "a b", "*.x", "a:1", "1.2.3.4", "a.", &long,
                ],
            ),
            (
                &WILDCARD_HOST,
                &["*", "*.x", "a.x"],
                &["", "*x", "*.*", "x.*", "**"],
            ),
            (
                &WORD,
                &["tcp-dubbo", "a.b", "é"],
                &["a b", "a\nb", "a\u{1b}", "a/b", "a|b", "a\u{a0}b"],
            ),
        ];
        for (rule, good, bad) in rows {
            for name in good {
                assert!((rule.permits)(name), "{} {name:?}", rule.what);
            }
            for name in bad {
                assert!(!(rule.permits)(name), "{} {name:?}", rule.what);
            }
        }
    }
}
