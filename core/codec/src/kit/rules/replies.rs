//! Answers of the proxy's own, and requests that want none.

use super::subject::{Asked, Subject};
use crate::{
    downstream::FromClient,
    kit::{
        broken::Broken,
        corpus::{Corpus, Sample},
        feed::{SENT_BEFORE, added, feed},
        leg::Client,
    },
    message::{Answers, Frame, Limits, Request},
    protocol::Protocol,
    reply::{LocalReply, Status},
    session::Opening,
    upstream::{At, FromServer, Outcome},
};

const STATUSES: [Status; 14] = [
    Status::NoRoute,
    Status::NoHealthyUpstream,
    Status::ConnectFailure,
    Status::UpstreamReset,
    Status::UpstreamMalformed,
    Status::Timeout,
    Status::RateLimited,
    Status::Overloaded,
    Status::Denied,
    Status::Malformed,
    Status::TooLarge,
    Status::Unsupported,
    Status::FaultInjected,
    Status::ShuttingDown,
];

/// What the proxy answers itself is read by the plugin's own upstream codec as an answer to that
/// request, and not as a success.
pub fn local_replies_are_read_back(protocol: &dyn Protocol, corpus: &Corpus) -> Result<(), Broken> {
    let subject = Subject::new(protocol, corpus);
    let rule = |broken: Broken| broken.by("local_replies_are_read_back");
    let long = "no endpoint ".repeat(100);
    for asked in subject.asked().map_err(rule)? {
        if asked.request.answers == Answers::None {
            continue;
        }
        for status in STATUSES {
            for message in ["no endpoint", "", "two\r\nlines\n", "größer ✓ 𝄞 \0", &long] {
                let reply = LocalReply { status, message };
                replied(&subject, &asked, reply)
                    .map_err(|b| rule(asked.has(b.within(format!("{status:?} {message:?}")))))?;
            }
        }
    }
    Ok(())
}

const READ: &str = "Downstream::local_reply, LocalReply";

/// Whether there is an answer to be read, and as the codec and the sample say.
fn written(sample: &Sample, said: Option<u32>, bytes: &[u8]) -> Result<bool, Broken> {
    let found = match (said, bytes.is_empty()) {
        (None, true) => return Ok(false),
        (Some(_), true) if sample.silent => return Ok(false),
        (None, false) => "the codec says that it has no words for it, and has written some",
        (Some(_), true) => "nothing was written: the client would wait for ever",
        (Some(_), false) if sample.silent => "the client asked not to hear the answer, and would",
        (Some(_), false) => return Ok(true),
    };
    Err(Broken::new("", found, READ).expected(
        "bytes and their code; nothing and a code where the client asked for silence \
         (`Sample::silent`); or nothing and `None` where there are no words",
    ))
}

fn replied(subject: &Subject<'_>, asked: &Asked<'_>, reply: LocalReply<'_>) -> Result<(), Broken> {
    let Request { id, ref memo, .. } = asked.request;
    let mut out = SENT_BEFORE.to_vec();
    let said = subject
        .protocol
        .downstream(subject.limits())
        .local_reply(id, memo, reply, &mut out);
    let bytes = added(&out)?;
    if !written(asked.sample, said, bytes)? {
        return Ok(());
    }
    let event = subject.read_response(bytes, (memo, id), READ)?;
    let names_it = match &event {
        FromServer::Response(response) => match response.at {
            At::Id(read) => read == id,
            At::InOrder => true,
        },
        _ => false,
    };
    if !names_it {
        return Err(Broken::new(
            "what the codec has written",
            format!("it is read as {event:?}"),
            READ,
        )
        .expected(format!("an answer to request {id:#x}"))
        .shows(bytes, 0));
    }
    let codec = subject
        .protocol
        .upstream(subject.limits(), &Opening::default());
    let outcome = codec.outcome(Frame {
        bytes,
        whole: true,
        memo,
    });
    let finding = match &outcome {
        Outcome::Ok { .. } | Outcome::Redirect { .. } => format!("its outcome is {outcome:?}"),
        _ if said != Some(outcome.code()) => {
            format!(
                "its code is said to be {said:?}, and read as {}",
                outcome.code()
            )
        }
        _ => return Ok(()),
    };
    Err(Broken::new("what the codec has written", finding, READ)
        .expected("an outcome that is no success, with the code that `local_reply` returns")
        .shows(bytes, 0))
}

/// A request that wants no answer is known for it, also where it is refused, and nothing else is.
pub fn one_way_is_never_answered(protocol: &dyn Protocol, corpus: &Corpus) -> Result<(), Broken> {
    let subject = Subject::new(protocol, corpus);
    let rule = |broken: Broken| broken.by("one_way_is_never_answered");
    for asked in subject.asked().map_err(rule)? {
        owed(asked.sample, &asked.request).map_err(|b| rule(asked.has(b)))?;
        let limits = Limits {
            frame: (asked.sample.bytes.len() as u64).saturating_sub(1),
            ..subject.limits()
        };
        let transcript =
            feed(&mut Client::new(protocol, limits), &asked.sample.bytes, []).map_err(rule)?;
        for seen in transcript.seen {
            let Some(FromClient::Refused { request, .. }) = seen.event else {
                continue;
            };
            let place = format!("{}, refused because it is too large", asked.place());
            owed(asked.sample, &request).map_err(|b| rule(b.within(&place)))?;
            if asked.sample.one_way && !seen.out.is_empty() {
                let finding = "the codec answers it itself";
                return Err(rule(Broken::new(place, finding, "Answers::None")));
            }
        }
    }
    Ok(())
}

fn owed(sample: &Sample, request: &Request) -> Result<(), Broken> {
    let finding = match (sample.one_way, request.answers) {
        (true, Answers::None) => return Ok(()),
        (false, Answers::None) => "the codec takes it for one-way; if it is, say so of the sample",
        (true, _) => "it is one-way, the codec says that it is owed an answer",
        (false, _) => return Ok(()),
    };
    Err(Broken::new(
        "",
        finding,
        "Answers::None, kit::Sample::one_way",
    ))
}
