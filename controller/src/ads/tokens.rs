//! Whether a token is that of a pod's service account.
//!
//! Its signature and its claims are checked here, by the keys that the API server publishes: what is wrong with a token
//! costs the API server nothing, and while it is down proxies are let in. What only it knows, whether the pod is still
//! there, it is asked for; where it does not answer, the token stands for itself. It decides alone where there are no keys.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kube::Client;
use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use super::admission::{Admission, Admitted, Arrival, Refused, Token};

mod claims;
mod keys;
mod review;

use claims::Verified;
use keys::Keys;
use review::Review;

/// Clients that wait while others are decided on.
const WAITING: usize = 64;
/// Questions to the API server at a time.
const AT_A_TIME: usize = 16;
/// How long it has for an answer; a client waits for as long.
const ANSWER: Duration = Duration::from_secs(2);
/// How long keys count without a look for newer ones; a key that was withdrawn is believed for as long.
const KEYS_COUNT: Duration = Duration::from_secs(300);
/// However many tokens with unknown keys there are, and whether there are keys or not, they are asked for no more often.
const KEYS_PAUSE: Duration = Duration::from_secs(5);
/// By how much clocks may differ. A stream ends so much after its token.
pub(super) const GRACE: Duration = Duration::from_secs(30);

/// Decides on tokens for one audience.
pub struct Tokens {
    client: Client,
    audience: String,
    known: Mutex<Known>,
}

/// The keys of the API server, as far as it was asked for them.
#[derive(Default)]
struct Known {
    keys: Option<Arc<Keys>>,
    asked: Option<Instant>,
}

impl Tokens {
    /// Decides on those who ask, on a task of its own.
    #[must_use]
    pub fn admission(client: Client, audience: String) -> Admission {
        let (arrivals, waiting) = mpsc::channel(WAITING);
        let tokens = Self {
            client,
            audience,
            known: Mutex::default(),
        };
        tokio::spawn(Arc::new(tokens).run(waiting));
        arrivals
    }

    async fn run(self: Arc<Self>, mut arrivals: mpsc::Receiver<Arrival>) {
        let places = Arc::new(Semaphore::new(AT_A_TIME));
        while let Some(arrival) = arrivals.recv().await {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            let tokens = Arc::clone(&self);
            tokio::spawn(async move {
                let decided = tokens.decide(arrival.token).await;
                // The client may have left meanwhile.
                let _ = arrival.answer.send(decided);
                drop(place);
            });
        }
    }

    async fn decide(&self, token: Option<Token>) -> Result<Admitted, Refused> {
        let token = token.ok_or(Refused::NoToken)?;
        let verified = self.verify(&token).await?;
        let review = timeout(ANSWER, review::ask(&self.client, &token, &self.audience)).await;
        let review = review.unwrap_or_else(|_| Review::Unanswered("no answer in time".to_owned()));
        let verified = match (review, verified) {
            (Review::Denied(reason), _) => return Err(Refused::Reviewed(reason)),
            (Review::Accepted(verified), None) => verified,
            (Review::Accepted(_), Some(verified)) => verified,
            (Review::Unanswered(reason), Some(verified)) => {
                warn!(identity = %verified.identity, reason, "the API server does not say whether the pod is there");
                verified
            }
            (Review::Unanswered(reason), None) => return Err(Refused::Unchecked(reason)),
        };
        let until = UNIX_EPOCH + Duration::from_secs(verified.expires) + GRACE;
        let left = until.duration_since(SystemTime::now()).unwrap_or_default();
        Ok(Admitted {
            identity: verified.identity,
            until: Instant::now() + left,
        })
    }

    /// By the keys of the API server. None: it has given none yet.
    async fn verify(&self, token: &Token) -> Result<Option<Verified>, Refused> {
        let header = claims::header(token)?;
        let Some(keys) = self.keys(&header.key).await else {
            return Ok(None);
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default().as_secs();
        let verified = claims::verify((token, &header), &keys, &self.audience, now)?;
        Ok(Some(verified))
    }

    /// Asked for anew when they are old, or `wanted` is none of them.
    async fn keys(&self, wanted: &str) -> Option<Arc<Keys>> {
        let mut known = self.known.lock().await;
        let age = known.asked.map(|asked| asked.elapsed());
        let has_it = known.keys.as_ref().map(|keys| keys.get(wanted).is_some());
        if is_due(has_it, age) {
            known.asked = Some(Instant::now());
            let asked = timeout(ANSWER, keys::ask(&self.client)).await;
            let asked = asked.unwrap_or_else(|_| Err("no answer in time".to_owned()));
            match asked {
                Ok(keys) => {
                    info!(issuer = keys.issuer, keys = %keys, "the API server's keys are known");
                    known.keys = Some(Arc::new(keys));
                }
                Err(reason) => {
                    warn!(
                        reason,
                        "the API server does not tell the keys of its tokens"
                    )
                }
            }
        }
        known.keys.clone()
    }
}

/// Whether keys are to be asked for. `has_it`: whether the key that is wanted is one of those known, if there are any.
fn is_due(has_it: Option<bool>, age: Option<Duration>) -> bool {
    match (has_it, age) {
        (_, None) => true,
        (Some(true), Some(age)) => age >= KEYS_COUNT,
        (Some(false) | None, Some(age)) => age >= KEYS_PAUSE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_asked_for_when_one_is_missing_but_not_at_each_token() {
        let seconds = |s| Some(Duration::from_secs(s));
        let rows = [
            (None, None, true),
            (None, seconds(1), false),
            (None, seconds(5), true),
            (Some(false), seconds(4), false),
            (Some(false), seconds(5), true),
            (Some(true), seconds(5), false),
            (Some(true), seconds(299), false),
            (Some(true), seconds(300), true),
        ];
        for (has_it, age, due) in rows {
            assert_eq!(is_due(has_it, age), due, "{has_it:?} {age:?}");
        }
    }
}
