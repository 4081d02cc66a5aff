//! Every recorded exchange through both codecs: what real clients sent and saw.
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    dead_code,
    reason = "a test fails by panicking, and does not use all that it shares"
)]

#[path = "support/golden.rs"]
mod golden;
#[path = "support/legs.rs"]
mod legs;

use meltemi_codec::{Answers, At, FromServer, Outcome, Response, Status};

use golden::{Golden, exchanges};
use legs::{
    attribute, configured, downstream, from_client, from_server, limits, local_reply, outcome,
    request, upstream, whole,
};

/// What a client made of its answer.
fn expected(golden: &Golden) -> Outcome {
    // Go's server declares the exception that its `storm` throws.
    let recorded_by_go = golden.text("client_saw").is_none() && golden.method() == "storm";
    match golden.text("client_saw") {
        Some("Squall") => Outcome::ApplicationError { code: 1 },
        Some("TApplicationException") if golden.method() == "notThere" => {
            Outcome::RequestError { code: 1 }
        }
        Some("TApplicationException") => Outcome::SystemError { code: 6 },
        None if recorded_by_go => Outcome::ApplicationError { code: 1 },
        None => Outcome::Ok { code: 0 },
        other => panic!("{}: {other:?}", golden.name),
    }
}

#[test]
fn every_exchange_passes_and_has_the_outcome_that_its_client_saw() {
    for golden in exchanges() {
        let name = &golden.name;
        let mut client = downstream();
        let asked = request(&mut *client, &golden.request);
        let answers = if golden.is_oneway() {
            Answers::None
        } else {
            Answers::One
        };
        assert_eq!(asked.answers, answers, "{name}");
        let mut server = upstream();
        let mut there = Vec::new();
        server.forward(1, whole(&golden.request, &asked.memo), &mut there);
        assert_eq!(there, golden.request, "{name}");
        if golden.is_unanswered() {
            continue;
        }
        let event = from_server(&mut *server, &golden.response, &asked.memo).unwrap();
        let at = At::InOrder;
        let last = true;
        assert_eq!(event, FromServer::Response(Response { at, last }), "{name}");
        let found = outcome(&golden.response, &asked.memo);
        assert_eq!(found, expected(&golden), "{name}");
        let mut back = Vec::new();
        client.respond(1, whole(&golden.response, &asked.memo), &mut back);
        assert_eq!(back, golden.response, "{name}");
    }
}

#[test]
fn every_call_is_known_for_what_it_is() {
    for golden in exchanges() {
        let mut client = downstream();
        let asked = request(&mut *client, &golden.request);
        let frame = whole(&golden.request, &asked.memo);
        let sample = golden.asked();
        for (name, value) in &sample.attributes {
            let found = attribute(&*client, frame, name);
            assert_eq!(found.as_ref(), Some(value), "{} {name}", golden.name);
        }
        if let Some(seq) = golden.facts["seqid"].as_u64() {
            assert_eq!(asked.id, seq, "{}", golden.name);
        }
    }
}

/// Go's client sends a one-way call as CALL, and its server does not answer it.
#[test]
fn a_one_way_call_that_does_not_say_so_is_known_by_the_settings() {
    let protocol = configured(&[("oneway", "fire")]);
    let mut seen = 0;
    for golden in exchanges() {
        let mut client = protocol.downstream(limits());
        let asked = request(&mut *client, &golden.request);
        let oneway = asked.answers == Answers::None;
        assert_eq!(oneway, golden.is_unanswered(), "{}", golden.name);
        seen += usize::from(oneway && !golden.is_oneway());
    }
    assert_eq!(seen, 3);
}

/// What a server answers to an unknown method, and what the proxy answers where no route is.
#[test]
fn a_local_reply_is_the_server_s_own_byte_for_byte() {
    let mut seen = 0;
    for golden in exchanges() {
        if golden.method() != "notThere" || golden.transport() == "header" {
            continue;
        }
        let mut client = downstream();
        let asked = request(&mut *client, &golden.request);
        let text = "Unknown function notThere";
        let (reply, code) = local_reply(&mut *client, &asked, Status::NoRoute, text);
        assert_eq!((&reply, code), (&golden.response, 1), "{}", golden.name);
        seen += 1;
    }
    assert_eq!(seen, 5);
}

#[test]
fn a_local_reply_to_any_recorded_call_is_read_as_its_answer() {
    for golden in exchanges() {
        let mut client = downstream();
        let asked = request(&mut *client, &golden.request);
        for (status, read) in [
            (Status::NoRoute, Outcome::RequestError { code: 1 }),
            (Status::Timeout, Outcome::SystemError { code: 6 }),
            (Status::TooLarge, Outcome::RequestError { code: 7 }),
        ] {
            let (reply, code) = local_reply(&mut *client, &asked, status, "because");
            let event = from_server(&mut *upstream(), &reply, &asked.memo);
            assert!(matches!(event, Ok(FromServer::Response(_))), "{event:?}");
            assert_eq!(outcome(&reply, &asked.memo), read, "{}", golden.name);
            assert_eq!(read.code(), code);
        }
    }
}

/// A multiplexed call's answer carries the method alone, as servers write it.
#[test]
fn a_local_reply_to_a_multiplexed_call_names_the_method_alone() {
    for golden in exchanges() {
        if golden.text("multiplexed").is_none() {
            continue;
        }
        let mut client = downstream();
        let asked = request(&mut *client, &golden.request);
        let (reply, _) = local_reply(&mut *client, &asked, Status::Timeout, "late");
        let found = |what: &[u8]| reply.windows(what.len()).any(|it| it == what);
        assert!(found(b"echoI32") && !found(b"Probe"), "{}", golden.name);
    }
}

/// The answer of the call before, or after, is never taken for this one's.
#[test]
fn answers_of_other_calls_are_out_of_step() {
    for golden in exchanges() {
        if golden.is_unanswered() {
            continue;
        }
        let other = exchanges().into_iter().find(|other| {
            other.transport() == golden.transport()
                && other.facts["seqid"] != golden.facts["seqid"]
                && golden.facts["seqid"].is_number()
                && other.facts["seqid"].is_number()
        });
        let Some(other) = other else {
            continue;
        };
        let (event, _) = from_client(&mut *downstream(), &other.request);
        let meltemi_codec::FromClient::Request(asked) = event else {
            panic!("{event:?}");
        };
        let read = from_server(&mut *upstream(), &golden.response, &asked.memo);
        assert!(read.is_err(), "{} to {}", golden.name, other.name);
    }
}
