//! Commands and replies, written short.

/// A command as an array of bulk strings.
pub fn array(words: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    meltemi_redis::resp::write::command(words, &mut out);
    out
}

/// The words of a line as an array.
pub fn cmd(line: &str) -> Vec<u8> {
    let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    array(&words)
}

/// A bulk string.
pub fn bulk(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    meltemi_redis::resp::write::bulk(text, &mut out);
    out
}
