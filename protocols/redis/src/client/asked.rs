//! A request as the codec looks at it.

use meltemi_codec::{Memo, Request};

use super::class::Class;
use crate::{
    command::{self, Command, KeySpec, keys},
    memo::Tag,
    resp::{Arguments, write},
};

/// A request, or its head.
#[derive(Clone, Debug)]
pub(super) struct Asked<'a> {
    /// As an array, also where the client sent a line.
    pub(super) bytes: &'a [u8],
    pub(super) arguments: Arguments<'a>,
    pub(super) command: Option<&'static Command>,
    pub(super) class: Class,
    /// Whether `bytes` is all of it.
    pub(super) whole: bool,
}

impl<'a> Asked<'a> {
    /// `None` where the head does not hold the command's name.
    pub(super) fn new(bytes: &'a [u8], arguments: Arguments<'a>, whole: bool) -> Option<Self> {
        let name = arguments.text(0)?;
        let sub = arguments.text(1);
        let command = command::find(name, sub);
        Some(Self {
            bytes,
            arguments,
            command,
            class: Class::of(name, sub, command),
            whole,
        })
    }

    /// Whether a word that makes another command of it is still to come.
    pub(super) fn is_cut_container(&self) -> bool {
        let container = self
            .command
            .is_some_and(|command| !command.subcommands.is_empty() || command.name == "debug");
        container && self.arguments.len() > 1 && self.arguments.text(1).is_none()
    }

    /// The `n`th argument, the command's name being the first.
    pub(super) fn argument(&self, n: usize) -> Option<&'a [u8]> {
        self.arguments.text(n)
    }

    pub(super) fn name(&self) -> &'a [u8] {
        self.arguments.text(0).unwrap_or_default()
    }

    /// Whether it has as many arguments as the command takes. What nobody knows takes any.
    pub(super) fn takes(&self) -> bool {
        self.command
            .is_none_or(|command| command.takes(self.arguments.len()))
    }

    /// The indexes of the arguments that are keys by these specifications, as far as they are here.
    pub(super) fn keys<'s>(&'s self, specs: &'s [KeySpec]) -> impl Iterator<Item = usize> + 's {
        keys(specs, self.arguments.len(), |n| self.arguments.text(n))
    }

    /// By the table.
    pub(super) fn table_keys(&self) -> impl Iterator<Item = usize> + '_ {
        self.keys(self.command.map_or(&[], |command| command.keys))
    }
}

/// A request in the making.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) request: Request,
    pub(super) tag: Tag,
    data: Vec<u8>,
}

impl Draft {
    pub(super) fn new(tag: Tag) -> Self {
        Self {
            request: Request::unary(0, Memo::default()),
            tag,
            data: Vec::new(),
        }
    }

    /// Words, and the number of their answers, that the server is sent before it.
    pub(super) fn precede(&mut self, words: &[u8], answers: u32) {
        if !words.is_empty() {
            self.tag.set(crate::memo::AFTER);
            self.tag.before += answers;
            self.data.extend_from_slice(words);
        }
    }

    /// What the server is sent instead of the client's words.
    pub(super) fn replace(&mut self, arguments: &[&[u8]]) {
        // Behind what precedes it.
        self.tag.set(crate::memo::INSTEAD);
        write::command(arguments, &mut self.data);
    }

    /// The key by which it is routed though it does not have it.
    pub(super) fn keyed(&mut self, key: &[u8]) {
        self.tag.set(crate::memo::KEYED);
        self.data = key.to_vec();
    }

    pub(super) fn finish(mut self) -> Request {
        let data = Some(self.data).filter(|data| !data.is_empty());
        self.request.memo = self.tag.pack(data.map(Vec::into_boxed_slice));
        self.request
    }
}
