//! How many nanoseconds a small command costs, from the client's bytes to the answer written back,
//! without the core: `cargo run --release -p meltemi-redis --example redis_decode_cost`.

use std::{hint::black_box, time::Instant};

use anyhow::bail;
use meltemi_codec::{
    AttributeKey, Decoded, Expected, Frame, FromClient, Limits, Memo, Message, Opening, Protocol,
};
use meltemi_redis::resp::write;

const ROUNDS: u32 = 2_000_000;

struct One(Memo);

impl Expected for One {
    fn memo(&self, n: usize) -> Option<&Memo> {
        (n == 0).then_some(&self.0)
    }

    fn id(&self, n: usize) -> Option<u64> {
        (n == 0).then_some(1)
    }
}

fn main() -> anyhow::Result<()> {
    for (line, answer) in [
        ("GET key:000000000001", "$3\r\nxxx\r\n"),
        ("SET key:000000000001 xxx", "+OK\r\n"),
        (
            "MGET a b c d e f g h",
            "*8\r\n$-1\r\n$-1\r\n$-1\r\n$-1\r\n$-1\r\n$-1\r\n$-1\r\n$-1\r\n",
        ),
        (
            "LRANGE list 0 3",
            "*4\r\n$3\r\none\r\n$3\r\ntwo\r\n$5\r\nthree\r\n$4\r\nfour\r\n",
        ),
    ] {
        cost(line, answer.as_bytes())?;
    }
    Ok(())
}

fn cost(line: &str, answer: &[u8]) -> anyhow::Result<()> {
    let mut bytes = Vec::new();
    write::command(
        &line.split(' ').map(str::as_bytes).collect::<Vec<_>>(),
        &mut bytes,
    );
    let redis = meltemi_redis::protocol();
    let limits = Limits {
        whole: Limits::WHOLE,
        frame: redis.traits().frame_limit,
    };
    let mut client = redis.downstream(limits);
    let mut server = redis.upstream(limits, &Opening::default());
    let command = AttributeKey::resolve(redis.attributes(), "command");
    let mut out = Vec::new();
    let started = Instant::now();
    for _ in 0..ROUNDS {
        out.clear();
        let Decoded::Message(Message {
            event: FromClient::Request(request),
            ..
        }) = client.decode(black_box(&bytes), &mut out)?
        else {
            bail!("{line} is no request");
        };
        let waits = One(request.memo);
        let frame = |bytes| Frame {
            bytes,
            whole: true,
            memo: &waits.0,
        };
        black_box(client.attribute(frame(&bytes), &command));
        server.forward(1, frame(&bytes), &mut out);
        black_box(server.decode(black_box(answer), &waits, &mut Vec::new())?);
        black_box(server.outcome(frame(answer)));
        client.respond(0, frame(answer), &mut out);
    }
    let each = started.elapsed().as_nanos() / u128::from(ROUNDS);
    println!("{line}: {each} ns");
    Ok(())
}
