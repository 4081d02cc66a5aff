//! How much of a client's bytes is a request.

use meltemi_codec::{Decoded, FromClient, Message, Request, Size, Status};

use super::{Client, asked::Asked, class::Class, state::Transaction};
use crate::{
    memo::{self, Tag},
    resp::{ProtocolError, RequestScan, Scanned},
};

/// How much of a request is looked at for its command and its first key, in bytes, where it is too
/// large to be kept as a whole; also, up to which size a command that changes the state of a
/// connection is waited for.
const HEAD: usize = 64 * 1024;

impl Client {
    /// The next request starts at the next byte.
    pub(super) fn rescan(&mut self) {
        self.scan = RequestScan::new(self.limits.frame, !self.state.authenticated);
    }

    /// Reads on, and says how much of `input` there is to look at; `None` where more is needed.
    pub(super) fn front<'a>(&mut self, input: &'a [u8]) -> Result<Option<&'a [u8]>, ProtocolError> {
        let taken = usize::try_from(self.scan.taken()).unwrap_or(usize::MAX);
        if !self.scan.is_whole() {
            let rest = input.get(taken..).unwrap_or_default();
            if let Scanned::End(_) = self.scan.feed(rest)? {
                let end = usize::try_from(self.scan.taken()).unwrap_or(usize::MAX);
                return Ok(input.get(..end));
            }
            let large = self.scan.at_least() > self.limits.whole as u64;
            return Ok((large || self.scan.too_large()).then_some(input));
        }
        Ok(input.get(..taken))
    }

    /// Waits for all of the request, or for as much of it as is looked at.
    pub(super) fn incomplete(&self, input: &[u8]) -> Decoded<FromClient> {
        let need = usize::try_from(self.scan.at_least()).unwrap_or(usize::MAX);
        Decoded::Incomplete {
            need: need.min(self.most()).max(input.len() + 1),
        }
    }

    /// How much of a request is waited for at most.
    pub(super) fn most(&self) -> usize {
        HEAD.max(self.limits.whole)
    }

    /// Whether a request is judged by all of it, and not only by its command and its first key.
    pub(super) fn wants_whole(&self, asked: &Asked<'_>) -> bool {
        !asked.is_cut_container()
            && (asked.class != Class::Plain
                || matches!(self.state.transaction, Transaction::Open { .. }))
    }

    /// Whether the command or its first key is still to come.
    pub(super) fn wants_more(asked: &Asked<'_>) -> bool {
        if asked.is_cut_container() {
            return true;
        }
        let keyed = asked
            .command
            .is_some_and(|command| !command.keys.is_empty());
        keyed && asked.table_keys().all(|key| asked.argument(key).is_none())
    }

    pub(super) fn refused(&mut self) -> FromClient {
        let mut tag = Tag::default();
        if matches!(
            self.state.transaction,
            Transaction::Open { .. } | Transaction::Begun { .. }
        ) {
            tag.set(memo::QUEUED);
        }
        FromClient::Refused {
            request: Request::unary(0, tag.pack(None)),
            status: Status::TooLarge,
            message: "the request is larger than the limit of the proxy",
        }
    }

    pub(super) fn message(&mut self, event: FromClient) -> Decoded<FromClient> {
        let size = match (&event, self.scan.size()) {
            // The same bytes come again.
            (FromClient::Ask(_), _) => {
                let size = Size::Known(0);
                return Decoded::Message(Message { size, event });
            }
            (_, Some(size)) => Size::Known(size),
            (_, None) => Size::Streamed,
        };
        if size != Size::Streamed {
            self.rescan();
        }
        Decoded::Message(Message { size, event })
    }
}
