//! Requests that are sent where their keys are.

use meltemi_codec::{Constraint, FromClient, Pin, Role};

use super::{
    Client,
    asked::{Asked, Draft},
    unknown::Known,
};
use crate::{
    cluster::slot,
    command::{Flags, KeySpec, RequestPolicy},
    memo::{self, Tag},
};

impl Client {
    pub(super) fn ordinary(&mut self, asked: &Asked<'_>) -> FromClient {
        FromClient::Request(self.draft(asked).finish())
    }

    /// A request on the client's connection where it has one, else where its keys are.
    pub(super) fn draft(&self, asked: &Asked<'_>) -> Draft {
        let mut draft = Draft::new(Tag::default());
        draft.request.session.clone_from(&self.state.session);
        if self.state.pinned() && !self.state.aside() {
            let first = asked.table_keys().next();
            draft.tag.key = first.map_or(0, index);
            return draft;
        }
        if self.state.aside() {
            draft.request.pin = Pin::Aside;
        }
        self.place(asked, &mut draft);
        draft
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
        let Some((first, key)) = keys
            .next()
            .and_then(|first| Some((first, asked.argument(first)?)))
        else {
            if !matches!(policy, RequestPolicy::Default | RequestPolicy::MultiShard) {
                draft.request.constraint = Constraint::Planned;
            }
            return;
        };
        if !specs.iter().all(|spec| spec.not_key) {
            draft.tag.key = index(first);
        }
        // Two keys may be in two places even with one tag: routes divide them by what they begin
        // with.
        draft.request.constraint = match asked.whole && keys.next().is_some() {
            true => Constraint::Planned,
            false => self.shard(key, self.role(reads)),
        };
    }

    pub(super) fn role(&self, reads: bool) -> Role {
        match (reads, self.state.reads_replicas) {
            (false, _) => Role::Primary,
            (true, true) if self.settings.reads == Role::Primary => Role::PreferReplica,
            (true, _) => self.settings.reads,
        }
    }

    pub(super) fn shard(&self, key: &[u8], role: Role) -> Constraint {
        slot::shard(key, self.settings.tags, role)
    }
}

fn index(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(0)
}
