//! How a server is asked whether it can serve.

use super::subject::{Subject, only};
use crate::{
    downstream::FromClient,
    kit::{
        broken::Broken,
        corpus::Corpus,
        feed::{SENT_BEFORE, added, feed},
        leg::{Client, Server, Waiting},
    },
    message::{Frame, Memo},
    protocol::Protocol,
    upstream::{FromServer, Outcome},
};

const READ: &str = "Upstream::health_check, Upstream::outcome";

/// What a health check asks is a request or a heartbeat of the protocol's own, and its answer one
/// of a server that is well.
pub fn health_checks_are_understood(
    protocol: &dyn Protocol,
    corpus: &Corpus,
) -> Result<(), Broken> {
    let subject = Subject::new(protocol, corpus);
    let id = subject.ids().first().copied().unwrap_or(1);
    let mut server = Server::new(protocol, subject.limits(), Waiting::default());
    inquire(&subject, &mut server, id).map_err(|b| {
        b.within("a health check")
            .by("health_checks_are_understood")
    })
}

fn inquire(subject: &Subject<'_>, server: &mut Server, id: u64) -> Result<(), Broken> {
    let mut out = SENT_BEFORE.to_vec();
    let sent = server.codec.health_check(id, &mut out);
    let bytes = added(&out)?;
    if sent == bytes.is_empty() {
        let found = format!("{sent}, and {} bytes were written", bytes.len());
        return Err(Broken::new("", found, READ)
            .expected("true where a question was written, false where there is none"));
    }
    if !sent {
        return Ok(());
    }
    let mut client = Client::new(subject.protocol, subject.limits());
    let transcript = feed(&mut client, bytes, [])?;
    let answer = transcript.seen.first();
    let answer = answer.map_or(Vec::new(), |seen| seen.out.clone());
    match only(transcript, bytes, READ)? {
        // Its answer is as any other's.
        FromClient::Request(_) => Ok(()),
        FromClient::Answered if !answer.is_empty() => well(server, &answer),
        other => {
            let found = format!("the other codec sees {other:?}");
            Err(Broken::new("", found, READ)
                .expected("a request, or `FromClient::Answered` with an answer in `out`")
                .shows(bytes, 0))
        }
    }
}

/// The answer of a server that is well is read as such.
fn well(server: &mut Server, answer: &[u8]) -> Result<(), Broken> {
    let transcript = feed(server, answer, [])?;
    let event = only(transcript, answer, READ)?;
    let memo = Memo::default();
    let outcome = server.codec.outcome(Frame {
        bytes: answer,
        whole: true,
        memo: &memo,
    });
    let is_answer = matches!(event, FromServer::Answered | FromServer::Response(_));
    let is_well = matches!(
        outcome,
        Outcome::Ok { .. } | Outcome::ApplicationError { .. } | Outcome::RequestError { .. }
    );
    if is_answer && is_well {
        return Ok(());
    }
    let found = format!("{event:?}, {outcome:?}");
    Err(Broken::new("its answer", found, READ)
        .expected("`FromServer::Answered` or a response, and an outcome that is no failure")
        .shows(answer, 0))
}
