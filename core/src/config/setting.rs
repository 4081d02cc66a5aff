//! What a protocol plugin is told.

use std::fmt::{Debug, Formatter};

use meltemi_proto::meltemi::config::v1 as proto;

use super::invalid::{Invalid, required};

/// A setting of a protocol plugin; the plugin says which names there are.
#[derive(Clone, PartialEq, Eq)]
pub struct Setting {
    /// Not empty, and unique among the settings that it came with.
    pub name: String,
    /// Empty until the secret is there that has it.
    pub value: String,
    /// The name of the secret that has the value, which is shown nowhere: neither in a log nor in a
    /// dump, an error or a metric.
    pub secret: Option<String>,
}

/// What stands for a secret value wherever it would be shown.
const REDACTED: &str = "[redacted]";

impl Setting {
    /// The value for people.
    #[must_use]
    pub fn shown(&self) -> &str {
        match self.secret {
            Some(_) => REDACTED,
            None => &self.value,
        }
    }

    /// Parses the field `settings`.
    pub(super) fn parse_all(settings: Vec<proto::Setting>) -> Result<Vec<Self>, Invalid> {
        let mut parsed: Vec<Self> = Vec::with_capacity(settings.len());
        for (i, setting) in settings.into_iter().enumerate() {
            let name = required(&format!("settings[{i}].name"), setting.name)?;
            if parsed.iter().any(|other| other.name == name) {
                let reason = format!("{name:?} occurs twice");
                return Err(Invalid::new(format!("settings[{i}].name"), reason));
            }
            let secret = Some(setting.secret_name).filter(|secret| !secret.is_empty());
            if secret.is_some() && !setting.value.is_empty() {
                let reason = "is given beside secret_name";
                return Err(Invalid::new(format!("settings[{i}].value"), reason));
            }
            parsed.push(Self {
                name,
                value: setting.value,
                secret,
            });
        }
        Ok(parsed)
    }
}

impl Debug for Setting {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={:?}", self.name, self.shown())
    }
}
