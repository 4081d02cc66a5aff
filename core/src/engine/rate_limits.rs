//! Local rate limits: what has no token is told so, in its protocol's words.

use meltemi_codec::{Frame, Pin, Status};

use super::{
    Engine, ExchangeKey,
    client::Client,
    tables::{Metered, Route},
};

/// What a client is told.
const LIMITED: &str = "a rate limit was reached";

impl Route {
    /// The bucket that a request has to take a token from.
    #[inline(always)]
    pub(super) fn bucket(&self, client: &Client, frame: Frame<'_>) -> Option<&Metered> {
        let limit = self.rate_limit.as_ref()?;
        limit.bucket(&client.source, |attribute| {
            client.codec.attribute(frame, attribute)
        })
    }
}

impl Engine {
    /// Whether the limit of its route keeps a request from being served: then it was answered, or,
    /// where it is owed no answer, dropped.
    ///
    /// What ends a transaction passes always: without it the server would wait for its end.
    pub(super) fn limited(&mut self, key: ExchangeKey, bytes: &[u8], whole: bool) -> bool {
        let now = self.elapsed;
        let Some(exchange) = self.exchanges.get(key).filter(|it| it.pin != Pin::Release) else {
            return false;
        };
        let (Some(route), Some(client)) = (&exchange.route, self.clients.get(exchange.client))
        else {
            return false;
        };
        let memo = &exchange.memo;
        let frame = Frame { bytes, whole, memo };
        let bucket = route.bucket(client, frame);
        let Some(bucket) = bucket.filter(|bucket| !bucket.admits(now)) else {
            return false;
        };
        bucket.metrics.limited();
        self.answer(key, Status::RateLimited, LIMITED);
        true
    }
}
