//! A lazy view of a request's body: five strings, the arguments, the attachments.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::attachments::{Attachments, Unseen};
use crate::descriptor::{BadDescriptor, parameter_count};
use crate::error::ReadError;
use crate::format::{BodyFormat, Cursor};
use crate::header::SerializationId;
use crate::text::{Encoding, Text};

/// Marks the attachment of a callback argument; a number follows.
const CALLBACK_KEY: &str = "sys_callback_arg-";

/// A request body whose head cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The body is in a serialization that this library does not read; only the header is known.
    #[error("bodies serialized with {0} are opaque")]
    Opaque(SerializationId),
    #[error("the request's head cannot be read")]
    Head(#[from] ReadError),
    #[error("the request's arguments cannot be counted")]
    Descriptor(#[from] BadDescriptor),
    /// The slice is longer than any header can say.
    #[error("the body is longer than a frame can be")]
    TooLong,
}

/// Where one of the five strings lies.
#[derive(Debug, Clone, Copy)]
struct Field {
    start: u32,
    len: u32,
    /// `None` for null.
    encoding: Option<Encoding>,
}

/// Where the parts of a body lie: small, `Copy`, free of the body's lifetime. Keep it beside the
/// bytes to look again without parsing again.
#[derive(Debug, Clone, Copy)]
pub struct RequestLayout {
    format: BodyFormat,
    fields: [Field; 5],
    args: u32,
    arg_count: u32,
    /// Where the attachments start, once somebody looked.
    attachments: Option<u32>,
    /// Whether an argument defines a class that an attachment could use.
    args_define_classes: bool,
}

/// A request body, read as far as its parameter descriptor.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    body: &'a [u8],
    layout: RequestLayout,
}

impl<'a> Request<'a> {
    /// Reads the five strings of a body and counts the arguments behind them.
    ///
    /// # Errors
    ///
    /// [`RequestError::Opaque`] when the serialization is neither hessian2 nor fastjson2; other
    /// variants when the head is malformed or ends early.
    #[inline]
    pub fn parse(serialization: SerializationId, body: &'a [u8]) -> Result<Self, RequestError> {
        let format = BodyFormat::of(serialization).ok_or(RequestError::Opaque(serialization))?;
        if u32::try_from(body.len()).is_err() {
            return Err(RequestError::TooLong);
        }
        let mut cursor = Cursor::at(format, body, 0);
        let mut field = || {
            let text = cursor.string()?;
            Ok::<_, ReadError>(locate(text, cursor.position()))
        };
        let fields = [field()?, field()?, field()?, field()?, field()?];
        let layout = RequestLayout {
            format,
            fields,
            args: cursor.position() as u32,
            arg_count: 0,
            attachments: None,
            args_define_classes: false,
        };
        let mut request = Self { body, layout };
        let descriptor = request.descriptor();
        request.layout.arg_count = match descriptor.encoding() {
            Encoding::Ascii => parameter_count(request.field_bytes(4))?,
            _ => parameter_count(descriptor.decode().as_bytes())?,
        };
        Ok(request)
    }

    /// Looks at a body again whose layout is known. The layout must be of the same bytes; with
    /// others the answers are wrong, though nothing panics.
    #[inline]
    #[must_use]
    pub fn with_layout(body: &'a [u8], layout: RequestLayout) -> Self {
        Self { body, layout }
    }

    /// What to keep for [`with_layout`](Self::with_layout).
    #[inline]
    #[must_use]
    pub fn layout(&self) -> RequestLayout {
        self.layout
    }

    #[inline]
    #[must_use]
    pub fn format(&self) -> BodyFormat {
        self.layout.format
    }

