//! Commands that the table does not know: modules', and those of newer servers.

use std::sync::Arc;

use meltemi_codec::{FromClient, OwnRequest};

use super::{
    Client, Question,
    asked::{Asked, Draft},
};
use crate::{
    command::Learned,
    memo::Tag,
    resp::{Reply, write},
};

/// What is known of the command at hand.
#[derive(Clone, Debug, Default)]
pub(super) enum Known {
    /// Nothing was asked.
    #[default]
    No,
    /// What `COMMAND INFO` says; `None` where it says nothing.
    Entry(Option<Arc<Learned>>),
    /// The keys that `COMMAND GETKEYS` finds.
    Located(Vec<Box<[u8]>>),
}

impl Client {
    pub(super) fn unknown(&mut self, asked: &Asked<'_>) -> FromClient {
        if self.state.pinned() && !self.state.aside() {
            return self.ordinary(asked);
        }
        // Within a pin there is nobody to ask, and a guess is as good.
        if !self.state.pinned()
            && let Some(question) = self.inquire(asked)
        {
            return question;
        }
        self.recall(asked);
        self.ordinary(asked)
    }

    /// What is left to ask before it is known where the keys of a command are.
    pub(super) fn inquire(&mut self, asked: &Asked<'_>) -> Option<FromClient> {
        self.recall(asked);
        match &self.known {
            Known::No => Some(self.ask(Question::Info, &[b"COMMAND", b"INFO", asked.name()])),
            Known::Entry(Some(entry))
                if asked.whole && !entry.within(asked.argument(1)).complete =>
            {
                let mut words: Vec<&[u8]> = vec![b"COMMAND", b"GETKEYS"];
                words.extend((0..asked.arguments.len()).filter_map(|n| asked.argument(n)));
                Some(self.ask(Question::Keys, &words))
            }
            _ => None,
        }
    }

    fn recall(&mut self, asked: &Asked<'_>) {
        if matches!(self.known, Known::No)
            && let Some(entry) = self.lessons.get(asked.name())
        {
            self.known = Known::Entry(entry);
        }
    }

    /// The first key of a request, as far as it is known and here.
    pub(super) fn first_key<'b>(&'b self, asked: &Asked<'b>) -> Option<&'b [u8]> {
        let index = match &self.known {
            Known::Located(keys) => return keys.first().map(AsRef::as_ref),
            Known::Entry(Some(entry)) => {
                asked.keys(&entry.within(asked.argument(1)).keys).next()?
            }
            _ => asked.table_keys().next()?,
        };
        asked.argument(index)
    }

    fn ask(&mut self, question: Question, words: &[&[u8]]) -> FromClient {
        let mut bytes = Vec::new();
        write::command(words, &mut bytes);
        let mut draft = Draft::new(Tag::default());
        draft.request.session.clone_from(&self.state.session);
        draft.request.idempotent = true;
        self.question = Some(question);
        FromClient::Ask(Box::new(OwnRequest {
            request: draft.finish(),
            bytes: bytes.into_boxed_slice(),
        }))
    }

    /// The server's answer to [`Question::Info`]. One that is an error (`-NOPERM`, `-LOADING`) says
    /// nothing about the command.
    pub(super) fn informed(&self, asked: &Asked<'_>, answer: Option<&[u8]>) -> Known {
        let entry = answer.and_then(Learned::read).map(Arc::new);
        let said = answer.and_then(Reply::parse);
        if matches!(said, Some(Reply::Array(_))) {
            self.lessons.learn(asked.name(), entry.clone());
        }
        Known::Entry(entry)
    }
}

/// The server's answer to [`Question::Keys`].
pub(super) fn located(answer: Option<&[u8]>) -> Known {
    let mut located = Vec::new();
    if let Some(Reply::Array(mut keys)) = answer.and_then(Reply::parse) {
        while let Some(key) = keys.reply() {
            located.extend(key.text().map(Into::into));
        }
    }
    Known::Located(located)
}
