use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// What a ztunnel of Istio 1.31 wrote, whose trust domain was empty.
const ZTUNNEL: &[u8] = b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a\x21\x11\x00\x2d\
    \x0a\x63\x00\x02\x0a\x62\x00\x0a\x94\xaa\x51\x90\
    \xd0\x00\x1espiffe:///ns/default/sa/client";

const CLIENT: &str = "spiffe://cluster.local/ns/shop/sa/cart";

/// A header with these bytes behind the length.
fn header(what: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [&SIGNATURE[..], &[what, family], &length, rest].concat()
}

fn extension(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap().to_be_bytes();
    [&[kind], &length[..], value].concat()
}

const V4: [u8; 12] = [10, 0, 0, 1, 10, 96, 0, 2, 0x94, 0xaa, 0x51, 0x90];

fn v6(source: &str, destination: &str) -> Vec<u8> {
    let ip = |text: &str| text.parse::<Ipv6Addr>().unwrap().octets();
    [&ip(source)[..], &ip(destination), &V4[8..]].concat()
}

fn said(source: &str, destination: &str, identity: Option<&str>) -> Header {
    Header::Proxied(Proxied {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        identity: identity.map(Arc::from),
    })
}

/// Read so, however its bytes come.
fn is_read(bytes: &[u8], expected: Header) {
    let whole = Progress::Whole(expected, bytes.len());
    assert_eq!(parse(bytes), Ok(whole.clone()), "{}", bytes.escape_ascii());
    // What follows is the client's.
    assert_eq!(parse(&[bytes, b"\0PING\r\n"].concat()), Ok(whole));
    for cut in 0..bytes.len() {
        let needed = if cut < FIXED { FIXED } else { bytes.len() };
        assert_eq!(parse(&bytes[..cut]), Ok(Progress::Needs(needed)), "{cut}");
    }
}

#[test]
fn what_is_said_over_ipv4() {
    let v4 = |identity| said("10.0.0.1:38058", "10.96.0.2:20880", identity);
    let with = |extensions: &[u8]| header(0x21, 0x11, &[&V4[..], extensions].concat());
    let id = extension(IDENTITY, CLIENT.as_bytes());
    let long = format!("spiffe://cluster.local/{}", "a".repeat(2048 - 23));
    let longest = extension(0x04, &vec![0; usize::from(MOST) - 12 - 3]);
    let id_of_ztunnel = Some("spiffe:///ns/default/sa/client");
    is_read(
        ZTUNNEL,
        said("10.99.0.2:38058", "10.98.0.10:20880", id_of_ztunnel),
    );
    is_read(&with(b""), v4(None));
    is_read(&with(&id), v4(Some(CLIENT)));
    let among = [extension(0x04, &[0; 7]), id, extension(0x04, b"")].concat();
    is_read(&with(&among), v4(Some(CLIENT)));
    is_read(
        &with(&extension(IDENTITY, long.as_bytes())),
        v4(Some(&long)),
    );
    is_read(&with(&longest), v4(None));
}

#[test]
fn what_is_said_over_ipv6() {
    let plain = v6("fd00::1", "fd00:96::2");
    let id = extension(IDENTITY, CLIENT.as_bytes());
    let expected = |identity| said("[fd00::1]:38058", "[fd00:96::2]:20880", identity);
    is_read(&header(0x21, 0x21, &plain), expected(None));
    is_read(
        &header(0x21, 0x21, &[plain, id].concat()),
        expected(Some(CLIENT)),
    );
    let mapped = v6("::ffff:10.0.0.1", "::ffff:10.96.0.2");
    let expected = said("10.0.0.1:38058", "10.96.0.2:20880", None);
    is_read(&header(0x21, 0x21, &mapped), expected);
}

#[test]
fn what_a_probe_says() {
    for (family, rest) in [(0x00, &b""[..]), (0x11, &V4), (0x00, b"whatever")] {
        is_read(&header(0x20, family, rest), Header::Local);
    }
}

#[track_caller]
fn is_refused(bytes: &[u8], expected: &str) {
    let error = parse(bytes).expect_err(expected);
    assert_eq!(error.to_string(), expected, "{}", bytes.escape_ascii());
}

