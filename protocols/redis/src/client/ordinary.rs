//! Requests that are sent where their keys are.

use meltemi_codec::{Constraint, Frame, FromClient, Pin, Role};

use super::{
    Client,
    asked::{Asked, Draft},
    unknown::Known,
};
use crate::{
    cluster::slot,
    command::{Command, Flags, KeySpec, RequestPolicy},
    memo::{self, Tag},
    resp::{Arguments, inline},
};

impl Client {
    pub(super) fn ordinary(&mut self, asked: &Asked<'_>) -> FromClient {
        let mut draft = self.draft(asked);
        if runs_script(asked) && !self.state.pinned() {
            draft.request.pin = Pin::UntilReply;
        }
        self.introduce(&mut draft);
        FromClient::Request(draft.finish())
    }

    /// A request on the client's connection where it has one, else where its keys are.
    pub(super) fn draft(&self, asked: &Asked<'_>) -> Draft {
        let mut draft = Draft::new(Tag::default());
        draft.request.session.clone_from(&self.state.session);
        if self.state.pinned() && !self.state.aside() {
            draft.tag.key = self.first_index(asked).map_or(0, index);
            return draft;
        }
        if self.state.aside() {
            draft.request.pin = Pin::Aside;
        }
        self.place(asked, &mut draft);
        draft
    }

    /// Where its first key is, by what is known without a question.
    fn first_index(&self, asked: &Asked<'_>) -> Option<usize> {
        if asked.command.is_some() {
            return asked.table_keys().next();
        }
        let learned = self.lessons.get(asked.name()).flatten()?;
        asked.keys(&learned.within(asked.argument(1)).keys).next()
    }

    /// Where it goes, by its keys.
    pub(super) fn place(&self, asked: &Asked<'_>, draft: &mut Draft) {
        let (specs, flags, policy): (&[KeySpec], _, _) = match (asked.command, &self.known) {
            (Some(command), _) => (command.keys, command.flags, command.request),
            (None, Known::Entry(Some(entry))) => {
                let entry = entry.within(asked.argument(1));
                (&entry.keys, entry.flags, RequestPolicy::Default)
            }
            (None, Known::Located(keys)) => {
                draft.tag.set(memo::LEARNED);
                if let Some(key) = keys.first() {
                    draft.request.constraint = self.shard(key, Role::Primary);
                }
                return;
            }
            (None, Known::No | Known::Entry(None)) => return,
        };
        let reads = flags.contains(Flags::READONLY);
        draft.request.idempotent = reads;
        let mut keys = asked.keys(specs);
        let first = keys.next();
        let Some((first, key)) = first.and_then(|first| Some((first, asked.argument(first)?)))
        else {
            let everywhere = !matches!(policy, RequestPolicy::Default | RequestPolicy::MultiShard);
            // A key may be beyond the head: the plan says so.
            let unseen = !asked.whole && specs.iter().any(KeySpec::reads_arguments);
            if everywhere || unseen || first.is_some() {
                draft.request.constraint = Constraint::Planned;
            }
            return;
        };
        if !specs.iter().all(|spec| spec.not_key) {
            draft.tag.key = index(first);
        }
        // Whether two keys are in one place only the plan can say: routes may divide them too.
        draft.request.constraint = match keys.next() {
            Some(_) => {
                if self.state.reads_replicas {
                    draft.tag.set(memo::REPLICAS);
                }
                Constraint::Planned
            }
            None if asked.command.is_some() => Constraint::Key,
            None => self.shard(key, self.role(reads)),
        };
    }

    pub(super) fn role(&self, reads: bool) -> Role {
        match (reads, self.state.reads_replicas) {
            (false, _) => Role::Primary,
            (true, true) if self.settings.reads == Role::Primary => Role::PreferReplica,
            (true, _) => self.settings.reads,
        }
    }

    /// The shard of a request that has one key, by the table.
    pub(super) fn shard_of(&self, request: Frame<'_>) -> Option<Constraint> {
        let array;
        let bytes = match request.bytes.first() {
            Some(b'*') => request.bytes,
            _ => {
                array = inline::to_array(request.bytes)?;
                &array
            }
        };
        let asked = Asked::new(bytes, Arguments::new(bytes)?, request.whole)?;
        let first = asked.table_keys().next()?;
        let reads = asked.command.is_some_and(Command::is_readonly);
        Some(self.shard(asked.argument(first)?, self.role(reads)))
    }

    pub(super) fn shard(&self, key: &[u8], role: Role) -> Constraint {
        slot::shard(key, self.settings.tags, role)
    }
}

/// Whether it runs for as long as its author pleases. A server that finds a script slow answers
/// others with `-BUSY`, and lets `SCRIPT KILL` end it; but not those that wait on the script's own
/// connection.
fn runs_script(asked: &Asked<'_>) -> bool {
    const SCRIPTS: [&str; 6] = [
        "eval",
        "evalsha",
        "eval_ro",
        "evalsha_ro",
        "fcall",
        "fcall_ro",
    ];
    asked
        .command
        .is_some_and(|command| SCRIPTS.contains(&command.name))
}

fn index(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(0)
}
