//! Reading a message allocates nothing; hostile ones do not make it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/golden.rs"]
mod golden;

use allocation_counter::measure;
use dubbo_rs_codec::{
    BodyFormat, Frame, Kind, ReadError, Request, Response, hessian2, patch_id, reply,
};

fn read_everything(bytes: &[u8]) {
    let (frame, _) = Frame::split(bytes).unwrap().unwrap();
    let Frame { header, body } = frame;
    match header.kind {
        Kind::Request | Kind::Oneway => {
            let mut request = Request::parse(header.serialization, body).unwrap();
            request.locate_attachments().unwrap();
            request.interface().unwrap();
            request.invoked_method().unwrap();
            request.timeouts().unwrap();
            for entry in request.attachments().unwrap() {
                let _ = entry.unwrap().key.decode();
            }
        }
        Kind::Response => match Response::parse(&header, body).unwrap() {
            Response::Result(result) => {
                for entry in result.attachments().unwrap() {
                    let _ = entry.unwrap().key.decode();
                }
            }
            Response::Error { message, .. } => {
                let _ = message.decode();
            }
        },
        Kind::Event { .. } | Kind::EventAnswer => {
            let _ = reply::read_event(header.serialization, body);
        }
    }
}

#[test]
fn reading_recorded_frames_allocates_nothing() {
    for mut golden in golden::frames() {
        let (frame, _) = Frame::split(&golden.bytes).unwrap().unwrap();
        if BodyFormat::of(frame.header.serialization).is_none() {
            continue;
        }
        let used = measure(|| read_everything(&golden.bytes));
        assert_eq!(used.count_total, 0, "{:?}", golden.text("name"));
        let used = measure(|| assert!(patch_id(&mut golden.bytes, 1)));
        assert_eq!(used.count_total, 0);
    }
}

#[test]
fn class_definitions_are_the_only_memory_and_bounded() {
    let few = b"C\x01a\x90".repeat(8);
    let many = b"C\x01a\x90".repeat(100_000);
    let deep = vec![0x57; 1 << 20];
    for (bytes, limit) in [
        (&few, 0),
        (&deep, 0),
        (&many, 8 * hessian2::MAX_CLASSES as u64),
    ] {
        let used = measure(|| {
            let error = hessian2::Reader::new(bytes).skip().unwrap_err();
            assert!(!matches!(error, ReadError::BadString { .. }));
        });
        assert!(used.bytes_max <= limit, "{used:?}");
    }
}
