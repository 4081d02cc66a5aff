//! What the two sides of a leg say to each other about the leg itself.

use super::subject::{Subject, only};
use crate::{
    downstream::{Drain, FromClient},
    kit::{
        broken::Broken,
        corpus::Corpus,
        feed::{SENT_BEFORE, added, feed},
        leg::{Client, Leg, Server, Waiting},
    },
    protocol::Protocol,
    upstream::FromServer,
};

/// A heartbeat of either codec is answered by the other codec, and the answer ends there.
pub fn heartbeats_are_answered(protocol: &dyn Protocol, corpus: &Corpus) -> Result<(), Broken> {
    let subject = Subject::new(protocol, corpus);
    let id = subject.ids().first().copied().unwrap_or(1);
    let mut client = Client::new(protocol, subject.limits());
    let mut server = Server::new(protocol, subject.limits(), Waiting::default());
    let mut out = SENT_BEFORE.to_vec();
    let sent = server.codec.heartbeat(id, &mut out);
    beat(
        sent,
        &out,
        (&mut client, &FromClient::Answered),
        (&mut server, &FromServer::Answered),
    )
    .map_err(|b| {
        b.within("a heartbeat to a server")
            .by("heartbeats_are_answered")
    })?;
    let mut out = SENT_BEFORE.to_vec();
    let sent = client.codec.heartbeat(&mut out);
    beat(
        sent,
        &out,
        (&mut server, &FromServer::Answered),
        (&mut client, &FromClient::Answered),
    )
    .map_err(|b| {
        b.within("a heartbeat to a client")
            .by("heartbeats_are_answered")
    })
}

/// One heartbeat to the codec that has to answer it, and its answer to the one that sent it.
fn beat<A: Leg, B: Leg>(
    sent: bool,
    out: &[u8],
    (to, answered): (&mut A, &A::Event),
    (from, settled): (&mut B, &B::Event),
) -> Result<(), Broken> {
    const READ: &str = "Upstream::heartbeat, Downstream::heartbeat, FromServer::Answered";
    let bytes = added(out)?;
    if sent == bytes.is_empty() {
        let found = format!("{sent}, and {} bytes were written", bytes.len());
        return Err(Broken::new("", found, READ)
            .expected("true where a heartbeat was written, false where there is none"));
    }
    if !sent {
        return Ok(());
    }
    let transcript = feed(to, bytes, [])?;
    let answer = transcript
        .seen
        .first()
        .map_or(Vec::new(), |seen| seen.out.clone());
    let event = only(transcript, bytes, READ)?;
    if event != *answered || answer.is_empty() {
        let found = format!(
            "the other codec sees {event:?} and writes {} bytes of answer",
            answer.len()
        );
        return Err(Broken::new("", found, READ)
            .expected(format!("{answered:?}, with an answer in `out`"))
            .shows(bytes, 0));
    }
    let transcript = feed(from, &answer, [])?;
    let event = only(transcript, &answer, READ)?;
    if event != *settled {
        let found = format!("{event:?}");
        return Err(Broken::new("the heartbeat's answer", found, READ)
            .expected(format!("{settled:?}: it ends at this leg"))
            .shows(&answer, 0));
    }
    Ok(())
}

/// What a client is told when the proxy leaves is what a server would say.
pub fn drain_is_understood(protocol: &dyn Protocol, corpus: &Corpus) -> Result<(), Broken> {
    const READ: &str = "Downstream::drain, FromServer::GoAway";
    let subject = Subject::new(protocol, corpus);
    let within = |b: Broken| {
        b.within("the announcement that the proxy leaves")
            .by("drain_is_understood")
    };
    let mut out = SENT_BEFORE.to_vec();
    let drain = protocol.downstream(subject.limits()).drain(&mut out);
    let bytes = added(&out).map_err(within)?;
    if (drain == Drain::Announced) == bytes.is_empty() {
        let found = format!("{drain:?}, and {} bytes were written", bytes.len());
        return Err(within(Broken::new("", found, READ).expected(
            "bytes with `Drain::Announced`, none with `Drain::WhenIdle`",
        )));
    }
    if drain == Drain::WhenIdle {
        return Ok(());
    }
    let mut server = Server::new(protocol, subject.limits(), Waiting::default());
    let transcript = feed(&mut server, bytes, []).map_err(within)?;
    match only(transcript, bytes, READ).map_err(within)? {
        FromServer::GoAway { .. } => Ok(()),
        other => Err(within(
            Broken::new("", format!("it is read as {other:?}"), READ)
                .expected("`FromServer::GoAway`, by the plugin's own upstream codec")
                .shows(bytes, 0),
        )),
    }
}
