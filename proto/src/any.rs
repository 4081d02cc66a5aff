//! `google.protobuf.Any` whose value is shared instead of copied.

use std::fmt::{self, Debug, Formatter};

use bytes::Bytes;
use prost::{DecodeError, Message, Name};
use thiserror::Error;

/// A message of any type with the URL that names it; a clone shares the bytes.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
#[prost(skip_debug)]
pub struct Any {
    #[prost(string, tag = "1")]
    pub type_url: String,
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
}

/// Without the value, which may hold a secret.
impl Debug for Any {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Any")
            .field("type_url", &self.type_url)
            .field("value", &format_args!("{} bytes", self.value.len()))
            .finish()
    }
}

/// An [`Any`] did not hold what was expected.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum UnpackError {
    #[error("is of type {found:?}, not {expected:?}")]
    Type { found: String, expected: String },
    #[error("does not decode")]
    Decode(#[from] DecodeError),
}

impl Any {
    /// Encodes `message` under its type URL.
    pub fn pack<M: Message + Name>(message: &M) -> Self {
        Self {
            type_url: M::type_url(),
            value: message.encode_to_vec().into(),
        }
    }

    /// Decodes a message of type `M`; as protobuf says, what precedes the last slash of the URL
    /// does not matter.
    pub fn unpack<M: Message + Name + Default>(&self) -> Result<M, UnpackError> {
        let expected = M::full_name();
        if self.type_url.rsplit('/').next() != Some(expected.as_str()) {
            return Err(UnpackError::Type {
                found: self.type_url.clone(),
                expected: M::type_url(),
            });
        }
        Ok(M::decode(self.value.clone())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envoy::config::core::v3::{Address, Locality};

    #[test]
    fn unpacks_only_what_was_packed() {
        let locality = Locality {
            region: "eu".into(),
            ..Locality::default()
        };
        let any = Any::pack(&locality);
        assert_eq!(
            any.type_url,
            "type.googleapis.com/envoy.config.core.v3.Locality"
        );
        assert_eq!(any.unpack::<Locality>(), Ok(locality));
        assert!(matches!(
            any.unpack::<Address>(),
            Err(UnpackError::Type { .. })
        ));
        let garbage = Any {
            value: Bytes::from_static(&[0xff]),
            ..any
        };
        assert!(matches!(
            garbage.unpack::<Locality>(),
            Err(UnpackError::Decode(_))
        ));
    }
}
