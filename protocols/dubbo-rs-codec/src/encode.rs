//! Whole calls and results with string arguments: for load generators, probes and tests.

use crate::format::BodyFormat;
use crate::header::{Header, Kind, SerializationId, Status};
use crate::reply::write_frame;
use crate::{hessian2, jsonb};

/// The version of the Dubbo protocol that [`write_request`] names.
pub const DUBBO_VERSION: &str = "2.0.2";

/// A call whose arguments are all strings.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    pub path: &'a str,
    pub version: &'a str,
    pub method: &'a str,
    pub arguments: &'a [&'a str],
    pub attachments: &'a [(&'a str, &'a str)],
}

/// What a method returned, for [`write_result`].
#[derive(Debug, Clone, Copy)]
pub enum Returned<'a> {
    Null,
    Text(&'a str),
}

/// Appends a request. `two_way` says whether an answer is wanted.
pub fn write_request(
    format: BodyFormat,
    id: u64,
    two_way: bool,
    call: &Call<'_>,
    out: &mut Vec<u8>,
) {
    let kind = if two_way { Kind::Request } else { Kind::Oneway };
    let header = header(format, kind, Status::NONE, id);
    write_frame(header, out, |out| {
        for text in [DUBBO_VERSION, call.path, call.version, call.method] {
            format.write_string(out, text);
        }
        let descriptor = "Ljava/lang/String;".repeat(call.arguments.len());
        format.write_string(out, &descriptor);
        for argument in call.arguments {
            format.write_string(out, argument);
        }
        format.write_string_map(out, call.attachments);
    });
}

/// Appends a successful response with attachments.
pub fn write_result(
    format: BodyFormat,
    id: u64,
    returned: Returned<'_>,
    attachments: &[(&str, &str)],
    out: &mut Vec<u8>,
) {
    let header = header(format, Kind::Response, Status::OK, id);
    write_frame(header, out, |out| {
        let kind = match returned {
            Returned::Text(_) => 4,
            Returned::Null => 5,
        };
        match format {
            BodyFormat::Hessian2 => hessian2::write_int(out, kind),
            BodyFormat::Fastjson2 => jsonb::write_framed(out, |out| jsonb::write_int(out, kind)),
        }
        if let Returned::Text(text) = returned {
            format.write_string(out, text);
        }
        format.write_string_map(out, attachments);
    });
}

fn header(format: BodyFormat, kind: Kind, status: Status, id: u64) -> Header {
    Header {
        kind,
        serialization: match format {
            BodyFormat::Hessian2 => SerializationId::HESSIAN2,
            BodyFormat::Fastjson2 => SerializationId::FASTJSON2,
        },
        status,
        id,
        body_len: 0,
    }
}
