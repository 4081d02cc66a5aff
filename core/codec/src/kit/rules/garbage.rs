//! Bytes that nobody meant.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::{
    kit::{
        broken::Broken,
        corpus::{Corpus, Sample},
        fuzz,
    },
    protocol::Protocol,
};

/// Streams tried in each direction.
const ROUNDS: u64 = 1500;
/// Bytes of a sample that are mutated at most.
const LONGEST: usize = 2048;

/// Whatever arrives, recorded messages with bytes changed or no messages at all: the codec does
/// not panic, makes progress, and does not depend on how the network cuts it.
pub fn garbage_makes_progress(protocol: &dyn Protocol, corpus: &Corpus) -> Result<(), Broken> {
    let mut random = Random(0x6d65_6c74_656d_6921);
    for round in 0..ROUNDS {
        let data = garbage(&mut random, round, &corpus.requests);
        survives(data, "fuzz_downstream", |data| {
            fuzz::downstream(protocol, data)
        })?;
        let data = garbage(&mut random, round, &corpus.responses);
        survives(data, "fuzz_upstream", |data| fuzz::upstream(protocol, data))?;
    }
    Ok(())
}

const PANIC: &str = "the codec panics (the panic's own message is above)";

fn survives(
    data: Vec<u8>,
    function: &str,
    run: impl Fn(&[u8]) -> Result<(), Broken>,
) -> Result<(), Broken> {
    let caught = |data: &[u8]| {
        catch_unwind(AssertUnwindSafe(|| run(data))).unwrap_or_else(|_| {
            let found = PANIC;
            let stream = data.get(2..).unwrap_or_default();
            Err(Broken::new("", found, "Downstream::decode, Malformed")
                .expected("no panic, whatever the input")
                .shows(stream, 0))
        })
    };
    let Err(broken) = caught(&data) else {
        return Ok(());
    };
    // A panic says itself where it is, and would say so at each attempt.
    let (data, broken) = if broken.found() == PANIC {
        (data, broken)
    } else {
        shrunk(data, broken, caught)
    };
    let hex: String = data.iter().map(|byte| format!("{byte:02x}")).collect();
    let place = format!("kit::{function} of these bytes, in hex: {hex}");
    Err(broken.within(place).by("garbage_makes_progress"))
}

/// Attempts at a shorter input.
const SHRINKS: u32 = 400;

/// A shorter input with the same finding: who has to mend it should not have to look for it.
fn shrunk(
    data: Vec<u8>,
    broken: Broken,
    run: impl Fn(&[u8]) -> Result<(), Broken>,
) -> (Vec<u8>, Broken) {
    let (mut data, mut broken) = (data, broken);
    let mut left = SHRINKS;
    let mut piece = data.len() / 2;
    while piece > 0 && left > 0 {
        let mut at = 2;
        while at < data.len() && left > 0 {
            left -= 1;
            let mut shorter = data.clone();
            shorter.drain(at..data.len().min(at + piece));
            match run(&shorter) {
                Err(same) if same.is_like(&broken) => (data, broken) = (shorter, same),
                _ => at += piece,
            }
        }
        piece /= 2;
    }
    (data, broken)
}

/// The two bytes that choose limits and cuts, and a stream.
fn garbage(random: &mut Random, round: u64, samples: &[Sample]) -> Vec<u8> {
    let mut data = vec![random.byte(), random.byte()];
    if round.is_multiple_of(8) || samples.is_empty() {
        let len = random.below(200);
        data.extend((0..len).map(|_| random.byte()));
        return data;
    }
    for _ in 0..=random.below(3) {
        let sample = samples.get(random.below(samples.len()));
        let bytes = sample.map_or(&[][..], |sample| &sample.bytes);
        data.extend_from_slice(bytes.get(..LONGEST).unwrap_or(bytes));
    }
    for _ in 0..random.below(6) {
        mutate(random, &mut data);
    }
    data
}

fn mutate(random: &mut Random, data: &mut Vec<u8>) {
    let at = random.below(data.len());
    let value = match random.below(4) {
        0 => 0,
        1 => 0xff,
        2 => 0x7f,
        _ => random.byte(),
    };
    match random.below(5) {
        0 => data.truncate(at.max(2)),
        1 => data.insert(at, value),
        2 => drop(data.drain(at..at.saturating_add(random.below(8)).min(data.len()))),
        _ => {
            if let Some(byte) = data.get_mut(at) {
                *byte = value;
            }
        }
    }
}

/// xorshift64*: the same stream on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[0]
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % (n.max(1) as u64)).unwrap_or(0)
    }
}
