//! `AUTH`, `HELLO`, `SELECT`, `RESET`, `QUIT`: who the client is, and what its connection is like.

use meltemi_codec::{FromClient, OwnRequest, Pin};

use super::{
    Client, Question,
    asked::{Asked, Draft},
    class::Class,
    local::is_name,
    state::Login,
    texts,
};
use crate::{
    memo::{Kind, Tag},
    resp::{number, reply, write},
    session::Credentials,
};

/// The words of `HELLO version [AUTH user password] [SETNAME name]`.
#[derive(Default)]
struct Hello {
    credentials: Option<Credentials>,
    name: Option<Box<[u8]>>,
}

impl Client {
    /// Where a password is asked for here, nothing else is done before it was given.
    pub(super) fn locked_out(&self, asked: &Asked<'_>, out: &mut Vec<u8>) -> Option<FromClient> {
        let free = matches!(
            asked.class,
            Class::Auth | Class::Hello | Class::Reset | Class::Quit
        );
        if self.state.authenticated || free {
            return None;
        }
        write::error(texts::NO_AUTH, out);
        Some(FromClient::Answered)
    }

    pub(super) fn login(&mut self, asked: &Asked<'_>, out: &mut Vec<u8>) -> FromClient {
        match asked.class {
            Class::Auth => self.auth(asked, out),
            Class::Hello => self.hello(asked, out),
            Class::Select => self.select(asked),
            _ => self.reset(out),
        }
    }

    fn auth(&mut self, asked: &Asked<'_>, out: &mut Vec<u8>) -> FromClient {
        let credentials = match (asked.argument(1), asked.argument(2), asked.arguments.len()) {
            (Some(password), None, 2) => credentials(None, password),
            (Some(user), Some(password), 3) => credentials(Some(user), password),
            _ if self.settings.asked.is_some() => return told(texts::SYNTAX, out),
            _ => return self.ordinary(asked),
        };
        if self.settings.asked.is_some() {
            if !self.admits(&credentials) {
                return told(texts::WRONG_PASS, out);
            }
            self.admit(&credentials);
            write::simple("OK", out);
            return FromClient::Answered;
        }
        if self.state.pinned() {
            return self.own(asked);
        }
        let mut login = self.as_now();
        login.user = Some(credentials.user().into());
        login.who.credentials = Some(credentials);
        self.ask_session(login, asked.bytes)
    }

    fn admits(&self, shown: &Credentials) -> bool {
        let asked = self.settings.asked.as_ref();
        asked.is_some_and(|asked| asked.admit(shown))
    }

    fn admit(&mut self, shown: &Credentials) {
        self.state.authenticated = true;
        self.state.user = Some(shown.user().into());
    }

    fn select(&mut self, asked: &Asked<'_>) -> FromClient {
        let db = asked.argument(1).and_then(number::integer);
        // What is no database the server calls so, and nothing changes.
        let Some(db) = db.and_then(|db| u32::try_from(db).ok()) else {
            return self.ordinary(asked);
        };
        if self.state.pinned() {
            return self.own(asked);
        }
        if db == self.state.who.db {
            return self.ordinary(asked);
        }
        let mut login = self.as_now();
        login.who.db = db;
        self.ask_session(login, asked.bytes)
    }

    fn hello(&mut self, asked: &Asked<'_>, out: &mut Vec<u8>) -> FromClient {
        let version = asked.argument(1).map(number::integer);
        let resp3 = match version {
            Some(Some(2)) => false,
            Some(Some(3)) => true,
            // The server answers with the version that it speaks already, or refuses.
            None if self.state.authenticated => return self.ordinary(asked),
            None => return told(texts::HELLO_NO_AUTH, out),
            Some(Some(_)) => return told(texts::NO_PROTO, out),
            Some(None) => return told(texts::VERSION, out),
        };
        let words = match hello(asked) {
            Ok(words) => words,
            Err(error) => return told(&error, out),
        };
        let here = self.settings.asked.is_some();
        if here {
            match &words.credentials {
                Some(shown) if self.admits(shown) => self.admit(shown),
                Some(_) => return told(texts::WRONG_PASS, out),
                None if !self.state.authenticated => return told(texts::HELLO_NO_AUTH, out),
                None => {}
            }
        }
        if self.state.pinned() {
            return self.hello_own(asked, resp3, words.name.as_deref());
        }
        let mut login = self.as_now();
        login.who.resp3 = resp3;
        login.name = words.name;
        if let Some(credentials) = words.credentials.filter(|_| !here) {
            login.user = Some(credentials.user().into());
            login.who.credentials = Some(credentials);
        }
        let mut bytes = Vec::new();
        write::command(&[b"HELLO", if resp3 { b"3" } else { b"2" }], &mut bytes);
        self.ask_session(login, &bytes)
    }

