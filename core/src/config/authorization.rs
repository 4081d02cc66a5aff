//! Who may use a service. What cannot be read is refused with the whole service: without its policy it must not be
//! served.

use meltemi_policy::authorization::{
    Action, Block, Clause, Condition, Patterns, Policies, Policy, Rule, Subject,
};
use meltemi_proto::meltemi::config::v1 as proto;
use meltemi_proto::meltemi::config::v1::authorization_policy::Action as ProtoAction;
use meltemi_proto::meltemi::config::v1::authorization_rule as rule;
use meltemi_proto::meltemi::config::v1::authorization_rule::condition::{self, Property};

use super::invalid::{Invalid, required};

pub(super) fn parse(authorization: proto::Authorization) -> Result<Policies, Invalid> {
    let policies = each("policies", authorization.policies, policy)?;
    Ok(Policies::new(policies))
}

/// All items of a field, each of which is told by its place.
fn each<T, U>(
    field: &str,
    items: Vec<T>,
    parse: impl Fn(T) -> Result<U, Invalid>,
) -> Result<Vec<U>, Invalid> {
    let items = items.into_iter().enumerate();
    items
        .map(|(i, item)| parse(item).map_err(|e| e.within(&format!("{field}[{i}]"))))
        .collect()
}

fn policy(policy: proto::AuthorizationPolicy) -> Result<Policy, Invalid> {
    let action = match ProtoAction::try_from(policy.action) {
        Ok(ProtoAction::Allow) => Action::Allow,
        Ok(ProtoAction::Deny) => Action::Deny,
        Ok(ProtoAction::Audit) => Action::Audit,
        Ok(ProtoAction::Unspecified) | Err(_) => {
            return Err(Invalid::new("action", "is missing or unknown"));
        }
    };
    let rules = each("rules", policy.rules, |rule| {
        let clauses = each("clauses", rule.clauses, clause)?;
        Ok(Rule { clauses })
    })?;
    Ok(Policy { action, rules })
}

fn clause(clause: rule::Clause) -> Result<Clause, Invalid> {
    let any = each("any", clause.any, |all| each("all", all.all, condition))?;
    Ok(Clause { any })
}

fn condition(condition: rule::Condition) -> Result<Condition, Invalid> {
    if condition.values.is_empty() {
        return Err(Invalid::new("values", "is empty"));
    }
    Ok(Condition {
        subject: subject(condition.subject, condition.values)?,
        invert: condition.invert,
    })
}

fn subject(subject: Option<condition::Subject>, values: Vec<String>) -> Result<Subject, Invalid> {
    let patterns = || Patterns::new(values.iter().map(String::as_str));
    let number = match subject {
        Some(condition::Subject::Attribute(name)) => {
            return Ok(Subject::Attribute(required("attribute", name)?, patterns()));
        }
        Some(condition::Subject::Property(number)) => number,
        None => return Err(Invalid::new("subject", "is missing or unknown")),
    };
    match Property::try_from(number) {
        Ok(Property::Principal) => Ok(Subject::Principal(patterns())),
        Ok(Property::Namespace) => Ok(Subject::Namespace(patterns())),
        Ok(Property::ServiceAccount) => Ok(Subject::ServiceAccount(patterns())),
        Ok(Property::Address) => each("values", values, |text| {
            let block = text.parse::<Block>();
            block.map_err(|error| Invalid::new("", error.to_string()))
        })
        .map(Subject::Address),
        Ok(Property::Port) => each("values", values, |text| {
            let port = text.parse::<u16>();
            port.map_err(|_| Invalid::new("", format!("{text:?} is no port")))
        })
        .map(Subject::Port),
        Ok(Property::Unspecified) | Err(_) => Err(Invalid::new("property", "is unknown")),
    }
}
