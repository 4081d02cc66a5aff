//! Which service, server and attributes a query means.

use meltemi_policy::explain::Treatment;

use super::{Attribute, ExplainError, Query};
use crate::manifest::{Spec, nearest, one_of};
use crate::model::{Bind, Model, Rule, Server, Service, SettingValue};
use crate::schema::{ProtocolSchema, Settings};

/// The service and, if one is given, its port.
pub(super) fn service<'a>(
    model: &'a Model,
    text: &str,
) -> Result<(&'a Service, Option<u16>), ExplainError> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let service = of_host(model, host)?;
    let Some(port) = port else {
        return Ok((service, None));
    };
    match port
        .parse()
        .ok()
        .filter(|&number| service.port(number).is_some())
    {
        Some(number) => Ok((service, Some(number))),
        None => Err(ExplainError::UnknownPort {
            service: service.host.clone(),
            port: port.to_owned(),
        }),
    }
}

/// `[NAMESPACE/]HOST`; without a namespace a short name is a service of `default`.
fn of_host<'a>(model: &'a Model, text: &str) -> Result<&'a Service, ExplainError> {
    let (namespace, host) = match text.split_once('/') {
        Some((namespace, host)) => (Some(namespace), host),
        None => (None, text),
    };
    let services = || model.services.iter();
    let found = model.services.find(host, namespace.unwrap_or("default"));
    let found = found.filter(|s| namespace.is_none_or(|n| *s.namespace == *n));
    let Some(found) = found else {
        let hosts: Vec<_> = services().map(|s| s.host.as_str()).collect();
        return Err(ExplainError::UnknownService {
            host: text.to_owned(),
            known: list(&hosts),
        });
    };
    let same: Vec<_> = services()
        .filter(|s| s.host == found.host)
        .map(|s| format!("{}/{}", s.namespace, s.host))
        .collect();
    if namespace.is_none() && same.len() > 1 {
        return Err(ExplainError::SeveralServices {
            host: found.host.clone(),
            known: list(&same),
        });
    }
    Ok(found)
}

fn list<T: AsRef<str>>(names: &[T]) -> String {
    let names: Vec<_> = names.iter().map(T::as_ref).collect();
    if names.is_empty() {
        return "none".to_owned();
    }
    names.join(", ")
}

/// The server through which the request comes: of those that speak the protocol the one that is
/// named, else the only one, else the only one with a rule for the service.
pub(super) fn server<'a>(
    model: &'a Model,
    service: &Service,
    port: Option<u16>,
    gateway: Option<&str>,
) -> Result<&'a Server, ExplainError> {
    let spoken: Vec<_> = service
        .ports
        .iter()
        .filter(|p| port.is_none_or(|number| p.number == number))
        .filter_map(|p| p.protocol.as_ref())
        .collect();
    let servers = model.servers.iter().map(|server| &**server);
    let (speaking, others): (Vec<&Server>, Vec<&Server>) =
        servers.partition(|s| spoken.contains(&&s.protocol) && leads_to(s, service, port));
    let is_asked = |s: &&Server| gateway.is_none_or(|gateway| is_named(s, gateway));
    let named: Vec<&Server> = speaking.iter().copied().filter(is_asked).collect();
    let routed: Vec<&Server> = named
        .iter()
        .copied()
        .filter(|s| s.rules.iter().any(|r| is_for(r, service)))
        .collect();
    match (named.as_slice(), routed.as_slice()) {
        ([only], _) | (_, [only]) => Ok(only),
        ([], _) => Err(match gateway {
            Some(gateway) if !others.iter().any(|s| is_named(s, gateway)) => {
                unknown_gateway(model, gateway)
            }
            gateway => ExplainError::NoServer {
                gateway: gateway.unwrap_or("a Gateway").to_owned(),
                service: service.host.clone(),
                known: match speaking.as_slice() {
                    [] => format!("there is {}", names(&others)),
                    speaking => format!("these do: {}", names(speaking)),
                },
            },
        }),
        (named, _) => Err(ExplainError::SeveralServers {
            service: service.host.clone(),
            known: names(named),
        }),
    }
}

/// Behind a waypoint a server is a service's own.
fn leads_to(server: &Server, service: &Service, port: Option<u16>) -> bool {
    match &server.bind {
        Bind::Service(bound) => {
            bound.is_of(service) && port.is_none_or(|number| number == bound.port)
        }
        Bind::Tcp(..) | Bind::Unix(_) => true,
    }
}

fn names(servers: &[&Server]) -> String {
    let names: Vec<_> = servers.iter().map(|s| s.name.to_string()).collect();
    list(&names)
}

fn unknown_gateway(model: &Model, gateway: &str) -> ExplainError {
    let servers: Vec<_> = model.servers.iter().map(|server| &**server).collect();
    let gateways = servers.iter().map(|s| &*s.name.gateway);
    ExplainError::UnknownGateway {
        gateway: gateway.to_owned(),
        hint: hint(nearest(gateway, gateways)),
        known: names(&servers),
    }
}

