//! What the API server itself says of a token.

use k8s_openapi::api::authentication::v1::{
    TokenReview, TokenReviewSpec, TokenReviewStatus, UserInfo,
};
use kube::api::PostParams;
use kube::{Api, Client};

use super::claims::{self, Verified};
use crate::ads::admission::Token;
use crate::ads::identity::{Identity, Pod};

/// Its answer.
pub(super) enum Review {
    Accepted(Verified),
    /// The token does not count, or counts no more.
    Denied(String),
    /// It is down, or does not let us ask.
    Unanswered(String),
}

pub(super) async fn ask(client: &Client, token: &Token, audience: &str) -> Review {
    let review = TokenReview {
        spec: TokenReviewSpec {
            token: token.as_str().to_owned(),
            audiences: Some(vec![audience.to_owned()]),
        },
        ..TokenReview::default()
    };
    let reviews = Api::<TokenReview>::all(client.clone());
    match reviews.create(&PostParams::default(), &review).await {
        Ok(review) => judged(review.status.unwrap_or_default(), token, audience),
        Err(error) => Review::Unanswered(error.to_string()),
    }
}

fn judged(status: TokenReviewStatus, token: &Token, audience: &str) -> Review {
    let denied = |reason: &str| Review::Denied(reason.to_owned());
    if status.authenticated != Some(true) {
        return denied(status.error.as_deref().unwrap_or("it is not valid"));
    }
    // An authenticator that knows nothing of audiences says nothing of them.
    let audiences = status.audiences.unwrap_or_default();
    if !audiences.iter().any(|found| found == audience) {
        return denied("it is for another audience");
    }
    let identity = status.user.as_ref().and_then(identity);
    match (identity, claims::expires(token)) {
        (Some(identity), Some(expires)) => Review::Accepted(Verified { identity, expires }),
        _ => denied("it is not that of a pod's service account"),
    }
}

/// As the API server's own authenticator of service accounts writes them.
fn identity(user: &UserInfo) -> Option<Identity> {
    let account = user
        .username
        .as_deref()?
        .strip_prefix("system:serviceaccount:")?;
    let (namespace, service_account) = account.split_once(':')?;
    let extra = |key: &str| {
        let key = format!("authentication.kubernetes.io/{key}");
        user.extra.as_ref()?.get(&key)?.first().cloned()
    };
    Some(Identity {
        namespace: namespace.to_owned(),
        service_account: service_account.to_owned(),
        pod: Pod {
            name: extra("pod-name")?,
            uid: extra("pod-uid")?,
        },
    })
}
