//! A bearer token, in a file that its issuer replaces as it grows old.

use std::fs;
use std::path::PathBuf;

use tonic::metadata::{Ascii, MetadataValue};

/// A file with a bearer token in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token(PathBuf);

/// No token is larger: metadata of a request is not.
const LARGEST_TOKEN: usize = 12 << 10;

impl Token {
    #[must_use]
    pub fn in_file(path: PathBuf) -> Self {
        Self(path)
    }

    /// What it is now.
    ///
    /// # Errors
    /// There is none. Nothing of a token is in it.
    pub fn bearer(&self) -> Result<MetadataValue<Ascii>, String> {
        let path = self.0.display();
        let text = fs::read_to_string(&self.0)
            .map_err(|error| format!("cannot read the token of {path}: {error}"))?;
        let token = text.trim();
        if token.is_empty() || token.len() > LARGEST_TOKEN {
            let size = token.len();
            return Err(format!("{path} holds no token: it is of {size} bytes"));
        }
        let bearer = format!("Bearer {token}").parse();
        let mut bearer: MetadataValue<Ascii> =
            bearer.map_err(|_| format!("{path} holds no token: it has more than one line"))?;
        bearer.set_sensitive(true);
        Ok(bearer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_each_time() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let token = Token::in_file(file.path().to_owned());
        let rows = [
            ("one\n", Ok("Bearer one")),
            ("two", Ok("Bearer two")),
            ("", Err("of 0 bytes")),
            ("secret\nand more", Err("more than one line")),
            (&"x".repeat(LARGEST_TOKEN + 1), Err("of 12289 bytes")),
        ];
        for (text, expected) in rows {
            fs::write(file.path(), text).unwrap();
            match (token.bearer(), expected) {
                (Ok(bearer), Ok(expected)) => {
                    assert_eq!(bearer.to_str().unwrap(), expected);
                    assert!(bearer.is_sensitive());
                }
                (Err(reason), Err(expected)) => {
                    assert!(reason.contains(expected), "{reason}");
                    assert!(!reason.contains("secret"), "{reason}");
                }
                (found, expected) => panic!("{found:?} is not {expected:?}"),
            }
        }
        drop(file);
        assert!(token.bearer().unwrap_err().contains("cannot read"));
    }
}