#[test]
fn what_is_no_header() {
    let missing = "it does not begin with a header of the PROXY protocol, version 2";
    is_refused(b"*1\r\n", missing);
    is_refused(b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n", missing);
    is_refused(b"\r\n\r\n\0\r\nQUIT\r", missing);
    let too_long = [&SIGNATURE[..], &[0x21, 0x11, 0x10, 0x01]].concat();
    is_refused(&too_long, "the header announces 4097 bytes, above 4096");
}

#[test]
fn what_none_may_say() {
    let family = |family: &str| {
        format!(
            "its family and protocol are {family}, neither TCP over IPv4 (0x11) nor over IPv6 (0x21)"
        )
    };
    for (bytes, reason) in [
        (header(0x11, 0x11, &V4), "its version is 1, not 2"),
        (
            header(0x22, 0x11, &V4),
            "its command is 2, neither LOCAL (0) nor PROXY (1)",
        ),
        (header(0x21, 0x00, b""), &family("0x00")),
        (header(0x21, 0x12, &V4), &family("0x12")),
        (header(0x21, 0x31, &[0; 216]), &family("0x31")),
        (
            header(0x21, 0x11, &V4[..11]),
            "it ends within its addresses",
        ),
        (header(0x21, 0x21, &V4), "it ends within its addresses"),
    ] {
        is_refused(&bytes, &format!("the header is malformed: {reason}"));
    }
}

#[test]
fn what_no_extension_may_say() {
    let id = |text: &[u8]| extension(IDENTITY, text);
    let twice = [id(CLIENT.as_bytes()), id(CLIENT.as_bytes())].concat();
    let (cut, no_id) = (
        "it ends within an extension",
        "the client's identity is no SPIFFE id",
    );
    for (extensions, reason) in [
        (vec![IDENTITY], cut),
        (vec![0x04, 0], cut),
        (vec![0x04, 0, 2, 7], cut),
        (vec![0x04, 0xff, 0xff], cut),
        (twice, "the client's identity is there twice"),
        (id(b""), no_id),
        (id(b"spiffe://"), no_id),
        (id(b"cluster.local/ns/shop/sa/cart"), no_id),
        (id(b"spiffe://a/\xff"), no_id),
        (id(b"spiffe://a/b\nadmin"), no_id),
    ] {
        let bytes = header(0x21, 0x11, &[&V4[..], &extensions].concat());
        is_refused(&bytes, &format!("the header is malformed: {reason}"));
    }
}

#[test]
fn another_protocol_shows_with_its_first_byte() {
    assert_eq!(parse(b"*"), Err(HeaderError::Missing));
    assert_eq!(
        parse(b"\r\n\r\n\0\r\nQUIT\n\x31"),
        Ok(Progress::Needs(FIXED))
    );
    assert_eq!(parse(b""), Ok(Progress::Needs(FIXED)));
}

fn identities() -> impl Strategy<Value = Option<String>> {
    proptest::option::of("spiffe://[a-z.]{0,20}/[a-zA-Z0-9/._-]{0,300}")
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(
        signed in any::<bool>(),
        bytes in vec(any::<u8>(), 0..200),
    ) {
        let bytes = if signed { [&SIGNATURE[..], &bytes].concat() } else { bytes };
        if let Ok(Progress::Whole(_, size)) = parse(&bytes) {
            prop_assert!(size <= bytes.len());
        }
    }

    #[test]
    fn what_is_written_is_read(
        source in any::<(Ipv4Addr, u16)>(),
        destination in any::<(Ipv4Addr, u16)>(),
        mapped in any::<bool>(),
        identity in identities(),
        padding in vec((1..0xD0_u8, vec(any::<u8>(), 0..50)), 0..4),
        behind in vec(any::<u8>(), 0..50),
    ) {
        let mut rest = Vec::new();
        for ip in [source.0, destination.0] {
            match mapped {
                true => rest.extend(ip.to_ipv6_mapped().octets()),
                false => rest.extend(ip.octets()),
            }
        }
        rest.extend(source.1.to_be_bytes());
        rest.extend(destination.1.to_be_bytes());
        for (kind, value) in &padding {
            rest.extend(extension(*kind, value));
        }
        rest.extend(identity.iter().flat_map(|id| extension(IDENTITY, id.as_bytes())));
        let bytes = header(0x21, if mapped { 0x21 } else { 0x11 }, &rest);
        let expected = Header::Proxied(Proxied {
            source: source.into(),
            destination: destination.into(),
            identity: identity.as_deref().map(Arc::from),
        });
        let all = [&bytes[..], &behind].concat();
        prop_assert_eq!(parse(&all), Ok(Progress::Whole(expected, bytes.len())));
    }
}
