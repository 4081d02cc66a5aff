//! Each form of each value, byte for byte.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use dubbo_rs_codec::{ReadError, Request, RequestError, SerializationId, hessian2, jsonb};

#[test]
fn hessian2_ints_in_every_form() {
    for (bytes, value) in [
        (&b"\x80"[..], -16),
        (b"\x90", 0),
        (b"\xbf", 47),
        (b"\xc0\x00", -2048),
        (b"\xc7\xff", -1),
        (b"\xc8\x30", 48),
        (b"\xcf\xff", 2047),
        (b"\xd0\x00\x00", -262_144),
        (b"\xd7\xff\xff", 262_143),
        (b"I\x7f\xff\xff\xff", i32::MAX),
        (b"I\x80\x00\x00\x00", i32::MIN),
    ] {
        let mut reader = hessian2::Reader::new(bytes);
        assert_eq!(reader.int(), Ok(value), "{bytes:x?}");
        assert!(reader.is_at_end());
        assert!(
            hessian2::Reader::new(&bytes[..bytes.len() - 1])
                .int()
                .is_err()
        );
    }
}

#[test]
fn hessian2_longs_in_every_form() {
    for (bytes, value) in [
        (&b"\xd8"[..], -8),
        (b"\xe0", 0),
        (b"\xef", 15),
        (b"\xf0\x00", -2048),
        (b"\xff\xff", 2047),
        (b"\x38\x00\x00", -262_144),
        (b"\x3f\xff\xff", 262_143),
        (b"\x59\x80\x00\x00\x00", i64::from(i32::MIN)),
        (b"L\x7f\xff\xff\xff\xff\xff\xff\xff", i64::MAX),
    ] {
        let mut reader = hessian2::Reader::new(bytes);
        assert_eq!(reader.long(), Ok(value), "{bytes:x?}");
        assert!(reader.is_at_end());
        assert!(
            hessian2::Reader::new(&bytes[..bytes.len() - 1])
                .long()
                .is_err()
        );
    }
}

#[test]
fn hessian2_doubles_in_every_form() {
    for (bytes, value) in [
        (&b"\x5b"[..], 0.0),
        (b"\x5c", 1.0),
        (b"\x5d\x80", -128.0),
        (b"\x5e\x7f\xff", 32_767.0),
        (b"\x5f\x00\x00\x2f\xda", 12.25),
        (b"D\x40\x28\x80\x00\x00\x00\x00\x00", 12.25),
    ] {
        let read = hessian2::Reader::new(bytes).double().unwrap();
        assert!((read - value).abs() < 1e-9, "{bytes:x?} is {read}");
    }
}

#[test]
fn hessian2_skips_values_of_every_tag() {
    for bytes in [
        &b"N"[..],
        b"T",
        b"F",
        b"\x4a\0\0\0\0\0\0\0\0",
        b"\x4b\0\0\0\0",
        b"\x22ab",
        b"\x34\x02ab",
        b"A\x00\x01aB\x00\x01b",
        b"A\x00\x01a\x21b",
        b"\x51\x90",
        b"HZ",
        b"H\x01a\x90\x91HZZ",
        b"M\x01t\x01a\x90Z",
        b"M\x90\x01a\x90Z",
        b"\x55\x01t\x90\x91Z",
        b"V\x01t\x92\x90\x91",
        b"V\x90\x91\x90",
        b"\x57\x90\x91Z",
        b"\x58\x92\x90\x91",
        b"\x72\x01t\x90\x91",
        b"\x72\x90\x90\x91",
        b"\x7a\x90\x91",
        b"C\x01c\x92\x01a\x01b\x60\x90\x91",
        b"C\x01c\x91\x01aO\x90\x90",
        b"\x57C\x01c\x91\x01a\x60\x90\x60\x91Z",
        b"\x30\x03abc",
        b"S\x00\x03abc",
    ] {
        let mut padded = bytes.to_vec();
        padded.push(b'T');
        let mut reader = hessian2::Reader::new(&padded);
        assert_eq!(reader.skip(), Ok(()), "{bytes:x?}");
        assert_eq!(reader.boolean(), Ok(true), "{bytes:x?}");
        assert!(reader.is_at_end());
    }
}

#[test]
fn hessian2_refuses_what_is_no_value() {
    for tag in [b'@', b'E', b'G', b'P', b'Z'] {
        let refused = hessian2::Reader::new(&[tag, 0x90, 0x90]).skip();
        assert!(
            matches!(refused, Err(ReadError::Unexpected { .. })),
            "{tag:#04x}"
        );
    }
    for (bytes, error) in [
        (&b"\x60\x90"[..], ReadError::UnknownClass { index: 0 }),
        (b"O\x93\x90", ReadError::UnknownClass { index: 3 }),
        (b"\x58\x8f", ReadError::BadLength { at: 1 }),
        (b"\x01\x80", ReadError::BadString { at: 1 }),
        (b"\x01\xf0\x9f\x98\x80", ReadError::BadString { at: 1 }),
    ] {
        assert_eq!(
            hessian2::Reader::new(bytes).skip(),
            Err(error),
            "{bytes:x?}"
        );
    }
    // A map needs a value for each key.
    assert!(hessian2::Reader::new(b"H\x01aZ").skip().is_err());
}

