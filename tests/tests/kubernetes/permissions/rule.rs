//! Rules of roles, and what they come to.

use meltemi_tests::kubernetes::{ROLES, Role, SIDECAR_ROLE, WAYPOINT_ROLE};
use serde_json::{Value, json};

/// A rule of a role.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) role: Role,
    rule: Value,
    /// All of its role.
    pub(crate) all: Value,
    /// All but this one.
    pub(crate) others: Value,
}

/// One thing that somebody may do, or has done.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Permission {
    verb: String,
    group: String,
    /// With its subresource.
    resource: String,
    /// Any, or everywhere, where there is none.
    name: Option<String>,
    namespace: Option<String>,
}

/// Those of all roles.
pub(crate) fn rules() -> Vec<Rule> {
    let of_role = |role: Role| {
        let mut read: Value = serde_saphyr::from_str(role.rules).expect("rules");
        let all = read["rules"].take();
        let rules = all.as_array().expect("a list").clone();
        let without = |number: usize| {
            let mut others = rules.clone();
            others.remove(number);
            json!(others)
        };
        let rule = |(number, rule): (usize, &Value)| Rule {
            role,
            rule: rule.clone(),
            all: all.clone(),
            others: without(number),
        };
        rules.iter().enumerate().map(rule).collect::<Vec<_>>()
    };
    ROLES.into_iter().flat_map(of_role).collect()
}

fn texts(value: &Value) -> Vec<String> {
    let texts = value.as_array().into_iter().flatten();
    texts
        .map(|it| it.as_str().expect("text").to_owned())
        .collect()
}

impl Rule {
    /// Each verb of each resource.
    pub(crate) fn permissions(&self) -> Vec<Permission> {
        let part = |name: &str| texts(&self.rule[name]);
        let [groups, resources, verbs] = ["apiGroups", "resources", "verbs"].map(part);
        let names = match part("resourceNames") {
            names if names.is_empty() => vec![None],
            names => names.into_iter().map(Some).collect(),
        };
        let mut permissions = vec![];
        for group in &groups {
            for resource in &resources {
                for verb in &verbs {
                    permissions.extend(names.iter().map(|name| Permission {
                        verb: verb.clone(),
                        group: group.clone(),
                        resource: resource.clone(),
                        name: name.clone(),
                        namespace: self.role.namespace.map(str::to_owned),
                    }));
                }
            }
        }
        permissions
    }

    /// Whether it is for waypoints alone.
    pub(crate) fn is_of_waypoints(&self) -> bool {
        self.role.name == WAYPOINT_ROLE.name
    }

    /// Whether it is for sidecars alone.
    pub(crate) fn is_of_sidecars(&self) -> bool {
        self.role.name == SIDECAR_ROLE.name
    }

    pub(crate) fn is_about(&self, resource: &str) -> bool {
        texts(&self.rule["resources"])
            .iter()
            .any(|it| it == resource)
    }

    /// Whether somebody has said that one of its permissions is missing, in the API server's words.
    pub(crate) fn is_missed_by(&self, said: &str) -> bool {
        let said = said.replace('\\', "");
        let is_missed = |it: &Permission| {
            let refused = format!("cannot {} resource \"{}\"", it.verb, it.resource);
            said.contains(&refused)
        };
        self.permissions().iter().any(is_missed)
    }
}

impl Permission {
    /// What was asked, as an audit has it; none where it was of no resource.
    pub(crate) fn asked(event: &Value) -> Option<Self> {
        let object = &event["objectRef"];
        let text = |name: &str| object[name].as_str().map(str::to_owned);
        let resource = text("resource")?;
        Some(Self {
            verb: event["verb"].as_str()?.to_owned(),
            group: text("apiGroup").unwrap_or_default(),
            resource: match text("subresource") {
                Some(part) => format!("{resource}/{part}"),
                None => resource,
            },
            name: text("name"),
            namespace: text("namespace"),
        })
    }

    /// Whether it is what somebody does who ends.
    pub(crate) fn is_done_at_last(&self) -> bool {
        self.verb == "delete" && self.resource == "leases"
    }

    /// Whether it is what this asks for.
    pub(crate) fn is_for(&self, asked: &Self) -> bool {
        let same = |one: &Self| (one.verb.clone(), one.group.clone(), one.resource.clone());
        let has = |mine: &Option<String>, other: &Option<String>| mine.is_none() || mine == other;
        same(self) == same(asked)
            && has(&self.name, &asked.name)
            && has(&self.namespace, &asked.namespace)
    }

    /// As a SubjectAccessReview asks for it.
    pub(crate) fn attributes(&self) -> Value {
        let (resource, part) = self
            .resource
            .split_once('/')
            .unwrap_or((&self.resource, ""));
        json!({
            "verb": self.verb, "group": self.group, "resource": resource, "subresource": part,
            "name": self.name, "namespace": self.namespace,
        })
    }
}
