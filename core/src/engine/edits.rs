//! What a route changes in a request before it is sent.

use meltemi_codec::{Constraint, Edit, Frame};

use super::{Engine, ExchangeKey, tables::Route};

impl Engine {
    /// The request as its route wants it sent; `None`: as it came.
    pub(super) fn edited(
        &mut self,
        key: ExchangeKey,
        bytes: &[u8],
        whole: bool,
    ) -> Option<Vec<u8>> {
        let exchange = self.exchanges.get_mut(key)?;
        let route = exchange.route.as_ref()?;
        let codec = &self.clients.get(exchange.client)?.codec;
        let frame = Frame {
            bytes,
            whole,
            memo: &exchange.memo,
        };
        let mut edited = self.spare.take();
        if let Err(refused) = codec.edit(frame, &route.edits, &mut edited) {
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
}

impl Route {
    /// A key as it is sent.
    pub(super) fn sent_key<'k>(&self, key: &'k [u8]) -> &'k [u8] {
        self.edits.iter().fold(key, |key, edit| match edit {
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