#[test]
fn jsonb_integers_in_every_form() {
    for (bytes, value) in [
        (&b"\xf0"[..], -16),
        (b"\xff", -1),
        (b"\x00", 0),
        (b"\x2f", 47),
        (b"\x30\x00", -2048),
        (b"\x38\x30", 48),
        (b"\x3f\xff", 2047),
        (b"\x40\x00\x00", -262_144),
        (b"\x47\xff\xff", 262_143),
        (b"\x48\x80\x00\x00\x00", i64::from(i32::MIN)),
        (b"\xbd\x04", 4),
        (b"\xbd\xff", -1),
        (b"\xbc\x80\x00", -32_768),
        (b"\xbe\x7f\xff\xff\xff\xff\xff\xff\xff", i64::MAX),
        (b"\xbf\xff\xff\xff\xff", -1),
        (b"\xd8", -8),
        (b"\xef", 15),
        (b"\xc8\x00", -2048),
        (b"\xd7\xff", 2047),
        (b"\xc0\x00\x00", -262_144),
        (b"\xc7\xff\xff", 262_143),
    ] {
        let mut reader = jsonb::Reader::new(bytes);
        assert_eq!(reader.long(), Ok(value), "{bytes:x?}");
        assert!(reader.is_at_end());
        assert!(
            jsonb::Reader::new(&bytes[..bytes.len() - 1])
                .long()
                .is_err()
        );
    }
}

#[test]
fn jsonb_strings_in_every_encoding() {
    for (bytes, text) in [
        (&b"\x49"[..], ""),
        (b"\x4cabc", "abc"),
        (b"\x79\x03abc", "abc"),
        (b"\x7a\x05\xc3\xa9\xe4\xb8\xad", "é中"),
        (b"\x7b\x02\x00\xe9", "é"),
        (b"\x7b\x04\xff\xfe\xe9\x00", "é"),
        (b"\x7c\x04\x3d\xd8\x00\xde", "😀"),
        (b"\x7d\x02\x00\xe9", "é"),
        (b"\x7e\x03abc", "abc"),
    ] {
        let mut reader = jsonb::Reader::new(bytes);
        let read = reader.string().unwrap().unwrap();
        assert!(read.is(text), "{bytes:x?}");
        assert_eq!(read.decode(), text);
        assert!(reader.is_at_end());
    }
    assert!(jsonb::Reader::new(b"\xaf").string().unwrap().is_none());
}

#[test]
fn jsonb_skips_values_of_every_tag() {
    for bytes in [
        &b"\xaf"[..],
        b"\xb0",
        b"\xb2",
        b"\xb3",
        b"\x90\x41\x00\x41",
        b"\x91\x03abc",
        b"\x92\x4aT\x00\xa6\xa5",
        b"\x92\x00\xa6\xa5",
        b"\x92\x7f\x00\xa6\xa5",
        b"\x93\x4a$",
        b"\x94",
        b"\x96\x01\x02",
        b"\xa4\x02\x01\x02",
        b"\xa6\x4aa\x01\x05\xa6\xa5\xa5",
        b"\xa6\x7f\x4aa\x01\x02\x7f\x01\x02\xa5",
        b"\xa7\x01\x02\x03\x00",
        b"\xa8\x07\xe8\x01\x02\x03\x04\x05\x00",
        b"\xa9\x07\xe8\x01\x02",
        b"\xaa\x07\xe8\x01\x02\x03\x04\x05\x00\x4cUTC",
        b"\xab\0\0\0\0\0\0\0\0",
        b"\xac\0\0\0\0",
        b"\xad\0\0\0\0",
        b"\xae\xd8\x00",
        b"\xb4\x01",
        b"\xb5\0\0\0\0\0\0\0\0",
        b"\xb6\x01",
        b"\xb7\0\0\0\0",
        b"\xb8\x01",
        b"\xb9\x02\xbb\x01\x05",
        b"\xb9\x02\xba\x05",
        b"\xba\x05",
        b"\xbb\x02\x01\x02",
    ] {
        let mut padded = bytes.to_vec();
        padded.push(0x2a);
        let mut reader = jsonb::Reader::new(&padded);
        assert_eq!(reader.skip(), Ok(()), "{bytes:x?}");
        assert_eq!(reader.int(), Ok(42), "{bytes:x?}");
        assert!(reader.is_at_end());
    }
    assert!(jsonb::Reader::new(b"\xa5").skip().is_err());
    assert!(jsonb::Reader::new(b"\xa6\x4aa\xa5").skip().is_err());
    assert!(jsonb::Reader::new(b"\x79\xf0abc").skip().is_err());
}

/// Chunks hold at most 32,767 units and never split a pair.
#[test]
fn hessian2_writes_long_strings_in_chunks() {
    for (text, head, tail) in [
        ("a".repeat(32_767), &b"S\x7f\xff"[..], &b"a"[..]),
        ("a".repeat(32_768), b"R\x7f\xff", b"\x01a"),
        (
            "😀".repeat(16_384),
            b"R\x7f\xfe",
            b"\x02\xed\xa0\xbd\xed\xb8\x80",
        ),
    ] {
        let mut out = Vec::new();
        hessian2::write_string(&mut out, &text);
        assert!(out.starts_with(head), "{:x?}", &out[..3]);
        assert!(out.ends_with(tail));
        let read = hessian2::Reader::new(&out).string().unwrap().unwrap();
        assert!(read.is(&text));
    }
}

#[test]
fn a_length_in_front_of_jsonb_must_fit_the_value() {
    for (body, error) in [
        (&b"\0\0\0\x02\x4aa"[..], ReadError::Truncated { at: 6 }),
        (b"\0\0\0\x03\x4aa\xaf", ReadError::BadLength { at: 0 }),
        (b"\0\0\0\x01\x4a", ReadError::Truncated { at: 5 }),
        (b"\0\0\0\x09\x4aa", ReadError::Truncated { at: 0 }),
        (
            b"\0\0\0\x01\x01",
            ReadError::Unexpected {
                tag: 1,
                at: 4,
                expected: "a string",
            },
        ),
    ] {
        let refused = Request::parse(SerializationId::FASTJSON2, body).unwrap_err();
        assert_eq!(refused, RequestError::Head(error), "{body:x?}");
    }
}
