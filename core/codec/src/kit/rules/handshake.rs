//! What a new connection to a server says before its first request.

use super::{framing::same, subject::Subject};
use crate::{
    kit::{
        broken::Broken,
        corpus::{Corpus, stream},
        feed::{SENT_BEFORE, Transcript, added, feed},
        leg::{Server, Waiting},
    },
    protocol::Protocol,
    session::{Open, Opening, Session},
    upstream::FromServer,
};

const READ: &str = "Upstream::open, Open, FromServer::Ready";

/// A codec that says [`Open::Await`] has written something, becomes ready with what the server is
/// recorded to say ([`Corpus::greeting`]), once and at its end, however that is cut, and takes
/// nothing before for an answer to a request. One that says [`Open::Ready`] waits for nothing.
pub fn handshakes_end(protocol: &dyn Protocol, corpus: &Corpus) -> Result<(), Broken> {
    let subject = Subject::new(protocol, corpus);
    let rule = |broken: Broken| broken.by("handshakes_end");
    let mut awaits = false;
    for session in sessions(&subject).map_err(rule)? {
        let opening = Opening {
            session: session.as_ref(),
            replica: false,
        };
        let named = match &session {
            None => "a connection without session".to_owned(),
            Some(session) => format!("a connection of the session {:?}", session.0),
        };
        let open = opened(protocol, &subject, &opening).map_err(|b| rule(b.within(&named)))?;
        if open == Open::Await && !awaits {
            awaits = true;
            greeted(&subject, &opening).map_err(|b| rule(b.within(&named)))?;
        }
    }
    if !awaits && !corpus.greetings.is_empty() {
        let found = "`Open::Ready`: requests follow at once, and the greeting is taken for answers";
        return Err(rule(Broken::new("a new connection", found, READ).expected(
            "`Open::Await`, since the corpus has what a server says first",
        )));
    }
    Ok(())
}

/// None, and what the recorded requests ask for.
fn sessions(subject: &Subject<'_>) -> Result<Vec<Option<Session>>, Broken> {
    let mut sessions = vec![None];
    for asked in subject.asked()? {
        if !sessions.contains(&asked.request.session) {
            sessions.push(asked.request.session);
        }
    }
    Ok(sessions)
}

fn opened(
    protocol: &dyn Protocol,
    subject: &Subject<'_>,
    opening: &Opening<'_>,
) -> Result<Open, Broken> {
    let open = || {
        let mut out = SENT_BEFORE.to_vec();
        let open = protocol.upstream(subject.limits(), opening).open(&mut out);
        added(&out).map(|bytes| (open, bytes.to_vec()))
    };
    let (first, second) = (open()?, open()?);
    if first != second {
        return Err(Broken::new("", format!("{second:?}"), READ)
            .expected(format!("the same as for the connection before, {first:?}")));
    }
    let (open, bytes) = first;
    if open == Open::Await && bytes.is_empty() && !protocol.traits().server_first {
        let found = "`Open::Await`, and nothing was written: both sides would wait for ever";
        return Err(
            Broken::new("", found, READ).expected("a first message, or `Traits::server_first`")
        );
    }
    Ok(open)
}

fn greeted(subject: &Subject<'_>, opening: &Opening<'_>) -> Result<(), Broken> {
    let greetings = &subject.corpus.greetings;
    if greetings.is_empty() {
        let found = "`Open::Await`, and the corpus does not have what the server says then";
        return Err(Broken::new("", found, "kit::Corpus::greeting")
            .expected("the server's side of the handshake, message by message, up to the last"));
    }
    let bytes = stream(greetings);
    let run = |cuts: Vec<usize>| {
        let mut server = Server::new(subject.protocol, subject.limits(), Waiting::default());
        server.codec = subject.protocol.upstream(subject.limits(), opening);
        server.codec.open(&mut Vec::new());
        feed(&mut server, &bytes, cuts).map_err(|broken| broken.in_samples("greeting", greetings))
    };
    let whole = run(Vec::new())?;
    becomes_ready(subject, &whole)?;
    let every: Vec<usize> = (1..bytes.len()).collect();
    same("greeting", greetings, &whole, &run(every)?, &[])
}

fn becomes_ready(subject: &Subject<'_>, transcript: &Transcript<FromServer>) -> Result<(), Broken> {
    let greetings = &subject.corpus.greetings;
    let bytes = stream(greetings);
    let broken = |at: usize, found: String, expected: &str| {
        Err(Broken::new("", found, READ)
            .expected(expected)
            .in_stream(at)
            .in_samples("greeting", greetings))
    };
    if let Some((at, reason)) = transcript.malformed {
        let found = format!("the codec calls it malformed: {reason}");
        return broken(at, found, "a server's side of the handshake");
    }
    for seen in &transcript.seen {
        let last = seen.at + seen.len == bytes.len();
        let expected = match (&seen.event, last) {
            (Some(FromServer::Ready), true) | (None, _) => continue,
            (Some(FromServer::Ready | FromServer::Response(_)), false) | (_, true) => {
                "`FromServer::Answered` for each message but the last, `FromServer::Ready` for that"
            }
            (Some(_), false) => continue,
        };
        return broken(seen.at, format!("{:?}", seen.event), expected);
    }
    match transcript.seen.last() {
        Some(seen) if seen.at + seen.len == bytes.len() => Ok(()),
        _ => broken(
            bytes.len(),
            "the codec waits for more".to_owned(),
            "`FromServer::Ready`",
        ),
    }
}
