//! What connections to memcached 1.6.18 carried.

use meltemi_codec::kit::{Corpus, Sample};

pub fn corpus() -> Corpus {
    let corpus = requests().into_iter().fold(Corpus::new(), Corpus::request);
    responses().into_iter().fold(corpus, Corpus::response)
}

/// A line and the data behind it.
fn with_data(line: &str, data: &[u8]) -> Vec<u8> {
    [line.as_bytes(), b"\r\n", data, b"\r\n"].concat()
}

fn requests() -> Vec<Sample> {
    let large = vec![b'x'; 300_000];
    vec![
        Sample::new("get", "get a\r\n")
            .knows("command", "get")
            .knows("key", "a"),
        Sample::new("gets", "gets a b c\r\n").knows("key", "a"),
        Sample::new("gat", "gat 10 a b\r\n").knows("key", "a"),
        Sample::new("set", with_data("set a 1 0 2", b"hi")).knows("command", "set"),
        Sample::new("set nothing", with_data("set a 1 0 0", b"")),
        Sample::new("set quietly", with_data("set a 1 0 2 noreply", b"hi")).silent(),
        Sample::new("set large", with_data("set b 0 0 300000", &large)),
        Sample::new("cas", with_data("cas a 1 0 4 77", b"\r\n\r\n")),
        Sample::new("delete", "delete a\r\n"),
        Sample::new("delete quietly", "delete a 0 noreply\r\n").silent(),
        Sample::new("incr", "incr n 5\r\n").knows("key", "n"),
        Sample::new("touch", "touch a 10\r\n"),
        Sample::new("wrong", "GET a\r\n"),
        Sample::new("version", "version\r\n"),
        Sample::new("stats", "stats\r\n"),
        Sample::new("flush_all", "flush_all\r\n"),
        Sample::new("mg", "mg Zm9v b v k O77\r\n").knows("key", "foo"),
        Sample::new("mg quietly", "mg a v q k\r\n").knows("command", "mg"),
        Sample::new("ms", with_data("ms a 2 T0 q", b"hi")),
        Sample::new("md", "md a q\r\n"),
        Sample::new("ma", "ma n N0 J5 v\r\n"),
        Sample::new("me", "me a\r\n"),
        Sample::new("mn", "mn\r\n"),
    ]
}

fn responses() -> Vec<Sample> {
    let large = vec![b'x'; 300_000];
    let many = [
        with_data("VALUE a 0 300000", &large),
        with_data("VALUE b 0 5", b"END\r\n"),
        b"END\r\n".to_vec(),
    ]
    .concat();
    let two = [
        with_data("VALUE a 1 2 77", b"hi"),
        with_data("VALUE c 0 0 78", b""),
        b"END\r\n".to_vec(),
    ]
    .concat();
    vec![
        Sample::new("value", "VALUE a 1 2\r\nhi\r\nEND\r\n").answers("get"),
        Sample::new("miss", "END\r\n").answers("get"),
        Sample::new("two values", two).answers("gets"),
        Sample::new("large values", many).answers("gat"),
        Sample::new("stored", "STORED\r\n").answers("set"),
        Sample::new("stored quietly", "STORED\r\n")
            .answers("set quietly")
            .silent(),
        Sample::new("too large", "SERVER_ERROR object too large for cache\r\n")
            .answers("set large"),
        Sample::new("exists", "EXISTS\r\n").answers("cas"),
        Sample::new("deleted", "DELETED\r\n").answers("delete"),
        Sample::new("not found quietly", "NOT_FOUND\r\n")
            .answers("delete quietly")
            .silent(),
        Sample::new("count", "8\r\n").answers("incr"),
        Sample::new("touched", "TOUCHED\r\n").answers("touch"),
        Sample::new("version", "VERSION 1.6.18\r\n").answers("version"),
        Sample::new("stats", "STAT pid 7\r\nSTAT uptime 12\r\nEND\r\n").answers("stats"),
        Sample::new("ok", "OK\r\n").answers("flush_all"),
        Sample::new("meta value", "VA 2 kZm9v b O77\r\nhi\r\n").answers("mg"),
        Sample::new("meta large", with_data("VA 300000 b", &large)).answers("mg"),
        Sample::new("meta hit", "HD ka\r\n").answers("mg quietly"),
        Sample::new("meta miss", "EN\r\n")
            .answers("mg quietly")
            .silent(),
        Sample::new("meta stored", "HD\r\n").answers("ms").silent(),
        Sample::new("meta not stored", "NS\r\n").answers("ms"),
        Sample::new("meta error", "CLIENT_ERROR invalid flag\r\n").answers("md"),
        Sample::new("meta count", "VA 1\r\n5\r\n").answers("ma"),
        Sample::new(
            "meta debug",
            "ME a exp=-1 la=1 cas=5 fetch=no cls=1 size=61\r\n",
        )
        .answers("me"),
    ]
}
