//! Which requests a route is for, in Envoy's own types as far as they go.

use meltemi_policy::{Alternative, Attribute, AttributeMatch, Condition, Text};
use meltemi_proto::aeraki::meta_protocol_proxy::config::route::v1alpha as route;
use meltemi_proto::envoy::config::route::v3 as envoy_route;
use meltemi_proto::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use meltemi_proto::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use meltemi_proto::envoy::r#type::matcher::v3::{RegexMatcher, StringMatcher};
use meltemi_proto::envoy::r#type::v3::Int64Range;

/// None where there is no alternative. A single one that asks of the message only is what the
/// published definition has a field for.
pub(super) fn wire_match(alternatives: &[Alternative]) -> Option<route::RouteMatch> {
    let parsed: Vec<_> = alternatives.iter().map(|it| alternative(it)).collect();
    match parsed.as_slice() {
        [] => None,
        [only] if only.source.is_none() => Some(route::RouteMatch {
            metadata: only.metadata.clone(),
            ..route::RouteMatch::default()
        }),
        _ => Some(route::RouteMatch {
            metadata: vec![],
            alternatives: parsed,
        }),
    }
}

fn alternative(conditions: &[AttributeMatch]) -> route::RouteAlternative {
    let mut alternative = route::RouteAlternative::default();
    for condition in conditions {
        match &condition.attribute {
            Attribute::Message(name) => alternative.metadata.push(header_matcher(name, condition)),
            Attribute::SourceAddress => {
                source(&mut alternative).addresses = values(&condition.condition);
            }
            Attribute::SourcePrincipal => {
                source(&mut alternative).principals = values(&condition.condition);
            }
            Attribute::SourceNamespace => {
                let (namespace, addresses) = condition.namespace().unwrap_or_default();
                let source = source(&mut alternative);
                (source.namespace, source.namespace_addresses) = (namespace, addresses);
            }
        }
    }
    // All have to hold. An API server orders what is written as a mapping: whoever reads it from a file serves the same.
    alternative
        .metadata
        .sort_by(|one, other| one.name.cmp(&other.name));
    alternative
}

fn source(alternative: &mut route::RouteAlternative) -> &mut route::RouteSource {
    alternative.source.get_or_insert_default()
}

fn values(condition: &Condition) -> Vec<String> {
    match condition {
        Condition::Exact(text) => vec![text.value.clone()],
        several => several.values().unwrap_or_default(),
    }
}

fn header_matcher(name: &str, matching: &AttributeMatch) -> envoy_route::HeaderMatcher {
    let specifier = match &matching.condition {
        Condition::Present => HeaderMatchSpecifier::PresentMatch(true),
        Condition::Range(range) => HeaderMatchSpecifier::RangeMatch(Int64Range {
            start: range.start,
            end: range.end,
        }),
        Condition::Exact(text) => string(MatchPattern::Exact, text),
        Condition::Prefix(text) => string(MatchPattern::Prefix, text),
        Condition::Suffix(text) => string(MatchPattern::Suffix, text),
        Condition::Contains(text) => string(MatchPattern::Contains, text),
        Condition::Regex(regex) => {
            let regex = regex.clone();
            HeaderMatchSpecifier::StringMatch(StringMatcher {
                match_pattern: Some(MatchPattern::SafeRegex(RegexMatcher { regex })),
                ignore_case: false,
            })
        }
    };
    envoy_route::HeaderMatcher {
        name: name.to_owned(),
        header_match_specifier: Some(specifier),
        invert_match: matching.invert,
        treat_missing_header_as_empty: matching.absent_is_empty,
    }
}

fn string(pattern: fn(String) -> MatchPattern, text: &Text) -> HeaderMatchSpecifier {
    HeaderMatchSpecifier::StringMatch(StringMatcher {
        match_pattern: Some(pattern(text.value.clone())),
        ignore_case: text.ignore_case,
    })
}
