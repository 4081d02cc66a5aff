//! User names and passwords, written down or in Secrets.

#[cfg(feature = "kubernetes")]
mod references;

use super::{Findings, Need, SecretText, SettingValue};
use crate::diagnostic::{Code, Diagnostic};
use crate::index::Objects;
use crate::manifest::{
    Auth, Hidden, Kind, Located, Object, ObjectRef, OutOfReach, Secret, SecretReference, Spec,
    nearest, one_of,
};

#[cfg(feature = "kubernetes")]
pub(crate) use references::{REFERRING, references};

/// What is shown to a server, or asked of a client.
#[derive(Clone, Debug)]
pub(super) struct Credentials {
    pub(super) username: Option<SettingValue>,
    pub(super) password: SettingValue,
}

/// Aeraki's, where `passwordField` is not given; the first that is there counts.
const PASSWORD_FIELDS: [&str; 2] = ["password", "token"];
/// Aeraki's, where `usernameField` is not given; it need not be there.
const USERNAME_FIELD: &str = "username";

/// None where a Secret, or a field of it, is not there: that is said.
pub(super) fn credentials(
    object: &Object,
    auth: &Auth,
    objects: &Objects,
    findings: &mut Findings,
) -> Option<Credentials> {
    let reference = match auth {
        Auth::Plain { username, password } => {
            return Some(Credentials {
                username: username.clone().map(SettingValue::Plain),
                password: sent_apart(object, "password", password.clone()),
            });
        }
        Auth::Secret(reference) => reference,
    };
    let namespace = &object.id.namespace;
    let id = ObjectRef::new(Kind::Secret, namespace, &reference.name.value);
    let wanted = wanted(reference);
    let Some(Spec::Secret(secret)) = objects.get(&id).map(|object| &object.spec) else {
        let absent = absent(&id, &wanted, objects);
        findings.at(object, reference.name.at, absent);
        findings.needing([Need::Secret { id, fields: wanted }]);
        return None;
    };
    let lookup = Lookup {
        object,
        id: &id,
        secret,
    };
    let asked = reference.password_field.as_ref();
    let at = asked.unwrap_or(&reference.name);
    let password = lookup.field(at, "passwordField", &wanted, findings)?;
    let password = sent_apart(object, "password", password);
    let username = match &reference.username_field {
        Some(field) => {
            let wanted = [field.value.clone()];
            Some(lookup.field(field, "usernameField", &wanted, findings)?)
        }
        None if secret.data.contains_key(USERNAME_FIELD) => {
            let wanted = [USERNAME_FIELD.to_owned()];
            let username = lookup.field(&reference.name, "usernameField", &wanted, findings)?;
            Some(username)
        }
        None => None,
    };
    Some(Credentials {
        username: username.map(|text| sent_apart(object, "username", text)),
        password,
    })
}

fn sent_apart(object: &Object, part: &str, text: Hidden<String>) -> SettingValue {
    SettingValue::Secret(SecretText::of(&object.id, part, text))
}

/// The fields of which one has to be there.
fn wanted(reference: &SecretReference) -> Vec<String> {
    match &reference.password_field {
        Some(field) => vec![field.value.clone()],
        None => PASSWORD_FIELDS.map(str::to_owned).into(),
    }
}

/// There is no such Secret, in which one of these fields is wanted.
pub(super) fn absent(id: &ObjectRef, wanted: &[String], objects: &Objects) -> Diagnostic {
    if let Some(Spec::OutOfReach(why)) = objects.get(id).map(|object| &object.spec) {
        return out_of_reach(id, why);
    }
    let secrets = || {
        let secrets = objects.values();
        let secrets = secrets.filter(|object| matches!(object.spec, Spec::Secret(_)));
        secrets.map(|object| &object.id)
    };
    let own = || secrets().filter(|o| o.namespace == id.namespace);
    // The right name in another namespace is the more likely mistake.
    let elsewhere = secrets().find(|o| o.name == id.name);
    let hint = match (elsewhere, nearest(&id.name, own().map(|o| &*o.name))) {
        (Some(other), _) => format!("; there is one in namespace {}", other.namespace),
        (None, Some(near)) => format!("; did you mean `{near}`?"),
        (None, None) => String::new(),
    };
    let message = format!("there is no {id}{hint}");
    let remedy = format!(
        "add a Secret `{}` with the field {} to namespace {}, where it is looked up",
        id.name,
        quoted(wanted),
        id.namespace
    );
    refused(message, &remedy)
}

/// It may be there.
fn out_of_reach(id: &ObjectRef, why: &OutOfReach) -> Diagnostic {
    match why {
        OutOfReach::Unread => refused(
            format!("{id} was not read yet"),
            "wait: it is read as soon as the API server answers",
        ),
        OutOfReach::NotPermitted(role) => {
            let message = format!("{id} may not be read");
            let remedy = format!("apply this, which takes effect within seconds:\n\n{role}");
            Diagnostic::error(Code::SecretNotPermitted, message).remedy(remedy)
        }
    }
}

struct Lookup<'a> {
    object: &'a Object,
    id: &'a ObjectRef,
    secret: &'a Secret,
}

impl Lookup<'_> {
    /// The first of these fields that is there: text, without blanks around it.
    fn field(
        &self,
        at: &Located<String>,
        choice: &str,
        wanted: &[String],
        findings: &mut Findings,
    ) -> Option<Hidden<String>> {
        let found = wanted
            .iter()
            .find_map(|name| Some((name, self.secret.data.get(name)?)));
        let Some((name, Hidden(value))) = found else {
            let fields: Vec<_> = self.secret.data.keys().collect();
            let message = format!("{} has no field {}", self.id, quoted(wanted));
            let there = match fields.as_slice() {
                [] => "it has none".to_owned(),
                fields => format!("its fields are {}", one_of(fields).replace(" or ", " and ")),
            };
            let remedy =
                format!("add it under `stringData`, or name the field in `{choice}`: {there}");
            self.refuse(at, refused(message, &remedy), wanted, findings);
            return None;
        };
        let text = std::str::from_utf8(value).ok().map(str::trim);
        let Some(text) = text.filter(|text| !text.is_empty()) else {
            let message = format!("the field `{name}` of {} is empty, or no text", self.id);
            let remedy = "write text into the field, as UTF-8";
            self.refuse(at, refused(message, remedy), wanted, findings);
            return None;
        };
        Some(Hidden(text.to_owned()))
    }

    fn refuse(
        &self,
        at: &Located<String>,
        diagnostic: Diagnostic,
        wanted: &[String],
        findings: &mut Findings,
    ) {
        findings.at(self.object, at.at, diagnostic);
        findings.needing([Need::Secret {
            id: self.id.clone(),
            fields: wanted.to_vec(),
        }]);
    }
}

fn refused(message: String, remedy: &str) -> Diagnostic {
    Diagnostic::error(Code::UnknownSecret, message).remedy(remedy)
}

fn quoted(names: &[String]) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    one_of(&names)
}