    /// The version of the Dubbo protocol that the consumer speaks, for instance `2.0.2`.
    #[inline]
    #[must_use]
    pub fn dubbo_version(&self) -> Text<'a> {
        self.field(0).unwrap_or(Text::EMPTY)
    }

    /// The service's path: its interface, unless configured otherwise.
    #[inline]
    #[must_use]
    pub fn path(&self) -> Text<'a> {
        self.field(1).unwrap_or(Text::EMPTY)
    }

    /// The service's version as written: without one Java says `0.0.0`, dubbo-go the empty
    /// string, a callback null.
    #[inline]
    #[must_use]
    pub fn version(&self) -> Option<Text<'a>> {
        self.field(2)
    }

    /// The method on the wire, `$invoke` for generic calls.
    #[inline]
    #[must_use]
    pub fn method(&self) -> Text<'a> {
        self.field(3).unwrap_or(Text::EMPTY)
    }

    /// The JVM descriptor of the parameters.
    #[inline]
    #[must_use]
    pub fn descriptor(&self) -> Text<'a> {
        self.field(4).unwrap_or(Text::EMPTY)
    }

    /// How many arguments the descriptor names.
    #[inline]
    #[must_use]
    pub fn argument_count(&self) -> u32 {
        self.layout.arg_count
    }

    /// Whether the method is `$invoke` or `$invokeAsync` with the three arguments of a generic
    /// call.
    #[inline]
    #[must_use]
    pub fn is_generic(&self) -> bool {
        let method = self.method();
        self.layout.arg_count == 3 && (method.is("$invoke") || method.is("$invokeAsync"))
    }

    /// Whether this is the health probe `$echo` with its one argument.
    #[inline]
    #[must_use]
    pub fn is_echo(&self) -> bool {
        self.layout.arg_count == 1 && self.method().is("$echo")
    }

    /// The method that will run: for a generic call its first argument.
    ///
    /// # Errors
    ///
    /// [`ReadError`] when the first argument of a generic call is no string.
    #[inline]
    pub fn invoked_method(&self) -> Result<Text<'a>, ReadError> {
        if !self.is_generic() {
            return Ok(self.method());
        }
        Ok(self.first_string()?.unwrap_or(Text::EMPTY))
    }

    /// The first argument, where it is a string.
    ///
    /// # Errors
    ///
    /// [`ReadError`] when there is no argument, or it is no string.
    pub fn first_string(&self) -> Result<Option<Text<'a>>, ReadError> {
        self.arguments().string()
    }

    /// Finds where the attachments start, by skipping the arguments, and remembers it in the
    /// layout. Returns the offset in the body.
    ///
    /// # Errors
    ///
    /// [`ReadError`] when an argument is malformed, ends early, or nests too deep.
    #[inline]
    pub fn locate_attachments(&mut self) -> Result<usize, ReadError> {
        if let Some(at) = self.layout.attachments {
            return Ok(at as usize);
        }
        let mut cursor = self.arguments();
        for _ in 0..self.layout.arg_count {
            cursor.skip()?;
        }
        self.layout.args_define_classes = !cursor.met_no_class();
        let at = cursor.position();
        self.layout.attachments = u32::try_from(at).ok();
        Ok(at)
    }

    /// Where the arguments start in the body, and once the attachments are
    /// [located](Self::locate_attachments), where those do.
    #[inline]
    #[must_use]
    pub fn bounds_of_arguments(&self) -> (usize, Option<usize>) {
        let end = self.layout.attachments.map(|at| at as usize);
        (self.layout.args as usize, end)
    }

    /// Whether the attachments, once [located](Self::locate_attachments), mean the same behind any
    /// other arguments of which this is true: none of these defines a class.
    #[inline]
    #[must_use]
    pub fn attachments_stand_alone(&self) -> bool {
        self.layout.attachments.is_some() && !self.layout.args_define_classes
    }

    /// The attachments. Cheaper after [`locate_attachments`](Self::locate_attachments).
    ///
    /// # Errors
    ///
    /// [`ReadError`] when the arguments cannot be skipped, or no map follows them.
    #[inline]
    pub fn attachments(&self) -> Result<Attachments<'a>, ReadError> {
        let (cursor, unseen) = self.attachments_cursor()?;
        Attachments::open(cursor, unseen)
    }

    /// The interface that the provider dispatches on: the attachment `interface` if it is there
    /// and not empty, else the path.
    ///
    /// # Errors
    ///
    /// As [`attachments`](Self::attachments).
    pub fn interface(&self) -> Result<Text<'a>, ReadError> {
        let attachment = self.attachments()?.get("interface")?;
        let named = attachment.and_then(|value| value.text());
        Ok(named.filter(|text| !text.is_empty()).unwrap_or(self.path()))
    }

    /// The time limits that the consumer sent.
    ///
    /// # Errors
    ///
    /// As [`attachments`](Self::attachments).
    pub fn timeouts(&self) -> Result<Timeouts, ReadError> {
        let [timeout, countdown] = self.attachments()?.pick(["timeout", "_TO"])?;
        Ok(Timeouts {
            timeout: timeout.and_then(|value| value.number()),
            countdown: countdown.and_then(|value| value.number()),
        })
    }

    pub(crate) fn attachments_cursor(&self) -> Result<(Cursor<'a>, Option<Unseen>), ReadError> {
        let Some(at) = self.layout.attachments else {
            return Ok((self.skip_arguments()?, None));
        };
        let unseen = self.layout.args_define_classes.then_some(Unseen {
            at: self.layout.args as usize,
            count: self.layout.arg_count,
        });
        Ok((
            Cursor::at(self.layout.format, self.body, at as usize),
            unseen,
        ))
    }

    #[inline]
    fn skip_arguments(&self) -> Result<Cursor<'a>, ReadError> {
        let mut cursor = self.arguments();
        for _ in 0..self.layout.arg_count {
            cursor.skip()?;
        }
        Ok(cursor)
    }

    #[inline]
    fn arguments(&self) -> Cursor<'a> {
        Cursor::at(self.layout.format, self.body, self.layout.args as usize)
    }

    #[inline]
    fn field(&self, index: usize) -> Option<Text<'a>> {
        let encoding = self.layout.fields.get(index)?.encoding?;
        Some(Text::new(self.field_bytes(index), encoding))
    }

    #[inline]
    fn field_bytes(&self, index: usize) -> &'a [u8] {
        let Some(field) = self.layout.fields.get(index) else {
            return &[];
        };
        let start = field.start as usize;
        let bytes = self.body.get(start..start + field.len as usize);
        bytes.unwrap_or_default()
    }
}

