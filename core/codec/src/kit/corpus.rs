//! The recorded messages that the rules run over.

/// What one connection carried in each direction, message by message.
#[derive(Clone, Debug, Default)]
pub struct Corpus {
    /// What the client sent.
    pub requests: Vec<Sample>,
    /// What the server sent.
    pub responses: Vec<Sample>,
    /// What a server says to a new connection before its first request, where it says something.
    pub greetings: Vec<Sample>,
}

/// One message as it was on the wire, and what the plugin says of it.
#[derive(Clone, Debug)]
pub struct Sample {
    /// For failures, and for [`Sample::answers`].
    pub name: String,
    /// The whole message.
    pub bytes: Vec<u8>,
    /// Attributes that the codec finds in it.
    pub attributes: Vec<(String, String)>,
    /// For an answer: the request's name. Where answers come in order, it is decoded with that
    /// request's memo.
    pub to: Option<String>,
    /// Whether it wants no answer.
    pub one_way: bool,
    /// Whether the client asked not to hear the answer, so that a local reply writes nothing.
    pub silent: bool,
}

impl Corpus {
    /// Without a message.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more message of the client's.
    #[must_use]
    pub fn request(mut self, sample: Sample) -> Self {
        self.requests.push(sample);
        self
    }

    /// With one more message of the server's.
    #[must_use]
    pub fn response(mut self, sample: Sample) -> Self {
        self.responses.push(sample);
        self
    }

    /// With one more message of a server's side of the handshake, of which the last makes the
    /// connection ready ([`crate::Open::Await`], [`crate::FromServer::Ready`]).
    #[must_use]
    pub fn greeting(mut self, sample: Sample) -> Self {
        self.greetings.push(sample);
        self
    }
}

impl Sample {
    /// A message of which nothing is said yet.
    #[must_use]
    pub fn new(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            name: name.into(),
            bytes: bytes.into(),
            attributes: Vec::new(),
            to: None,
            one_way: false,
            silent: false,
        }
    }

    /// The codec finds this attribute in it.
    #[must_use]
    pub fn knows(mut self, name: &str, value: &str) -> Self {
        self.attributes.push((name.into(), value.into()));
        self
    }

    /// It answers the request of this name.
    #[must_use]
    pub fn answers(mut self, request: &str) -> Self {
        self.to = Some(request.into());
        self
    }

    /// It wants no answer.
    #[must_use]
    pub fn one_way(mut self) -> Self {
        self.one_way = true;
        self
    }

    /// The client asked not to hear the answer.
    #[must_use]
    pub fn silent(mut self) -> Self {
        self.silent = true;
        self
    }
}

/// The samples one after the other.
pub(super) fn stream(samples: &[Sample]) -> Vec<u8> {
    let mut stream = Vec::new();
    for sample in samples {
        stream.extend_from_slice(&sample.bytes);
    }
    stream
}

/// The sample that a place in [`stream`] is in, and how far into it.
pub(super) fn find(samples: &[Sample], at: usize) -> Option<(&Sample, usize)> {
    let mut start = 0;
    samples.iter().find_map(|sample| {
        let offset = at.checked_sub(start)?;
        start += sample.bytes.len();
        (offset < sample.bytes.len()).then_some((sample, offset))
    })
}

/// The same in words.
pub(super) fn place(direction: &str, samples: &[Sample], at: usize) -> String {
    match find(samples, at) {
        Some((sample, offset)) => {
            let (name, len) = (&sample.name, sample.bytes.len());
            format!("{direction} `{name}`, byte {offset} of {len}")
        }
        None => format!("the end of the {direction}s"),
    }
}
