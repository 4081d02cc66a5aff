//! Which clients a listener is for, by the name that they ask for (SNI), where several share an address.

use meltemi_proto::envoy::config::listener::v3::FilterChainMatch;

use super::super::invalid::Invalid;

/// The names that a listener is for; none: all that no other at its address is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerNames(Vec<ServerName>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum ServerName {
    Exact(String),
    /// All that end so; what is behind the asterisk, with its dot.
    Within(String),
}

/// How well a listener fits, the best last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Anybody,
    /// By so many bytes of its end.
    Within(usize),
    Exact,
}

impl ServerNames {
    /// These names, of which `*.example.com` stands for all that end so.
    ///
    /// # Errors
    /// One is no host name.
    pub fn parse(names: &[String]) -> Result<Self, Invalid> {
        let names = names.iter().enumerate();
        let names = names.map(|(i, text)| {
            ServerName::parse(text).ok_or_else(|| {
                let reason = format!("{text:?} is no host name, and no `*.` before one");
                Invalid::new(format!("server_names[{i}]"), reason)
            })
        });
        Ok(Self(names.collect::<Result<_, _>>()?))
    }

    /// Whether it is for all that no other is for.
    #[must_use]
    pub fn is_for_anybody(&self) -> bool {
        self.0.is_empty()
    }

    /// As they are written.
    pub fn iter(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|name| match name {
            ServerName::Exact(name) => name.clone(),
            ServerName::Within(end) => format!("*{end}"),
        })
    }

    /// `None`: it is not for whoever asks for this name, or for none.
    fn fit(&self, asked: Option<&str>) -> Option<Fit> {
        if self.0.is_empty() {
            return Some(Fit::Anybody);
        }
        let asked = asked?.to_ascii_lowercase();
        let fits = self.0.iter().filter_map(|name| match name {
            ServerName::Exact(name) => (*name == asked).then_some(Fit::Exact),
            ServerName::Within(end) => {
                let rest = asked.strip_suffix(end.as_str())?;
                (!rest.is_empty()).then_some(Fit::Within(end.len()))
            }
        });
        fits.max()
    }

    /// Of several the one that fits best: its own name before a wildcard, of these the longest, before one that is for
    /// anybody. Envoy's filter chains are found so.
    pub(crate) fn best<'n, T>(
        all: impl Iterator<Item = (&'n Self, T)>,
        asked: Option<&str>,
    ) -> Option<T> {
        let fitting = all.filter_map(|(names, of)| Some((names.fit(asked)?, of)));
        // Of equal ones, which a control plane should not make, the first.
        let best = fitting.reduce(|best, next| if next.0 > best.0 { next } else { best });
        best.map(|(_, of)| of)
    }
}

impl ServerName {
    fn parse(text: &str) -> Option<Self> {
        let name = text.to_ascii_lowercase();
        let host = name.strip_prefix("*.").unwrap_or(&name);
        rustls::pki_types::DnsName::try_from(host.to_owned()).ok()?;
        Some(match name.strip_prefix('*') {
            Some(end) => Self::Within(end.to_owned()),
            None => Self::Exact(name),
        })
    }
}

/// By nothing else are clients told apart here.
pub(super) fn of(chain_match: Option<FilterChainMatch>) -> Result<ServerNames, Invalid> {
    let names = chain_match.unwrap_or_default().server_names;
    ServerNames::parse(&names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(all: &[&str]) -> ServerNames {
        let all: Vec<_> = all.iter().map(|name| (*name).to_owned()).collect();
        ServerNames::parse(&all).unwrap()
    }

    #[test]
    fn an_exact_name_comes_before_wildcards_and_these_before_anybody() {
        let all = [
            ("wide", names(&["*.example.com"])),
            ("anybody", names(&[])),
            ("exact", names(&["b.example", "a.b.example.com"])),
            ("narrow", names(&["*.b.example.com"])),
        ];
        let without = |name: &str| {
            let all = all.iter().filter(|(other, _)| *other != name);
            all.map(|(name, names)| (names, *name)).collect::<Vec<_>>()
        };
        for (asked, expected) in [
            (Some("a.b.example.com"), "exact"),
            (Some("A.B.Example.COM"), "exact"),
            (Some("c.b.example.com"), "narrow"),
            (Some("d.c.b.example.com"), "narrow"),
            (Some("b.example.com"), "wide"),
            (Some("example.com"), "anybody"),
            (Some(".example.com"), "anybody"),
            (Some("notexample.com"), "anybody"),
            (None, "anybody"),
        ] {
            let best = ServerNames::best(without("").into_iter(), asked);
            assert_eq!(best, Some(expected), "{asked:?}");
        }
        for asked in [None, Some("other"), Some("example.com")] {
            let best = ServerNames::best(without("anybody").into_iter(), asked);
            assert_eq!(best, None, "{asked:?}");
        }
    }

    #[test]
    fn only_host_names_are_names() {
        for wrong in [
            "",
            "*",
            "*.",
            "a b",
            "*a.example",
            "a.*.example",
            "10.0.0.1/8",
        ] {
            let refused = ServerNames::parse(&[wrong.to_owned()])
                .unwrap_err()
                .to_string();
            assert!(
                refused.starts_with("server_names[0]: "),
                "{wrong}: {refused}"
            );
        }
    }
}
