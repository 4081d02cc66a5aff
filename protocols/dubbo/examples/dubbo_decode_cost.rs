//! How many nanoseconds a recorded call of Dubbo 3.3.6 costs: decoded with its deadline, and
//! asked for interface and method. `cargo run --release -p meltemi-dubbo --example dubbo_decode_cost`.

use std::{env, fs, hint::black_box, path::Path, time::Instant};

use anyhow::{Context, bail};
use meltemi_codec::{AttributeKey, Decoded, Frame, FromClient, Limits, Message, Protocol};

const ROUNDS: u32 = 2_000_000;

fn main() -> anyhow::Result<()> {
    let name = env::args().nth(1).unwrap_or("3333-string-request".into());
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../dubbo-rs-codec/tests/golden")
        .join(name)
        .with_extension("hex");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let bytes = from_hex(&text).context("not hexadecimal")?;
    let dubbo = meltemi_dubbo::protocol();
    let limits = Limits {
        whole: Limits::WHOLE,
        frame: dubbo.traits().frame_limit,
    };
    let mut codec = dubbo.downstream(limits);
    let [interface, method] =
        ["interface", "method"].map(|name| AttributeKey::resolve(dubbo.attributes(), name));
    let mut out = Vec::new();
    let started = Instant::now();
    for _ in 0..ROUNDS {
        let decoded = codec.decode(black_box(&bytes), &mut out)?;
        let Decoded::Message(Message {
            event: FromClient::Request(request),
            ..
        }) = decoded
        else {
            bail!("no call: {decoded:?}");
        };
        let frame = Frame {
            bytes: &bytes,
            whole: true,
            memo: &request.memo,
        };
        black_box(codec.attribute(frame, &interface));
        black_box(codec.attribute(frame, &method));
        black_box(request.deadline);
    }
    let each = started.elapsed().as_nanos() / u128::from(ROUNDS);
    println!("{} bytes: {each} ns", bytes.len());
    Ok(())
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let (pairs, _) = digits.as_chunks::<2>();
    pairs
        .iter()
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}
