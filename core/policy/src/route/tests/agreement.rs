//! The compiled table against a naive one.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// The obvious matcher that the compiled one has to agree with.
fn naive(rules: &[Vec<Alternative>], message: &BTreeMap<String, String>) -> Option<usize> {
    rules.iter().position(|alternatives| {
        alternatives.iter().any(|matches| {
            matches.iter().all(|matching| {
                let value = message.get(&matching.attribute.to_string());
                naive_holds(matching, value.map(String::as_str))
            })
        })
    })
}

fn naive_holds(matching: &AttributeMatch, value: Option<&str>) -> bool {
    let value = match value {
        None if matching.absent_is_empty => "",
        None => return matching.invert && matching.condition == Condition::Present,
        Some(value) => value,
    };
    let text = |text: &Text, holds: fn(&str, &str) -> bool| match text.ignore_case {
        true => holds(
            &value.to_ascii_lowercase(),
            &text.value.to_ascii_lowercase(),
        ),
        false => holds(value, &text.value),
    };
    let holds = match &matching.condition {
        Condition::Exact(it) => text(it, |value, it| value == it),
        Condition::Prefix(it) => text(it, |value, it| value.starts_with(it)),
        Condition::Suffix(it) => text(it, |value, it| value.ends_with(it)),
        Condition::Contains(it) => text(it, |value, it| value.contains(it)),
        // The generated patterns are alternations, or a literal and any number of `z`.
        Condition::Regex(pattern) => match pattern.strip_suffix("z*") {
            None => pattern.split('|').any(|text| value == text),
            Some(literal) => {
                value.trim_end_matches('z') == literal.trim_end_matches('z')
                    && value.len() >= literal.len()
            }
        },
        Condition::Range(range) => value.parse().is_ok_and(|number| range.contains(&number)),
        Condition::Present => true,
    };
    holds != matching.invert
}

fn any_value() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[xyz]{0,2}", 1 => "[xXyY]{1,2}", 1 => "-?[0-3]"]
}

fn any_text() -> impl Strategy<Value = Text> {
    (any_value(), any::<bool>()).prop_map(|(value, ignore_case)| Text { value, ignore_case })
}

fn any_match() -> impl Strategy<Value = AttributeMatch> {
    let condition = prop_oneof![
        4 => any_value().prop_map(|value| Condition::Exact(value.into())),
        1 => any_text().prop_map(Condition::Exact),
        1 => any_text().prop_map(Condition::Prefix),
        1 => any_text().prop_map(Condition::Suffix),
        1 => any_text().prop_map(Condition::Contains),
        2 => "[xyz]{0,2}".prop_map(|literal| Condition::Regex(format!("{literal}z*"))),
        1 => "[xyz]{0,2}(\\|[xyz]{0,2}){1,2}".prop_map(Condition::Regex),
        1 => (-3i64..4, -3i64..4).prop_map(|(start, end)| Condition::Range(start..end)),
        1 => Just(Condition::Present),
    ];
    let flags = (prop::bool::weighted(0.2), prop::bool::weighted(0.2));
    ("[a-d]", condition, flags).prop_map(|(name, condition, (invert, absent_is_empty))| {
        AttributeMatch {
            invert,
            absent_is_empty,
            ..AttributeMatch::new(name, condition)
        }
    })
}

fn any_rule() -> impl Strategy<Value = Vec<Alternative>> {
    let alternative = || prop::collection::vec(any_match(), 0..4);
    prop_oneof![
        3 => alternative().prop_map(|only| vec![only]),
        1 => prop::collection::vec(alternative(), 0..4),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_compiled_table_agrees_with_a_naive_one(
        rules in prop::collection::vec(any_rule(), 0..12),
        messages in prop::collection::vec(
            prop::collection::btree_map("[a-d]", any_value(), 0..4), 1..8),
    ) {
        let table = of_alternatives(rules.iter().cloned());
        let shadowed: Vec<usize> = table.shadowed().iter().map(|s| s.rule).collect();
        // Among many a rule is found that hides another as if there were these two alone.
        for (j, narrow) in rules.iter().enumerate().filter(|(j, _)| !shadowed.contains(j)) {
            for wide in rules.iter().take(j) {
                let pair = of_alternatives([wide.clone(), narrow.clone()]);
                prop_assert_eq!(pair.shadowed(), []);
            }
        }
        for message in &messages {
            let expected = naive(&rules, message);
            let mut fetched = vec![0; table.attributes().len()];
            let lookup = |attribute: usize| {
                fetched[attribute] += 1;
                let value = message.get(name_of(&table, attribute))?;
                Some(Cow::Borrowed(value.as_bytes()))
            };
            prop_assert_eq!(find(&table, lookup).map(|(rule, _)| rule), expected);
            prop_assert!(fetched.iter().all(|&count| count <= 1));
            let explained = table.explain(|attribute| {
                let value = message.get(name_of(&table, attribute))?;
                Some(Cow::Borrowed(value.as_bytes()))
            });
            prop_assert_eq!(explained.matched.map(|taken| taken.rule), expected);
            if let Some(rule) = expected {
                prop_assert!(!shadowed.contains(&rule));
            }
        }
    }
}
