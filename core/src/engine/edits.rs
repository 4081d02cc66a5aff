//! What a route changes in a request before it is sent, and in its answer.

use std::{rc::Rc, time::Duration};

use meltemi_codec::{Constraint, Edit, Frame};

use super::{Engine, ExchangeKey, ServerKey, tables::Route};

impl Engine {
    /// The request as its route wants it sent; `None`: as it came. What the route wants of the
    /// answer is noted, as far as it hangs on the request.
    pub(super) fn edited(
        &mut self,
        key: ExchangeKey,
        bytes: &[u8],
        whole: bool,
    ) -> Option<Vec<u8>> {
        let exchange = self.exchanges.get_mut(key)?;
        let route = Rc::clone(exchange.route.as_ref()?);
        let client = self.clients.get(exchange.client)?;
        let codec = &client.codec;
        let frame = Frame {
            bytes,
            whole,
            memo: &exchange.memo,
        };
        if exchange.own.is_none() && !route.answer_changes.is_empty() {
            let of_answer = route.answer_changes.of(|it| codec.attribute(frame, it));
            exchange.answer_edits = Some(of_answer);
        }
        let edits = route.changes.of(|it| codec.attribute(frame, it));
        if edits.is_empty() {
            return None;
        }
        let mut edited = self.spare.take();
        if let Err(refused) = codec.edit(frame, &edits, &mut edited) {
            client.metrics.change_refused();
            tracing::debug!(route = %route.name, %refused, "a request goes on unchanged");
            self.spare.give(edited);
            return None;
        }
        let frame = Frame {
            bytes: &edited,
            ..frame
        };
        if exchange.constraint != Constraint::Key
            && let Some(constraint) = codec.constraint(frame)
        {
            exchange.constraint = constraint;
        }
        Some(edited)
    }

    /// The request with what is left of the deadline that it says, where that is less: a route
    /// allows less, or time has passed since it came. `None`: it goes as it is.
    #[inline(always)]
    pub(super) fn with_time_left(
        &mut self,
        key: ExchangeKey,
        bytes: &[u8],
        whole: bool,
    ) -> Option<Vec<u8>> {
        let exchange = self.exchanges.get(key)?;
        let stated = Duration::from_millis(exchange.stated?.get().into());
        let route = exchange.route.as_ref().filter(|_| !exchange.waits);
        let limit = route.and_then(|route| route.timeout);
        let limit = limit.map_or(stated, |limit| limit.min(stated));
        let passed = Duration::from_nanos(self.elapsed.saturating_sub(exchange.started));
        let left = limit.saturating_sub(passed).as_millis();
        let left = Duration::from_millis(u64::try_from(left).unwrap_or(u64::MAX).max(1));
        if left >= stated {
            return None;
        }
        let frame = Frame {
            bytes,
            whole,
            memo: &exchange.memo,
        };
        let codec = &self.clients.get(exchange.client)?.codec;
        let mut out = self.spare.take();
        if codec.pass_deadline(frame, left, &mut out).is_err() {
            self.spare.give(out);
            return None;
        }
        Some(out)
    }

    /// An answer, or its head, as its request's route wants it; `None`: as it came.
    pub(super) fn edited_answer(
        &mut self,
        key: ExchangeKey,
        server: ServerKey,
        (bytes, whole): (&[u8], bool),
    ) -> Option<Vec<u8>> {
        let exchange = self.exchanges.get(key)?;
        let edits = exchange.answer_edits.as_ref().filter(|it| !it.is_empty())?;
        let frame = Frame {
            bytes,
            whole,
            memo: &exchange.memo,
        };
        let codec = &self.servers.get(server)?.codec;
        let mut edited = self.spare.take();
        if let Err(refused) = codec.edit(frame, edits, &mut edited) {
            if let Some(client) = self.clients.get(exchange.client) {
                client.metrics.change_refused();
            }
            let route = exchange.route.as_ref().map_or("", |it| it.name.as_str());
            tracing::debug!(route, %refused, "an answer goes on unchanged");
            self.spare.give(edited);
            return None;
        }
        Some(edited)
    }
}

impl Route {
    /// A key as it is sent.
    pub(super) fn sent_key<'k>(&self, key: &'k [u8]) -> &'k [u8] {
        self.changes.fixed().fold(key, |key, edit| match edit {
            Edit::StripPrefix {
                prefix,
                ignore_case,
                ..
            } => stripped(key, prefix.as_bytes(), *ignore_case),
            Edit::Set { .. } | Edit::Remove { .. } => key,
        })
    }
}

fn stripped<'k>(key: &'k [u8], prefix: &[u8], ignore_case: bool) -> &'k [u8] {
    let Some((head, rest)) = key.split_at_checked(prefix.len()) else {
        return key;
    };
    let same = match ignore_case {
        true => head.eq_ignore_ascii_case(prefix),
        false => head == prefix,
    };
    if same { rest } else { key }
}
