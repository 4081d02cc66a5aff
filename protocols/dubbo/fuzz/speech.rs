//! Dubbo, spoken.

use std::sync::Arc;

use dubbo_rs_codec::encode::{Call, Returned, write_request, write_result};
use dubbo_rs_codec::{BodyFormat, Header, Kind, SerializationId, Status, reply};
use meltemi_dubbo::Dubbo;

use crate::support::trial::{PLAIN, REPLY, Say, Speech};

pub(crate) fn speech() -> Speech {
    Speech {
        protocol: Arc::new(Dubbo),
        client: consumer,
        server: provider,
    }
}

fn consumer(say: Say<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let format = match say.kind & 16 {
        0 => BodyFormat::Hessian2,
        _ => BodyFormat::Fastjson2,
    };
    let (mut two_way, mut attachments) = (true, vec![("path", "demo.Greeter")]);
    match say.kind {
        REPLY => {
            write_result(format, say.id, Returned::Null, &[], &mut out);
            return out;
        }
        PLAIN => {}
        kind => match kind % 16 {
            1 | 2 => two_way = false,
            3 | 4 => attachments.push(("sys_callback_arg-0", "1812")),
            5 => attachments.push(("timeout", "40")),
            6 => attachments.push(("timeout", "70000")),
            9 => reply::write_heartbeat(SerializationId::HESSIAN2, say.id, &mut out),
            10 => return opaque(Kind::Request, &say),
            11 => return opaque(Kind::Oneway, &say),
            _ => {}
        },
    }
    let padding = ".".repeat(say.size);
    let call = Call {
        path: "demo.Greeter",
        version: "1.0.0",
        method: "hello",
        arguments: &[say.mark, &padding],
        attachments: &attachments,
    };
    write_request(format, say.id, two_way, &call, &mut out);
    out
}

fn provider(say: Say<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let format = BodyFormat::Hessian2;
    let text = format!("{}{}", say.mark, ".".repeat(say.size));
    match say.kind {
        PLAIN | 1 => write_result(format, say.id, Returned::Text(&text), &[], &mut out),
        2 => {
            let request = header(Kind::Request, SerializationId::HESSIAN2, say.id, 0);
            reply::write_error(&request, Status::SERVICE_ERROR, &text, &mut out);
        }
        3..=5 => {
            let call = Call {
                path: "demo.Listener",
                version: "",
                method: "changed",
                arguments: &[&text],
                attachments: &[("callback.service.instid", "1812")],
            };
            write_request(format, say.id, say.kind != 5, &call, &mut out);
        }
        6 => reply::write_heartbeat(SerializationId::HESSIAN2, say.id, &mut out),
        7 => reply::write_readonly(SerializationId::HESSIAN2, say.id, &mut out),
        8 => write_result(format, say.id, Returned::Null, &[], &mut out),
        _ => return opaque(Kind::Oneway, &say),
    }
    out
}

/// A frame in a serialization that cannot be read.
fn opaque(kind: Kind, say: &Say<'_>) -> Vec<u8> {
    const KRYO: SerializationId = SerializationId(8);
    let mut out = header(kind, KRYO, say.id, say.mark.len() + say.size)
        .to_bytes()
        .to_vec();
    out.extend_from_slice(say.mark.as_bytes());
    out.resize(out.len() + say.size, b'.');
    out
}

fn header(kind: Kind, serialization: SerializationId, id: u64, body: usize) -> Header {
    Header {
        kind,
        serialization,
        status: Status::NONE,
        id,
        body_len: u32::try_from(body).unwrap_or(u32::MAX),
    }
}
