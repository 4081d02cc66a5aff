//! Text with the values of attributes in it: `${name}`.

use std::borrow::Cow;
use std::fmt;

/// Text in which attributes stand for their values.
///
/// `${name}` is the value of the attribute `name`, empty where a message does not have it. `$${` is
/// `${` itself; any other `$` stands for itself. `A` is what an attribute is looked up by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template<A = String> {
    parts: Vec<Part<A>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part<A> {
    Text(String),
    Attribute(A),
}

/// Text that is no [`Template`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A `${` without its `}`.
    #[error("`{0}` has no closing brace")]
    Unclosed(String),
    /// `${}`.
    #[error("`${{}}` names no attribute")]
    Nameless,
}

impl Template {
    /// Reads what a person has written.
    ///
    /// # Errors
    /// [`TemplateError`] of the first variable that is wrong.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = vec![];
        let mut plain = String::new();
        let mut rest = text;
        while let Some((before, from)) = rest.find('$').map(|at| rest.split_at(at)) {
            plain.push_str(before);
            if let Some(behind) = from.strip_prefix("$${") {
                plain.push_str("${");
                rest = behind;
            } else if let Some(behind) = from.strip_prefix("${") {
                let (name, behind) = behind
                    .split_once('}')
                    .ok_or_else(|| TemplateError::Unclosed(from.to_owned()))?;
                if name.is_empty() {
                    return Err(TemplateError::Nameless);
                }
                if !plain.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                }
                parts.push(Part::Attribute(name.to_owned()));
                rest = behind;
            } else {
                plain.push('$');
                rest = from.strip_prefix('$').unwrap_or_default();
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self { parts })
    }
}

/// As it can be read again.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(&text.replace("${", "$${")),
            Part::Attribute(name) => write!(f, "${{{name}}}"),
        })
    }
}

impl<A> Template<A> {
    /// The attributes that it asks for, in their order.
    pub fn attributes(&self) -> impl Iterator<Item = &A> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Attribute(attribute) => Some(attribute),
        })
    }

    /// The same, with its attributes looked up.
    #[must_use]
    pub fn resolve<B>(&self, mut resolve: impl FnMut(&A) -> B) -> Template<B> {
        let parts = self.parts.iter().map(|part| match part {
            Part::Text(text) => Part::Text(text.clone()),
            Part::Attribute(attribute) => Part::Attribute(resolve(attribute)),
        });
        Template {
            parts: parts.collect(),
        }
    }

    /// The text for a message with these values. What is not UTF-8 in them becomes U+FFFD.
    pub fn render<'v>(&self, value: impl Fn(&A) -> Option<Cow<'v, [u8]>>) -> String {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(plain) => text.push_str(plain),
                Part::Attribute(attribute) => {
                    if let Some(value) = value(attribute) {
                        text.push_str(&String::from_utf8_lossy(&value));
                    }
                }
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(text: &str) -> String {
        let template = Template::parse(text).unwrap();
        template.render(|name| match name.as_str() {
            "method" => Some(Cow::Borrowed(b"sayHello".as_slice())),
            "raw" => Some(Cow::Borrowed(b"\xff".as_slice())),
            _ => None,
        })
    }

    #[test]
    fn attributes_stand_for_their_values() {
        for (text, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("${method}", "sayHello"),
            ("a ${method}, ${method}!", "a sayHello, sayHello!"),
            ("<${absent}>", "<>"),
            ("${raw}", "\u{fffd}"),
            ("5$, $5, $$, $", "5$, $5, $$, $"),
            ("$${method}", "${method}"),
            ("$$${method}", "$${method}"),
            ("größe ${method} ✓", "größe sayHello ✓"),
            ("}{", "}{"),
        ] {
            assert_eq!(rendered(text), expected, "{text}");
            let shown = Template::parse(text).unwrap().to_string();
            assert_eq!(rendered(&shown), expected, "{shown}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, expected) in [
            ("a ${method", "`${method` has no closing brace"),
            ("${a}${", "`${` has no closing brace"),
            ("${}", "`${}` names no attribute"),
        ] {
            assert_eq!(Template::parse(text).unwrap_err().to_string(), expected);
        }
    }
}
