//! Which requests a route is for: alternatives, of which each is conditions that all have to hold.

use std::net::IpAddr;

use meltemi_policy::route::validate;
use meltemi_policy::{Alternative, AttributeMatch, Condition, Text};
use meltemi_proto::aeraki::meta_protocol_proxy::config::route::v1alpha as proto;
use meltemi_proto::envoy::config::route::v3::HeaderMatcher;
use meltemi_proto::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use meltemi_proto::envoy::r#type::matcher::v3::StringMatcher;
use meltemi_proto::envoy::r#type::matcher::v3::string_matcher::MatchPattern;

use super::invalid::{Invalid, required};

/// At least one.
pub(super) fn alternatives(route: proto::RouteMatch) -> Result<Vec<Alternative>, Invalid> {
    let common = conditions(route.metadata)?;
    if route.alternatives.is_empty() {
        return Ok(vec![common]);
    }
    let parse = |own: proto::RouteAlternative| {
        let mut all = common.clone();
        all.extend(conditions(own.metadata)?);
        if let Some(own) = own.source {
            all.extend(source(own)?);
        }
        Ok(all)
    };
    let alternatives = route.alternatives.into_iter().enumerate();
    alternatives
        .map(|(i, own)| parse(own).map_err(|e: Invalid| e.within(&format!("alternatives[{i}]"))))
        .collect()
}

fn conditions(metadata: Vec<HeaderMatcher>) -> Result<Alternative, Invalid> {
    let conditions = metadata.into_iter().enumerate();
    conditions
        .map(|(i, matcher)| {
            attribute_match(matcher).map_err(|e| e.within(&format!("metadata[{i}]")))
        })
        .collect()
}

/// Where nothing is asked for there is no source.
fn source(source: proto::RouteSource) -> Result<Alternative, Invalid> {
    let mut all = Alternative::new();
    if !source.addresses.is_empty() {
        all.push(from_addresses(&source)?);
    }
    if !source.principals.is_empty() {
        if let Some(i) = source.principals.iter().position(String::is_empty) {
            return Err(Invalid::new(format!("source.principals[{i}]"), "is empty"));
        }
        let principals = source.principals.iter().map(String::as_str);
        all.push(AttributeMatch::from_principals(principals));
    }
    if !source.namespace.is_empty() || !source.namespace_addresses.is_empty() {
        all.push(from_namespace(&source)?);
    }
    if all.is_empty() {
        return Err(Invalid::new(
            "source",
            "has neither addresses nor principals nor a namespace",
        ));
    }
    Ok(all)
}

fn from_namespace(source: &proto::RouteSource) -> Result<AttributeMatch, Invalid> {
    let addresses = addresses("source.namespace_addresses", &source.namespace_addresses)?;
    let addresses = addresses.iter().map(String::as_str);
    let matching = AttributeMatch::from_namespace(&source.namespace, addresses);
    matching.ok_or_else(|| {
        let reason = format!("{:?} is no namespace", source.namespace);
        Invalid::new("source.namespace", reason)
    })
}

fn from_addresses(source: &proto::RouteSource) -> Result<AttributeMatch, Invalid> {
    let addresses = addresses("source.addresses", &source.addresses)?;
    let addresses = addresses.iter().map(String::as_str);
    Ok(AttributeMatch::from_addresses(addresses))
}

fn addresses(field: &str, texts: &[String]) -> Result<Vec<String>, Invalid> {
    let addresses = texts.iter().enumerate().map(|(i, text)| {
        let address: Result<IpAddr, _> = text.parse();
        address
            .map(|address| address.to_canonical().to_string())
            .map_err(|_| {
                let field = format!("{field}[{i}]");
                Invalid::new(&field, format!("{text:?} is no IP address"))
            })
    });
    addresses.collect()
}

fn attribute_match(matcher: HeaderMatcher) -> Result<AttributeMatch, Invalid> {
    let mut invert = matcher.invert_match;
    let condition = match matcher.header_match_specifier {
        Some(HeaderMatchSpecifier::PresentMatch(present)) => {
            invert ^= !present;
            Condition::Present
        }
        Some(HeaderMatchSpecifier::RangeMatch(range)) => Condition::Range(range.start..range.end),
        Some(HeaderMatchSpecifier::StringMatch(matcher)) => {
            let condition = pattern(matcher).map_err(|e| e.within("string_match"))?;
            validate(&condition).map_err(|e| Invalid::new("string_match", e.to_string()))?;
            condition
        }
        None => {
            return Err(Invalid::new(
                "header_match_specifier",
                "is missing or unknown",
            ));
        }
    };
    Ok(AttributeMatch {
        invert,
        absent_is_empty: matcher.treat_missing_header_as_empty,
        ..AttributeMatch::new(required("name", matcher.name)?, condition)
    })
}

fn pattern(matcher: StringMatcher) -> Result<Condition, Invalid> {
    let ignore_case = matcher.ignore_case;
    let text = |value| Text { value, ignore_case };
    match matcher.match_pattern {
        Some(MatchPattern::Exact(value)) => Ok(Condition::Exact(text(value))),
        Some(MatchPattern::Prefix(value)) => Ok(Condition::Prefix(text(value))),
        Some(MatchPattern::Suffix(value)) => Ok(Condition::Suffix(text(value))),
        Some(MatchPattern::Contains(value)) => Ok(Condition::Contains(text(value))),
        // As Envoy.
        Some(MatchPattern::SafeRegex(_)) if ignore_case => Err(Invalid::new(
            "ignore_case",
            "has no effect on safe_regex: write (?i) into it",
        )),
        Some(MatchPattern::SafeRegex(regex)) => {
            Ok(Condition::Regex(required("safe_regex.regex", regex.regex)?))
        }
        None => Err(Invalid::new("match_pattern", "is missing or unknown")),
    }
}
