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
        let finding = "true means that one was written, false that there is none";
        return Err(Broken::new("", finding, READ));
    }
    if !sent {
        return Ok(());
    }
    let transcript = feed(to, bytes, [])?;
    let answer = transcript
        .seen
        .first()
        .map_or(Vec::new(), |seen| seen.out.clone());
    let event = only(transcript, bytes.len(), READ)?;
    if event != *answered || answer.is_empty() {
        let finding = format!("the other codec does not answer it, but sees {event:?}");
        return Err(Broken::new("", finding, READ));
    }
    let transcript = feed(from, &answer, [])?;
    let event = only(transcript, answer.len(), READ)?;
    if event != *settled {
        let finding = format!("its answer is not taken for such, but for {event:?}");
        return Err(Broken::new("", finding, READ));
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
        let finding = format!("the codec says {drain:?} and writes {} bytes", bytes.len());
        return Err(within(Broken::new("", finding, READ)));
    }
    if drain == Drain::WhenIdle {
        return Ok(());
    }
    let mut server = Server::new(protocol, subject.limits(), Waiting::default());
    let transcript = feed(&mut server, bytes, []).map_err(within)?;
    match only(transcript, bytes.len(), READ).map_err(within)? {
        FromServer::GoAway { .. } => Ok(()),
        other => Err(within(Broken::new(
            "",
            format!("it is read as {other:?}"),
            READ,
        ))),
    }
}