fn hint(near: Option<&str>) -> String {
    near.map(|near| format!(" (did you mean `{near}`?)"))
        .unwrap_or_default()
}

/// `[NAMESPACE/]GATEWAY[/SERVER]`.
fn is_named(server: &Server, text: &str) -> bool {
    let name = &server.name;
    let (namespace, gateway) = (&*name.namespace, &*name.gateway);
    match text.split('/').collect::<Vec<_>>().as_slice() {
        [one] => *one == gateway,
        [first, second] => {
            (*first == namespace && *second == gateway)
                || (*first == gateway && *second == name.server)
        }
        [first, second, third] => {
            *first == namespace && *second == gateway && *third == name.server
        }
        _ => false,
    }
}

/// Whether the rule is of an object for this service.
fn is_for(rule: &Rule, service: &Service) -> bool {
    let hosts = match &rule.source.spec {
        Spec::MetaRouter(router) => std::slice::from_ref(&router.host),
        Spec::RedisService(redis) => &redis.hosts,
        Spec::Service(_) | Spec::ServiceEntry(_) => return rule.source.id == service.source.id,
        _ => return false,
    };
    let namespace = &rule.source.id.namespace;
    hosts.iter().any(|host| {
        let full = meltemi_policy::host::expand(&host.value, namespace);
        service.host == host.value || service.host == full
    })
}

/// What was asked; where the service stands for one value of the protocol's service attribute and
/// nothing else was asked, that value too.
pub(super) fn attributes(
    service: &Service,
    schema: Option<&ProtocolSchema>,
    query: &Query,
) -> Result<Vec<Attribute>, ExplainError> {
    let mut attributes: Vec<Attribute> = vec![];
    let name = schema.and_then(|s| s.service_attribute.as_ref());
    if let (Some(name), [only]) = (name, service.interfaces.as_slice())
        && query.attributes.iter().all(|(asked, _)| asked != name)
    {
        let (name, value) = (name.clone(), only.clone());
        attributes.push(Attribute {
            name,
            value,
            from_annotation: true,
        });
    }
    for (name, value) in &query.attributes {
        if attributes.iter().any(|a| a.name == *name) {
            return Err(ExplainError::RepeatedAttribute(name.clone()));
        }
        schema.map_or(Ok(()), |schema| known(name, schema))?;
        let is_lower = schema.is_some_and(|schema| schema.lower_case.contains(name));
        attributes.push(Attribute {
            name: name.clone(),
            // As the message's is, however it is written.
            value: match is_lower {
                true => value.to_ascii_lowercase(),
                false => value.clone(),
            },
            from_annotation: false,
        });
    }
    Ok(attributes)
}

/// As `check` judges the attributes of a rule.
fn known(name: &str, schema: &ProtocolSchema) -> Result<(), ExplainError> {
    let known = || schema.attributes.iter().map(|a| a.name.as_str());
    if known().any(|k| k == name) {
        return Ok(());
    }
    let near = nearest(name, known());
    if near.is_none() && schema.open {
        return Ok(());
    }
    Err(ExplainError::UnknownAttribute {
        name: name.to_owned(),
        protocol: schema.id.clone(),
        hint: hint(near),
        known: known().collect::<Vec<_>>().join(", "),
    })
}

/// Why no rule of the service takes the request, whatever its conditions: it is for none of the
/// values to which the service's annotation restricts them.
pub(super) fn note(
    service: &Service,
    schema: Option<&ProtocolSchema>,
    attributes: &[Attribute],
) -> Option<String> {
    let name = schema?.service_attribute.as_ref()?;
    let first = service.interfaces.first()?;
    let host = &service.host;
    let admitted = one_of(&service.interfaces);
    match attributes.iter().find(|a| a.name == *name) {
        None => Some(format!(
            "the annotation `interface` of {host} admits requests for {admitted}, and this one is \
             for none: say which with --attr {name}={first}"
        )),
        Some(asked) if !service.interfaces.contains(&asked.value) => Some(format!(
            "the annotation `interface` of {host} admits requests for {admitted} only"
        )),
        Some(_) => None,
    }
}

/// The hash of the request's key, as it is sent.
pub(super) fn key_hash(
    server: &Server,
    settings: &Settings,
    attributes: &[Attribute],
    treatment: &Treatment,
) -> Option<u64> {
    let told = server.policy.settings.iter();
    let told: Vec<_> = told
        .map(|setting| {
            let value = match &setting.value {
                SettingValue::Plain(value) => value,
                SettingValue::Secret(secret) => &secret.text.0,
            };
            (setting.name.as_str(), value.as_str())
        })
        .collect();
    let removed = treatment.remove_prefix.as_ref();
    let sent = |attribute: &Attribute| {
        let removed = removed.filter(|removed| removed.attribute == attribute.name)?;
        removed.sent.as_deref()
    };
    let sent: Vec<_> = attributes
        .iter()
        .map(|it| (it.name.as_str(), sent(it).unwrap_or(&it.value)))
        .collect();
    let plugin = &server.protocol.plugin;
    settings.key_hash.as_ref()?.of(plugin, &told, &sent)
}
