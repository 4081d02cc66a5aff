//! `RedisService`: which keys of a service go where, and who may ask for them.

use super::super::decode::{Decoder, Fields, PERCENT};
use super::super::shape::{Described, Literal, Shape, Takes};
use super::super::{Destination, Located, Mark, name};
use crate::diagnostic::{Code, Diagnostic};
use crate::yaml::Node;

mod faults;
mod settings;

pub(crate) use faults::Fault;
pub(crate) use settings::{Buffering, Settings};

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RedisService {
    /// The services whose requests these are; at least one.
    pub(crate) hosts: Vec<Located<String>>,
    /// `name` or `namespace/name`.
    pub(crate) gateways: Vec<Located<String>>,
    pub(crate) settings: Settings,
    /// As written; none: everything goes to the host itself.
    pub(crate) routes: Vec<RedisRoute>,
    pub(crate) faults: Vec<Fault>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RedisRoute {
    /// None: every request that no other route takes.
    pub(crate) prefix: Option<Located<String>>,
    pub(crate) remove_prefix: bool,
    pub(crate) destination: Destination,
    pub(crate) mirrors: Vec<Mirror>,
    pub(crate) mark: Mark,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mirror {
    pub(crate) destination: Destination,
    /// From 0 to 100; all, where nothing is said.
    pub(crate) percentage: f64,
    pub(crate) exclude_read_commands: bool,
}

pub(crate) static REDIS_SERVICE: Shape = Shape {
    name: "RedisService",
    meaning: "Which keys of a service go where, and who may ask for them.",
    given: "",
    instead: &[],
    fields: &[
        Described::new(
            "host",
            Takes::List(&Takes::Text),
            "the services whose requests these are; at least one",
        )
        .required(),
        Described::new(
            "gateways",
            Takes::List(&Takes::Text),
            "our addition: `name` or `namespace/name`, as of a MetaRouter. A server has one RedisService",
        )
        .absent("it acts nowhere (a warning)"),
        Described::new(
            "settings",
            Takes::Mapping(&settings::SETTINGS),
            "how clients and servers are treated",
        ),
        Described::new(
            "redis",
            Takes::List(&Takes::Mapping(&ROUTE)),
            "which keys go where; the longest prefix decides, wherever it stands",
        )
        .absent("everything goes to the host"),
        Described::new(
            "faults",
            Takes::List(&Takes::Mapping(&faults::FAULT)),
            "delays and errors on purpose",
        )
        .absent("none"),
    ],
};

static ROUTE: Shape = Shape {
    name: "RedisRoute",
    meaning: "",
    given: "",
    instead: &[],
    fields: &[
        Described::new("match", Takes::Mapping(&MATCH), "which keys")
            .absent("every request that no prefix takes"),
        Described::new("route", Takes::Mapping(&DESTINATION), "where they go").required(),
        Described::new(
            "mirror",
            Takes::List(&Takes::Mapping(&MIRROR)),
            "who gets copies; their answers are dropped",
        )
        .absent("nobody"),
    ],
};

static MATCH: Shape = Shape {
    name: "RedisMatch",
    meaning: "",
    given: "",
    instead: &[],
    fields: &[Described::new(
        "key",
        Takes::Mapping(&KEY),
        "of the request",
    )],
};

static KEY: Shape = Shape {
    name: "RedisKeyMatch",
    meaning: "",
    given: "",
    instead: &[],
    fields: &[
        Described::new("prefix", Takes::Text, "it begins with this").absent(
            "every request that no prefix takes, those without a key too; so is an empty one",
        ),
        Described::new(
            "removePrefix",
            Takes::Boolean,
            "`true`: the prefix is taken off the key before it is sent",
        )
        .default(Literal::Boolean(false)),
    ],
};

static MIRROR: Shape = Shape {
    name: "RedisMirror",
    meaning: "",
    given: "",
    instead: &[],
    fields: &[
        Described::new("route", Takes::Mapping(&DESTINATION), "who gets copies").required(),
        Described::new(
            "percentage",
            Takes::Mapping(&PERCENT),
            "of how many of the requests; 0 is none",
        )
        .default(Literal::Percent(ALL)),
        Described::new(
            "excludeReadCommands",
            Takes::Boolean,
            "`true`: only writes are copied",
        )
        .default(Literal::Boolean(false)),
    ],
};

/// Of the requests, in percent, where nothing is said.
const ALL: f64 = 100.0;

static DESTINATION: Shape = Shape {
    name: "RedisHost",
    meaning: "",
    given: "",
    instead: &[],
    fields: &[
        Described::new(
            "host",
            Takes::Text,
            "of a service; a name without a dot is one of the same namespace",
        )
        .required(),
        Described::new(
            "port",
            Takes::Integer {
                least: 0,
                most: u16::MAX as i64,
            },
            "one of the service's",
        )
        .absent(
            "the service's port with the server's number, else its only port for Redis; so is 0",
        ),
    ],
};

pub(in super::super) fn decode(d: &mut Decoder, spec: &Node) -> Option<RedisService> {
    let fields = d.fields("spec", spec, &REDIS_SERVICE);
    let mut hosts = fields.strings(d, "host");
    if hosts.is_empty() {
        fields.missing(d, "host");
    }
    hosts.retain(|host| d.check_name("spec.host", host, &name::HOST));
    let gateways = fields.gateways(d);
    let settings = settings::decode(d, &fields);
    let routes = fields.list(d, "redis").iter();
    let routes: Vec<_> = routes.filter_map(|node| route(d, node)).collect();
    check_prefixes(d, &routes, settings.case_insensitive);
    let faults = fields.list(d, "faults").iter();
    let faults = faults.filter_map(|node| faults::decode(d, node)).collect();
    (!hosts.is_empty()).then_some(RedisService {
        hosts,
        gateways,
        settings,
        routes,
        faults,
    })
}

fn route(d: &mut Decoder, node: &Node) -> Option<RedisRoute> {
    let fields = d.fields("redis", node, &ROUTE);
    let key = fields.node("match").and_then(|node| {
        let fields = d.fields("redis.match", node, &MATCH);
        Some(d.fields("redis.match.key", fields.node("key")?, &KEY))
    });
    let prefix = key.as_ref().and_then(|key| key.string(d, "prefix"));
    let remove = key.as_ref().and_then(|key| key.boolean(d, "removePrefix"));
    let prefix = prefix.filter(|prefix| !prefix.value.is_empty());
    if let (None, Some(true), Some(key)) = (&prefix, remove, &key) {
        let at = key.entry("removePrefix").map_or(key.at, |entry| entry.at);
        let message = "`redis.match.key.removePrefix` has no effect: there is no prefix";
        let diagnostic = Diagnostic::warning(Code::NotInForce, message);
        d.report(at, diagnostic.remedy("set `prefix`, or remove it"));
    }
    let destination = destination(d, &fields);
    let mirrors = fields.list(d, "mirror").iter();
    let mirrors = mirrors.filter_map(|node| mirror(d, node)).collect();
    // A prefix of the wrong type must not widen the route to all keys: then there is an error.
    Some(RedisRoute {
        prefix,
        remove_prefix: remove.unwrap_or(false),
        destination: destination?,
        mirrors,
        mark: Mark::new(node.at),
    })
}

fn mirror(d: &mut Decoder, node: &Node) -> Option<Mirror> {
    let fields = d.fields("mirror", node, &MIRROR);
    let destination = destination(d, &fields);
    let percentage = fields.percent(d, "percentage").unwrap_or(ALL);
    let exclude = fields.boolean(d, "excludeReadCommands");
    Some(Mirror {
        destination: destination?,
        percentage,
        exclude_read_commands: exclude.unwrap_or(false),
    })
}

/// The field `route`, of a route or of a mirror of it.
fn destination(d: &mut Decoder, parent: &Fields<'_>) -> Option<Destination> {
    let Some(node) = parent.node("route") else {
        parent.missing(d, "route");
        return None;
    };
    let path = parent.path_of("route");
    let fields = d.fields(&path, node, &DESTINATION);
    let host = fields.required(d, "host");
    let host = host.filter(|host| d.check_name(&format!("{path}.host"), host, &name::HOST));
    // As protobuf has it, 0 is a port that is not given.
    let port = fields.whole(d, "port");
    let port = port.filter(|port| port.value != 0).and_then(|port| {
        Some(Located {
            value: u16::try_from(port.value).ok()?,
            at: port.at,
        })
    });
    Some(Destination {
        host: host?,
        subset: None,
        port,
        weight: 100,
        fallbacks: vec![],
    })
}

/// Of several routes without a prefix the last one counts, as in Aeraki; two of one prefix are a
/// contradiction.
fn check_prefixes(d: &mut Decoder, routes: &[RedisRoute], ignore_case: bool) {
    let same = |a: &str, b: &str| match ignore_case {
        true => a.eq_ignore_ascii_case(b),
        false => a == b,
    };
    for (i, route) in routes.iter().enumerate() {
        let Some(prefix) = &route.prefix else {
            if routes[i + 1..].iter().any(|later| later.prefix.is_none()) {
                let message = "this route gets no request: a later one without a prefix counts";
                let diagnostic = Diagnostic::warning(Code::DeadRoute, message);
                let remedy = "remove one of the two, or give it a `match.key.prefix`";
                d.report(route.mark.at, diagnostic.remedy(remedy));
            }
            continue;
        };
        let earlier = routes[..i].iter().filter_map(|r| r.prefix.as_ref());
        if earlier.into_iter().any(|e| same(&e.value, &prefix.value)) {
            let message = format!("two routes have the prefix `{}`", prefix.value);
            d.invalid(prefix.at, message, "give each route a prefix of its own");
        }
    }
}
