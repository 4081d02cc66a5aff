//! Values that would take long.

use std::time::Instant;

use super::*;

/// What no automaton of moderate size can do.
const DEAR: &str = "(.*a){500}z";

fn decide(
    table: &RouteTable<usize>,
    steps: &mut Steps,
    value: &[u8],
) -> Result<Option<usize>, Undecided> {
    let found = table.select(steps, |_| Some(Cow::Borrowed(value)))?;
    Ok(found.map(|(rule, _)| rule))
}

/// Letters that never lead where others did.
fn letters(length: usize, among: u64) -> Vec<u8> {
    let mut random = 88_172_645_463_325_252u64;
    let next = |_| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        b'a' + u8::try_from(random % among).expect("few")
    };
    (0..length).map(next).collect()
}

#[test]
fn what_takes_too_long_is_given_up() {
    let dear = [
        DEAR,
        ".*a.{1000}z.*",
        "(a?){900}(b?){900}z",
        "((a|b|c|){30}){30}z",
    ];
    let values = [
        letters(200_000, 2),
        letters(200_000, 26),
        vec![b'a'; 200_000],
    ];
    for pattern in dear {
        let table = table(&[&[regex("a", pattern)], &[]]);
        for value in &values {
            let started = Instant::now();
            let decided = decide(&table, &mut Steps::default(), value);
            let took = started.elapsed();
            // Debug builds take twenty times as long; without a bound it would be minutes.
            assert!(took.as_secs() < 2, "{pattern}: {took:?}");
            // Where it was decided, that is right: nothing ends in a z or comes to so much of one.
            assert!(matches!(decided, Ok(Some(1)) | Err(Undecided)), "{pattern}");
        }
    }
    let table = table(&[&[regex("a", DEAR)], &[]]);
    let decided = decide(&table, &mut Steps::default(), &values[0]);
    assert_eq!(decided, Err(Undecided));
    // It harms no other request.
    assert_eq!(decide(&table, &mut Steps::default(), b"aaab"), Ok(Some(1)));
    let most = [vec![b'a'; 100], vec![b'z']].concat();
    assert_eq!(decide(&table, &mut Steps::default(), &most), Ok(Some(1)));
}

#[test]
fn what_is_usual_is_decided_however_long_the_value_is() {
    let usual = [
        ".*foo.*bar.*",
        r"[a-z]\w*(\.\w+)*",
        "(?i).*(get|set|del)[a-z]+x",
        r".*\bz\b.*",
    ];
    let values = [
        letters(256 << 10, 26),
        letters(256 << 10, 2),
        vec![b'a'; 256 << 10],
    ];
    for value in &values {
        let rules = usual.map(|pattern| vec![vec![regex("a", pattern)]]);
        let together = of_alternatives(rules);
        assert!(decide(&together, &mut Steps::default(), value).is_ok());
    }
}

#[test]
fn a_thousand_expressions_on_a_value_are_few_steps() {
    let rules = (0..1000).map(|i| vec![vec![regex("a", &format!(".*user{i}-[a-z]+.*"))]]);
    let table = of_alternatives(rules);
    let value = [letters(60_000, 26), b"user999-x".to_vec()].concat();
    assert_eq!(decide(&table, &mut Steps::default(), &value), Ok(Some(999)));
}

#[test]
fn steps_are_those_of_all_that_is_asked_with_them() {
    let table = table(&[&[regex("a", DEAR)], &[]]);
    let mut steps = Steps::default();
    let value = vec![b'a'; 120];
    let asked = (0..100_000).find(|_| decide(&table, &mut steps, &value).is_err());
    assert!(asked.is_some_and(|n| n > 0), "{asked:?}");
}

#[test]
fn a_text_in_whatever_case_takes_as_long_as_its_value_is() {
    let text = format!("{}b", "a".repeat(20_000));
    let table = table(&[&[contains(any_case(&text))], &[]]);
    let value = vec![b'A'; 256 << 10];
    let started = Instant::now();
    assert_eq!(decide(&table, &mut Steps::default(), &value), Ok(Some(1)));
    assert!(started.elapsed().as_secs() < 2);
}

#[test]
fn explain_says_what_could_not_be_decided() {
    let table = table(&[&[exact("b", "x")], &[regex("a", DEAR)], &[]]);
    let value = letters(200_000, 2);
    let told = table.explain(|attribute| match name_of(&table, attribute) {
        "a" => Some(Cow::Borrowed(value.as_slice())),
        _ => None,
    });
    assert_eq!(told.matched, None);
    let last = told.verdicts.last().expect("some");
    assert_eq!((last.rule, last.failed.len()), (1, 1));
    assert_eq!(
        last.failed[0][0].to_string(),
        format!("whether a is a value that matches `{DEAR}` takes too many steps to tell")
    );
}
