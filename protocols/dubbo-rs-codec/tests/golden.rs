//! Every recorded frame reads as Dubbo itself read it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/golden.rs"]
mod golden;

use std::collections::BTreeMap;

use dubbo_rs_codec::{
    Attachments, BodyFormat, CallResult, Frame, HEADER_LEN, Kind, Request, RequestError, Response,
    ResponseError, ResultKind, reply, splice,
};
use golden::Golden;
use serde_json::{Value, json};

fn strings(attachments: Attachments<'_>) -> BTreeMap<String, String> {
    attachments
        .map(|entry| {
            let entry = entry.unwrap();
            let value = entry
                .value
                .text()
                .expect("recorded attachments are strings");
            (entry.key.decode().into_owned(), value.decode().into_owned())
        })
        .collect()
}

fn check_header(golden: &Golden, frame: &Frame<'_>) {
    let Golden { name, facts, .. } = golden;
    let header = frame.header;
    let kind = match header.kind {
        Kind::Request => "request",
        Kind::Oneway => "oneway",
        Kind::Response => "response",
        Kind::Event { .. } => "event",
        Kind::EventAnswer => "event-answer",
    };
    assert_eq!(facts["kind"], kind, "{name}");
    assert_eq!(facts["serialization_id"], header.serialization.0, "{name}");
    assert_eq!(facts["status"], header.status.0, "{name}");
    assert_eq!(facts["id"], json!(header.id), "{name}");
    assert_eq!(facts["body_len"], header.body_len, "{name}");
    let two_way = matches!(header.kind, Kind::Request | Kind::Event { two_way: true });
    assert_eq!(facts["two_way"], two_way, "{name}");
    assert_eq!(header.to_bytes(), golden.bytes[..HEADER_LEN], "{name}");
}

fn check_request(golden: &Golden, frame: &Frame<'_>) {
    let Golden { name, facts, .. } = golden;
    let serialization = frame.header.serialization;
    let mut request = match Request::parse(serialization, frame.body) {
        Err(RequestError::Opaque(_)) => {
            assert_eq!(BodyFormat::of(serialization), None, "{name}");
            return;
        }
        other => other.unwrap(),
    };
    let read = [
        ("dubbo_version", request.dubbo_version()),
        ("path", request.path()),
        ("version", request.version().expect("recorded requests say")),
        ("method", request.method()),
        ("desc", request.descriptor()),
        ("service", request.interface().unwrap()),
    ];
    for (field, text) in read {
        assert_eq!(golden.text(field), Some(&*text.decode()), "{name}: {field}");
    }
    let arguments = facts["args"].as_array().unwrap().len();
    assert_eq!(request.argument_count() as usize, arguments, "{name}");
    let attachments = strings(request.attachments().unwrap());
    assert_eq!(facts["attachments"], json!(attachments), "{name}");

    // A remembered layout gives the same map without another look at the arguments.
    request.locate_attachments().unwrap();
    let again = Request::with_layout(frame.body, request.layout());
    assert_eq!(strings(again.attachments().unwrap()), attachments, "{name}");

    let timeout = attachments.get("timeout").map(|text| text.parse().unwrap());
    assert_eq!(
        request.timeouts().unwrap().deadline_millis(),
        timeout,
        "{name}"
    );
}

fn check_response(golden: &Golden, frame: &Frame<'_>) {
    let Golden { name, facts, .. } = golden;
    match Response::parse(&frame.header, frame.body) {
        Err(ResponseError::Opaque(id)) => assert_eq!(BodyFormat::of(id), None, "{name}"),
        Err(error) => panic!("{name}: {error}"),
        Ok(Response::Error { message, .. }) => {
            // Long messages are shortened in the record.
            let expected = golden.text("error").unwrap().trim_end_matches("...");
            assert!(message.decode().starts_with(expected), "{name}");
        }
        Ok(Response::Result(result)) => {
            let kind = match result.kind() {
                ResultKind::Exception => "exception",
                ResultKind::Value => "value",
                ResultKind::Null => "null",
            };
            let suffix = if result.has_attachments() {
                "+attachments"
            } else {
                ""
            };
            assert_eq!(facts["result"], format!("{kind}{suffix}"), "{name}");
            let attachments = strings(result.attachments().unwrap());
            assert_eq!(facts["attachments"], json!(attachments), "{name}");
            let class = facts
                .get("exception")
                .and_then(Value::as_str)
                .map(|text| text.split(':').next().unwrap());
            let read = result.exception_class().map(|class| class.decode());
            assert_eq!(read.as_deref(), class, "{name}");
            if let Some(value) = golden.text("value") {
                check_text(name, &result, value);
            }
        }
    }
}