    /// On a connection of the client's own.
    fn hello_own(&mut self, asked: &Asked<'_>, resp3: bool, name: Option<&[u8]>) -> FromClient {
        let mut draft = self.draft(asked);
        draft.tag.kind = match resp3 {
            true => Kind::Hello3,
            false => Kind::Hello2,
        };
        self.keep(&mut draft);
        // What follows in one write is judged by what this makes of the connection; a password may be
        // wrong, and is waited for.
        draft.tag.count = self.state.resets;
        if asked.arguments.len() == 2 {
            self.state.who.resp3 = resp3;
        }
        if self.settings.asked.is_some() {
            // The password was the proxy's.
            let version: &[u8] = if resp3 { b"3" } else { b"2" };
            match name {
                Some(name) => draft.replace(&[b"HELLO", version, b"SETNAME", name]),
                None => draft.replace(&[b"HELLO", version]),
            }
        }
        FromClient::Request(draft.finish())
    }

    fn as_now(&self) -> Login {
        Login {
            who: self.state.who.clone(),
            user: None,
            name: None,
        }
    }

    /// Asks for a connection that is so, and what `bytes` are answered on it.
    fn ask_session(&mut self, login: Login, bytes: &[u8]) -> FromClient {
        let mut draft = Draft::new(Tag::default());
        draft.request.session = login.who.session();
        self.question = Some(Question::Session(Box::new(login)));
        FromClient::Ask(Box::new(OwnRequest {
            request: draft.finish(),
            bytes: bytes.into(),
        }))
    }

    /// The server's answer to [`Question::Session`].
    pub(super) fn logged_in(
        &mut self,
        login: Login,
        answer: Option<&[u8]>,
        out: &mut Vec<u8>,
    ) -> FromClient {
        match answer {
            None => write::error(texts::NO_ANSWER, out),
            Some(answer) => {
                if reply::error(answer).is_none() {
                    self.state.adopt(login);
                }
                out.extend_from_slice(answer);
            }
        }
        FromClient::Answered
    }

    fn reset(&mut self, out: &mut Vec<u8>) -> FromClient {
        if self.state.pinned() {
            return self.reset_server();
        }
        self.state.reset(self.settings.asked.is_none());
        write::simple("RESET", out);
        FromClient::Answered
    }

    /// The server resets the connection. One that others will use has to become again what it was
    /// opened as; the client's own one what a new client's is.
    pub(super) fn reset_server(&mut self) -> FromClient {
        let mut draft = Draft::new(Tag::of(match self.state.own {
            true => Kind::Renew,
            false => Kind::Restore,
        }));
        draft.request.session.clone_from(&self.state.session);
        if !self.state.own {
            draft.request.pin = Pin::Release;
        }
        self.state.reset(self.settings.asked.is_none());
        FromClient::Request(draft.finish())
    }

    pub(super) fn quit(&mut self, out: &mut Vec<u8>) -> FromClient {
        write::simple("OK", out);
        FromClient::Goodbye
    }
}

fn told(error: &[u8], out: &mut Vec<u8>) -> FromClient {
    write::error(error, out);
    FromClient::Answered
}

fn credentials(user: Option<&[u8]>, password: &[u8]) -> Credentials {
    Credentials {
        user: user.map(Into::into),
        password: password.into(),
    }
}

/// Reads the options of `HELLO`; the error is Redis'.
fn hello(asked: &Asked<'_>) -> Result<Hello, Vec<u8>> {
    let mut read = Hello::default();
    let mut n = 2;
    while let Some(option) = asked.argument(n) {
        let is = |word: &[u8]| option.eq_ignore_ascii_case(word);
        match (asked.argument(n + 1), asked.argument(n + 2)) {
            (Some(user), Some(password)) if is(b"AUTH") => {
                read.credentials = Some(credentials(Some(user), password));
                n += 3;
            }
            (Some(name), _) if is(b"SETNAME") => {
                if !is_name(name) {
                    return Err(texts::NAME.to_vec());
                }
                read.name = Some(name.into());
                n += 2;
            }
            _ => {
                let mut error = b"ERR Syntax error in HELLO option '".to_vec();
                error.extend_from_slice(option);
                error.push(b'\'');
                return Err(error);
            }
        }
    }
    Ok(read)
}
