//! Commands that the table does not know.

use std::borrow::Cow;

use super::{Access, Begin, Find, Flags, KeySpec, takes};
use crate::resp::Reply;

/// A command as `COMMAND INFO` of a server describes it: a module's, or one of a newer Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learned {
    /// In lower case.
    pub name: Box<[u8]>,
    /// As [`super::Command::arity`].
    pub arity: i16,
    /// The flags that the table's commands may have too.
    pub flags: Flags,
    /// Where its keys are: the server's key specifications, or first, last and step of servers
    /// that have none (before 7.0).
    pub keys: Vec<KeySpec>,
    /// What a container contains.
    pub subcommands: Vec<Self>,
    /// Whether [`Learned::keys`] finds all keys of each request. Where it does not,
    /// `COMMAND GETKEYS` has to be asked for each.
    pub complete: bool,
}

impl Learned {
    /// The one entry of the reply to `COMMAND INFO name`, of RESP2 or RESP3. `None` where the
    /// server does not know the command, or the reply is something else.
    #[must_use]
    pub fn read(reply: &[u8]) -> Option<Self> {
        Self::entry(&Reply::parse(reply)?.items().next()?)
    }

    /// Whether a request of `argc` arguments has as many as the command takes.
    #[must_use]
    pub fn takes(&self, argc: usize) -> bool {
        takes(self.arity, argc)
    }

    /// What a request's second argument makes of it: the subcommand of this name, where it is a
    /// container that has it.
    #[must_use]
    pub fn within(&self, sub: Option<&[u8]>) -> &Self {
        let named = |entry: &&Self| {
            let own = entry.name.get(self.name.len() + 1..).unwrap_or(&entry.name);
            sub.is_some_and(|sub| own.eq_ignore_ascii_case(sub))
        };
        self.subcommands.iter().find(named).unwrap_or(self)
    }

    fn entry(entry: &Reply<'_>) -> Option<Self> {
        // A container's subcommands have none of their own, so this does not go deeper than two.
        let mut fields = entry.items();
        let name = fields.next()?.text()?.to_ascii_lowercase().into();
        let arity = i16::try_from(fields.next()?.number()?).ok()?;
        let flags = fields
            .next()?
            .items()
            .filter_map(|flag| flag.text().map(Flags::named))
            .fold(Flags::NONE, |all, flag| all | flag);
        let first = u16::try_from(fields.next()?.number()?).ok()?;
        let last = i16::try_from(fields.next()?.number()?).ok()?;
        let step = u16::try_from(fields.next()?.number()?).ok()?;
        // Then ACL categories and tips; specifications and subcommands came with Redis 7.0.
        let keys = fields.nth(2).map(|specs| read_specs(&specs));
        let subcommands = fields.next();
        let movable = flags.contains(Flags::MOVABLEKEYS);
        let (keys, complete) = match keys {
            Some(Some(keys)) if !keys.is_empty() || !movable => {
                let complete = keys.iter().all(is_complete);
                (keys, complete)
            }
            Some(None) => (legacy(first, last, step), false),
            _ => (legacy(first, last, step), !movable),
        };
        Some(Self {
            name,
            arity,
            flags,
            keys,
            subcommands: subcommands.map_or_else(Vec::new, |all| {
                all.items().filter_map(|it| Self::subcommand(&it)).collect()
            }),
            complete,
        })
    }

    fn subcommand(entry: &Reply<'_>) -> Option<Self> {
        let deeper = entry
            .items()
            .nth(9)
            .is_some_and(|all| all.items().next().is_some());
        (!deeper).then(|| Self::entry(entry))?
    }
}

fn is_complete(spec: &KeySpec) -> bool {
    !spec.incomplete && spec.begin != Begin::Unknown && spec.find != Find::Unknown
}

/// First, last and step of Redis before 7.0; first 0: no keys.
fn legacy(first: u16, last: i16, step: u16) -> Vec<KeySpec> {
    let distance = i16::try_from(first).map(|first| if last < 0 { last } else { last - first });
    match (first, distance) {
        (0, _) | (_, Err(_)) => Vec::new(),
        (_, Ok(last)) => vec![KeySpec {
            begin: Begin::Index(first),
            find: Find::Range {
                last,
                step,
                limit: 0,
            },
            access: Access::ReadWrite,
            not_key: false,
            incomplete: false,
        }],
    }
}

