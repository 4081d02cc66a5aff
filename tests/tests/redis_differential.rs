//! Seeded random scripts get byte for byte the answers that a server gives without a proxy, and leave the
//! same data behind. `MELTEMI_REDIS_SEED=S` runs one of them alone, `MELTEMI_REDIS_SCRIPTS=N`
//! another number of them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use meltemi_tests::redis::script::{Asked, Random, of_template, spoiled, written};
use meltemi_tests::redis::{Server, Wire, encode, manifests};
use meltemi_tests::{Meltemi, PATIENCE};

#[path = "redis_differential/templates.rs"]
mod templates;

use templates::{PLAIN, STATE};

const SCRIPTS: u64 = 600;
const LENGTH: usize = 30;
const MARK: &[u8] = b"the-end-of-the-script";

fn script(seed: u64) -> Vec<Asked> {
    let mut random = Random::new(seed);
    let mut script = Vec::new();
    if random.below(5) < 2 {
        script.push(written(&[b"HELLO".to_vec(), b"3".to_vec()], &mut random));
    }
    // Some are about data, some about the connection's state.
    let stateful = random.below(3);
    let silent = random.below(3) == 0;
    // To leave all channels of several is answered in the order of a hash table.
    let single = random.below(2) == 0;
    for _ in 0..1 + random.below(LENGTH) {
        let templates = match random.below(3) < stateful {
            true => STATE,
            false => PLAIN,
        };
        let template = templates[random.below(templates.len())];
        // The one that a proxy refuses within a transaction: a server would fall silent in the
        // middle of its answer to EXEC.
        let other = if silent { "MULTI" } else { "CLIENT REPLY" };
        if template.starts_with(other) {
            continue;
        }
        let words = of_template(template, &mut random);
        // Before 7.2 a server logs a user in before it reads the options behind; `COMMAND` alone lists
        // a hash table, and so does a set of other members than numbers; other keys have a time to live.
        let exact = ["HELLO", "COMMAND", "SADD", "SMOVE", "TTL", "PTTL"];
        let words = match exact.iter().any(|name| template.starts_with(name)) {
            true => words,
            false => spoiled(words, &mut random),
        };
        if other_channel(&words, single) {
            continue;
        }
        script.push(written(&words, &mut random));
    }
    for words in [&[b"RESET".to_vec()][..], &[b"ECHO".to_vec(), MARK.to_vec()]] {
        let bytes = encode(&words.iter().map(Vec::as_slice).collect::<Vec<_>>());
        script.push(Asked {
            bytes,
            words: words
                .iter()
                .map(|word| word.escape_ascii().to_string() + " ")
                .collect(),
        });
    }
    script
}

/// Whether a request is about several channels, or leaves all of several.
fn other_channel(words: &[Vec<u8>], single: bool) -> bool {
    let about = words[0].to_ascii_lowercase().ends_with(b"subscribe");
    let others = [&b"ch2"[..], b"ch3", b"zz*", b"other", b"more"];
    let several = words.iter().any(|word| others.contains(&word.as_slice()));
    about && if single { several } else { words.len() == 1 }
}

/// All that the server says to the script, which is written in pieces of random sizes.
fn said(address: SocketAddr, script: &[Asked], seed: u64) -> Vec<u8> {
    let mut random = Random::new(!seed);
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE / 6)).unwrap();
    let all = script
        .iter()
        .flat_map(|asked| &asked.bytes)
        .copied()
        .collect::<Vec<u8>>();
    let step = [1, 7, 100, 100_000][random.below(4)];
    let mut rest = all.as_slice();
    while !rest.is_empty() {
        let (piece, later) = rest.split_at(rest.len().min(1 + random.below(step)));
        // A server that has closed says why in what it has written.
        if stream.write_all(piece).is_err() {
            break;
        }
        rest = later;
    }
    let end = [b"$21\r\n", MARK, b"\r\n"].concat();
    let mut heard = Vec::new();
    let mut buffer = [0; 65536];
    while !heard.ends_with(&end) {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => heard.extend_from_slice(&buffer[..n]),
            Err(error) => {
                heard.extend_from_slice(format!("<{error}>").as_bytes());
                break;
            }
        }
    }
    masked(heard)
}

/// Without the connection's number, which `HELLO` tells.
fn masked(mut heard: Vec<u8>) -> Vec<u8> {
    const ID: &[u8] = b"$2\r\nid\r\n:";
    let mut from = 0;
    while let Some(at) = heard[from..].windows(ID.len()).position(|part| part == ID) {
        let start = from + at + ID.len();
        let digits = heard[start..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        heard.splice(start..start + digits, *b"N");
        from = start;
    }
    heard
}

fn compare(seed: u64, direct: SocketAddr, proxied: SocketAddr) -> Result<usize, String> {
    let script = script(seed);
    let (one, two) = std::thread::scope(|scope| {
        let one = scope.spawn(|| said(direct, &script, seed));
        let two = said(proxied, &script, seed);
        (one.join().unwrap(), two)
    });
    if one == two {
        return Ok(script.len());
    }
    let at = one
        .iter()
        .zip(&two)
        .take_while(|(one, two)| one == two)
        .count();
    let near = |heard: &[u8]| {
        let from = at.saturating_sub(60);
        heard[from..heard.len().min(at + 120)]
            .escape_ascii()
            .to_string()
    };
    let words: Vec<_> = script.iter().map(|asked| asked.words.as_str()).collect();
    Err(format!(
        "seed {seed}, byte {at}:\ndirect:  {}\nproxied: {}\n  {}\n",
        near(&one),
        near(&two),
        words.join("\n  ")
    ))
}

#[test]
fn replies_are_those_of_the_server_byte_for_byte() {
    if !Server::is_installed() {
        return;
    }
    let (one, two) = (Server::start(&[]), Server::start(&[]));
    let files = manifests(&[two.address()]);
    let meltemi = Meltemi::run(files.path());
    let proxied = meltemi.address("default/edge/redis");
    for server in [&one, &two] {
        let mut wire = server.connect();
        assert_eq!(
            wire.call("ACL SETUSER bob on >secret ~* &* +@all -flushdb -subscribe"),
            "+OK"
        );
    }
    let only = std::env::var("MELTEMI_REDIS_SEED")
        .ok()
        .map(|seed| seed.parse().unwrap());
    let mut broken = Vec::new();
    let mut commands = 0;
    let scripts = std::env::var("MELTEMI_REDIS_SCRIPTS").map_or(SCRIPTS, |n| n.parse().unwrap());
    for seed in only.map_or(0..scripts, |seed| seed..seed + 1) {
        match compare(seed, one.address(), proxied) {
            Ok(n) => commands += n,
            Err(difference) => broken.push(difference),
        }
        if digest(&one) != digest(&two) {
            let words: Vec<_> = script(seed).into_iter().map(|asked| asked.words).collect();
            broken.push(format!(
                "seed {seed}: the data differ after\n  {}",
                words.join("\n  ")
            ));
            for server in [&one, &two] {
                server.connect().call("FLUSHALL");
            }
        }
        if broken.len() > 4 {
            break;
        }
    }
    assert!(
        broken.is_empty(),
        "{} scripts differ:\n{}",
        broken.len(),
        broken.join("\n")
    );
    println!("{commands} commands were answered alike");
    assert!(
        only.is_some() || commands > 5_000,
        "only {commands} commands"
    );
}

fn digest(server: &Server) -> String {
    Wire::connect(server.address()).call("DEBUG DIGEST")
}
