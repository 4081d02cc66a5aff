//! Random scripts of commands, by a seed.

use super::encode;

/// A source of numbers that are the same for the same seed (SplitMix64).
pub struct Random(u64);

/// A request as it is written, and in words for a message.
#[derive(Clone, Debug)]
pub struct Asked {
    pub bytes: Vec<u8>,
    pub words: String,
}

impl Random {
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n.max(1) as u64).expect("it is below a usize")
    }

    fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }
}

/// What takes each letter's place in a template.
fn word(letter: &str, random: &mut Random) -> Option<Vec<u8>> {
    let text: &str = match letter {
        "K" => random.pick(&["a", "b", "c", "d", "{t}e", "{t}f", "int", "none"]),
        // Of one type each, so that more commands have something to do.
        "L" => random.pick(&["list", "list2", "a"]),
        "S" => random.pick(&["set", "set2", "a"]),
        "H" => random.pick(&["hash", "hash2", "a"]),
        "Z" => random.pick(&["zset", "zset2", "a"]),
        "X" => random.pick(&["stream", "stream2", "a"]),
        "V" => random.pick(&["v", "", "two words", "1", "ä\r\n$3", "\0"]),
        "I" => random.pick(&["0", "1", "2", "-1", "7", "x", "9223372036854775807"]),
        "F" => random.pick(&["1.5", "-0.25", "0", "inf", "nan", "x"]),
        "M" => random.pick(&["1", "2", "3", "4"]),
        "C" => random.pick(&["ch1", "ch2", "ch3"]),
        "P" => random.pick(&["c*", "zz*"]),
        "E" => random.pick(&["0-1", "1-1", "2-0", "5-3", "bad"]),
        _ => return None,
    };
    Some(text.as_bytes().to_vec())
}

/// A request made of a template: words, of which single capital letters stand for arguments.
#[must_use]
pub fn of_template(template: &str, random: &mut Random) -> Vec<Vec<u8>> {
    template
        .split(' ')
        .map(|part| word(part, random).unwrap_or_else(|| part.as_bytes().to_vec()))
        .collect()
}

/// A request with a word too many, too few or another one, now and then.
#[must_use]
pub fn spoiled(mut words: Vec<Vec<u8>>, random: &mut Random) -> Vec<Vec<u8>> {
    match random.below(14) {
        0 => words.push(b"more".to_vec()),
        1 if words.len() > 1 => {
            words.pop();
        }
        2 if words.len() > 2 => {
            let at = 1 + random.below(words.len() - 1);
            words[at] = b"other".to_vec();
        }
        3 => words[0].make_ascii_lowercase(),
        _ => {}
    }
    words
}

/// The request on the wire: an array, or a line where a line can say it.
#[must_use]
pub fn written(words: &[Vec<u8>], random: &mut Random) -> Asked {
    let plain = |word: &Vec<u8>| {
        !word.is_empty()
            && word
                .iter()
                .all(|byte| byte.is_ascii_graphic() && !b"\"'\\".contains(byte))
    };
    let line = words.iter().all(plain) && !words[0].starts_with(b"*") && random.below(6) == 0;
    let bytes = if line {
        let mut bytes = words.join(&b' ');
        bytes.extend_from_slice(if random.below(2) == 0 { b"\r\n" } else { b"\n" });
        bytes
    } else {
        encode(&words.iter().map(Vec::as_slice).collect::<Vec<_>>())
    };
    let said: Vec<_> = words
        .iter()
        .map(|word| word.escape_ascii().to_string())
        .collect();
    Asked {
        bytes,
        words: said.join(" "),
    }
}
