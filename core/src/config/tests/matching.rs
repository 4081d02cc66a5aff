//! Which requests a route is for.

use meltemi_proto::envoy::r#type::v3::Int64Range;

use super::*;

fn parsed(route: route::RouteMatch) -> Vec<Alternative> {
    let mut config = route_configuration();
    config.routes[0].r#match = Some(route);
    let parsed = RouteConfig::try_from(config).expect("valid");
    parsed.routes[0].matches.clone()
}

fn of(matcher: matcher::HeaderMatcher) -> AttributeMatch {
    let metadata = vec![matcher];
    let mut parsed = parsed(route::RouteMatch {
        metadata,
        ..route::RouteMatch::default()
    });
    parsed.remove(0).remove(0)
}

fn specified(specifier: HeaderMatchSpecifier) -> matcher::HeaderMatcher {
    matcher::HeaderMatcher {
        name: "a".to_owned(),
        header_match_specifier: Some(specifier),
        ..matcher::HeaderMatcher::default()
    }
}

fn text(pattern: MatchPattern, ignore_case: bool) -> matcher::HeaderMatcher {
    specified(HeaderMatchSpecifier::StringMatch(StringMatcher {
        match_pattern: Some(pattern),
        ignore_case,
    }))
}

#[test]
fn every_matcher() {
    let a = |condition| AttributeMatch::new("a", condition);
    let any_case = Text::ignoring_case("x");
    let x = || "x".to_owned();
    let presence = HeaderMatchSpecifier::PresentMatch;
    let numbers = Int64Range { start: -1, end: 10 };
    for (matcher, expected) in [
        (
            text(MatchPattern::Suffix(x()), false),
            Condition::Suffix("x".into()),
        ),
        (
            text(MatchPattern::Contains(x()), false),
            Condition::Contains("x".into()),
        ),
        (
            text(MatchPattern::Exact(x()), true),
            Condition::Exact(any_case.clone()),
        ),
        (
            text(MatchPattern::Prefix(x()), true),
            Condition::Prefix(any_case.clone()),
        ),
        (
            text(MatchPattern::Suffix(x()), true),
            Condition::Suffix(any_case.clone()),
        ),
        (
            text(MatchPattern::Contains(x()), true),
            Condition::Contains(any_case),
        ),
        (specified(presence(true)), Condition::Present),
        (
            specified(HeaderMatchSpecifier::RangeMatch(numbers)),
            Condition::Range(-1..10),
        ),
    ] {
        assert_eq!(of(matcher.clone()), a(expected.clone()));
        let inverted = matcher::HeaderMatcher {
            invert_match: true,
            treat_missing_header_as_empty: true,
            ..matcher
        };
        let expected = AttributeMatch {
            invert: true,
            absent_is_empty: true,
            ..a(expected)
        };
        assert_eq!(of(inverted), expected);
    }
    let absent = of(specified(presence(false)));
    assert!(absent.invert && absent.condition == Condition::Present);
    let mut twice = specified(presence(false));
    twice.invert_match = true;
    assert!(!of(twice).invert);
}

fn alternatives() -> route::RouteMatch {
    let own = |value: &str| route::RouteAlternative {
        metadata: vec![condition("method", MatchPattern::Exact(value.to_owned()))],
        source: None,
    };
    let source = route::RouteSource {
        addresses: vec!["10.0.0.1".to_owned(), "::ffff:10.0.0.2".to_owned()],
        principals: vec!["spiffe://td/ns/a".to_owned(), "CN=a".to_owned()],
        namespace: "shop".to_owned(),
        namespace_addresses: vec!["::ffff:10.0.0.2".to_owned()],
    };
    route::RouteMatch {
        metadata: vec![condition("group", MatchPattern::Exact("g".to_owned()))],
        alternatives: vec![
            own("get"),
            route::RouteAlternative {
                source: Some(source),
                ..own("set")
            },
        ],
    }
}

#[test]
fn each_alternative_has_what_all_have_in_common() {
    let exact = |name: &str, value: &str| AttributeMatch::new(name, Condition::Exact(value.into()));
    assert_eq!(
        parsed(alternatives()),
        [
            vec![exact("group", "g"), exact("method", "get")],
            vec![
                exact("group", "g"),
                exact("method", "set"),
                AttributeMatch::from_addresses(["10.0.0.1", "10.0.0.2"]),
                AttributeMatch::from_principals(["spiffe://td/ns/a", "CN=a"]),
                AttributeMatch::from_namespace("shop", ["10.0.0.2"]).expect("a namespace"),
            ],
        ]
    );
    assert_eq!(parsed(route::RouteMatch::default()), [vec![]]);
}

fn with_alternatives() -> route::RouteConfiguration {
    let mut config = route_configuration();
    config.routes[0].r#match = Some(alternatives());
    config
}

fn second(config: &mut route::RouteConfiguration) -> &mut route::RouteAlternative {
    let route = config.routes[0].r#match.as_mut().expect("given");
    &mut route.alternatives[1]
}

#[test]
fn refused_namespaces() {
    refuses::<_, RouteConfig>(
        &with_alternatives(),
        &[
            (
                |c| {
                    let source = second(c).source.as_mut().expect("given");
                    source.namespace_addresses.push("x".to_owned());
                },
                "routes[0].match.alternatives[1].source.namespace_addresses[1]: \"x\" is no IP address",
            ),
            (
                |c| second(c).source.as_mut().expect("given").namespace.clear(),
                "routes[0].match.alternatives[1].source.namespace: \"\" is no namespace",
            ),
            (
                |c| second(c).source.as_mut().expect("given").namespace = "10.0.0.9".to_owned(),
                "routes[0].match.alternatives[1].source.namespace: \"10.0.0.9\" is no namespace",
            ),
        ],
    );
}

#[test]
fn refused_alternatives() {
    refuses::<_, RouteConfig>(
        &with_alternatives(),
        &[
            (
                |c| second(c).metadata[0].name.clear(),
                "routes[0].match.alternatives[1].metadata[0].name: is missing",
            ),
            (
                |c| second(c).metadata[0].header_match_specifier = None,
                "routes[0].match.alternatives[1].metadata[0].header_match_specifier: is missing \
                 or unknown",
            ),
            (
                |c| second(c).source = Some(route::RouteSource::default()),
                "routes[0].match.alternatives[1].source: has neither addresses nor principals \
                 nor a namespace",
            ),
            (
                |c| {
                    let addresses = vec!["10.0.0.1".to_owned(), "x".to_owned()];
                    second(c).source = Some(route::RouteSource {
                        addresses,
                        ..route::RouteSource::default()
                    });
                },
                "routes[0].match.alternatives[1].source.addresses[1]: \"x\" is no IP address",
            ),
            (
                |c| {
                    let principals = vec!["a".to_owned(), String::new()];
                    second(c).source = Some(route::RouteSource {
                        principals,
                        ..route::RouteSource::default()
                    });
                },
                "routes[0].match.alternatives[1].source.principals[1]: is empty",
            ),
            (
                |c| second(c).metadata[0] = text(regex(r"(\w{1000}){1000}"), false),
                "routes[0].match.alternatives[1].metadata[0].string_match: regular expression \
                 `(\\w{1000}){1000}` compiles to more than 1048576 bytes",
            ),
        ],
    );
}
