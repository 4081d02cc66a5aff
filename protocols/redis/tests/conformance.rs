//! The kit's rules over recorded exchanges and what no recording holds, in both versions of RESP.
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    dead_code,
    reason = "a test fails by panicking, and does not use all that it shares"
)]

#[path = "support/golden.rs"]
mod golden;
#[path = "support/words.rs"]
mod words;

use meltemi_codec::kit::{Corpus, Sample};
use meltemi_redis::resp::{ReplyScan, RequestScan, Scanned};
use words::{bulk, cmd};

mod resp2 {
    meltemi_codec::conformance!(meltemi_redis::protocol(), super::resp2());
}

mod resp3 {
    meltemi_codec::conformance!(meltemi_redis::protocol(), super::resp3());
}

mod silent {
    meltemi_codec::conformance!(meltemi_redis::protocol(), super::silent());
}

/// Exchanges of one request and one answer each.
const PLAIN: [&str; 10] = [
    "ping",
    "set-get",
    "integers",
    "array",
    "empty-array",
    "empty-bulk",
    "binary-bulk",
    "errors",
    "eval",
    "nested",
];

fn resp2() -> Corpus {
    let mut corpus = Corpus::new();
    for name in PLAIN {
        corpus = recorded(corpus, name);
    }
    corpus = asked(
        corpus,
        "mget",
        cmd("mget {t}a {t}b"),
        b"*2\r\n$-1\r\n$1\r\nb\r\n",
    );
    corpus = asked(corpus, "large-set", large_set(), b"+OK\r\n");
    corpus = asked(
        corpus,
        "large-get",
        cmd("GET large"),
        &bulk(&vec![b'v'; 5000]),
    );
    let list = [b"*300\r\n".to_vec(), bulk(&[b'e'; 20]).repeat(300)].concat();
    corpus = asked(corpus, "large-list", cmd("LRANGE l 0 -1"), &list);
    let many: Vec<String> = (0..300).map(|n| format!("{{t}}{n} value-{n}")).collect();
    corpus = asked(
        corpus,
        "large-mset",
        cmd(&format!("MSET {}", many.join(" "))),
        b"+OK\r\n",
    );
    corpus = asked(
        corpus,
        "moved",
        cmd("GET far"),
        b"-MOVED 3999 127.0.0.1:6381\r\n",
    );
    corpus = asked(
        corpus,
        "long-error",
        cmd("EVAL x 0"),
        &[b"-ERR ", &[b'x'; 3000][..], b"\r\n"].concat(),
    );
    corpus
        .request(Sample::new("inline", "GET \"k\\x41\"\r\n").knows("key", "kA"))
        .request(Sample::new("select", cmd("SELECT 1")))
        .request(Sample::new("hello", cmd("HELLO 3")))
        .request(Sample::new("multi", cmd("MULTI")))
        .request(Sample::new("queued", cmd("PING")))
        .request(Sample::new("discard", cmd("DISCARD")))
        .request(Sample::new("nothing", "*0\r\n"))
        .request(Sample::new("blpop", cmd("BLPOP k 1")).knows("command", "blpop"))
        .request(Sample::new("watch", cmd("WATCH k")).knows("key", "k"))
        .request(Sample::new("config", cmd("CONFIG GET x")).knows("command", "config|get"))
        .request(Sample::new("subscribe", cmd("SUBSCRIBE c d")).knows("command", "subscribe"))
        .response(confirmed("subscribe", "*", "c", 1).answers("subscribe"))
        .response(Sample::new(
            "message",
            "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n",
        ))
}

fn resp3() -> Corpus {
    let mut corpus = Corpus::new();
    for (n, reply) in [
        "_\r\n",
        "#t\r\n",
        "#f\r\n",
        ",1.5\r\n",
        ",inf\r\n",
        ",-inf\r\n",
        ",nan\r\n",
        "(3492890328409238509324850943850943825024385\r\n",
        "!9\r\nERR wrong\r\n",
        "=7\r\ntxt:abc\r\n",
        "%1\r\n+k\r\n~2\r\n:1\r\n_\r\n",
        "~0\r\n",
        "%0\r\n",
        "*0\r\n",
        "|1\r\n+ttl\r\n:3\r\n$1\r\nx\r\n",
        "*2\r\n|1\r\n+a\r\n*0\r\n:1\r\n:2\r\n",
        "$?\r\n;4\r\nabcd\r\n;2\r\nef\r\n;0\r\n",
        "*?\r\n:1\r\n+x\r\n.\r\n",
        "%?\r\n+a\r\n:1\r\n.\r\n",
    ]
    .into_iter()
    .enumerate()
    {
        corpus = asked(
            corpus,
            &format!("type-{n}"),
            cmd(&format!("GET {n}")),
            reply.as_bytes(),
        );
    }
    corpus
        .request(Sample::new("psubscribe", cmd("PSUBSCRIBE c*")).knows("command", "psubscribe"))
        .response(Sample::new(
            "invalidate",
            ">2\r\n+invalidate\r\n*1\r\n+k\r\n",
        ))
        .response(confirmed("psubscribe", ">", "c*", 1).answers("psubscribe"))
        .response(confirmed("sunsubscribe", ">", "s", 0))
}

/// After `CLIENT REPLY OFF`.
fn silent() -> Corpus {
    Corpus::new()
        .request(Sample::new("off", cmd("CLIENT REPLY OFF")))
        .request(
            Sample::new("get", cmd("SET k v"))
                .knows("key", "k")
                .silent(),
        )
        .response(Sample::new("got", "+OK\r\n").answers("get").silent())
}

fn confirmed(word: &str, kind: &str, channel: &str, count: u32) -> Sample {
    let (word_len, len) = (word.len(), channel.len());
    let text = format!("{kind}3\r\n${word_len}\r\n{word}\r\n${len}\r\n{channel}\r\n:{count}\r\n");
    Sample::new(word, text)
}

fn large_set() -> Vec<u8> {
    words::array(&[b"SET", b"large", &[b'v'; 5000]])
}

fn asked(corpus: Corpus, name: &str, request: Vec<u8>, reply: &[u8]) -> Corpus {
    corpus
        .request(Sample::new(name, request))
        .response(Sample::new(format!("{name}-answer"), reply).answers(name))
}

fn recorded(mut corpus: Corpus, name: &str) -> Corpus {
    let golden = golden::exchange(name);
    let (sent, received) = (golden.sent(), golden.received());
    let (mut requests, mut replies) = (&sent[..], &received[..]);
    let mut n = 0;
    while !requests.is_empty() {
        let Ok(Scanned::End(end)) = RequestScan::new(u64::MAX, false).feed(requests) else {
            panic!("{name}");
        };
        let Ok(Scanned::End(answer)) = ReplyScan::default().feed(replies) else {
            panic!("{name}");
        };
        // What the table does not know is asked for first.
        if !requests.starts_with(b"*2\r\n$6\r\nNOSUCH") {
            corpus = asked(
                corpus,
                &format!("{name}-{n}"),
                requests[..end].to_vec(),
                &replies[..answer],
            );
        }
        (requests, replies) = (&requests[end..], &replies[answer..]);
        n += 1;
    }
    corpus
}