/// A string's bytes are the last ones that reading it consumed.
#[inline]
fn locate(text: Option<Text<'_>>, end: usize) -> Field {
    let len = text.map_or(0, Text::byte_len);
    Field {
        start: (end - len) as u32,
        len: len as u32,
        encoding: text.map(Text::encoding),
    }
}

/// The time limits of a request, in milliseconds as the consumer wrote them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timeouts {
    /// The attachment `timeout`: the consumer's own limit.
    pub timeout: Option<i64>,
    /// The attachment `_TO`: what is left of the limit of the call that led to this one.
    pub countdown: Option<i64>,
}

impl Timeouts {
    /// The shorter of the two in milliseconds. A `timeout` that is not positive means none, as in
    /// Dubbo; a countdown that is not positive is over.
    #[must_use]
    pub fn deadline_millis(self) -> Option<u64> {
        let timeout = self.timeout.filter(|&millis| millis > 0);
        let countdown = self.countdown.map(|millis| millis.max(0));
        let shorter = match (timeout, countdown) {
            (Some(timeout), Some(countdown)) => Some(timeout.min(countdown)),
            (one, other) => one.or(other),
        };
        shorter.and_then(|millis| u64::try_from(millis).ok())
    }
}

/// Whether a request's body may name a callback argument: a search for the bytes of the key, in
/// any serialization. False means there is none; true asks for a look at the attachments, or for
/// caution where they cannot be read.
#[must_use]
pub fn may_have_callback_arguments(body: &[u8]) -> bool {
    static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(CALLBACK_KEY));
    FINDER.find(body).is_some()
}
