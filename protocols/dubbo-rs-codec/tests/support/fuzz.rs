//! What the fuzz targets run: each function takes any bytes and checks what must hold for them.
//! The tests run the same functions over the corpus and over random bytes.

use dubbo_rs_codec::hessian2::Reader;
use dubbo_rs_codec::request::may_have_callback_arguments;
use dubbo_rs_codec::{
    AttachmentValue, Attachments, Edit, Frame, HEADER_LEN, Header, Kind, ReadError, Request,
    Response, jsonb, patch_id, reply, splice,
};

/// A target's name, which is its corpus folder's too, and its body.
pub(crate) type Target = (&'static str, fn(&[u8]));

pub(crate) const TARGETS: [Target; 5] = [
    ("request", request),
    ("response", response),
    ("hessian_skip", hessian_skip),
    ("jsonb_skip", jsonb_skip),
    ("splice", splice_edits),
];

/// Cuts a frame out of the bytes and reads all that a request offers.
pub(crate) fn request(data: &[u8]) {
    let Ok(Some((frame, rest))) = Frame::split(data) else {
        return;
    };
    assert_eq!(frame.header.frame_len() + rest.len(), data.len());
    check_id_patch(data, &frame.header);
    let _ = reply::read_event(frame.header.serialization, frame.body);
    let _ = may_have_callback_arguments(frame.body);
    let Ok(mut request) = Request::parse(frame.header.serialization, frame.body) else {
        return;
    };
    for text in [request.path(), request.method(), request.descriptor()] {
        assert!(text.is(&text.decode()));
    }
    let _ = request.invoked_method().map(|method| method.decode());
    let _ = request.interface().map(|interface| interface.decode());
    let _ = request
        .timeouts()
        .map(|timeouts| timeouts.deadline_millis());
    let direct = request.attachments().and_then(all);
    check_look_up(&request, &direct);
    if request.locate_attachments().is_ok() {
        let again = Request::with_layout(frame.body, request.layout());
        assert_eq!(again.attachments().and_then(all), direct);
    }
}

/// A look-up finds what a walk over all entries finds last.
fn check_look_up(request: &Request<'_>, walked: &Result<Vec<(String, Plain)>, ReadError>) {
    let keys = ["path", "timeout"];
    let found = request
        .attachments()
        .and_then(|attachments| attachments.pick(keys));
    let Ok(found) = found else {
        assert!(walked.is_err());
        return;
    };
    let walked = walked.as_ref().expect("the look-up went through");
    for (key, value) in keys.iter().zip(found) {
        let last = walked.iter().rfind(|(walked, _)| walked == key);
        assert_eq!(
            value.map(Plain::from).as_ref(),
            last.map(|(_, value)| value)
        );
    }
}

fn check_id_patch(data: &[u8], header: &Header) {
    let mut patched = data.to_vec();
    assert!(patch_id(&mut patched, !header.id));
    let parsed = Header::parse(&patched);
    assert_eq!(
        parsed,
        Ok(Some(Header {
            id: !header.id,
            ..*header
        }))
    );
    assert!(patch_id(&mut patched, header.id));
    assert_eq!(patched, data);
}

/// Reads the bytes of a frame as a response, whatever its flags say.
pub(crate) fn response(data: &[u8]) {
    let Ok(Some((frame, _))) = Frame::split(data) else {
        return;
    };
    match Response::parse(&frame.header, frame.body) {
        Err(_) => {}
        Ok(Response::Error { message, .. }) => assert!(message.is(&message.decode())),
        Ok(Response::Result(result)) => {
            let _ = result.exception_class().map(|class| class.decode());
            let _ = result.attachments().and_then(all);
        }
    }
}

/// A value that was skipped is whole: its own bytes suffice, and no fewer do.
pub(crate) fn hessian_skip(data: &[u8]) {
    let mut reader = Reader::new(data);
    while !reader.is_at_end() && reader.skip().is_ok() {}
    let mut reader = Reader::new(data);
    if reader.skip().is_err() {
        return;
    }
    let len = reader.position();
    check_prefixes(len, |end| {
        let mut reader = Reader::new(&data[..end]);
        reader.skip().map(|()| reader.position())
    });
    if let Ok(Some(text)) = Reader::new(data).string() {
        assert!(text.is(&text.decode()));
    }
}

/// The same for JSONB.
pub(crate) fn jsonb_skip(data: &[u8]) {
    let mut reader = jsonb::Reader::new(data);
    if reader.skip().is_err() {
        return;
    }
    let len = reader.position();
    check_prefixes(len, |end| {
        let mut reader = jsonb::Reader::new(&data[..end]);
        reader.skip().map(|()| reader.position())
    });
    if let Ok(Some(text)) = jsonb::Reader::new(data).string() {
        assert!(text.is(&text.decode()));
    }
}

fn check_prefixes(len: usize, skip: impl Fn(usize) -> Result<usize, ReadError>) {
    assert_eq!(skip(len), Ok(len));
    // A sample keeps long inputs affordable.
    for end in (0..len).step_by(1 + len / 64).chain([len - 1]) {
        assert!(
            matches!(skip(end), Err(ReadError::Truncated { .. })),
            "{end} of {len} bytes"
        );
    }
}

/// An edited frame reads as the old one but for the edits, and keeps all other bytes.
pub(crate) fn splice_edits(data: &[u8]) {
    let Ok(Some((frame, _))) = Frame::split(data) else {
        return;
    };
    let edits = [
        Edit::Set {
            key: "group",
            value: "blue",
        },
        Edit::Add {
            key: "tag",
            value: "né😀",
        },
        Edit::Remove { key: "timeout" },
    ];
    let mut out = b"before".to_vec();
    let Ok(()) = splice(&frame.header, frame.body, &edits, &mut out) else {
        assert_eq!(out, b"before");
        return;
    };
    let spliced = out.strip_prefix(b"before").unwrap();
    let (after, rest) = Frame::split(spliced).unwrap().unwrap();
    assert!(rest.is_empty());
    let body_len = after.header.body_len;
    assert_eq!(
        after.header,
        Header {
            body_len,
            ..frame.header
        }
    );

    let old = attachments(&frame).unwrap();
    let new = attachments(&after).unwrap();
    let has_tag = old.iter().any(|(key, _)| key == "tag");
    let mut expected: Vec<(String, Plain)> = old
        .into_iter()
        .filter(|(key, value)| {
            !(key == "timeout" || key == "group" && matches!(value, Plain::Text(_)))
        })
        .collect();
    expected.push(("group".to_owned(), Plain::Text("blue".to_owned())));
    if !has_tag {
        expected.push(("tag".to_owned(), Plain::Text("né😀".to_owned())));
    }
    assert_eq!(new, expected);

    // With nothing to do, the frame is the same.
    let mut same = Vec::new();
    splice(&frame.header, frame.body, &[], &mut same).unwrap();
    assert_eq!(same[HEADER_LEN..], *frame.body);
}

fn attachments(frame: &Frame<'_>) -> Option<Vec<(String, Plain)>> {
    match frame.header.kind {
        Kind::Response => match Response::parse(&frame.header, frame.body).ok()? {
            Response::Result(result) => all(result.attachments().ok()?).ok(),
            Response::Error { .. } => None,
        },
        _ => {
            let request = Request::parse(frame.header.serialization, frame.body).ok()?;
            all(request.attachments().ok()?).ok()
        }
    }
}

/// A value without its borrow, to compare.
#[derive(Debug, PartialEq)]
pub(crate) enum Plain {
    Text(String),
    Number(i64),
    Null,
    Other(Vec<u8>),
}

impl From<AttachmentValue<'_>> for Plain {
    fn from(value: AttachmentValue<'_>) -> Self {
        match value {
            AttachmentValue::Text(text) => Self::Text(text.decode().into_owned()),
            AttachmentValue::Int(value) => Self::Number(value.into()),
            AttachmentValue::Long(value) => Self::Number(value),
            AttachmentValue::Null => Self::Null,
            AttachmentValue::Other(bytes) => Self::Other(bytes.to_vec()),
        }
    }
}

pub(crate) fn all(attachments: Attachments<'_>) -> Result<Vec<(String, Plain)>, ReadError> {
    attachments
        .map(|entry| {
            let entry = entry?;
            let value = Plain::from(entry.value);
            Ok((entry.key.decode().into_owned(), value))
        })
        .collect()
}
