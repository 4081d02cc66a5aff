//! What the proxy's admin pages say.

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result};

/// A page with its headers.
pub(crate) fn page(admin: &str, path: &str) -> Result<String> {
    let read = || {
        let mut stream = TcpStream::connect(admin)?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: meltemi\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut page = String::new();
        stream.read_to_string(&mut page)?;
        std::io::Result::Ok(page)
    };
    read().with_context(|| format!("read {path} of the proxy"))
}

/// A number without labels of the page of metrics.
pub(crate) fn counter(metrics: &str, name: &str) -> Result<u64> {
    let line = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
    let number = metrics.lines().find_map(line);
    number.with_context(|| format!("the proxy says nothing of {name}"))
}
