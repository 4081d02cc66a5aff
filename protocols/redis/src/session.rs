//! The state that a client put its connection in, and that a server's connection must have to
//! serve it.

use std::rc::Rc;

use meltemi_codec::Session;

/// A user and a password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    /// `None`: the server's default user, in the words of servers before 6.0 (`AUTH password`).
    pub(crate) user: Option<Box<[u8]>>,
    pub(crate) password: Box<[u8]>,
}

impl std::fmt::Debug for Credentials {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({})", self.user().escape_ascii())
    }
}

impl Credentials {
    /// The user's name.
    pub(crate) fn user(&self) -> &[u8] {
        self.user.as_deref().unwrap_or(b"default")
    }

    /// Whether both are those of `other`, in a time that does not tell how much of the password is
    /// right.
    pub(crate) fn admit(&self, other: &Self) -> bool {
        let (one, two) = (&self.password, &other.password);
        let differ = one
            .iter()
            .zip(two.iter())
            .fold(0, |differ, (one, two)| differ | (one ^ two));
        differ == 0 && one.len() == two.len() && self.user() == other.user()
    }
}

/// What a connection is like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Who {
    /// Whether it speaks RESP3.
    pub(crate) resp3: bool,
    pub(crate) db: u32,
    /// What the client authenticated with; `None` where it did not, or did here.
    pub(crate) credentials: Option<Credentials>,
}

impl Who {
    /// For the core; `None` where it is what each new connection is.
    pub(crate) fn session(&self) -> Option<Session> {
        if *self == Self::default() {
            return None;
        }
        let mut bytes = vec![u8::from(self.resp3)];
        bytes.extend(self.db.to_le_bytes());
        if let Some(Credentials { user, password }) = &self.credentials {
            bytes.push(u8::from(user.is_some()));
            let user = user.as_deref().unwrap_or_default();
            bytes.extend((user.len() as u64).to_le_bytes());
            bytes.extend(user);
            bytes.extend(password);
        }
        Some(Session(Rc::from(bytes)))
    }

    /// What [`Who::session`] was made of; a default connection where it was made elsewhere.
    pub(crate) fn of(session: Option<&Session>) -> Self {
        let read = |bytes: &[u8]| {
            let (resp3, rest) = bytes.split_first()?;
            let (db, rest) = rest.split_first_chunk()?;
            Some(Self {
                resp3: *resp3 == 1,
                db: u32::from_le_bytes(*db),
                credentials: credentials(rest),
            })
        };
        session
            .and_then(|session| read(&session.0))
            .unwrap_or_default()
    }
}

fn credentials(bytes: &[u8]) -> Option<Credentials> {
    let (named, rest) = bytes.split_first()?;
    let (length, rest) = rest.split_first_chunk()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let (user, password) = rest.split_at_checked(length)?;
    Some(Credentials {
        user: (*named == 1).then(|| user.into()),
        password: password.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::{Credentials, Who};

    #[test]
    fn a_session_says_all_of_a_connection() {
        let credentials = |user: Option<&str>| {
            Some(Credentials {
                user: user.map(|user| user.as_bytes().into()),
                password: (*b"s\r\n").into(),
            })
        };
        assert_eq!(Who::default().session(), None);
        assert_eq!(Who::of(None), Who::default());
        for resp3 in [false, true] {
            for db in [0, 15, u32::MAX] {
                for credentials in [
                    None,
                    credentials(None),
                    credentials(Some("")),
                    credentials(Some("u")),
                ] {
                    let who = Who {
                        resp3,
                        db,
                        credentials,
                    };
                    assert_eq!(Who::of(who.session().as_ref()), who);
                }
            }
        }
    }

    #[test]
    fn no_log_shows_a_password() {
        let who = Credentials {
            user: None,
            password: (*b"secret").into(),
        };
        assert_eq!(format!("{who:?}"), "Credentials(default)");
    }
}
