//! The roots that there are, as they stand in a Secret.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::ByteString;

use super::root::{Root, RootError};
use super::schedule::{self, Roots, Time};

/// Roots at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    /// The one that signs.
    pub(super) current: Root,
    pub(super) next: Option<Next>,
    pub(super) previous: Option<Previous>,
}

/// The one that will sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Next {
    root: Root,
    published: Option<Time>,
}

/// The one that signed before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Previous {
    certificate: String,
    /// When it did for the last time.
    until: Time,
}

/// What is wrong with what a Secret holds. No key is in it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error("{0}: {1}")]
    Root(&'static str, RootError),
    #[error("{0} is no text")]
    Text(&'static str),
    #[error("{0} is no number of seconds")]
    Time(&'static str),
}

type Data = BTreeMap<String, ByteString>;

impl Kept {
    pub(super) fn first(current: Root) -> Self {
        Self {
            current,
            next: None,
            previous: None,
        }
    }

    /// As far as time is concerned.
    pub(super) fn roots(&self) -> Roots {
        Roots {
            current: self.current.validity,
            next: self.next.as_ref().map(|next| schedule::Next {
                published: next.published,
            }),
            signs_since: self.previous.as_ref().map(|previous| previous.until),
        }
    }

    /// All that proxies are to believe, in PEM.
    pub(super) fn bundle(&self) -> String {
        let next = self.next.as_ref().map(|next| &next.root.certificate);
        let previous = self.previous.as_ref().map(|it| &it.certificate);
        let all = [Some(&self.current.certificate), next, previous];
        all.into_iter().flatten().map(String::as_str).collect()
    }

    pub(super) fn with_next(self, now: Time, lifetime: Duration) -> Result<Self, RootError> {
        let root = Root::make(now, lifetime)?;
        Ok(Self {
            next: Some(Next {
                root,
                published: None,
            }),
            ..self
        })
    }

    pub(super) fn published(mut self, now: Time) -> Self {
        if let Some(next) = &mut self.next {
            next.published = Some(now);
        }
        self
    }

    /// Where there is no next one, it stays as it is.
    pub(super) fn followed(self, now: Time) -> Self {
        let Some(next) = self.next else {
            return self;
        };
        Self {
            current: next.root,
            next: None,
            previous: Some(Previous {
                certificate: self.current.certificate,
                until: now,
            }),
        }
    }

    pub(super) fn without_previous(self) -> Self {
        Self {
            previous: None,
            ..self
        }
    }

    pub(super) fn write(&self) -> Data {
        let mut fields = vec![
            ("ca.crt", self.current.certificate.clone()),
            ("ca.key", self.current.key.clone()),
        ];
        if let Some(Next { root, published }) = &self.next {
            fields.push(("next.crt", root.certificate.clone()));
            fields.push(("next.key", root.key.clone()));
            fields.extend(published.map(|at| ("next.published", at.to_string())));
        }
        if let Some(Previous { certificate, until }) = &self.previous {
            fields.push(("previous.crt", certificate.clone()));
            fields.push(("previous.until", until.to_string()));
        }
        let fields = fields.into_iter();
        fields
            .map(|(name, text)| (name.to_owned(), ByteString(text.into_bytes())))
            .collect()
    }

    pub(super) fn read(data: &Data) -> Result<Self, Unusable> {
        let next = match has(data, "next.crt") {
            true => Some(Next {
                root: root(data, "next.crt", "next.key")?,
                published: has(data, "next.published")
                    .then(|| time(data, "next.published"))
                    .transpose()?,
            }),
            false => None,
        };
        let previous = match has(data, "previous.crt") {
            true => Some(Previous {
                certificate: text(data, "previous.crt")?,
                until: time(data, "previous.until")?,
            }),
            false => None,
        };
        Ok(Self {
            current: root(data, "ca.crt", "ca.key")?,
            next,
            previous,
        })
    }
}

fn has(data: &Data, name: &str) -> bool {
    data.contains_key(name)
}

fn text(data: &Data, name: &'static str) -> Result<String, Unusable> {
    let bytes = data.get(name).map(|bytes| bytes.0.clone());
    String::from_utf8(bytes.unwrap_or_default()).map_err(|_| Unusable::Text(name))
}

fn time(data: &Data, name: &'static str) -> Result<Time, Unusable> {
    text(data, name)?.parse().map_err(|_| Unusable::Time(name))
}

fn root(data: &Data, certificate: &'static str, key: &'static str) -> Result<Root, Unusable> {
    let root = Root::read(text(data, certificate)?, text(data, key)?);
    root.map_err(|error| Unusable::Root(certificate, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = 1_900_000_000;
    const LIFETIME: Duration = Duration::from_secs(800);

    #[test]
    fn each_state_is_read_as_it_was_written() {
        let first = Kept::first(Root::make(NOW, LIFETIME).unwrap());
        let made = first.clone().with_next(NOW + 400, LIFETIME).unwrap();
        let published = made.clone().published(NOW + 410);
        let followed = published.clone().followed(NOW + 650);
        let alone = followed.clone().without_previous();
        let states = [
            (&first, 1),
            (&made, 2),
            (&published, 2),
            (&followed, 2),
            (&alone, 1),
        ];
        for (state, roots) in states {
            assert_eq!(Kept::read(&state.write()).unwrap(), *state);
            assert_eq!(state.bundle().matches("BEGIN CERT").count(), roots);
            assert!(!state.bundle().contains("PRIVATE"));
            assert!(!format!("{state:?}").contains("PRIVATE"));
        }
        assert_eq!(
            published.roots().next,
            Some(schedule::Next {
                published: Some(NOW + 410)
            })
        );
        assert_eq!(followed.roots().signs_since, Some(NOW + 650));
        assert_eq!(followed.current, made.next.unwrap().root);
        assert!(followed.bundle().contains(&first.current.certificate));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let made = Kept::first(Root::make(NOW, LIFETIME).unwrap());
        let made = made
            .with_next(NOW, LIFETIME)
            .unwrap()
            .published(NOW)
            .followed(NOW);
        let rows = [
            ("ca.crt", Some("x"), "ca.crt: "),
            ("ca.key", None, "ca.crt: "),
            (
                "previous.until",
                Some("soon"),
                "previous.until is no number",
            ),
            ("previous.until", None, "previous.until is no number"),
        ];
        for (name, value, expected) in rows {
            let mut data = made.write();
            match value {
                Some(value) => data.insert(name.to_owned(), ByteString(value.into())),
                None => data.remove(name),
            };
            let error = Kept::read(&data).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{name}: {error}");
        }
        assert!(Kept::read(&Data::new()).is_err());
    }
}
