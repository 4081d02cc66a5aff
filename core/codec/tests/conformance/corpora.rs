//! What a connection of each sample protocol carries.

use meltemi_codec::kit::{
    Corpus, Sample,
    sample::{
        by_id::{self, APPLICATION_ERROR, Header, Kind, SYSTEM_ERROR, TRY_LATER, control, frame},
        in_order,
    },
};

pub(crate) fn by_id() -> Corpus {
    Corpus {
        requests: by_id_requests(),
        responses: by_id_responses(),
        greetings: Vec::new(),
    }
}

fn by_id_requests() -> Vec<Sample> {
    let header = Header {
        dialect: 3,
        detail: 250,
        ..Header::new(Kind::Request, 0x0102_0304_0506_0708)
    };
    let again = Header {
        idempotent: true,
        ..header
    };
    let note = Header {
        kind: Kind::OneWay,
        ..header
    };
    let subscribe = Header {
        pinned: true,
        ..header
    };
    let greet = [("service", "greeter"), ("method", "greet"), ("zone", "a")];
    vec![
        Sample::new("greet", frame(header, &greet, b"hello"))
            .knows("method", "greet")
            .knows("service", "greeter")
            .knows("zone", "a"),
        Sample::new("bare", frame(again, &[], b"x")),
        Sample::new("note", frame(note, &greet, b"noted")).one_way(),
        Sample::new("ping", control(Kind::Ping, 9)),
        Sample::new("pong", control(Kind::Pong, 0)),
        Sample::new("large", by_id::request(7, "put", &[7; 300_000])),
        Sample::new("subscribe", frame(subscribe, &greet, b"")),
        Sample::new("told", by_id::response(11, 0, 0, b"thanks")),
        Sample::new("cancel", control(Kind::Cancel, 7)),
    ]
}

fn by_id_responses() -> Vec<Sample> {
    let rumour = frame(
        Header::new(Kind::OneWay, 0),
        &[("method", "rumour")],
        b"psst",
    );
    let answer = by_id::response;
    vec![
        Sample::new("greeting", answer(5, 3, 0, b"hi")).answers("greet"),
        Sample::new("no", answer(6, 3, APPLICATION_ERROR, b"no")).answers("bare"),
        Sample::new("broken", answer(7, 0, SYSTEM_ERROR, b"oh")).answers("bare"),
        Sample::new("later", answer(8, 0, TRY_LATER, b"")).answers("bare"),
        Sample::new("ping", control(Kind::Ping, 1)),
        Sample::new("large", answer(9, 0, 0, &[9; 300_000])).answers("large"),
        Sample::new("news", by_id::request(11, "news", b"new")),
        Sample::new("rumour", rumour),
        Sample::new("leaving", control(Kind::GoAwayHost, 0)),
        Sample::new("staying", control(Kind::ComeBack, 0)),
    ]
}

pub(crate) fn in_order() -> Corpus {
    Corpus::new()
        .request(
            Sample::new("get", in_order::request("GET", "a zone=b deadline=20"))
                .knows("verb", "GET")
                .knows("key", "a")
                .knows("zone", "b"),
        )
        .request(Sample::new("empty", "\n"))
        .request(
            Sample::new("put", in_order::with_payload("PUT a", b"two\nlines")).knows("key", "a"),
        )
        .request(Sample::new("note", in_order::request("NOTE", "a")).one_way())
        .request(Sample::new("size", in_order::request("SIZE", "a")))
        .request(Sample::new("sub", in_order::request("SUB", "2")))
        .request(Sample::new("ping", in_order::request("PING", "")))
        .request(Sample::new("hold", in_order::request("HOLD", "")))
        .request(Sample::new(
            "large",
            in_order::with_payload("PUT b", &vec![b'b'; 300_000]),
        ))
        .request(Sample::new(
            "pieces",
            in_order::with_pieces("PUT c", &[b"one", b"0\n", &[1; 70]]),
        ))
        .request(Sample::new(
            "stream",
            in_order::with_pieces("PUT d", &[&[0; 200_000], &[1; 200_000]]),
        ))
        .request(Sample::new("free", in_order::request("FREE", "")))
        .response(Sample::new("got", in_order::response(b"value")).answers("get"))
        .response(Sample::new("aside", ">news *3\nabc"))
        .response(Sample::new("done", "+\n").answers("put"))
        .response(Sample::new("size", "+OK *5\n").answers("size"))
        .response(Sample::new("one", "+1\n").answers("sub"))
        .response(Sample::new("two", "+2\n").answers("sub"))
        .response(Sample::new("no", "-not held\n").answers("hold"))
        .response(Sample::new("leaving", ".bye host\n"))
        .response(Sample::new("large", in_order::response(&vec![b'b'; 300_000])).answers("large"))
        .response(
            Sample::new("pieces", in_order::with_pieces("+", &[b"one", b"two"])).answers("pieces"),
        )
        .response(
            Sample::new("stream", in_order::with_pieces("+", &[&[0; 200_000], b"2"]))
                .answers("stream"),
        )
        .response(Sample::new("broken", "!7 out of order\n").answers("free"))
}
