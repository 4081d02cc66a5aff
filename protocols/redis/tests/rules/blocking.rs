//! Commands that keep their connection waiting.

use std::time::Duration;

use meltemi_codec::{EndOfFile, LocalReply, Pin, Status};

use crate::legs::client;

fn seconds(n: u64) -> Option<Duration> {
    Some(Duration::from_secs(n))
}

#[test]
fn the_deadline_is_the_commands_own_and_slack() {
    for (line, deadline) in [
        ("BLPOP a b 5", seconds(10)),
        ("BRPOP a 0.5", Some(Duration::from_millis(5500))),
        ("BLPOP a 0", None),
        ("BLPOP a 1e300", None),
        ("BZPOPMIN z 1", seconds(6)),
        ("BZPOPMAX z 1", seconds(6)),
        ("BLMOVE a b LEFT RIGHT 2", seconds(7)),
        ("BRPOPLPUSH a b 2", seconds(7)),
        ("BLMPOP 3 2 a b LEFT", seconds(8)),
        ("BZMPOP 3 1 z MIN", seconds(8)),
        ("WAIT 1 2000", seconds(7)),
        ("WAIT 1 0", None),
        ("XREAD BLOCK 1000 STREAMS s $", seconds(6)),
        ("XREAD COUNT 3 BLOCK 0 STREAMS s $", None),
        (
            "XREADGROUP GROUP BLOCK 9 BLOCK 1000 STREAMS s >",
            seconds(6),
        ),
    ] {
        let request = client().request(line);
        assert_eq!(
            (request.pin, request.deadline),
            (Pin::UntilReply, deadline),
            "{line}"
        );
    }
}

#[test]
fn what_does_not_block_shares_its_connection() {
    for line in [
        "XREAD STREAMS s 0",
        "XREADGROUP GROUP g BLOCK STREAMS BLOCK >",
        "LPOP l",
    ] {
        let request = client().request(line);
        assert_eq!((request.pin, request.deadline), (Pin::None, None), "{line}");
    }
}

#[test]
fn a_waiting_client_that_closes_its_side_is_gone() {
    let mut client = client();
    let one = client.request("BLPOP a 0");
    let two = client.request("BLPOP b 0");
    assert_eq!(client.codec.end_of_file(), EndOfFile::Abandon);
    client.answer(&one, "*-1\r\n");
    assert_eq!(client.codec.end_of_file(), EndOfFile::Abandon);
    let reply = LocalReply {
        status: Status::Timeout,
        message: "too late",
    };
    client
        .codec
        .local_reply(0, &two.memo, reply, &mut Vec::new());
    assert_eq!(client.codec.end_of_file(), EndOfFile::Finish);
}

#[test]
fn in_a_transaction_nothing_blocks() {
    let mut client = client();
    client.request("WATCH l");
    client.request("MULTI");
    let request = client.request("BLPOP l 0");
    assert_eq!(request.pin, Pin::UntilRelease);
    assert_eq!(client.codec.end_of_file(), EndOfFile::Finish);
}

#[test]
fn on_a_pinned_connection_it_waits_there() {
    let mut client = client();
    client.request("WATCH l");
    let request = client.request("BLPOP l 1");
    assert_eq!((request.pin, request.deadline), (Pin::None, seconds(6)));
}
