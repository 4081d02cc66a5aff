//! Where a request would go, and why, by the configuration in force and the health of this moment:
//! what `meltemi explain` says of manifests, in its words as far as a proxy knows the same.

mod destination;
mod question;
mod treatment;

use std::sync::Arc;

use meltemi_policy::RouteTable;
use meltemi_policy::explain::Asked;
use meltemi_policy::hashing::Keyed;
use meltemi_policy::route::Verdict;
use serde_json::{Map, Value, json};

use super::{Sources, clusters};
use crate::config::{Route, Service, Snapshot};
use crate::engine::WorkerStatus;
use question::Question;
pub(super) use question::Refused;
use treatment::Taken;

/// Answers a question, which is the body of a request.
pub(super) async fn explain(sources: &Sources, body: &[u8]) -> Result<Value, Refused> {
    let snapshot = sources.snapshot();
    let mut routes = snapshot.routes.values().flat_map(|config| &config.routes);
    let workers = match routes.any(|route| route.adaptive_concurrency.is_some()) {
        true => clusters::workers(sources).await,
        false => vec![],
    };
    answer(body, (sources, &snapshot), &workers)
}

/// `workers` are needed where some route's limit is theirs.
fn answer(
    body: &[u8],
    at: (&Sources, &Snapshot),
    workers: &[WorkerStatus],
) -> Result<Value, Refused> {
    let (sources, snapshot) = at;
    let question = Question::parse(body)?;
    let service = question.service(snapshot)?;
    let protocol = question::protocol(service, sources)?;
    let question = question.in_words_of(protocol.as_ref())?;
    let rules = rules(service, snapshot);
    let compiled = rules
        .iter()
        .map(|rule| (rule.matches.clone(), rule.as_ref()));
    let table = RouteTable::new(compiled).map_err(|error| Refused::Routes(error.to_string()))?;
    let value = |name: &str| question.attribute(name);
    let asked = Asked {
        attribute: &value,
        source: question.source,
        principal: question.principal.as_deref(),
    };
    let explained = table.explain(|index| asked.value(table.attributes().get(index)?));
    let matched = explained.matched;
    let passed = explained.verdicts.iter();
    let passed = passed.filter(|verdict| matched.is_none_or(|taken| taken.rule != verdict.rule));
    let passed = passed.filter_map(|verdict| passed_over(rules, verdict));
    let mut answer = json!({
        "server": service.name,
        "protocol": service.application_protocol,
        "attributes": question.attributes(),
        "locality": snapshot.locality.to_string(),
        "version": snapshot.version,
        "passed_over": passed.collect::<Vec<_>>(),
        "route": null,
        "destinations": [],
    });
    if let Some(source) = question.source {
        answer["source"] = source.to_string().into();
    }
    let taken = matched.and_then(|taken| Some((taken, rules.get(taken.rule)?)));
    if let Some((matched, rule)) = taken {
        answer["route"] = route(rule);
        if rule.matches.len() > 1 {
            answer["alternative"] = (matched.alternative + 1).into();
        }
        let key = question.key(protocol.as_ref(), rule);
        let keyed = Keyed {
            own: key.and_then(|key| protocol.key_hash(&key)),
            route: &rule.hash_policy,
            attribute: &value,
            source: question.source,
        };
        answer["destinations"] = json!(destination::all(rule, at, &keyed));
        let taken = Taken {
            route: rule,
            place: matched.rule,
            service,
            protocol: protocol.as_ref(),
        };
        let treatment = json!(treatment::of(taken, &asked, at, workers));
        if let (Value::Object(answer), Value::Object(treatment)) = (&mut answer, treatment) {
            answer.extend(treatment);
        }
    }
    Ok(answer)
}

/// The routes that decide for a service, in their order.
fn rules<'a>(service: &Service, snapshot: &'a Snapshot) -> &'a [Arc<Route>] {
    let config = service.route_config.as_ref();
    let config = config.and_then(|name| snapshot.routes.get(name));
    config
        .map(|config| config.routes.as_slice())
        .unwrap_or_default()
}

fn passed_over(rules: &[Arc<Route>], verdict: &Verdict) -> Option<Value> {
    let rule = rules.get(verdict.rule)?;
    let several = rule.matches.len() > 1;
    let mut because: Vec<String> = vec![];
    for (i, failed) in verdict.failed.iter().enumerate() {
        let number = i + 1;
        because.extend(failed.iter().map(|failure| match several {
            true => format!("alternative {number}: {failure}"),
            false => failure.to_string(),
        }));
    }
    let mut passed = route(rule);
    passed["because"] = because.into();
    Some(passed)
}

/// A route, and the object that it came from, under the name of its kind.
fn route(rule: &Route) -> Value {
    let mut shown = Map::new();
    if let Some((kind, object)) = rule.owner.split_once('/') {
        shown.insert(snake_case(kind), object.into());
    }
    shown.insert("name".to_owned(), rule.name.as_str().into());
    Value::Object(shown)
}

/// `ThisCase` as `this_case`.
fn snake_case(kind: &str) -> String {
    let mut snake = String::new();
    for (i, letter) in kind.char_indices() {
        if letter.is_ascii_uppercase() && i > 0 {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}
