use std::fmt::Write as _;

use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::controller::Controller;
use crate::diagnostic::SourceFile;
use crate::fixture::{redis_settings, settings};

const SERVICES: usize = 6;
const GATEWAYS: usize = 3;

/// A MetaRouter with one route, by small numbers instead of names.
#[derive(Clone, Debug)]
struct Router {
    gateways: BTreeSet<usize>,
    to: usize,
    fallback: Option<usize>,
    mirror: Option<usize>,
    is_limited: bool,
}

impl Router {
    /// The services that its rule leads to, copies to or asks.
    fn services(&self) -> BTreeSet<String> {
        let fallback = self.fallback.filter(|fallback| *fallback != self.to);
        let services = [Some(self.to), fallback, self.mirror].into_iter().flatten();
        let limiter = self.is_limited.then(|| "outbound|8081||limiter".to_owned());
        let services = services.map(|n| format!("outbound|20880||s{n}.shop"));
        services.chain(limiter).collect()
    }

    fn manifest(&self, n: usize) -> String {
        let gateways: Vec<_> = self.gateways.iter().map(|n| format!("shop/g{n}")).collect();
        let gateways = gateways.join(", ");
        let to = self.to;
        let mut text = format!(
            "---\napiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: MetaRouter\n\
             metadata: {{name: r{n}, namespace: shop}}\nspec:\n  hosts: [s{to}.shop]\n  \
             gateways: [{gateways}]\n"
        );
        if self.is_limited {
            text.push_str(
                "  globalRateLimit: {domain: d, rateLimitService: limiter, \
                 descriptors: [{property: method, descriptorKey: m}]}\n",
            );
        }
        let _ = write!(
            text,
            "  routes:\n  - match: {{attributes: {{method: {{exact: m{n}}}}}}}\n    route:\n    \
             - destination: {{host: s{to}.shop}}\n"
        );
        if let Some(fallback) = self.fallback.filter(|fallback| *fallback != to) {
            let _ = writeln!(text, "      fallback: [{{host: s{fallback}.shop}}]");
        }
        if let Some(mirror) = self.mirror {
            let _ = writeln!(text, "    mirror: {{host: s{mirror}.shop}}");
        }
        text
    }
}

fn entry(host: &str, port: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\n\
         metadata: {{name: {host}, namespace: shop}}\nspec:\n  hosts: [{host}]\n  ports: [{port}]\n  \
         resolution: STATIC\n  endpoints: [{{address: 10.0.0.1}}]\n"
    )
}

fn manifests(routers: &[Router]) -> String {
    let mut text = entry("limiter", "{number: 8081, name: grpc}");
    for n in 0..SERVICES {
        let port = "{number: 20880, name: tcp-metaprotocol-dubbo}";
        text.push_str(&entry(&format!("s{n}.shop"), port));
    }
    for n in 0..GATEWAYS {
        let _ = write!(
            text,
            "---\napiVersion: networking.istio.io/v1\nkind: Gateway\n\
             metadata: {{name: g{n}, namespace: shop}}\nspec:\n  servers:\n  \
             - {{port: {{number: 2000{n}, name: tcp-metaprotocol-dubbo}}}}\n"
        );
    }
    let routers = routers.iter().enumerate();
    routers.for_each(|(n, router)| text.push_str(&router.manifest(n)));
    text
}

fn names(resources: &Resources, type_url: &str) -> BTreeSet<String> {
    resources
        .of_type(type_url)
        .map(|(name, _)| name.to_owned())
        .collect()
}

