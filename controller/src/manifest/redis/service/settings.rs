//! `settings`: how a RedisService treats its clients and its servers.

use std::time::Duration;

use super::super::super::decode::{Decoder, Fields};
use super::super::super::shape::{Described, Literal, Shape, Takes};
use super::super::auth::{self, Auth};
use crate::diagnostic::{Code, Diagnostic};

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Settings {
    /// Whether prefixes are compared without regard to the case of ASCII letters.
    pub(crate) case_insensitive: bool,
    /// None: no limit.
    pub(crate) op_timeout: Option<Duration>,
    pub(crate) command_stats: bool,
    /// Our addition: commands that take at least as long are logged.
    pub(crate) slow_command_threshold: Option<Duration>,
    pub(crate) buffering: Option<Buffering>,
    pub(crate) max_unknown_connections: Option<u32>,
    /// None: nothing is said, which Aeraki reads as false.
    pub(crate) hash_tags: Option<bool>,
    pub(crate) redirection: Option<bool>,
    /// One of [`READ_POLICIES`]; none: the primary's.
    pub(crate) read_policy: Option<&'static str>,
    /// What clients have to show.
    pub(crate) auth: Option<Auth>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Buffering {
    /// Above 0.
    pub(crate) bytes: u32,
    pub(crate) timeout: Duration,
}

/// Envoy's, where only the size is given.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(3);

pub(super) static SETTINGS: Shape = Shape {
    name: "RedisServiceSettings",
    meaning: "",
    given: "",
    instead: &[],
    fields: &[
        Described::new(
            "caseInsensitive",
            Takes::Boolean,
            "`true`: prefixes are compared without regard to the case of ASCII letters",
        )
        .default(Literal::Boolean(false)),
        Described::new(
            "opTimeout",
            Takes::Duration,
            "from the end of a request to its answer",
        )
        .absent("no limit"),
        Described::new("enableCommandStats", Takes::Boolean, "`true`: metrics by command")
            .default(Literal::Boolean(false)),
        Described::new(
            "slowCommandThreshold",
            Takes::Duration,
            "our addition: commands that take as long are logged",
        )
        .absent("none is"),
        Described::new(
            "maxBufferSizeBeforeFlush",
            NATURAL,
            "requests are gathered until there are so many bytes",
        )
        .absent("they are not; so is 0"),
        Described::new(
            "bufferFlushTimeout",
            Takes::Duration,
            "or for so long. Only beside `maxBufferSizeBeforeFlush`",
        )
        .absent("3ms"),
        Described::new(
            "maxUpstreamUnknownConnections",
            NATURAL,
            "redirections are followed to so many servers that nobody listed",
        )
        .absent("100"),
        Described::new(
            "enableHashtagging",
            Takes::Boolean,
            "`true`: of a key with `{…}` only what is in the braces is hashed. The slots of a Redis \
             Cluster always look at it",
        )
        .absent("`false`"),
        Described::new(
            "enableRedirection",
            Takes::Boolean,
            "`true`: `MOVED` and `ASK` are followed",
        )
        .absent("`false`; of a Redis Cluster they always are"),
        Described::new(
            "readPolicy",
            Takes::OneOf(READ_POLICIES),
            "which servers are asked what only reads",
        )
        .absent("`MASTER`"),
        Described::new(
            "auth",
            Takes::Mapping(&auth::AUTH),
            "what clients have to show",
        )
        .absent("nothing"),
    ],
};

const NATURAL: Takes = Takes::Integer {
    least: 0,
    most: u32::MAX as i64,
};

const READ_POLICIES: &[&str] = &[
    "MASTER",
    "PREFER_MASTER",
    "REPLICA",
    "PREFER_REPLICA",
    "ANY",
];

pub(super) fn decode(d: &mut Decoder, spec: &Fields<'_>) -> Settings {
    let Some(node) = spec.node("settings") else {
        return Settings::default();
    };
    let fields = d.fields("settings", node, &SETTINGS);
    let case_insensitive = fields.boolean(d, "caseInsensitive");
    let command_stats = fields.boolean(d, "enableCommandStats");
    Settings {
        case_insensitive: case_insensitive.unwrap_or(false),
        op_timeout: fields.duration(d, "opTimeout"),
        command_stats: command_stats.unwrap_or(false),
        slow_command_threshold: fields.duration(d, "slowCommandThreshold"),
        buffering: buffering(d, &fields),
        max_unknown_connections: fields.natural(d, "maxUpstreamUnknownConnections"),
        hash_tags: fields.boolean(d, "enableHashtagging"),
        redirection: fields.boolean(d, "enableRedirection"),
        read_policy: read_policy(d, &fields),
        auth: auth::decode(d, &fields),
    }
}

/// As in Envoy, without a size nothing is gathered, whatever the timeout.
fn buffering(d: &mut Decoder, settings: &Fields<'_>) -> Option<Buffering> {
    let bytes = settings.natural(d, "maxBufferSizeBeforeFlush");
    let timeout = settings.duration(d, "bufferFlushTimeout");
    let Some(bytes) = bytes.filter(|&bytes| bytes > 0) else {
        if let Some(entry) = settings.entry("bufferFlushTimeout") {
            let message = "`settings.bufferFlushTimeout` has no effect: requests are not gathered";
            let diagnostic = Diagnostic::warning(Code::NotInForce, message);
            let remedy = "set `maxBufferSizeBeforeFlush`, or remove it";
            d.report(entry.at, diagnostic.remedy(remedy));
        }
        return None;
    };
    Some(Buffering {
        bytes,
        timeout: timeout.unwrap_or(FLUSH_TIMEOUT),
    })
}

fn read_policy(d: &mut Decoder, settings: &Fields<'_>) -> Option<&'static str> {
    let word = settings.string(d, "readPolicy")?;
    let policy = READ_POLICIES.iter().find(|policy| **policy == word.value);
    if policy.is_none() {
        d.not_a_choice("settings.readPolicy", &word, READ_POLICIES);
    }
    policy.copied()
}
