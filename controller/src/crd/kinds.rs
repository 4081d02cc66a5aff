//! Our kinds as Aeraki calls them: groups, names, short names and categories.

use crate::manifest::shape::Shape;
use crate::manifest::{
    APPLICATION_PROTOCOL, DUBBO_AUTHORIZATION_POLICY, META_ROUTER, REDIS_DESTINATION, REDIS_SERVICE,
};

pub(super) struct Definition {
    pub(super) name: &'static str,
    pub(super) group: &'static str,
    pub(super) plural: &'static str,
    pub(super) short_names: &'static [&'static str],
    pub(super) categories: &'static [&'static str],
    pub(super) is_namespaced: bool,
    pub(super) meaning: &'static str,
    /// Of `spec`.
    pub(super) shape: &'static Shape,
    pub(super) columns: &'static [Column],
}

/// What `kubectl get` shows.
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) path: &'static str,
}

const META_PROTOCOL: &str = "metaprotocol.aeraki.io";
const META_PROTOCOL_CATEGORIES: &[&str] = &["aeraki-io", "metaprotocol-aeraki-io"];
const REDIS: &str = "redis.aeraki.io";
const REDIS_CATEGORIES: &[&str] = &["redis-aeraki-io"];

pub(super) static KINDS: &[Definition] = &[
    Definition {
        name: "MetaRouter",
        group: META_PROTOCOL,
        plural: "metarouters",
        short_names: &[],
        categories: META_PROTOCOL_CATEGORIES,
        is_namespaced: true,
        meaning: "Which requests of a service go where, and how they are treated.",
        shape: &META_ROUTER,
        columns: &[
            Column {
                name: "Hosts",
                path: ".spec.hosts[0]",
            },
            Column {
                name: "Protocol",
                path: ".status.protocol",
            },
        ],
    },
    Definition {
        name: "ApplicationProtocol",
        group: META_PROTOCOL,
        plural: "applicationprotocols",
        short_names: &[],
        categories: META_PROTOCOL_CATEGORIES,
        is_namespaced: false,
        meaning: "Which plugin speaks a protocol by name.",
        shape: &APPLICATION_PROTOCOL,
        columns: &[
            Column {
                name: "Protocol",
                path: ".spec.protocol",
            },
            Column {
                name: "Codec",
                path: ".spec.codec",
            },
        ],
    },
    Definition {
        name: "RedisService",
        group: REDIS,
        plural: "redisservices",
        short_names: &["rsvc"],
        categories: REDIS_CATEGORIES,
        is_namespaced: true,
        meaning: "Which keys of a service go where, and who may ask for them.",
        shape: &REDIS_SERVICE,
        columns: &[Column {
            name: "Hosts",
            path: ".spec.host",
        }],
    },
    Definition {
        name: "RedisDestination",
        group: REDIS,
        plural: "redisdestinations",
        short_names: &["rd"],
        categories: REDIS_CATEGORIES,
        is_namespaced: true,
        meaning: "The policy towards the Redis servers of a host.",
        shape: &REDIS_DESTINATION,
        columns: &[
            Column {
                name: "Host",
                path: ".spec.host",
            },
            Column {
                name: "Mode",
                path: ".spec.trafficPolicy.connectionPool.redis.mode",
            },
        ],
    },
    Definition {
        name: "DubboAuthorizationPolicy",
        group: "dubbo.aeraki.io",
        plural: "dubboauthorizationpolicies",
        short_names: &["dap"],
        categories: &["aeraki-io", "dubbo-aeraki-io"],
        is_namespaced: true,
        meaning: "Who may call which methods of the Dubbo services of a namespace.",
        shape: &DUBBO_AUTHORIZATION_POLICY,
        columns: &[Column {
            name: "Action",
            path: ".spec.action",
        }],
    },
];