fn router() -> impl Strategy<Value = Router> {
    let gateways = btree_set(0..GATEWAYS, 1..=GATEWAYS);
    let service = || 0..SERVICES;
    let all = (
        gateways,
        service(),
        option::of(service()),
        option::of(service()),
        any::<bool>(),
    );
    all.prop_map(|(gateways, to, fallback, mirror, is_limited)| Router {
        gateways,
        to,
        fallback,
        mirror,
        is_limited,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// What a Gateway gets is what its routers name, written down here a second time.
    #[test]
    fn a_scope_is_the_closure_of_the_rules_of_its_gateway(routers in vec(router(), 0..8)) {
        let file = SourceFile { name: "all.yaml".to_owned(), text: manifests(&routers) };
        let update = Controller::open(&[], settings()).load_files([file]);
        prop_assert_eq!(update.report.errors(), 0, "{}", update.report);
        for n in 0..GATEWAYS {
            let gateway: NamespacedName = format!("shop/g{n}").parse().unwrap();
            let scope = update.resources.scope(&gateway).unwrap();
            let named = routers.iter().filter(|router| router.gateways.contains(&n));
            let clusters: BTreeSet<_> = named.flat_map(Router::services).collect();
            prop_assert_eq!(&names(scope, &Cluster::type_url()), &clusters);
            prop_assert_eq!(&names(scope, &ClusterLoadAssignment::type_url()), &clusters);
            let server = [format!("shop/g{n}/tcp-metaprotocol-dubbo")].into();
            for type_url in [Listener::type_url(), Service::type_url(), RouteConfiguration::type_url()] {
                prop_assert_eq!(&names(scope, &type_url), &server);
            }
            for type_url in scope.type_urls() {
                for (name, resource) in scope.of_type(type_url) {
                    let whole = update.resources.get(type_url, name).unwrap();
                    prop_assert!(std::ptr::eq(whole, resource), "{} is encoded twice", name);
                }
            }
        }
    }
}

/// Manifests that encrypt to `sN.shop` with a Secret of that name, and let in at `gN` who trusts another.
fn encrypted(n: usize, (certificate, key): (&str, &str)) -> String {
    let secret = |name: &str| {
        let field = |text: &str| text.trim().replace('\n', "\n    ");
        format!(
            "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: shop}}\n\
             stringData:\n  tls.crt: |\n    {}\n  tls.key: |\n    {}\n",
            field(certificate),
            field(key)
        )
    };
    let rule = format!(
        "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\n\
         metadata: {{name: s{n}, namespace: shop}}\nspec:\n  host: s{n}.shop\n  trafficPolicy:\n    \
         tls: {{mode: MUTUAL, credentialName: to{n}, insecureSkipVerify: true}}\n"
    );
    [secret(&format!("to{n}")), secret(&format!("at{n}")), rule].concat()
}

#[test]
fn a_gateway_gets_no_secret_of_another() {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(["a.example".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    let pair = (certificate.as_str(), &*key.serialize_pem());
    let router = |n| Router {
        gateways: [n].into(),
        to: n,
        fallback: None,
        mirror: None,
        is_limited: false,
    };
    let mut text = manifests(&[router(0), router(1)]);
    for n in 0..2 {
        text.push_str(&encrypted(n, pair));
        let plain = format!("{{port: {{number: 2000{n}, name: tcp-metaprotocol-dubbo}}}}");
        let server = format!(
            "{{port: {{number: 2000{n}, name: tcp-metaprotocol-dubbo, protocol: TLS}}, hosts: ['*'], \
             tls: {{mode: SIMPLE, credentialName: at{n}}}}}"
        );
        assert!(text.contains(&plain));
        text = text.replace(&plain, &server);
    }
    let file = SourceFile {
        name: "all.yaml".to_owned(),
        text,
    };
    let update = Controller::open(&[], settings()).load_files([file]);
    assert_eq!(update.report.errors(), 0, "{}", update.report);
    let secrets = |gateway: &str| {
        let scope = update.resources.scope(&gateway.parse().unwrap());
        let names = names(scope.unwrap(), &Secret::type_url());
        names.into_iter().collect::<Vec<_>>().join(" ")
    };
    for n in 0..2 {
        let own = secrets(&format!("shop/g{n}"));
        assert!(
            own.contains(&format!("at{n}")) && own.contains(&format!("to{n}")),
            "{own}"
        );
        let other = 1 - n;
        assert!(
            !own.contains(&format!("at{other}")) && !own.contains(&format!("to{other}")),
            "{own}"
        );
    }
    assert_eq!(secrets("shop/g2"), "");
}

/// A Gateway whose clients show one password and whose servers are shown another.
fn guarded(n: usize) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: Gateway\n\
         metadata: {{name: r{n}, namespace: shop}}\nspec:\n  servers:\n  \
         - {{port: {{number: 2100{n}, name: tcp-redis}}}}\n\
         ---\napiVersion: redis.aeraki.io/v1alpha1\nkind: RedisService\n\
         metadata: {{name: it{n}, namespace: shop}}\nspec:\n  host: [c{n}.shop]\n  gateways: [r{n}]\n  \
         settings: {{auth: {{plain: {{username: u, password: for-clients-{n}}}}}}}\n\
         ---\napiVersion: redis.aeraki.io/v1alpha1\nkind: RedisDestination\n\
         metadata: {{name: it{n}, namespace: shop}}\nspec:\n  host: c{n}.shop\n  trafficPolicy:\n    \
         connectionPool: {{redis: {{mode: PROXY, auth: {{plain: {{password: for-servers-{n}}}}}}}}}\n"
    ) + &entry(&format!("c{n}.shop"), "{number: 6379, name: tcp-redis}")
}

#[test]
fn a_gateway_gets_its_own_passwords_and_within_secrets_alone() {
    let file = SourceFile {
        name: "all.yaml".to_owned(),
        text: [guarded(0), guarded(1)].concat(),
    };
    let update = Controller::open(&[], redis_settings()).load_files([file]);
    assert_eq!(update.report.errors(), 0, "{}", update.report);
    let secret = Secret::type_url();
    for n in 0..2 {
        let gateway = format!("shop/r{n}").parse().unwrap();
        let scope = update.resources.scope(&gateway).unwrap();
        let own = [
            format!("RedisDestination/shop/it{n}/password"),
            format!("RedisService/shop/it{n}/password"),
        ];
        assert_eq!(names(scope, &secret), own.into());
    }
    let holds = |type_url: &str, text: &[u8]| {
        let mut resources = update.resources.of_type(type_url);
        resources.any(|(_, it)| it.body.value.windows(text.len()).any(|part| part == text))
    };
    for type_url in update.resources.type_urls() {
        for text in ["for-clients-0", "for-servers-1"] {
            assert_eq!(
                holds(type_url, text.as_bytes()),
                type_url == secret,
                "{type_url}"
            );
        }
    }
}

#[test]
fn where_gateways_have_proxies_of_their_own_two_may_bind_one_address() {
    let text = manifests(&[]).replace("number: 20001", "number: 20000");
    let file = || SourceFile {
        name: "all.yaml".to_owned(),
        text: text.clone(),
    };
    for (gateways_apart, errors) in [(false, 1), (true, 0)] {
        let mut settings = settings();
        settings.gateways_apart = gateways_apart;
        let update = Controller::open(&[], settings).load_files([file()]);
        assert_eq!(update.report.errors(), errors, "{}", update.report);
    }
}
