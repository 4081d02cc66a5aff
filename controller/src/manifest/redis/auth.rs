//! `auth`: a user name and a password, written down or in a Secret.

use super::super::decode::{Decoder, Fields};
use super::super::secret::Hidden;
use super::super::shape::{Described, Shape, Takes};
use super::super::{Located, name};
use crate::diagnostic::{Code, Diagnostic};
use crate::yaml::Node;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Auth {
    Plain {
        username: Option<String>,
        password: Hidden<String>,
    },
    Secret(SecretReference),
}

/// A Secret in the namespace of the object that names it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SecretReference {
    pub(crate) name: Located<String>,
    /// `password`, else `token`, where it is not given.
    pub(crate) password_field: Option<Located<String>>,
    /// `username`, if there is such a field, where it is not given.
    pub(crate) username_field: Option<Located<String>>,
}

pub(super) static AUTH: Shape = Shape {
    name: "RedisAuth",
    meaning: "A user name and a password: one of both fields.",
    given: "",
    instead: &[],
    fields: &[
        Described::new(
            "secret",
            Takes::Mapping(&SECRET),
            "a Secret of the same namespace that has them",
        ),
        Described::new("plain", Takes::Mapping(&PLAIN), "the same, written down"),
    ],
};

static PLAIN: Shape = Shape {
    name: "RedisPlainAuth",
    meaning: "",
    given: "",
    instead: &[],
    fields: &[
        Described::new("username", Takes::Text, "").absent("Redis' default user"),
        Described::new("password", Takes::Text, "").required(),
    ],
};

static SECRET: Shape = Shape {
    name: "RedisSecretAuth",
    meaning: "",
    given: "",
    instead: &[],
    fields: &[
        Described::new("name", Takes::Text, "of the Secret").required(),
        Described::new("passwordField", Takes::Text, "the key of the password")
            .absent("`password`, else `token`"),
        Described::new("usernameField", Takes::Text, "the key of the user name")
            .absent("`username`, if there is one"),
    ],
};

/// The field `auth` of a mapping.
pub(super) fn decode(d: &mut Decoder, parent: &Fields<'_>) -> Option<Auth> {
    let entry = parent.entry("auth")?;
    let fields = d.fields(&parent.path_of("auth"), &entry.value, &AUTH);
    match (fields.node("secret"), fields.node("plain")) {
        (Some(secret), None) => reference(d, &fields, secret).map(Auth::Secret),
        (None, Some(plain)) => self::plain(d, &fields, plain),
        (secret, _) => {
            let count = if secret.is_some() { "both" } else { "neither" };
            let message = format!("`{}` has {count} of secret and plain", fields.path);
            let diagnostic = Diagnostic::error(Code::InvalidValue, message);
            let remedy = "name a Secret under `secret`, or write the password under `plain`";
            d.report(entry.at, diagnostic.remedy(remedy));
            None
        }
    }
}

fn plain(d: &mut Decoder, auth: &Fields<'_>, node: &Node) -> Option<Auth> {
    let fields = d.fields(&auth.path_of("plain"), node, &PLAIN);
    let username = fields.string(d, "username").map(|u| u.value);
    let password = fields.required(d, "password")?;
    Some(Auth::Plain {
        username: username.filter(|u| !u.is_empty()),
        password: Hidden(password.value),
    })
}

fn reference(d: &mut Decoder, auth: &Fields<'_>, node: &Node) -> Option<SecretReference> {
    let fields = d.fields(&auth.path_of("secret"), node, &SECRET);
    let name = fields.required(d, "name");
    let path = fields.path_of("name");
    let name = name.filter(|name| d.check_name(&path, name, &name::OBJECT));
    let field = |d: &mut Decoder, name: &str| {
        let field = fields.string(d, name);
        field.filter(|field| !field.value.is_empty())
    };
    Some(SecretReference {
        password_field: field(d, "passwordField"),
        username_field: field(d, "usernameField"),
        name: name?,
    })
}
