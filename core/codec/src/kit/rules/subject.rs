//! A protocol and its recorded messages, decoded once: what most rules start from.

use crate::{
    attribute::AttributeKey,
    downstream::FromClient,
    kit::{
        broken::Broken,
        corpus::{Corpus, Sample, stream},
        feed::{Seen, Transcript, feed},
        leg::{Client, Server, Waiting},
    },
    message::{Frame, Limits, Memo, Request},
    protocol::{Correlation, Protocol},
    upstream::FromServer,
};

/// A request among the samples, as the codec decoded it.
pub(in crate::kit) struct Asked<'a> {
    pub(in crate::kit) sample: &'a Sample,
    pub(in crate::kit) request: Request,
}

impl Asked<'_> {
    pub(in crate::kit) fn frame(&self) -> Frame<'_> {
        Frame {
            bytes: &self.sample.bytes,
            whole: true,
            memo: &self.request.memo,
        }
    }

    pub(in crate::kit) fn place(&self) -> String {
        format!("request `{}`", self.sample.name)
    }

    /// A finding about this request, with its bytes.
    pub(in crate::kit) fn has(&self, broken: Broken) -> Broken {
        broken.within(self.place()).shows(&self.sample.bytes, 0)
    }
}

pub(in crate::kit) struct Subject<'a> {
    pub(in crate::kit) protocol: &'a dyn Protocol,
    pub(in crate::kit) corpus: &'a Corpus,
}

impl<'a> Subject<'a> {
    pub(in crate::kit) fn new(protocol: &'a dyn Protocol, corpus: &'a Corpus) -> Self {
        Self { protocol, corpus }
    }

    pub(in crate::kit) fn limits(&self) -> Limits {
        Limits {
            whole: Limits::WHOLE,
            frame: self.protocol.traits().frame_limit,
        }
    }

    pub(in crate::kit) fn in_order(&self) -> bool {
        !matches!(self.protocol.traits().correlation, Correlation::ById { .. })
    }

    /// Ids to try, of the protocol's width and none that is reserved.
    pub(in crate::kit) fn ids(&self) -> Vec<u64> {
        let Correlation::ById { bits, reserved } = self.protocol.traits().correlation else {
            return vec![1];
        };
        let mask = u64::MAX >> 64_u32.saturating_sub(bits.into());
        [
            1,
            2,
            0x7f,
            0x80,
            0x0102_0304_0506_0708,
            1 << 31,
            1 << 63,
            u64::MAX,
        ]
        .into_iter()
        .map(|id| id & mask)
        .filter(|id| *id != 0 && !reserved.contains(id))
        .collect()
    }

    pub(in crate::kit) fn requests(
        &self,
        limits: Limits,
    ) -> Result<Transcript<FromClient>, Broken> {
        self.requests_cut(limits, [])
    }

    pub(in crate::kit) fn requests_cut(
        &self,
        limits: Limits,
        cuts: impl IntoIterator<Item = usize>,
    ) -> Result<Transcript<FromClient>, Broken> {
        let mut leg = Client::new(self.protocol, limits);
        feed(&mut leg, &stream(&self.corpus.requests), cuts)
            .map_err(|broken| broken.in_samples("request", &self.corpus.requests))
    }

    pub(in crate::kit) fn responses_cut(
        &self,
        limits: Limits,
        cuts: impl IntoIterator<Item = usize>,
    ) -> Result<Transcript<FromServer>, Broken> {
        let mut leg = Server::new(self.protocol, limits, self.waiting(&self.corpus.responses)?);
        feed(&mut leg, &stream(&self.corpus.responses), cuts)
            .map_err(|broken| broken.in_samples("response", &self.corpus.responses))
    }

    /// What the server of these answers was asked.
    pub(in crate::kit) fn waiting(&self, responses: &[Sample]) -> Result<Waiting, Broken> {
        let asked = self.asked()?;
        let mut waiting = Waiting::default();
        for sample in responses {
            let Some(to) = &sample.to else {
                continue;
            };
            let request = asked.iter().find(|asked| asked.sample.name == *to);
            let memo = request.map(|asked| asked.request.memo.clone());
            let memo = memo.ok_or_else(|| {
                Broken::new(
                    format!("response `{}`", sample.name),
                    format!("it answers `{to}`, which is no request of the corpus"),
                    "kit::Sample::answers",
                )
                .expected("the name of one of the corpus' requests, which the codec takes for one")
            })?;
            waiting.0.push_back((memo, waiting.0.len() as u64 + 1));
        }
        Ok(waiting)
    }

