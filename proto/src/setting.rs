//! Settings are printed without the values that are secrets.

use std::fmt::{Debug, Formatter, Result};

use crate::meltemi::config::v1::Setting;

impl Debug for Setting {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let value: &dyn Debug = match self.secret {
            true => &format_args!("[redacted]"),
            false => &self.value,
        };
        f.debug_struct("Setting")
            .field("name", &self.name)
            .field("value", value)
            .field("secret", &self.secret)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Any;
    use crate::meltemi::config::v1::Service;

    #[test]
    fn a_secret_value_is_printed_nowhere() {
        let setting = |name: &str, value: &str, secret| Setting {
            name: name.to_owned(),
            value: value.to_owned(),
            secret,
        };
        let service = Service {
            settings: vec![
                setting("user", "readable", false),
                setting("password", "hunter2", true),
            ],
            ..Service::default()
        };
        let text = format!("{service:?} {service:#?}");
        assert!(text.contains("readable") && text.contains("[redacted]"));
        assert!(!text.contains("hunter2"), "{text}");
        let packed = format!("{:?}", Any::pack(&service));
        assert!(!packed.contains("hunter2"), "{packed}");
    }
}
