//! Host names: short names, wildcards, and which pattern is the most specific.

/// The FQDN that a host of a rule stands for, by the rule of Istio: a name without a dot is a
/// Kubernetes Service of the rule's namespace.
pub fn expand(host: &str, namespace: &str) -> String {
    if host.contains('.') || host.contains('*') {
        host.to_owned()
    } else {
        format!("{host}.{namespace}.svc.cluster.local")
    }
}

/// Whether `pattern` (a name, `*`, or `*` followed by a suffix) covers `host`.
///
/// `host` may be a wildcard too; it is then covered by the patterns that cover all its names.
/// Both are taken as they are: hosts are lower case in Kubernetes and Istio.
pub fn covers(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix('*') {
        None => pattern == host,
        Some(suffix) => host.strip_prefix('*').unwrap_or(host).ends_with(suffix),
    }
}

/// The index of the pattern that covers `host` most closely: the host itself, else the longest
/// wildcard; the first of equal ones.
pub fn most_specific<'a>(host: &str, patterns: impl IntoIterator<Item = &'a str>) -> Option<usize> {
    let mut best: Option<(usize, (bool, usize))> = None;
    for (index, pattern) in patterns.into_iter().enumerate() {
        let rank = (pattern == host, pattern.len());
        if covers(pattern, host) && best.is_none_or(|(_, best_rank)| rank > best_rank) {
            best = Some((index, rank));
        }
    }
    best.map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_belong_to_the_namespace() {
        for (host, expected) in [
            ("demo", "demo.shop.svc.cluster.local"),
            ("demo.other", "demo.other"),
            (
                "demo.other.svc.cluster.local",
                "demo.other.svc.cluster.local",
            ),
            ("*", "*"),
        ] {
            assert_eq!(expand(host, "shop"), expected);
        }
    }

    #[test]
    fn wildcards_cover_suffixes() {
        for (pattern, host, expected) in [
            ("a.foo", "a.foo", true),
            ("a.foo", "b.foo", false),
            ("*.foo", "a.foo", true),
            ("*.foo", "a.b.foo", true),
            ("*.foo", "foo", false),
            ("*.foo", "afoo", false),
            ("*", "anything", true),
            ("*.foo", "*.foo", true),
            ("*.foo", "*.a.foo", true),
            ("*.a.foo", "*.foo", false),
            ("a.foo", "*.foo", false),
        ] {
            assert_eq!(covers(pattern, host), expected, "{pattern} {host}");
        }
    }

    #[test]
    fn the_closest_pattern_wins() {
        for (host, patterns, expected) in [
            (
                "a.b.foo",
                &["*", "*.foo", "*.b.foo", "a.b.foo"][..],
                Some(3),
            ),
            ("a.b.foo", &["*.b.foo", "*.foo"], Some(0)),
            ("a.b.foo", &["*.foo", "*.foo"], Some(0)),
            ("a.b.foo", &["*", "b.foo"], Some(0)),
            ("a.b.foo", &["*.bar", "b.foo"], None),
            ("*.foo", &["*", "*.foo"], Some(1)),
        ] {
            assert_eq!(
                most_specific(host, patterns.iter().copied()),
                expected,
                "{host} {patterns:?}"
            );
        }
    }
}