    /// The requests among the samples.
    pub(in crate::kit) fn asked(&self) -> Result<Vec<Asked<'a>>, Broken> {
        let transcript = self.requests(self.limits())?;
        let mut at = 0;
        let mut asked = Vec::new();
        for sample in &self.corpus.requests {
            let seen = transcript.seen.iter().find(|seen| seen.at == at);
            at += sample.bytes.len();
            if let Some(Seen {
                event: Some(FromClient::Request(request)),
                ..
            }) = seen
            {
                asked.push(Asked {
                    sample,
                    request: request.clone(),
                });
            }
        }
        Ok(asked)
    }

    /// The messages of the server's, each with its sample, in order.
    pub(in crate::kit) fn answered(&self) -> Result<Vec<(&'a Sample, FromServer, Memo)>, Broken> {
        let transcript = self.responses_cut(self.limits(), [])?;
        let mut waiting = self.waiting(&self.corpus.responses)?.0.into_iter();
        let mut at = 0;
        let mut answered = Vec::new();
        let mut seen = transcript.seen.into_iter().peekable();
        for sample in &self.corpus.responses {
            let memo = match &sample.to {
                Some(_) => waiting.next().map(|(memo, _)| memo),
                None => None,
            };
            let found = seen.next_if(|seen| seen.at == at);
            at += sample.bytes.len();
            if let Some(event) = found.and_then(|seen| seen.event) {
                answered.push((sample, event, memo.unwrap_or_default()));
            }
        }
        Ok(answered)
    }

    /// All that the codec finds in a request of what its schema and its sample name.
    pub(in crate::kit) fn attributes(
        &self,
        sample: &Sample,
        frame: Frame<'_>,
    ) -> Vec<(String, Option<Vec<u8>>)> {
        let codec = self.protocol.downstream(self.limits());
        let schema = self.protocol.attributes();
        let named = sample.attributes.iter().map(|(name, _)| name.as_str());
        schema
            .iter()
            .map(|def| def.name)
            .chain(named)
            .map(|name| {
                let value = codec.attribute(frame, &AttributeKey::resolve(schema, name));
                (name.to_owned(), value.map(std::borrow::Cow::into_owned))
            })
            .collect()
    }

    /// Reads bytes that should be one message of a client's.
    pub(in crate::kit) fn read_request(
        &self,
        bytes: &[u8],
        read: &'static str,
    ) -> Result<FromClient, Broken> {
        let mut leg = Client::new(self.protocol, self.limits());
        only(feed(&mut leg, bytes, [])?, bytes, read)
    }

    /// Reads bytes that should be one message of a server's, to a request with this memo.
    pub(in crate::kit) fn read_response(
        &self,
        bytes: &[u8],
        (memo, id): (&Memo, u64),
        read: &'static str,
    ) -> Result<FromServer, Broken> {
        let waiting = Waiting([(memo.clone(), id)].into());
        let mut leg = Server::new(self.protocol, self.limits(), waiting);
        only(feed(&mut leg, bytes, [])?, bytes, read)
    }
}

/// A finding about an answer, with its bytes.
pub(in crate::kit) fn of_response(sample: &Sample) -> impl Fn(Broken) -> Broken + use<'_> {
    |broken| {
        broken
            .within(format!("response `{}`", sample.name))
            .shows(&sample.bytes, 0)
    }
}

/// The one event of a transcript of `bytes`, which a codec has written.
pub(in crate::kit) fn only<Event: std::fmt::Debug>(
    transcript: Transcript<Event>,
    bytes: &[u8],
    read: &'static str,
) -> Result<Event, Broken> {
    let len = bytes.len();
    let broken = |found: String, at: usize| {
        Err(Broken::new("what the codec has written", found, read)
            .expected("one message that the codec of the other leg can read")
            .shows(bytes, at))
    };
    if let Some((at, reason)) = transcript.malformed {
        let found = format!(
            "the codec of the other leg calls it malformed at byte {at} of {len}: {reason}"
        );
        return broken(found, at);
    }
    let count = transcript.seen.len();
    let mut seen = transcript.seen.into_iter();
    match (seen.next(), seen.next()) {
        (None, _) => broken(
            format!("the codec of the other leg waits for more than its {len} bytes"),
            len,
        ),
        (_, Some(second)) => broken(
            format!("the codec of the other leg finds {count} messages in it"),
            second.at,
        ),
        (
            Some(Seen {
                at: 0,
                len: taken,
                event: Some(event),
                ..
            }),
            None,
        ) if taken == len => Ok(event),
        (Some(seen), None) => broken(
            format!(
                "the codec of the other leg reads {} of its {len} bytes",
                seen.len
            ),
            seen.at + seen.len,
        ),
    }
}
