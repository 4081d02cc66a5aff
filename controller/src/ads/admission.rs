//! Who is let in: a client shows a token with each stream that it opens, and somebody decides.

use std::fmt;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tonic::metadata::MetadataMap;
use tonic::{Request, Status};
use tracing::{info, warn};

use super::accept::Peer;
use super::counts::{Counts, Reason};
use super::guests::Guests;
use super::identity::Identity;

/// Asks whoever decides. Those who ask while many are being decided on wait.
pub type Admission = mpsc::Sender<Arrival>;

/// A client that wants a stream.
#[derive(Debug)]
pub struct Arrival {
    pub token: Option<Token>,
    pub answer: oneshot::Sender<Result<Admitted, Refused>>,
}

/// What a client shows; printed without it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// A client that is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    pub identity: Identity,
    /// It has to show a newer token then.
    pub until: Instant,
}

/// Why a client is not let in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("it shows no token: `authorization: Bearer …` is missing")]
    NoToken,
    #[error("what it shows is no token of a service account: {0}")]
    NotAToken(String),
    #[error("the key {0:?} that the token is signed with is none of the API server's")]
    UnknownKey(String),
    #[error("the signature of the token is wrong")]
    Signature,
    #[error("the token is of issuer {0:?}")]
    Issuer(String),
    #[error("the token is for audience {found:?}, not for {wanted:?}")]
    Audience { found: Vec<String>, wanted: String },
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet")]
    NotYet,
    #[error("the token is not bound to a pod")]
    NotBound,
    /// In the API server's words.
    #[error("the API server does not accept the token: {0}")]
    Reviewed(String),
    #[error("nobody can check the token now: {0}")]
    Unchecked(String),
}

/// Metadata of a stream: the id of the node that asks, for the log alone.
const NODE: &str = "meltemi-node";
/// As much of it as is logged.
const NODE_SHOWN: usize = 253;

impl Token {
    /// None where there is none.
    fn of(metadata: &MetadataMap) -> Option<Self> {
        let shown = metadata.get("authorization")?.to_str().ok()?;
        let (scheme, token) = shown.split_once(' ')?;
        let is_bearer = scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty();
        is_bearer.then(|| Self(token.trim().to_owned()))
    }

    /// Never to be shown.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    #[cfg(test)]
    pub(super) fn from_text(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// What becomes of the client that opens a stream. None: nobody is asked who they are.
pub(super) async fn admit<T>(
    admission: Option<&Admission>,
    request: &Request<T>,
    (guests, counts): (&Guests, &Counts),
) -> Result<Option<Admitted>, Status> {
    let peer = request.extensions().get::<Peer>();
    let address = peer
        .map(Peer::address)
        .or_else(|| request.remote_addr())
        .map_or_else(|| "unknown".to_owned(), |address| address.to_string());
    let Some(admission) = admission else {
        peer.inspect(|peer| peer.admit());
        return Ok(None);
    };
    let node = request.metadata().get(NODE);
    let node = node.and_then(|node| node.to_str().ok());
    let node = node.and_then(|node| node.get(..node.len().min(NODE_SHOWN)));
    let node = node.unwrap_or("unknown");
    match decided(admission, Token::of(request.metadata())).await {
        Ok(admitted) => {
            let entered = peer.map(|peer| peer.admit_guest(&admitted.identity, guests));
            if let Some(Err(reason)) = entered {
                counts.refuse(Reason::Connections);
                warn!(node, peer = address, %reason, "a client is refused");
                return Err(Status::resource_exhausted(reason.to_string()));
            }
            info!(node, peer = address, identity = %admitted.identity, "a client is let in");
            Ok(Some(admitted))
        }
        Err(reason) => {
            counts.refuse(Reason::Token);
            warn!(node, peer = address, %reason, "a client is refused");
            Err(Status::unauthenticated(reason.to_string()))
        }
    }
}

async fn decided(admission: &Admission, token: Option<Token>) -> Result<Admitted, Refused> {
    let nobody = || Refused::Unchecked("the controller ends".to_owned());
    let (answer, answered) = oneshot::channel();
    let asked = admission.send(Arrival { token, answer }).await;
    asked.map_err(|_| nobody())?;
    answered.await.unwrap_or_else(|_| Err(nobody()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_what_the_bearer_scheme_says() {
        let rows = [
            (None, None),
            (Some("Bearer abc"), Some("abc")),
            (Some("bearer  abc "), Some("abc")),
            (Some("Basic abc"), None),
            (Some("Bearer"), None),
            (Some("Bearer  "), None),
            (Some("abc"), None),
        ];
        for (shown, expected) in rows {
            let mut metadata = MetadataMap::new();
            if let Some(shown) = shown {
                metadata.insert("authorization", shown.parse().unwrap());
            }
            let token = Token::of(&metadata);
            assert_eq!(token, expected.map(Token::from_text), "{shown:?}");
            assert!(!format!("{token:?}").contains("abc"));
        }
    }
}
