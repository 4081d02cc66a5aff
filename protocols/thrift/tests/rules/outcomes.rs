//! What an answer says of its call, told without the IDL.

use meltemi_codec::{Limits, Memo, Outcome, Protocol};
use meltemi_thrift::Thrift;

use crate::{
    legs::{Asked, downstream, outcome, request},
    messages::{ALL, EXCEPTION, REPLY, Speech, bare, speech},
};

fn judged(speech: Speech, kind: u8, body: &[u8]) -> Outcome {
    let memo = request(&mut *downstream(), &speech.call("a", 1)).memo;
    let bytes = speech.message(kind, "a", 1, body);
    let found = outcome(&bytes, &memo);
    // The core's memo is no condition.
    assert_eq!(outcome(&bytes, &Memo::default()), found);
    found
}

#[test]
fn a_result_s_first_field_tells_a_return_from_a_declared_exception() {
    for speech in ALL {
        let ok = Outcome::Ok { code: 0 };
        assert_eq!(judged(speech, REPLY, speech.nothing()), ok, "{speech:?}");
        assert_eq!(judged(speech, REPLY, &speech.text(0, "x")), ok);
        for id in [1, 2, 9] {
            let found = judged(speech, REPLY, &speech.text(id, "x"));
            let code = id.into();
            assert_eq!(found, Outcome::ApplicationError { code }, "{speech:?}");
        }
    }
}

/// docs/decisions/0002: what a server says because of what it was sent is the requester's fault.
#[test]
fn the_type_of_a_tapplicationexception_says_whose_fault_it_is() {
    for speech in ALL {
        for (code, requester) in [
            (0, false),
            (1, true),
            (2, true),
            (3, true),
            (4, false),
            (5, false),
            (6, false),
            (7, true),
            (8, true),
            (9, true),
            (10, true),
            (12, false),
        ] {
            let found = judged(speech, EXCEPTION, &speech.exception("why", code));
            let code = code.into();
            let expected = match requester {
                true => Outcome::RequestError { code },
                false => Outcome::SystemError { code },
            };
            assert_eq!(found, expected, "{speech:?}");
        }
        // fbthrift's LOADSHEDDING.
        let shed = judged(speech, EXCEPTION, &speech.exception("busy", 11));
        assert_eq!(shed, Outcome::TryLater { code: 11 });
    }
}

#[test]
fn an_exception_is_read_in_any_order_and_without_its_fields() {
    let unknown = Outcome::SystemError { code: 0 };
    let method = Outcome::RequestError { code: 1 };
    for (protocol, body, expected) in [
        ("binary", &[0][..], &unknown),
        (
            "binary",
            &[8, 0, 2, 0, 0, 0, 1, 11, 0, 1, 0, 0, 0, 1, b'x', 0],
            &method,
        ),
        ("binary", &[15, 0, 7, 3, 0, 0, 0, 0, 0], &unknown),
        ("binary", &[11, 0, 1, 0x7f, 0, 0, 0], &unknown),
        ("compact", &[0], &unknown),
        ("compact", &[0x25, 2, 0x08, 2, 1, b'x', 0], &method),
        ("compact", &[0x18, 0xff, 0xff], &unknown),
        ("json", b",{}]", &unknown),
        (
            "json",
            b",{\"2\":{\"i32\":1},\"1\":{\"str\":\"a\\\"}b\"}}]",
            &method,
        ),
        ("json", b",{\"1\":{\"lst\":[]}}]", &unknown),
        ("json", b"", &unknown),
    ] {
        let found = judged(speech("framed", protocol), EXCEPTION, body);
        assert_eq!(found, *expected, "{protocol} {body:x?}");
    }
}

#[test]
fn a_result_that_cannot_be_read_speaks_against_the_server() {
    for speech in ALL.iter().filter(|it| it.protocol != "json") {
        let found = judged(*speech, REPLY, &[]);
        assert_eq!(found, Outcome::SystemError { code: 0 }, "{speech:?}");
    }
    let found = judged(speech("framed", "json"), REPLY, b",[1]");
    assert_eq!(found, Outcome::SystemError { code: 0 });
}

/// An answer is returned only when its outcome can be read of what is there.
#[test]
fn a_large_answer_is_waited_for_up_to_its_outcome() {
    let limits = Limits {
        whole: 0,
        frame: 1_000_000,
    };
    for speech in ALL {
        let memo = request(&mut *downstream(), &speech.call("a", 1)).memo;
        let long = "x".repeat(20_000);
        let answer = speech.message(EXCEPTION, "a", 1, &speech.exception(&long, 6));
        let decode = |there: &[u8]| {
            let mut server = Thrift::default().upstream(limits, &meltemi_codec::Opening::default());
            let asked = Asked(memo.clone());
            server.decode(there, &asked, &mut Vec::new()).unwrap()
        };
        let most = answer.len() - 1;
        let short = decode(&answer[..most]);
        let whole = decode(&answer);
        assert!(matches!(short, meltemi_codec::Decoded::Incomplete { .. }));
        assert!(matches!(whole, meltemi_codec::Decoded::Message(_)));
        let found = outcome(&answer, &memo);
        assert_eq!(found, Outcome::SystemError { code: 6 }, "{speech:?}");
    }
}

#[test]
fn bytes_that_are_no_answer_have_an_outcome_too() {
    for bytes in [
        &b""[..],
        b"\0",
        b"\xff\xff",
        &bare("binary", 9, "a", 1, &[]),
    ] {
        let found = outcome(bytes, &Memo::default());
        assert_eq!(found, Outcome::SystemError { code: 0 });
    }
}
