//! What an answer says of its call, and what an edit may touch.

use dubbo_rs_codec::{Header, Kind, SerializationId, Status};
use meltemi_codec::{Edit, EditRefused, Memo, Outcome};

use crate::{
    frames::{BOTH, attribute, body, call, downstream, header, request, upstream, whole},
    golden,
};

fn answer(serialization: SerializationId, status: u8, body: &[u8]) -> Vec<u8> {
    let header = Header {
        status: Status(status),
        ..header(Kind::Response, serialization, body)
    };
    let mut frame = header.to_bytes().to_vec();
    frame.extend_from_slice(body);
    frame
}

#[test]
fn recorded_answers_have_the_outcome_that_their_consumers_saw() {
    for golden in golden::frames() {
        if golden.text("kind") != Some("response") {
            continue;
        }
        let expected = match (golden.facts["status"].as_u64(), golden.text("result")) {
            (Some(100), _) => Outcome::TryLater { code: 100 },
            (Some(20), Some(result)) if result.starts_with("exception") => {
                Outcome::ApplicationError { code: 20 }
            }
            (Some(20), _) => Outcome::Ok { code: 20 },
            (Some(40), _) => Outcome::RequestError { code: 40 },
            (Some(70), _) => Outcome::RequestError { code: 70 },
            (Some(code), _) => Outcome::SystemError {
                code: u32::try_from(code).unwrap(),
            },
            (None, _) => panic!("{} has no status", golden.name),
        };
        let outcome = upstream().outcome(whole(&golden.bytes, &Memo::default()));
        assert_eq!(outcome, expected, "{}", golden.name);
    }
}

#[test]
fn an_answer_that_cannot_be_read_is_judged_by_its_status() {
    let unreadable = Outcome::SystemError { code: 20 };
    for (serialization, status, body, expected) in [
        (
            SerializationId::HESSIAN2,
            20,
            &b"\x99"[..],
            unreadable.clone(),
        ),
        (SerializationId::HESSIAN2, 20, b"", unreadable.clone()),
        (
            SerializationId::HESSIAN2,
            70,
            b"\x90",
            Outcome::RequestError { code: 70 },
        ),
        (SerializationId::FASTJSON2, 20, b"\x01", unreadable),
        (SerializationId::KRYO, 20, b"?", Outcome::Ok { code: 20 }),
        (
            SerializationId::KRYO,
            100,
            b"?",
            Outcome::TryLater { code: 100 },
        ),
        (
            SerializationId::KRYO,
            80,
            b"",
            Outcome::SystemError { code: 80 },
        ),
    ] {
        let bytes = answer(serialization, status, body);
        let outcome = upstream().outcome(whole(&bytes, &Memo::default()));
        assert_eq!(outcome, expected, "{serialization} {status} {body:?}");
    }
}

#[test]
fn an_edit_changes_attachments_and_nothing_else() {
    for format in BOTH {
        let bytes = call(format, "world", &[("group", "blue"), ("tag", "a")]);
        let mut codec = downstream();
        let asked = request(&mut *codec, &bytes);
        let edits = [
            Edit::Set {
                name: "group".into(),
                value: "green".into(),
            },
            Edit::Remove { name: "tag".into() },
        ];
        let mut out = Vec::new();
        codec
            .edit(whole(&bytes, &asked.memo), &edits, &mut out)
            .unwrap();
        let expected = call(format, "world", &[("group", "green")]);
        assert_eq!(body(&out), body(&expected));
        // The memo is still good for the changed frame.
        let changed = whole(&out, &asked.memo);
        assert_eq!(
            attribute(&*codec, changed, "group").as_deref(),
            Some("green")
        );
        assert_eq!(attribute(&*codec, changed, "tag"), None);
    }
}

#[test]
fn an_error_has_no_place_for_attachments() {
    let error = golden::frame("3333-unknown-service-response-status40").bytes;
    let edits = [Edit::Set {
        name: "a".into(),
        value: "b".into(),
    }];
    let mut out = Vec::new();
    let refused = upstream().edit(whole(&error, &Memo::default()), &edits, &mut out);
    assert_eq!((refused, out), (Err(EditRefused::NoPlace), vec![]));
}
