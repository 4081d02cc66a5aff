//! THeader and TTHeader: key-values that routes match on and rules change, outside of what may be
//! compressed.

use std::time::Duration;

use meltemi_codec::{Edit, EditRefused, FromClient, Memo};

use crate::{
    golden,
    legs::{attribute, downstream, from_client, request, upstream, whole},
    messages::{ALL, CALL, REPLY, Speech, bare, headed, speech},
};

fn set(name: &str, value: &str) -> Edit {
    Edit::Set {
        name: name.into(),
        value: value.into(),
    }
}

fn remove(name: &str) -> Edit {
    Edit::Remove { name: name.into() }
}

fn edited(bytes: &[u8], edits: &[Edit]) -> Result<Vec<u8>, EditRefused> {
    let mut client = downstream();
    let asked = request(&mut *client, bytes);
    let mut out = Vec::new();
    client.edit(whole(bytes, &asked.memo), edits, &mut out)?;
    Ok(out)
}

fn known(bytes: &[u8], name: &str) -> Option<String> {
    let mut client = downstream();
    let asked = request(&mut *client, bytes);
    attribute(&*client, whole(bytes, &asked.memo), name)
}

const HEADED: [Speech; 2] = [speech("header", "binary"), speech("ttheader", "compact")];

#[test]
fn a_deadline_is_ttheaders_key_12_and_what_is_left_of_it_is_passed_on() {
    let speech = speech("ttheader", "binary");
    let message = bare(speech.protocol, CALL, "a", 1, &speech.text(1, "x"));
    let mut client = downstream();
    for (value, deadline) in [
        ("1500", Some(1500)),
        ("0", None),
        ("soon", None),
        ("", None),
    ] {
        let plain = speech.with_headers(&[("k", "v")], &message, 1);
        let bytes = edited(&plain, &[set("#12", value)]).unwrap();
        let asked = request(&mut *client, &bytes);
        assert_eq!(
            asked.deadline,
            deadline.map(Duration::from_millis),
            "{value:?}"
        );
        if deadline.is_some() {
            let mut out = Vec::new();
            let left = Duration::from_millis(20);
            let frame = whole(&bytes, &asked.memo);
            client.pass_deadline(frame, left, &mut out).unwrap();
            assert_eq!(out, edited(&plain, &[set("#12", "20")]).unwrap());
        }
    }
    let framed = edited(&bare("binary", CALL, "a", 1, b"\0"), &[]);
    assert!(framed.is_err(), "{framed:?}");
}

#[test]
fn an_edit_changes_key_values_and_nothing_else() {
    for speech in HEADED {
        let message = bare(speech.protocol, CALL, "a", 1, &speech.text(1, "x"));
        let with = |pairs: &[(&str, &str)]| speech.with_headers(pairs, &message, 1);
        let long = "v".repeat(60_000);
        for (before, edits, after) in [
            (&[][..], vec![set("k", "v")], &[("k", "v")][..]),
            (&[("k", "v")], vec![set("k", &long)], &[("k", &long)]),
            (&[("k", "v"), ("l", "w")], vec![remove("k")], &[("l", "w")]),
            (&[("k", "v")], vec![remove("k")], &[]),
            (&[("k", "v")], vec![remove("K")], &[("k", "v")]),
            (
                &[("k", "v")],
                vec![set("header.method", "m"), set("k", "")],
                &[("k", ""), ("method", "m")],
            ),
            (&[("k", "v")], vec![set("k", "w"), remove("k")], &[]),
        ] {
            assert_eq!(edited(&with(before), &edits).unwrap(), with(after));
        }
    }
}