/// `None` where one of them is of a kind that is not known here.
fn read_specs(specs: &Reply<'_>) -> Option<Vec<KeySpec>> {
    specs.items().map(|spec| read_spec(&spec)).collect()
}

fn read_spec(spec: &Reply<'_>) -> Option<KeySpec> {
    let flags = spec.field(b"flags")?;
    let has = |name: &[u8]| flags.items().any(|flag| flag.text() == Some(name));
    let begin = spec.field(b"begin_search")?;
    let begin = match (begin.field(b"type")?.text()?, begin.field(b"spec")?) {
        (b"index", at) => Begin::Index(number(&at, b"index")?),
        (b"keyword", at) => Begin::Keyword {
            word: Cow::Owned(text(&at.field(b"keyword")?)?),
            from: i16::try_from(at.field(b"startfrom")?.number()?).ok()?,
        },
        (b"unknown", _) => Begin::Unknown,
        _ => return None,
    };
    let find = spec.field(b"find_keys")?;
    let find = match (find.field(b"type")?.text()?, find.field(b"spec")?) {
        (b"range", at) => Find::Range {
            last: i16::try_from(at.field(b"lastkey")?.number()?).ok()?,
            step: number(&at, b"keystep")?,
            limit: number(&at, b"limit")?,
        },
        (b"keynum", at) => Find::Keynum {
            number: number(&at, b"keynumidx")?,
            first: number(&at, b"firstkey")?,
            step: number(&at, b"keystep")?,
        },
        (b"unknown", _) => Find::Unknown,
        _ => return None,
    };
    Some(KeySpec {
        begin,
        find,
        access: match () {
            () if has(b"RO") => Access::ReadOnly,
            () if has(b"OW") => Access::Overwrite,
            () if has(b"RM") => Access::Remove,
            () => Access::ReadWrite,
        },
        not_key: has(b"not_key"),
        incomplete: has(b"incomplete"),
    })
}

fn number(of: &Reply<'_>, field: &[u8]) -> Option<u16> {
    u16::try_from(of.field(field)?.number()?).ok()
}

fn text(reply: &Reply<'_>) -> Option<String> {
    String::from_utf8(reply.text()?.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(fields: &str) -> Vec<u8> {
        format!("*1\r\n{fields}").into_bytes()
    }

    #[test]
    fn a_server_before_7_gives_first_last_and_step() {
        let plain =
            info("*7\r\n$9\r\nJSON.MGET\r\n:-3\r\n*1\r\n+readonly\r\n:1\r\n:-2\r\n:1\r\n*0\r\n");
        let learned = Learned::read(&plain).unwrap();
        assert_eq!(&*learned.name, b"json.mget");
        assert!(learned.complete && learned.flags.contains(Flags::READONLY));
        assert!(learned.takes(3) && learned.takes(9) && !learned.takes(2));
        let request: [&[u8]; 4] = [b"JSON.MGET", b"a", b"b", b"$"];
        let found = super::super::keys(&learned.keys, 4, |index| request.get(index).copied());
        assert_eq!(found.collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn keys_that_move_are_not_known_from_first_last_and_step() {
        let movable = info("*6\r\n$1\r\nx\r\n:-3\r\n*1\r\n+movablekeys\r\n:0\r\n:0\r\n:0\r\n");
        assert!(!Learned::read(&movable).unwrap().complete);
        let keyless = info("*6\r\n$1\r\nx\r\n:1\r\n*1\r\n+novelty\r\n:0\r\n:0\r\n:0\r\n");
        let keyless = Learned::read(&keyless).unwrap();
        assert!(keyless.complete && keyless.keys.is_empty() && keyless.flags == Flags::NONE);
    }

    #[test]
    fn what_is_no_entry_teaches_nothing() {
        for reply in [
            "*1\r\n*-1\r\n",
            "*1\r\n_\r\n",
            "-NOPERM x\r\n",
            "*0\r\n",
            "*1\r\n*1\r\n+x\r\n",
            "",
        ] {
            assert_eq!(Learned::read(reply.as_bytes()), None, "{reply:?}");
        }
    }
}