/// `recorded` is the value's class and what it says; long ones are shortened.
fn check_text(name: &str, result: &CallResult<'_>, recorded: &str) {
    let text = result.text().ok().flatten().map(|text| text.decode());
    match recorded.strip_prefix("java.lang.String ") {
        None => assert_eq!(text, None, "{name}"),
        Some(expected) => {
            let text = text.unwrap_or_else(|| panic!("{name}: no string"));
            let start = expected.trim_end_matches("...");
            assert!(text.starts_with(start), "{name}: {text}");
        }
    }
}

fn check_event(golden: &Golden, frame: &Frame<'_>) {
    let event = reply::read_event(frame.header.serialization, frame.body);
    let expected = match golden.text("event_data") {
        None => reply::Event::Heartbeat,
        Some("R") => reply::Event::Readonly,
        Some(other) => panic!("{other}"),
    };
    assert_eq!(event, expected, "{}", golden.name);
}

#[test]
fn every_frame_reads_as_dubbo_read_it() {
    let mut seen = [0; 3];
    for golden in golden::frames() {
        let (frame, rest) = Frame::split(&golden.bytes).unwrap().unwrap();
        assert!(rest.is_empty(), "{}", golden.name);
        check_header(&golden, &frame);
        match frame.header.kind {
            Kind::Request | Kind::Oneway => {
                check_request(&golden, &frame);
                seen[0] += 1;
            }
            Kind::Response => {
                check_response(&golden, &frame);
                seen[1] += 1;
            }
            Kind::Event { .. } | Kind::EventAnswer => {
                check_event(&golden, &frame);
                seen[2] += 1;
            }
        }
    }
    assert_eq!(seen, [43, 42, 8], "frames of each kind");
}

/// Cut anywhere, a frame is incomplete.
#[test]
fn no_truncated_frame_is_a_frame() {
    for golden in golden::frames() {
        for cut in 0..golden.bytes.len() {
            let split = Frame::split(&golden.bytes[..cut]).unwrap();
            assert!(split.is_none(), "{} cut at {cut}", golden.name);
        }
    }
}

/// Cut anywhere and given a header that fits, a body is an error, unless the cut is where the
/// attachments start: those may be absent.
#[test]
fn no_truncated_body_reads_as_something_else() {
    for golden in golden::frames() {
        let (frame, _) = Frame::split(&golden.bytes).unwrap().unwrap();
        if BodyFormat::of(frame.header.serialization).is_none() {
            continue;
        }
        for cut in 0..frame.body.len() {
            let body = &frame.body[..cut];
            let mut header = frame.header;
            header.body_len = cut as u32;
            let name = format!("{} cut at {cut}", golden.name);
            match header.kind {
                Kind::Request | Kind::Oneway => check_cut_request(&frame, body, &name),
                Kind::Response => match Response::parse(&header, body) {
                    Err(_) => {}
                    Ok(Response::Error { message, .. }) => {
                        assert!(cut == 0 && message.is_empty(), "{name}");
                    }
                    Ok(Response::Result(result)) => {
                        if let Ok(attachments) = read_all(result.attachments()) {
                            assert_eq!(attachments, 0, "{name}");
                        }
                    }
                },
                Kind::Event { .. } | Kind::EventAnswer => {
                    let event = reply::read_event(header.serialization, body);
                    assert_ne!(event, reply::Event::Readonly, "{name}");
                }
            }
            let mut out = Vec::new();
            if splice(&header, body, &[], &mut out).is_ok() {
                assert_eq!(out[HEADER_LEN..], *body, "{name}");
            } else {
                assert!(out.is_empty(), "{name}");
            }
        }
    }
}

fn check_cut_request(whole: &Frame<'_>, body: &[u8], name: &str) {
    let whole = Request::parse(whole.header.serialization, whole.body).unwrap();
    let attachments_at = { whole }.locate_attachments().unwrap();
    let cut = Request::parse(
        match whole.format() {
            BodyFormat::Hessian2 => dubbo_rs_codec::SerializationId::HESSIAN2,
            BodyFormat::Fastjson2 => dubbo_rs_codec::SerializationId::FASTJSON2,
        },
        body,
    );
    let Ok(cut) = cut else {
        return;
    };
    assert_eq!(cut.method().decode(), whole.method().decode(), "{name}");
    if read_all(cut.attachments()).is_ok() {
        assert_eq!(body.len(), attachments_at, "{name}");
    }
}

fn read_all(
    attachments: Result<Attachments<'_>, dubbo_rs_codec::ReadError>,
) -> Result<usize, dubbo_rs_codec::ReadError> {
    let entries: Result<Vec<_>, _> = attachments?.collect();
    entries.map(|entries| entries.len())
}