#[test]
fn a_compressed_message_is_routed_and_changed_by_its_header() {
    let bytes = headed(
        0x0fff,
        5,
        vec![0, 1, 1, 1, 1, 1, b'k', 1, b'v'],
        b"compressed",
    );
    assert_eq!(known(&bytes, "k").as_deref(), Some("v"));
    assert_eq!(known(&bytes, "method"), None);
    assert_eq!(known(&bytes, "protocol"), None);
    let after = headed(
        0x0fff,
        5,
        vec![0, 1, 1, 1, 1, 1, b'k', 1, b'w'],
        b"compressed",
    );
    assert_eq!(edited(&bytes, &[set("k", "w")]), Ok(after));
    // Transform 0 is none.
    let plain = bare("binary", CALL, "add", 1, &[0]);
    for magic in [0x0fff, 0x1000] {
        let bytes = headed(magic, 5, vec![0, 2, 0, 0], &plain);
        assert_eq!(known(&bytes, "method").as_deref(), Some("add"));
    }
    // TTHeader names the method in its header.
    let infos = vec![0, 1, 1, 0x10, 0, 1, 0, 9, 0, 3, b'a', b'd', b'd'];
    let bytes = headed(0x1000, 5, infos, b"compressed");
    assert_eq!(known(&bytes, "method").as_deref(), Some("add"));
}

/// TTHeader's keys are names, or numbers: 3 is the caller's service, 6 the callee's, 9 the method.
#[test]
fn numbered_key_values_are_read_and_changed() {
    let speech = speech("ttheader", "binary");
    let message = bare("binary", CALL, "a", 1, &[0]);
    let pairs = [("rip", "10.0.0.1"), ("#3", "front"), ("#6", "shop")];
    let bytes = speech.with_headers(&pairs, &message, 1);
    assert_eq!(known(&bytes, "rip").as_deref(), Some("10.0.0.1"));
    assert_eq!(known(&bytes, "#3").as_deref(), Some("front"));
    assert_eq!(known(&bytes, "service").as_deref(), Some("shop"));
    let pairs = [("rip", "10.0.0.1"), ("#3", "back"), ("#6", "shop")];
    let after = speech.with_headers(&pairs, &message, 1);
    assert_eq!(edited(&bytes, &[set("#3", "back")]), Ok(after));
    assert_eq!(
        known(&edited(&bytes, &[set("#12", "9")]).unwrap(), "#12").as_deref(),
        Some("9")
    );
}

#[test]
fn the_service_is_named_by_the_call_or_its_header() {
    for (name, pairs, service) in [
        (
            "Svc:a",
            &[("isn", "other"), ("#6", "third")][..],
            Some("Svc"),
        ),
        (
            "a",
            &[("#6", "third"), ("isn", "demo.Svc")],
            Some("demo.Svc"),
        ),
        ("a", &[("service", "last"), ("#6", "third")], Some("third")),
        ("a", &[("service", "last")], Some("last")),
        ("a", &[], None),
    ] {
        let speech = speech("ttheader", "binary");
        let message = bare("binary", CALL, name, 1, &[0]);
        let bytes = speech.with_headers(pairs, &message, 1);
        assert_eq!(
            known(&bytes, "service").as_deref(),
            service,
            "{name} {pairs:?}"
        );
    }
    let speech = speech("header", "binary");
    let message = bare("binary", CALL, "a", 1, &[0]);
    let bytes = speech.with_headers(&[("service", "theirs")], &message, 1);
    assert_eq!(known(&bytes, "service").as_deref(), Some("theirs"));
}

/// Peers read key-values into a map: of a key that is there twice the last one counts.
#[test]
fn of_a_key_that_is_there_twice_the_last_one_counts() {
    for speech in HEADED {
        let message = bare(speech.protocol, CALL, "a", 1, &[0]);
        let with = |pairs: &[(&str, &str)]| speech.with_headers(pairs, &message, 1);
        let bytes = with(&[("k", "1"), ("k", "2"), ("l", "3")]);
        assert_eq!(known(&bytes, "k").as_deref(), Some("2"));
        let after = edited(&bytes, &[set("k", "4")]).unwrap();
        assert_eq!(after, with(&[("k", "1"), ("k", "4"), ("l", "3")]));
        assert_eq!(edited(&bytes, &[remove("k")]).unwrap(), with(&[("l", "3")]));
    }
}

