//! The sample protocols, spoken.

use std::sync::Arc;

use meltemi_codec::kit::sample::by_id::{self, Header, Kind};
use meltemi_codec::kit::sample::{ById, InOrder};

use super::trial::{PLAIN, REPLY, Say, Speech};

pub(crate) fn speeches() -> [Speech; 2] {
    [
        Speech {
            protocol: Arc::new(ById),
            client: by_id_client,
            server: by_id_server,
        },
        Speech {
            protocol: Arc::new(InOrder),
            client: in_order_client,
            server: in_order_server,
        },
    ]
}

fn by_id_client(say: Say<'_>) -> Vec<u8> {
    let mut header = Header::new(Kind::Request, say.id);
    match say.kind {
        REPLY => return by_id::response(say.id, 0, 0, &vec![b'.'; say.size]),
        PLAIN => {}
        kind => match kind % 16 {
            1 | 2 => header.kind = Kind::OneWay,
            3 | 4 => header.pinned = true,
            5 => header.detail = 40,
            6 => header.detail = 70_000,
            7 => header.idempotent = true,
            8 => header.dialect = kind,
            9 => return by_id::control(Kind::Ping, say.id),
            10 => return by_id::control(Kind::Cancel, say.id.saturating_sub(1)),
            11 if kind > 200 => return by_id::control(Kind::GoAway, 0),
            12 if kind > 200 => header.id = header.id.saturating_sub(1),
            _ => {}
        },
    }
    by_id::frame(
        header,
        &[("service", "echo"), ("mark", say.mark)],
        &vec![b'.'; say.size],
    )
}

fn by_id_server(say: Say<'_>) -> Vec<u8> {
    let mut body = say.mark.as_bytes().to_vec();
    body.resize(body.len() + say.size, b'.');
    match say.kind {
        PLAIN => by_id::response(say.id, 0, 0, &body),
        1 => by_id::response(say.id, 0, by_id::APPLICATION_ERROR, &body),
        2 => by_id::response(say.id, 0, by_id::TRY_LATER, &body),
        3 | 4 => by_id::request(say.id, "call", &body),
        5 => by_id::control(Kind::Ping, say.id),
        6 => by_id::control(Kind::GoAway, 0),
        7 => by_id::control(Kind::GoAwayHost, 0),
        8 => by_id::control(Kind::ComeBack, 0),
        9 => by_id::frame(Header::new(Kind::OneWay, say.id), &[], &body),
        10 => by_id::response(say.id, 0, 0, &body),
        _ => by_id::control(Kind::Pong, say.id),
    }
}

fn in_order_client(say: Say<'_>) -> Vec<u8> {
    let verb = match say.kind % 16 {
        1 | 2 => "NOTE",
        3 => "HOLD",
        4 => "FREE",
        5 => "SUB 3",
        6 => return b"PING\n".to_vec(),
        7 if say.kind > 200 => return b"QUIT\n".to_vec(),
        8 => "GET deadline=40",
        9 => "PUT deadline=70000",
        10 => return b"\n".to_vec(),
        _ => "PUT",
    };
    let line = format!("{verb} key={}", say.mark);
    with_payload(&line, say.kind & 16 == 16, say.size)
}

fn in_order_server(say: Say<'_>) -> Vec<u8> {
    match say.kind {
        1 => format!("-{}\n", say.mark).into_bytes(),
        2 => format!("!2 {}\n", say.mark).into_bytes(),
        3 | 4 => with_payload(">news", false, say.size),
        5 => with_payload(">news", true, say.size),
        6 => b".bye\n".to_vec(),
        7 => b".bye host\n".to_vec(),
        8 => b".back\n".to_vec(),
        PLAIN => {
            let pieces = say.mark.ends_with(['0', '1', '2', '3', '4', '5', '6', '7']);
            with_payload(&format!("+{}", say.mark), pieces, say.size)
        }
        _ => b"\n".to_vec(),
    }
}

/// The line and as many bytes: announced, or in pieces.
fn with_payload(line: &str, pieces: bool, size: usize) -> Vec<u8> {
    let payload = ".".repeat(size);
    match (size, pieces) {
        (0, _) => format!("{line}\n"),
        (_, false) => format!("{line} *{size}\n{payload}"),
        (_, true) => format!("{line} *~\n{size}\n{payload}0\n"),
    }
    .into_bytes()
}
