use proptest::prelude::*;

use super::*;

fn only(text: &str) -> Node {
    let mut nodes = parse_stream(text);
    assert_eq!(nodes.len(), 1, "{nodes:?}");
    nodes.remove(0).unwrap()
}

fn error(text: &str) -> (Code, u32, u32, String) {
    let mut nodes = parse_stream(text);
    let error = nodes.remove(0).unwrap_err();
    (error.code, error.at.line, error.at.column, error.message)
}

fn entry<'a>(node: &'a Node, key: &str) -> &'a Entry {
    let Value::Map(entries) = &node.value else {
        panic!("{node:?}")
    };
    entries.iter().find(|e| e.key == key).unwrap()
}

#[test]
fn every_value_knows_where_it_stands() {
    let tree = only("a: 1\nbb:\n  - x: true\n  - {ä: \"né\", z: ~}\n");
    assert_eq!(
        entry(&tree, "a").value.at,
        Position {
            line: 1,
            column: 4,
            width: 1
        }
    );
    let Value::List(items) = &entry(&tree, "bb").value.value else {
        panic!()
    };
    assert_eq!(entry(&items[0], "x").value.value, Value::Bool(true));
    let umlaut = entry(&items[1], "ä");
    assert_eq!(
        umlaut.at,
        Position {
            line: 4,
            column: 6,
            width: 1
        }
    );
    assert_eq!(
        umlaut.value.at,
        Position {
            line: 4,
            column: 9,
            width: 4
        }
    );
    assert_eq!(entry(&items[1], "z").value.value, Value::Null);
}

#[test]
fn json_is_read_as_well() {
    let tree = only("{\n\t\"a\": [1,\n\t\t\"x\"]\n}");
    let Value::List(items) = &entry(&tree, "a").value.value else {
        panic!()
    };
    assert_eq!((items[1].at.line, items[1].at.column), (3, 3));
}

#[test]
fn documents_keep_the_lines_of_their_file() {
    let text = "%YAML 1.2\n---\na: 1\n---\n\n---\nb: 2\n...\n--- {c: 3}\r\n---\r\nd: 4\r\n";
    let lines: Vec<u32> = parse_stream(text)
        .into_iter()
        .map(|n| n.unwrap())
        .map(|n| {
            let Value::Map(entries) = n.value else {
                panic!()
            };
            entries[0].at.line
        })
        .collect();
    assert_eq!(lines, [3, 7, 9, 11]);
}

#[test]
fn a_broken_document_leaves_the_others_alone() {
    let parsed = parse_stream("a: 1\n---\nb: [1\nc: 2\n---\nd: 4\n");
    assert!(parsed[0].is_ok() && parsed[2].is_ok());
    assert_eq!(parsed[1].as_ref().unwrap_err().at.line, 4);
}

#[test]
fn a_marker_needs_the_start_of_a_line_and_an_end() {
    let tree = only("a: |\n  ---\nb: ---x\n");
    assert_eq!(entry(&tree, "b").value.value, Value::String("---x".into()));
    assert_eq!(parse_stream("---x: 1\n").len(), 1);
}

#[test]
fn mistakes_are_named_at_their_place() {
    let rows = [
        (
            "a: 1\nb: 2\na: 3\n",
            Code::DuplicateKey,
            3,
            1,
            "the key `a` stands twice in one mapping",
        ),
        (
            "x: y\na: b: c\n",
            Code::InvalidYaml,
            2,
            5,
            "mapping values are not allowed in this context",
        ),
        ("a: 'open\n", Code::InvalidYaml, 1, 4, "unclosed quote"),
        (
            "a:\n\t- x\n",
            Code::InvalidYaml,
            2,
            2,
            "tabs disallowed within this context (block indentation)",
        ),
        (
            "a:\n  regex: *\n",
            Code::InvalidYaml,
            2,
            10,
            "while scanning an anchor or alias, did not find expected alphabetic or numeric character",
        ),
        (
            "a: *nope\n",
            Code::InvalidYaml,
            1,
            4,
            "an unquoted `*` refers to an anchor, and there is no such anchor",
        ),
        (
            "a: 18446744073709551615\n",
            Code::InvalidYaml,
            1,
            4,
            "the number is too large",
        ),
    ];
    for (text, code, line, column, message) in rows {
        assert_eq!(
            error(text),
            (code, line, column, message.to_owned()),
            "{text}"
        );
    }
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut text = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for i in 1..12 {
        let aliases = vec![format!("*a{}", i - 1); 10].join(",");
        text += &format!("a{i}: &a{i} [{aliases}]\n");
    }
    assert_eq!(error(&text).0, Code::TooLarge);
}

#[test]
fn deep_nesting_is_refused() {
    assert_eq!(
        error(&("[".repeat(100) + &"]".repeat(100))).0,
        Code::TooLarge
    );
    let block: String = (0..200).map(|i| format!("{}a:\n", " ".repeat(i))).collect();
    assert_eq!(error(&block).0, Code::TooLarge);
}

proptest! {
    #[test]
    fn no_text_panics(text in "[-a-c:*&!|>#%@{}\\[\\],.'\"\\\\ \t\r\n\u{0}é]{0,60}") {
        for document in parse_stream(&text) {
            if let Err(error) = document {
                prop_assert!(error.at.line >= 1 && error.at.column >= 1);
            }
        }
    }
}
