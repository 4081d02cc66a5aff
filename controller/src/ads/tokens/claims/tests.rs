use jsonwebtoken::EncodingKey;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};
use serde_json::{Value, json};

use super::*;

const ISSUER: &str = "https://issuer";
const NOW: u64 = 1_800_000_000;

/// A key that signs, and what is published of it.
struct Signer {
    id: &'static str,
    algorithm: Algorithm,
    key: EncodingKey,
}

impl Signer {
    fn new(id: &'static str, algorithm: Algorithm) -> Self {
        let kind = match algorithm {
            Algorithm::RS256 => &PKCS_RSA_SHA256,
            _ => &PKCS_ECDSA_P256_SHA256,
        };
        let pair = KeyPair::generate_for(kind).unwrap();
        let der = pair.serialize_der();
        let key = match algorithm {
            // What is wrapped in PKCS #8, behind the wrapping of a key of 2,048 bits.
            Algorithm::RS256 => EncodingKey::from_rsa_der(&der[26..]),
            _ => EncodingKey::from_ec_der(&der),
        };
        Self { id, algorithm, key }
    }

    fn sign(&self, claims: &Value) -> Token {
        let mut header = jsonwebtoken::Header::new(self.algorithm);
        header.kid = Some(self.id.to_owned());
        Token::from_text(&jsonwebtoken::encode(&header, claims, &self.key).unwrap())
    }

    fn jwk(&self) -> Jwk {
        let mut jwk = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        jwk.common.key_id = Some(self.id.to_owned());
        jwk
    }
}

fn keys(signers: &[&Signer]) -> Keys {
    let keys = signers.iter().map(|signer| signer.jwk()).collect();
    Keys::new(ISSUER.to_owned(), &JwkSet { keys })
}

fn claims() -> Value {
    json!({
        "iss": ISSUER,
        "aud": ["meltemi"],
        "exp": NOW + 3600,
        "nbf": NOW,
        "sub": "system:serviceaccount:shop:edge",
        "kubernetes.io": {
            "namespace": "shop",
            "serviceaccount": {"name": "edge", "uid": "s"},
            "pod": {"name": "edge-1", "uid": "p"},
        },
    })
}

fn judge(token: &Token, keys: &Keys, now: u64) -> Result<Verified, Refused> {
    verify((token, &header(token)?), keys, "meltemi", now)
}

#[test]
fn a_token_of_each_algorithm_says_whose_it_is() {
    for algorithm in [Algorithm::ES256, Algorithm::RS256] {
        let signer = Signer::new("k", algorithm);
        let verified = judge(&signer.sign(&claims()), &keys(&[&signer]), NOW).unwrap();
        assert_eq!(verified.identity.to_string(), "shop/edge-1 (edge)");
        assert_eq!(verified.identity.pod.uid, "p");
        assert_eq!(verified.expires, NOW + 3600);
    }
}

#[test]
fn each_claim_counts() {
    let signer = Signer::new("k", Algorithm::ES256);
    let keys = keys(&[&signer]);
    let with = |pointer: &str, value: Value| {
        let mut claims = claims();
        *claims.pointer_mut(pointer).unwrap() = value;
        claims
    };
    let issuer = "https://other".to_owned();
    let other = Refused::Audience {
        found: vec!["api".to_owned()],
        wanted: "meltemi".to_owned(),
    };
    let grace = GRACE.as_secs();
    let rows = [
        (with("/aud", json!("meltemi")), None),
        (with("/aud", json!(["api", "meltemi"])), None),
        (with("/aud", json!("api")), Some(other.clone())),
        (with("/aud", json!(["api"])), Some(other)),
        (with("/iss", json!(issuer)), Some(Refused::Issuer(issuer))),
        (with("/exp", json!(NOW - grace + 1)), None),
        (with("/exp", json!(NOW - grace)), Some(Refused::Expired)),
        (with("/exp", json!(0)), Some(Refused::Expired)),
        (with("/nbf", json!(NOW + grace)), None),
        (with("/nbf", json!(NOW + grace + 1)), Some(Refused::NotYet)),
        (
            with("/kubernetes.io/pod", Value::Null),
            Some(Refused::NotBound),
        ),
        (with("/kubernetes.io", Value::Null), Some(Refused::NotBound)),
    ];
    for (claims, refused) in rows {
        let found = judge(&signer.sign(&claims), &keys, NOW);
        assert_eq!(found.err(), refused, "{claims}");
    }
}

#[test]
fn only_the_keys_published_count() {
    let [ours, theirs] = ["k", "k"].map(|id| Signer::new(id, Algorithm::ES256));
    let another = Signer::new("l", Algorithm::ES256);
    let rsa = Signer::new("k", Algorithm::RS256);
    let known = keys(&[&ours]);
    let signed = |by: &Signer| judge(&by.sign(&claims()), &known, NOW);
    assert!(signed(&ours).is_ok());
    assert_eq!(signed(&theirs), Err(Refused::Signature));
    assert_eq!(signed(&another), Err(Refused::UnknownKey("l".to_owned())));
    assert_eq!(signed(&rsa), Err(Refused::Signature));

    // A signature over other claims.
    let token = ours.sign(&claims());
    let changed = ours.sign(&json!({"iss": "x"}));
    let parts: Vec<_> = token.as_str().split('.').collect();
    let other: Vec<_> = changed.as_str().split('.').collect();
    let mixed = Token::from_text(&format!("{}.{}.{}", parts[0], other[1], parts[2]));
    assert_eq!(judge(&mixed, &known, NOW), Err(Refused::Signature));
}

#[test]
fn what_is_no_token_is_refused_by_its_form() {
    let signer = Signer::new("k", Algorithm::ES256);
    let known = keys(&[&signer]);
    // Published keys are no secrets, and none is taken for one.
    let header = jsonwebtoken::Header::new(Algorithm::HS256);
    let secret = EncodingKey::from_secret(b"k");
    let hmac = jsonwebtoken::encode(&header, &claims(), &secret).unwrap();
    let token = signer.sign(&claims());
    let [head, body] = [0, 1].map(|part| token.as_str().split('.').nth(part).unwrap());
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
    for text in [
        "garbage".to_owned(),
        "a.b".to_owned(),
        "a.b.c".to_owned(),
        "...".to_owned(),
        hmac,
        format!("{none}.{body}."),
        format!("{head}.{}.{}", "x", "y"),
    ] {
        let refused = judge(&Token::from_text(&text), &known, NOW).unwrap_err();
        let is_expected = matches!(refused, Refused::NotAToken(_) | Refused::Signature);
        assert!(is_expected, "{text}: {refused}");
        assert!(!refused.to_string().contains(&text), "{refused}");
    }
}
