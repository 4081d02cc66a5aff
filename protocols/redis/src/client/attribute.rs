//! What routes can match on.

use std::borrow::Cow;

use meltemi_codec::{AttributeDef, Frame};

use super::Client;
use crate::{
    command,
    memo::{self, Tag},
    resp::Arguments,
};

/// The attributes, in the order of [`Client::named`].
pub(crate) const SCHEMA: &[AttributeDef] = &[
    AttributeDef {
        name: "command",
        meaning: "The command in lower case, of a container with its subcommand as Redis names \
                  it: `get`, `config|get`.",
    },
    AttributeDef {
        name: "key",
        meaning: "The first key of the command.",
    },
    AttributeDef {
        name: "db",
        meaning: "The number of the database that the client has selected.",
    },
    AttributeDef {
        name: "user",
        meaning: "The user that the client has authenticated as; `default` where it has not.",
    },
];

impl Client {
    pub(super) fn named<'a>(&self, request: Frame<'a>, index: usize) -> Option<Cow<'a, [u8]>> {
        match index {
            0 => name(request),
            1 => key(request),
            2 => Some(self.state.who.db.to_string().into_bytes().into()),
            3 => {
                let user = self.state.user.as_deref().unwrap_or(b"default");
                Some(user.to_vec().into())
            }
            _ => None,
        }
    }
}

fn name(request: Frame<'_>) -> Option<Cow<'_, [u8]>> {
    let arguments = Arguments::new(request.bytes)?;
    let name = arguments.get(0)?;
    match command::find(&name, arguments.get(1).as_deref()) {
        Some(command) => Some(command.name.as_bytes().into()),
        None => Some(name.to_ascii_lowercase().into()),
    }
}

fn key(request: Frame<'_>) -> Option<Cow<'_, [u8]>> {
    let tag = Tag::unpack(request.memo);
    if tag.has(memo::KEYED) {
        return request.memo.data.as_deref().map(Cow::Borrowed);
    }
    let index = usize::try_from(tag.key).ok().filter(|index| *index > 0)?;
    Arguments::new(request.bytes)?.get(index)
}
