//! What is applied, right and wrong.

pub(crate) use meltemi_tests::kubernetes::REDIS_GATEWAY as GATEWAY;

/// A MetaRouter that sends everything to a host.
pub(crate) fn router(name: &str, host: &str) -> String {
    format!(
        "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: MetaRouter\nmetadata: {{name: {name}}}\nspec:\n  \
         hosts: [{host}]\n  gateways: [edge]\n"
    )
}

/// Passes the schema, and is still wrong.
pub(crate) struct Wrong {
    pub(crate) manifest: &'static str,
    pub(crate) object: &'static str,
    pub(crate) condition: &'static str,
    pub(crate) status: &'static str,
    pub(crate) reason: &'static str,
    /// Of the message.
    pub(crate) words: &'static [&'static str],
}

pub(crate) const WRONG: &[Wrong] = &[
    Wrong {
        manifest: "\
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata: {name: regex}
spec:
  hosts: [one.demo]
  gateways: [edge]
  routes:
  - match: {attributes: {cmd: {regex: '(get'}}}
    route: [{destination: {host: two.demo}}]
",
        object: "metarouter/regex",
        condition: "Accepted",
        status: "False",
        reason: "InvalidRegex",
        words: &[
            "spec.routes[0].match",
            ".cmd",
            "`(get` is no regular expression",
            "nothing of it is in force",
        ],
    },
    Wrong {
        manifest: "\
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata: {name: subset}
spec:
  hosts: [one.demo]
  gateways: [edge]
  routes:
  - route: [{destination: {host: two.demo, subset: canary}}]
",
        object: "metarouter/subset",
        condition: "ResolvedRefs",
        status: "False",
        reason: "UnknownSubset",
        words: &["spec.routes[0].route[0].destination", "canary", "two.demo"],
    },
    Wrong {
        manifest: "\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: strange}
spec:
  hosts: [strange.demo]
  ports: [{number: 7000, name: tcp-metaprotocol-strange, protocol: TCP}]
  resolution: STATIC
  endpoints: [{address: 127.0.0.1}]
---
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata: {name: protocol}
spec:
  hosts: [strange.demo]
  gateways: [edge]
",
        object: "metarouter/protocol",
        condition: "ResolvedRefs",
        status: "False",
        reason: "UnknownPort",
        words: &[
            "spec.hosts[0]: ",
            "no port of strange.demo",
            "the protocol `strange`, for which there is no ApplicationProtocol",
        ],
    },
    Wrong {
        manifest: "\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: bare}
spec:
  hosts: [bare.demo]
  ports: [{number: 7000, name: tcp-metaprotocol, protocol: TCP}]
  resolution: STATIC
  endpoints: [{address: 127.0.0.1}]
---
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata: {name: bare}
spec:
  hosts: [bare.demo]
  gateways: [edge]
",
        object: "metarouter/bare",
        condition: "ResolvedRefs",
        status: "False",
        reason: "UnknownPort",
        words: &[
            "`tcp-metaprotocol` ends before it names a protocol",
            "name the port tcp-metaprotocol-NAME",
        ],
    },
    Wrong {
        manifest: "\
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata: {name: gateway}
spec:
  hosts: [one.demo]
  gateways: [eden]
",
        object: "metarouter/gateway",
        condition: "ResolvedRefs",
        status: "False",
        reason: "UnknownGateway",
        words: &[
            "there is no Gateway default/eden",
            "did you mean `default/edge`",
        ],
    },
    Wrong {
        manifest: "\
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: default}
spec:
  servers:
  - name: redis
    bind: 127.0.0.1
    port: {number: 0, name: tcp-redis, protocol: TCP}
    hosts: ['*']
---
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata: {name: stranger, namespace: shop}
spec:
  hosts: [one.demo]
  gateways: [default/edge]
",
        object: "metarouter/stranger -n shop",
        condition: "Accepted",
        status: "False",
        reason: "NotHostOwner",
        words: &[
            "one.demo belongs to namespace default",
            "move the MetaRouter",
        ],
    },
    Wrong {
        manifest: "\
apiVersion: redis.aeraki.io/v1alpha1
kind: RedisDestination
metadata: {name: nowhere}
spec:
  host: nowhere.demo
  trafficPolicy: {connectionPool: {redis: {mode: PROXY}}}
",
        object: "redisdestination/nowhere",
        condition: "ResolvedRefs",
        status: "False",
        reason: "UnknownHost",
        words: &["nowhere.demo"],
    },
    Wrong {
        manifest: "\
apiVersion: redis.aeraki.io/v1alpha1
kind: RedisService
metadata: {name: secret}
spec:
  host: [two.demo]
  settings: {auth: {secret: {name: clients}}}
",
        object: "redisservice/secret",
        condition: "ResolvedRefs",
        status: "False",
        reason: "SecretNotPermitted",
        words: &[
            "spec.settings.auth.secret.name: Secret default/clients may not be read; apply this",
            "kind: Role\n",
            "resourceNames: [clients]",
        ],
    },
];

/// Each with the kind of its parent.
pub(crate) const RIGHT: &[(&str, &str, &str)] = &[
    (
        "\
apiVersion: dubbo.aeraki.io/v1alpha1
kind: DubboAuthorizationPolicy
metadata: {name: callers}
spec:
  rules: [{to: [{operation: {methods: [sayHello]}}]}]
",
        "dubboauthorizationpolicy/callers",
        "Namespace",
    ),
    (
        "\
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: ApplicationProtocol
metadata: {name: cache}
spec: {protocol: cache, codec: redis}
",
        "applicationprotocol/cache",
        "Namespace",
    ),
    (
        "\
apiVersion: redis.aeraki.io/v1alpha1
kind: RedisDestination
metadata: {name: one}
spec:
  host: one.demo
  trafficPolicy: {connectionPool: {redis: {mode: PROXY}}}
",
        "redisdestination/one",
        "ServiceEntry",
    ),
    (
        "\
apiVersion: redis.aeraki.io/v1alpha1
kind: RedisService
metadata: {name: two}
spec:
  host: [two.demo]
  redis: [{route: {host: one.demo}}]
",
        "redisservice/two",
        "ServiceEntry",
    ),
    // Each of these ends Aeraki's process.
    (
        "\
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata: {name: limited}
spec:
  hosts: [one.demo]
  gateways: [edge]
  # It comes before what takes everything.
  priority: 1
  routes:
  - match: {attributes: {command: {exact: get}}}
    route: [{destination: {host: one.demo}}]
  globalRateLimit:
    domain: production
    rateLimitService: outbound|6379||two.demo
    descriptors: [{property: command, descriptorKey: command}]
",
        "metarouter/limited",
        "Gateway",
    ),
    (
        "\
apiVersion: redis.aeraki.io/v1alpha1
kind: RedisService
metadata: {name: mirror}
spec:
  host: [mirror.demo]
  redis: [{route: {host: one.demo}, mirror: [{route: {host: two.demo}}]}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: mirror}
spec:
  hosts: [mirror.demo]
  ports: [{number: 6379, name: tcp-redis, protocol: TCP}]
  resolution: STATIC
  endpoints: [{address: 127.0.0.1}]
",
        "redisservice/mirror",
        "ServiceEntry",
    ),
    (
        "\
apiVersion: redis.aeraki.io/v1alpha1
kind: RedisDestination
metadata: {name: two}
spec:
  host: two.demo
  trafficPolicy:
    connectionPool:
      tcp: {tcpKeepalive: {probes: 3, time: 60s, interval: 10s}}
      redis: {mode: PROXY}
",
        "redisdestination/two",
        "ServiceEntry",
    ),
];
