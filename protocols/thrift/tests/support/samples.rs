//! What no recording holds, and the recordings, as samples of one connection.

use meltemi_codec::kit::{Corpus, Sample};

use crate::{
    golden,
    messages::{CALL, EXCEPTION, ONEWAY, REPLY, Speech, bare, framed, headed, speech},
};

/// The samples of a way of speaking.
pub fn corpus(speech: Speech) -> Corpus {
    let recorded = golden::corpus(speech.transport, speech.protocol);
    made(speech, recorded)
}

/// As they are, and none of the recorded numbers, which exchanges share.
pub fn made(speech: Speech, mut corpus: Corpus) -> Corpus {
    let known = |sample: Sample| {
        sample
            .knows("transport", speech.transport)
            .knows("protocol", speech.protocol)
    };
    let named = |name: &str, kind, seq, body: &[u8]| {
        let message = speech.message(kind, name, seq, body);
        known(Sample::new(format!("{name}-{seq}"), message))
    };
    let argument = speech.text(1, "größer");
    let large = speech.text(1, &"large ".repeat(6000));
    corpus = corpus
        .request(named("plain", CALL, 9001, &argument).knows("method", "plain"))
        .request(named("negative", CALL, -2, &argument).knows("type", "call"))
        .request(
            named("Shop:cart", CALL, 9002, speech.nothing())
                .knows("service", "Shop")
                .knows("method", "cart"),
        )
        .request(
            named("note", ONEWAY, 9003, &argument)
                .knows("type", "oneway")
                .one_way(),
        )
        .request(named("large", CALL, 9004, &large).knows("method", "large"));
    if !["json"].contains(&speech.protocol) {
        let sample = named("argument", CALL, 9005, &argument);
        corpus = corpus.request(sample.knows("arg.1", "größer"));
    }
    let answers = [
        ("plain", 9001, REPLY, speech.text(0, "größer")),
        ("negative", -2, REPLY, speech.nothing().to_vec()),
        ("Shop:cart", 9002, REPLY, speech.text(3, "declared")),
        ("large", 9004, EXCEPTION, speech.exception("it broke", 6)),
        ("plain", 9001, REPLY, speech.text(0, &"large ".repeat(6000))),
    ];
    for (n, (name, seq, kind, body)) in answers.into_iter().enumerate() {
        let (_, method) = name.split_once(':').unwrap_or(("", name));
        let message = speech.message(kind, method, seq, &body);
        let sample = Sample::new(format!("answer-{n}"), message);
        corpus = corpus.response(sample.answers(&format!("{name}-{seq}")));
    }
    headers(speech, corpus)
}

/// Where there are headers: key-values, and what a header may hide.
fn headers(speech: Speech, mut corpus: Corpus) -> Corpus {
    if !["header", "ttheader"].contains(&speech.transport) {
        return corpus;
    }
    let body = speech.text(1, "argument");
    let message = bare(speech.protocol, CALL, "headed", 9101, &body);
    let mut pairs = vec![("tenant", "blue"), ("method", "shadowed"), ("empty", "")];
    let mut service = "";
    if speech.transport == "ttheader" {
        pairs.extend([("isn", "demo.Shop"), ("#6", "shop"), ("#12", "500")]);
        service = "demo.Shop";
    }
    let bytes = speech.with_headers(&pairs, &message, 9101);
    let mut sample = Sample::new("headed", bytes)
        .knows("method", "headed")
        .knows("tenant", "blue")
        .knows("header.method", "shadowed")
        .knows("empty", "");
    if !service.is_empty() {
        sample = sample
            .knows("service", service)
            .knows("#6", "shop")
            .knows("#12", "500");
    }
    corpus = corpus.request(sample);
    let answer = bare(speech.protocol, REPLY, "headed", 9101, &speech.text(0, "a"));
    let answer = speech.with_headers(&[("server", "one")], &answer, 9101);
    corpus = corpus.response(Sample::new("headed-answer", answer).answers("headed"));
    if speech.transport == "ttheader" {
        let inner = speech.with_headers(&[("tenant", "red")], &framed(&message), 9101);
        let sample = Sample::new("inner", inner).knows("tenant", "red");
        corpus = corpus.request(sample.knows("method", "headed"));
    }
    compressed(speech, corpus)
}

/// A message that a transform hides: only the header is known.
fn compressed(speech: Speech, corpus: Corpus) -> Corpus {
    let (magic, number): (u16, u8) = match (speech.transport, speech.protocol) {
        ("header", "json") => (0x0fff, 1),
        ("header", "compact") => (0x0fff, 2),
        ("header", _) => (0x0fff, 0),
        (_, "compact") => (0x1000, 2),
        _ => (0x1000, 0),
    };
    let infos: &[u8] = match speech.transport {
        "header" => &[number, 1, 1, 1, 1, 1, b'k', 1, b'v'],
        _ => &[number, 1, 1, 1, 0, 1, 0, 1, b'k', 0, 1, b'v'],
    };
    let message = headed(magic, 77, infos.to_vec(), b"compressed");
    let answer = headed(magic, 77, vec![number, 1, 1], b"so is the answer");
    corpus
        .request(Sample::new("compressed", message).knows("k", "v"))
        .response(Sample::new("compressed-answer", answer).answers("compressed"))
}

/// The samples of a way of speaking in which exchanges share no number.
pub fn numbered(transport: &'static str, protocol: &'static str) -> Corpus {
    made(speech(transport, protocol), Corpus::new())
}
