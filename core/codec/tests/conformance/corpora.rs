//! What a connection of each sample protocol carries.

use meltemi_codec::kit::{
    Corpus, Sample,
    sample::{
        by_id::{self, APPLICATION_ERROR, Header, Kind, SYSTEM_ERROR, TRY_LATER, control, frame},
        in_order,
    },
};

pub(crate) fn by_id() -> Corpus {
    let request = |kind, idempotent| Header {
        idempotent,
        dialect: 3,
        detail: 250,
        ..Header::new(kind, 0x0102_0304_0506_0708)
    };
    let greet = [("service", "greeter"), ("method", "greet"), ("zone", "a")];
    Corpus::new()
        .request(
            Sample::new(
                "greet",
                frame(request(Kind::Request, false), &greet, b"hello"),
            )
            .knows("method", "greet")
            .knows("service", "greeter")
            .knows("zone", "a"),
        )
        .request(Sample::new(
            "bare",
            frame(request(Kind::Request, true), &[], b"x"),
        ))
        .request(
            Sample::new(
                "note",
                frame(request(Kind::OneWay, false), &greet, b"noted"),
            )
            .one_way(),
        )
        .request(Sample::new("ping", control(Kind::Ping, 9)))
        .request(Sample::new("pong", control(Kind::Pong, 0)))
        .request(Sample::new(
            "large",
            by_id::request(7, "put", &vec![7; 300_000]),
        ))
        .request(Sample::new("cancel", control(Kind::Cancel, 7)))
        .response(Sample::new("greeting", by_id::response(5, 3, 0, b"hi")).answers("greet"))
        .response(
            Sample::new("no", by_id::response(6, 3, APPLICATION_ERROR, b"no")).answers("bare"),
        )
        .response(Sample::new("broken", by_id::response(7, 0, SYSTEM_ERROR, b"oh")).answers("bare"))
        .response(Sample::new("later", by_id::response(8, 0, TRY_LATER, b"")).answers("bare"))
        .response(Sample::new("ping", control(Kind::Ping, 1)))
        .response(
            Sample::new("large", by_id::response(9, 0, 0, &vec![9; 300_000])).answers("large"),
        )
        .response(Sample::new("leaving", control(Kind::GoAwayHost, 0)))
        .response(Sample::new("staying", control(Kind::ComeBack, 0)))
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
        .response(Sample::new("broken", "!7 out of order\n").answers("free"))
}
