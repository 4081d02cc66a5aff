//! What the peers are written in, and what they speak.

use std::fmt;

/// The language of a library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    Python,
    Node,
    Java,
}

impl Language {
    pub const ALL: [Self; 3] = [Self::Python, Self::Node, Self::Java];
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Python => "python",
            Self::Node => "node",
            Self::Java => "java",
        })
    }
}

/// A transport and a protocol, and whether a server serves several services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    pub transport: &'static str,
    pub protocol: &'static str,
    pub multiplexed: bool,
}

impl Form {
    pub const FRAMED_BINARY: Self = Self::of("framed", "binary");

    pub const fn of(transport: &'static str, protocol: &'static str) -> Self {
        Self {
            transport,
            protocol,
            multiplexed: false,
        }
    }

    pub const fn multiplexed(self) -> Self {
        Self {
            multiplexed: true,
            ..self
        }
    }

    /// All that a server of this language can serve and Meltemi speaks: JSON has to be framed.
    pub fn served(language: Language) -> Vec<Self> {
        let framed = ["binary", "lax", "compact", "json"].map(|it| Self::of("framed", it));
        let buffered = ["binary", "lax", "compact"].map(|it| Self::of("buffered", it));
        let header = ["binary", "compact"].map(|it| Self::of("header", it));
        let plain = framed.into_iter().chain(buffered).chain(header);
        plain
            .flat_map(|form| [form, form.multiplexed()])
            .filter(|form| form.is_spoken_by(language) && !form.is_broken_in(language))
            .collect()
    }

    /// Whether a client or server of this language has it.
    pub fn is_spoken_by(self, language: Language) -> bool {
        self.transport != "header" || language != Language::Java
    }

    /// Whether a client and a server of these languages understand each other: the headers of npm's library and of
    /// Python's do not.
    pub fn joins(self, client: Language, server: Language) -> bool {
        self.is_spoken_by(client) && (self.transport != "header" || client == server)
    }

    /// npm's multiplexed processor cannot split a name that its lax protocol has read.
    fn is_broken_in(self, language: Language) -> bool {
        self.multiplexed && self.protocol == "lax" && language == Language::Node
    }

    /// As a name of a subset.
    pub fn name(self) -> String {
        self.to_string().replace(':', "-")
    }
}

/// As the servers take it.
impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.transport, self.protocol)?;
        if self.multiplexed {
            f.write_str(":multiplexed")?;
        }
        Ok(())
    }
}
