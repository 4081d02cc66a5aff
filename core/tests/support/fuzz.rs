//! What the fuzz targets run: each function takes any bytes and checks what must hold for them.
//! A test runs the same functions over the corpus.

mod config;
mod proxy_protocol;
mod samples;
mod trial;

/// A target's name, which is its corpus folder's too, and its body.
pub(crate) type Target = (&'static str, fn(&[u8]));

pub(crate) const TARGETS: [Target; 3] = [
    ("engine", engine),
    ("config", config),
    ("proxy_protocol", proxy_protocol),
];

/// The engine between clients and servers that speak a sample protocol, or do not.
pub(crate) fn engine(data: &[u8]) {
    trial::run(&samples::speeches(), data);
}

/// Resources of the control plane, and an engine that is configured with what is valid of them.
pub(crate) fn config(data: &[u8]) {
    config::run(data);
}

/// The first bytes of a connection to a listener that reads a PROXY header.
pub(crate) fn proxy_protocol(data: &[u8]) {
    proxy_protocol::run(data);
}
