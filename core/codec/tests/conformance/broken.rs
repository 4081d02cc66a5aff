//! Protocols that break one rule each: a kit that lets them pass is worse than none.

use std::cell::Cell;

use meltemi_codec::{
    Protocol,
    kit::{
        Broken, Rule, allocations, rules,
        sample::{ById, InOrder},
    },
};

use super::{
    corpora,
    flawed::{Flaw, Flawed},
};

/// One test for each rule: the flaws that it has to find, each at a place and in these words.
macro_rules! finds {
    ($($rule:ident: $($base:ident $flaw:ident $place:literal $found:literal),+;)+) => {
        $(
            #[test]
            fn $rule() {
                $( finds(rules::$rule, stringify!($rule), (&$base, Flaw::$flaw), ($place, $found)); )+
            }
        )+
    };
}

fn finds(rule: Rule, name: &str, (base, flaw): (&'static dyn Protocol, Flaw), words: (&str, &str)) {
    let corpus = match base.id() {
        "sample-by-id" => corpora::by_id(),
        _ => corpora::in_order(),
    };
    let found = rule(&Flawed(base, flaw), &corpus);
    told(name, &format!("{flaw:?} in {}", base.id()), found, words);
}

/// The flaw was found by this rule, and what is said of it has a place, an expectation that is not
/// the finding, and something to read.
pub(crate) fn told(
    rule: &str,
    flaw: &str,
    found: Result<(), Broken>,
    (place, words): (&str, &str),
) {
    let broken = match found {
        Ok(()) => panic!("{rule} does not find {flaw}"),
        Err(broken) => broken,
    };
    assert_eq!(broken.rule(), rule, "{flaw}: {broken}");
    let text = broken.to_string();
    let line = |name: &str| {
        let mut lines = text.lines();
        let line = lines.find_map(|line| line.trim_start().strip_prefix(name));
        line.unwrap_or_else(|| panic!("{flaw}: no {name} in\n{text}"))
            .trim()
    };
    assert!(
        line("where:").contains(place),
        "{flaw}: no {place:?} in\n{text}"
    );
    assert!(
        line("found:").contains(words),
        "{flaw}: no {words:?} in\n{text}"
    );
    let expected = line("expected:");
    assert!(!expected.is_empty() && expected != line("found:"), "{text}");
    assert_ne!(expected, "what the contract says", "{text}");
    assert!(!broken.read().is_empty() && line("read:").starts_with(broken.read()));
}

finds! {
    samples_are_messages:
        ById Short "request `greet`, byte 0 of 63" "takes 62 of its 63 bytes",
        ById Stuck "request `greet`, byte 0" "skips 0 bytes of",
        ById Curious "request `greet`, byte 0" "again and again",
        ById Clears "request `greet`" "changed bytes of `out`",
        InOrder Short "request `get`, byte 0 of 25" "takes 24 of its 25 bytes";
    attributes_are_found:
        ById Blind "request `greet`" "attribute `method` is None",
        InOrder Blind "request `get`" "attribute `key` is None";
    alike_requests_are_alike:
        ById Confuses "`greet` before `" "attributes [",
        InOrder Confuses "`get` before `" "attributes [";
    every_split_gives_the_same:
        ById Remembers "request `greet`, byte 0 of 63, which arrives in two pieces, cut at request `greet`, byte 1" "[3, 0, 0, 1]",
        InOrder Remembers "request `get`" "[0, 0, 0, 1]",
        ById Impatient "request `greet`" "an error: too short",
        ById NeedsMore "request `cancel`" "waits for more";
    byte_by_byte_gives_the_same:
        ById NeedsMore "request `cancel`, byte 0 of 22, which arrives byte by byte" "waits for more",
        ById NeedsNothing "request `greet`, byte 0 of 63" "has 1 bytes and says it needs 1",
        InOrder Remembers "request `get`, byte 0 of 25" "[0, 0, 0, 24]";
    truncation_asks_for_more:
        ById Early "request `greet`, its first 21 bytes of 63" "wants 68 bytes",
        ById NeedsNothing "request `greet`, its first 1 bytes of 63" "says it needs 1",
        ById NeedsMore "request `greet`, its first 22 bytes of 63" "wants 64 bytes",
        ById Impatient "request `greet`, its first 1 bytes of 63" "malformed: too short",
        InOrder Early "request `get`, its first 1 bytes of 25" "returns Message";
    sniffing_knows_its_own:
        ById Aloof "request `greet`, its first 1 bytes of 63" "it is No",
        InOrder Aloof "request `get`, its first 1 bytes of 25" "it is No";
    ids_round_trip:
        ById KeepsId "request `greet`, forwarded under id 0x1" "read with id 0x102030405060708",
        ById Garbles "request `greet`, forwarded under id 0x1" "0x6e at byte 62 of 63",
        ById Mute "response `greeting`, given back under id 0x1" "nothing was written",
        InOrder Mute "response `got`, given back" "nothing was written";
    calls_round_trip:
        ById KeepsCallId "the server's request `news`" "under id 0x1 it is read as Call",
        ById IgnoresCall "the server's request `news`, what the codec has written" "more than its 0 bytes";
    edits_round_trip:
        ById WritesRefused "request `greet`, edits []" "refuses",
        ById IgnoresEdits "request `greet`, `conformance-kit` set to \"a value\"" "is None",
        ById Reencodes "request `greet`, edits [Remove" "not the same, byte for byte",
        InOrder IgnoresEdits "request `get`, `conformance-kit` set" "is None";
    deadlines_are_passed_on:
        ById KeepsDeadline "request `greet`, 125ms left of 250ms" "deadline: Some(250ms)";
    local_replies_are_read_back:
        ById AllIsWell "request `greet`, NoRoute \"no endpoint\"" "outcome is Ok",
        ById WrongReply "request `greet`, NoRoute" "it is read as Response",
        ById Silent "request `greet`, NoRoute" "nothing was written",
        ById Denies "request `greet`, NoRoute" "has no words for it, and has written some",
        InOrder RawMessage "two\\r\\nlines" "malformed at byte 8 of 15";
    one_way_is_never_answered:
        ById AnswersAll "request `note`" "says that it is owed an answer",
        InOrder AnswersAll "request `note`" "says that it is owed an answer";
    heartbeats_are_answered:
        ById Heartless "a heartbeat to a server" "writes 0 bytes of answer",
        InOrder Heartless "a heartbeat to a server" "writes 0 bytes of answer";
    health_checks_are_understood:
        ById Heartless "a health check" "the other codec sees Answered",
        InOrder Heartless "a health check" "the other codec sees Answered";
    drain_is_understood:
        ById LeavesUnannounced "the announcement that the proxy leaves" "Announced, and 0 bytes";
    too_large_is_refused_at_its_head:
        ById Generous "request `greet`" "with a limit of 62 bytes its 63 are not refused when 58",
        ById RefusesLate "request `greet`" "not refused when",
        InOrder Generous "request `get`" "with a limit of 24 bytes its 25 are accepted";
    large_messages_pass_by_their_head:
        ById LosesHead "request `greet`, by its first 58 bytes, forwarded" "62 bytes, another from byte 57",
        ById Hoards "request `large`" "wants 300046 bytes buffered",
        InOrder LosesHead "request `put`, by its first 9 bytes, forwarded" "another from byte 8",
        ById EditsTwice "request `greet`, by its first 58 bytes, edited" "121 bytes",
        InOrder NeverEnds "request `pieces`" "`body` says";
    garbage_makes_progress:
        ById Panics "kit::fuzz_downstream of these bytes, in hex: " "the codec panics",
        ById Stuck "in hex: 10c76b, byte 0 of the stream" "skips 0 bytes of 1",
        ById Remembers "kit::fuzz_downstream" "[3, 0, 0, 1]";
}

#[test]
fn allocations_are_counted() {
    let count = Cell::new(0);
    let busy = || count.replace(count.get() + 1);
    let found = allocations(&ById, &corpora::by_id(), 0, &busy);
    told(
        "allocations",
        "busy",
        found,
        ("request `greet`", "1 allocations"),
    );
    allocations(&ById, &corpora::by_id(), 1, &busy).expect("one each is allowed");
}

/// All of a message, as a person sees it.
#[test]
fn a_finding_shows_where_and_what() {
    let flawed = Flawed(&InOrder, Flaw::NeedsMore);
    let broken = rules::truncation_asks_for_more(&flawed, &corpora::in_order());
    let text = broken.expect_err("a flaw").to_string();
    let shown = "\
rule `truncation_asks_for_more` is broken
  where:    request `get`, its first 24 bytes of 25
    000000  47 45 54 20 61 20 7a 6f 6e 65 3d 62 20 64 65 61  GET a zone=b dea
    000010  64 6c 69 6e 65 3d 32 30 0a                       dline=20.
                                    ^^ byte 24 of 25
  expected: `Decoded::Incomplete` with a `need` of 25 to 25
  found:    the codec wants 26 bytes before it looks again, but the message ends before: it would wait for ever
  read:     Decoded::Incomplete, Limits::whole (`cargo doc -p meltemi-codec --open`)";
    assert_eq!(text, shown, "{text}");
}
