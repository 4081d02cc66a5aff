//! Who may use a service. Where a client's connection decides, that is decided once, and again when the
//! configuration changes; else each of its requests is judged.
//!
//! Requests of a client that may do anything go the short ways; whoever is judged goes the long one.

use meltemi_codec::{Frame, Status};
use meltemi_policy::authorization::{Standing, Verdict};

use super::{
    ClientKey, Engine, ExchangeKey,
    client::{Client, Phase},
    tables::Authorization,
    tunnels::TunnelKey,
};
use crate::telemetry::ResponseFlag;

/// What a client is told.
const DENIED: &str = "access denied";

/// Whether a client may use the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// All that it asks for.
    Free,
    /// It depends on what it asks for.
    Judged,
    /// Nothing, for this reason.
    None(Verdict),
    /// There are too many clients: it is told so instead of served.
    Full,
}

impl Access {
    fn of(standing: Standing) -> Self {
        match standing {
            Standing::Settled(Verdict::Allowed) => Self::Free,
            Standing::Settled(verdict) => Self::None(verdict),
            Standing::EachIsJudged => Self::Judged,
        }
    }
}

impl Engine {
    /// Decides what a client may do, from what is known of it by now.
    pub(super) fn judge_client(&mut self, key: ClientKey) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        if client.access == Access::Full {
            return;
        }
        let service = self.tables.service(client.service);
        let authorization = service.and_then(|service| service.authorization.as_ref());
        client.access =
            authorization.map_or(Access::Free, |it| Access::of(it.standing(&client.source)));
    }

    /// Another configuration: who may do nothing any more leaves, and so does who has bound a connection
    /// by requests that were judged by other policies.
    pub(super) fn judge_clients(&mut self) {
        for key in self.clients.keys().collect::<Vec<_>>() {
            self.judge_client(key);
            let Some(client) = self.clients.get(key) else {
                continue;
            };
            let leaves = match client.access {
                Access::None(_) => client.was_heard(),
                Access::Judged => {
                    let service = self.tables.service(client.service);
                    let authorization = service.and_then(|it| it.authorization.as_ref());
                    client.pin.is_some() && authorization.is_some_and(|it| it.is_new)
                }
                Access::Free | Access::Full => false,
            };
            if leaves && client.phase == Phase::Open {
                client.metrics.connection_denied();
                self.turn_out(key);
            }
        }
    }

    /// A client is told to leave in its protocol's words, gets the answers that it is owed, and is heard
    /// no more.
    fn turn_out(&mut self, key: ClientKey) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        self.scratch.clear();
        client.codec.drain(&mut self.scratch);
        self.answered_here(key);
        self.finish_client(key);
    }

    /// Whether a request may be served: else it was answered, or, where it is owed no answer, dropped.
    pub(super) fn authorized(&mut self, key: ExchangeKey, bytes: &[u8], whole: bool) -> bool {
        let Some(exchange) = self.exchanges.get(key) else {
            return false;
        };
        let Some(client) = self.clients.get(exchange.client) else {
            return true;
        };
        let memo = &exchange.memo;
        let verdict = match client.access {
            Access::Free | Access::Full => return true,
            Access::None(verdict) => verdict,
            Access::Judged => self.judged(client, Frame { bytes, whole, memo }),
        };
        match verdict {
            Verdict::Allowed => return true,
            Verdict::Denied => client.metrics.denied(),
            Verdict::NotAllowed => client.metrics.not_allowed(),
        }
        let (client, may_nothing) = (exchange.client, client.access != Access::Judged);
        self.answer(key, Status::Denied, DENIED);
        if may_nothing {
            self.close_after_flush(client);
        }
        false
    }

    /// A client whose bytes are to be passed on as they come can be used: it is, if it may.
    pub(super) fn admit_tunnel(&mut self, key: TunnelKey) {
        match self.tunnels.may_pass(key) {
            true => self.dial(key),
            false => self.break_tunnel(key, ResponseFlag::Denied),
        }
    }

    fn judged(&self, client: &Client, frame: Frame<'_>) -> Verdict {
        let service = self.tables.service(client.service);
        let authorization = service.and_then(|service| service.authorization.as_ref());
        // It was judged by policies of a service that is not there any more.
        let Some(authorization) = authorization else {
            return Verdict::NotAllowed;
        };
        let (verdict, is_audited) =
            Authorization::judge(authorization, &client.source, client.codec.as_ref(), frame);
        if is_audited {
            client.metrics.audited();
        }
        verdict
    }
}