/// An access token, an info that nobody knows and lasting key-values stay where they are.
#[test]
fn what_is_not_understood_is_copied() {
    let token = [0x11, 0, 2, b't', b'k'];
    let infos = [&[0, 0][..], &token, &[0x77, 1, 2, 3]].concat();
    let bytes = headed(0x1000, 5, infos, &bare("binary", CALL, "a", 1, &[0]));
    let after = edited(&bytes, &[set("k", "v")]).unwrap();
    let pair = [1, 0, 1, 0, 1, b'k', 0, 1, b'v'];
    let infos = [&[0, 0][..], &token, &pair, &[0x77, 1, 2, 3, 0]].concat();
    let expected = headed(0x1000, 5, infos, &bare("binary", CALL, "a", 1, &[0]));
    assert_eq!(after, expected);

    let lasting = [2, 1, 1, b'l', 1, b'x'];
    let infos = [&[0, 0][..], &lasting].concat();
    let bytes = headed(0x0fff, 5, infos, &bare("binary", CALL, "a", 1, &[0]));
    assert_eq!(known(&bytes, "l").as_deref(), Some("x"));
    let after = edited(&bytes, &[set("k", "v")]).unwrap();
    let infos = [&[0, 0][..], &lasting, &[1, 1, 1, b'k', 1, b'v']].concat();
    let expected = headed(0x0fff, 5, infos, &bare("binary", CALL, "a", 1, &[0]));
    assert_eq!(after, expected);
}

#[test]
fn what_cannot_be_written_is_refused() {
    for speech in ALL {
        let bytes = speech.call("a", 1);
        let long = "v".repeat(70_000);
        let refused = match speech.transport {
            "header" | "ttheader" => {
                let refused = edited(&bytes, &[set("k", &long)]);
                assert_eq!(refused, Err(EditRefused::Unwritable));
                let many = [set("k", &long[..40_000]), set("l", &long[..40_000])];
                assert_eq!(edited(&bytes, &many), Err(EditRefused::Unwritable));
                assert_eq!(
                    edited(&bytes, &[set("", "v")]),
                    Err(EditRefused::Unwritable)
                );
                let broken = headed(
                    0x0fff,
                    1,
                    vec![0, 0, 1, 9, 200],
                    &[0x80, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1],
                );
                edited(&broken, &[set("k", "v")])
            }
            _ => edited(&bytes, &[set("k", "v")]),
        };
        let expected = match speech.transport {
            "header" | "ttheader" => EditRefused::Unreadable,
            _ => EditRefused::NoPlace,
        };
        assert_eq!(refused, Err(expected), "{speech:?}");
    }
}

#[test]
fn an_answer_s_header_is_changed_as_a_call_s_is() {
    for speech in HEADED {
        let message = bare(speech.protocol, REPLY, "a", 1, &speech.text(0, "x"));
        let memo = request(&mut *downstream(), &speech.call("a", 1)).memo;
        let bytes = speech.with_headers(&[("k", "v")], &message, 1);
        let mut out = Vec::new();
        let edits = [set("k", "w")];
        upstream()
            .edit(whole(&bytes, &memo), &edits, &mut out)
            .unwrap();
        assert_eq!(out, speech.with_headers(&[("k", "w")], &message, 1));
    }
    let bytes = golden::exchange("py-framed-binary-void").response;
    let refused = upstream().edit(whole(&bytes, &Memo::default()), &[], &mut Vec::new());
    assert_eq!(refused, Err(EditRefused::NoPlace));
}

#[test]
fn a_header_above_64_kib_ends_the_connection() {
    let mut words = vec![0; 64 * 1024 + 4];
    words[0] = 0;
    let bytes = headed(0x0fff, 1, words, &bare("binary", CALL, "a", 1, &[0]));
    assert!(downstream().decode(&bytes, &mut Vec::new()).is_err());
}

/// The protocol that the header names is the one that has to follow.
#[test]
fn a_message_in_another_protocol_than_its_header_says_is_refused() {
    let compact = bare("compact", CALL, "a", 1, &[0]);
    for (magic, number) in [(0x0fff, 0), (0x1000, 0), (0x0fff, 7), (0x1000, 4)] {
        let bytes = headed(magic, 1, vec![number, 0], &compact);
        let refused = match downstream().decode(&bytes, &mut Vec::new()) {
            Err(_) => true,
            Ok(_) => matches!(
                from_client(&mut *downstream(), &bytes),
                (FromClient::Refused { .. }, _)
            ),
        };
        assert!(refused, "{magic:x} {number}");
    }
}
