//! Questions of a codec's own, without whose answer it cannot read a request.

use super::subject::Subject;
use crate::{
    downstream::FromClient,
    kit::{
        broken::Broken,
        corpus::{Corpus, Sample},
    },
    message::{Answers, Decoded, Frame, OwnRequest, Size},
    protocol::Protocol,
    reply::{LocalReply, Status},
};

const READ: &str = "FromClient::Ask, Downstream::learn";
/// Questions about one message.
const MOST: usize = 3;

/// A question consumes nothing, is itself a whole request that is owed one answer, and the codec
/// goes on whether it was refused or not answered at all.
pub fn questions_consume_nothing(protocol: &dyn Protocol, corpus: &Corpus) -> Result<(), Broken> {
    let subject = Subject::new(protocol, corpus);
    for sample in &corpus.requests {
        for refused in [false, true] {
            asked(&subject, sample, refused).map_err(|broken| {
                broken
                    .within(format!("request `{}`", sample.name))
                    .shows(&sample.bytes, 0)
                    .by("questions_consume_nothing")
            })?;
        }
    }
    Ok(())
}

fn asked(subject: &Subject<'_>, sample: &Sample, refused: bool) -> Result<(), Broken> {
    let mut codec = subject.protocol.downstream(subject.limits());
    for _ in 0..=MOST {
        let decoded = codec.decode(&sample.bytes, &mut Vec::new());
        let Ok(Decoded::Message(message)) = decoded else {
            return Ok(());
        };
        let FromClient::Ask(own) = message.event else {
            return Ok(());
        };
        if message.size != Size::Known(0) {
            let found = format!("a question that takes {:?}", message.size);
            return Err(Broken::new("", found, READ).expected(
                "`Size::Known(0)`: the bytes are decoded again when the answer is there",
            ));
        }
        question(subject, &own)?;
        let answer = if refused {
            refusal(subject, &own)
        } else {
            Vec::new()
        };
        let frame = Frame {
            bytes: &answer,
            whole: true,
            memo: &own.request.memo,
        };
        codec.learn((!answer.is_empty()).then_some(frame));
    }
    let answer = if refused { "a refusal" } else { "no answer" };
    let found = format!("the same question again and again, though it got {answer}");
    Err(Broken::new("", found, READ).expected("the message itself, as far as the codec can tell"))
}

/// The question is one that can be asked.
fn question(subject: &Subject<'_>, own: &OwnRequest) -> Result<(), Broken> {
    let broken = |found: String| {
        Err(Broken::new("the question", found, READ)
            .expected("one whole request of the protocol, which is owed one answer")
            .shows(&own.bytes, 0))
    };
    match subject.read_request(&own.bytes, READ)? {
        FromClient::Request(read) if read.answers == Answers::One => {}
        // A codec may ask in words that it does not let a client say without asking.
        FromClient::Ask(_) | FromClient::Answered => {}
        other => return broken(format!("it is read as {other:?}")),
    }
    match own.request.answers {
        Answers::One => Ok(()),
        answers => broken(format!("it is said to be owed {answers:?}")),
    }
}

/// What the proxy itself would answer to it.
fn refusal(subject: &Subject<'_>, own: &OwnRequest) -> Vec<u8> {
    let mut out = Vec::new();
    let reply = LocalReply {
        status: Status::NoHealthyUpstream,
        message: "no endpoint",
    };
    let mut codec = subject.protocol.downstream(subject.limits());
    codec.local_reply(own.request.id, &own.request.memo, reply, &mut out);
    out
}
