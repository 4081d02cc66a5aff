//! pymemcache, as it comes from PyPI, through the proxy.

#[path = "support/peers.rs"]
mod peers;

use std::{env, net::SocketAddr, path::Path, process::Command};

use peers::{Memcached, Proxy, has};

fn facts(python: &str, address: SocketAddr) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/stories.py");
    let output = Command::new(python)
        .arg(script)
        .arg(address.to_string())
        .output()
        .expect("python starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn stories_end_as_they_do_without_a_proxy() {
    let python = env::var("MELTEMI_PYMEMCACHE").unwrap_or_else(|_| "python3".to_owned());
    if !has("memcached", &["-V"]) || !has(&python, &["-c", "import pymemcache"]) {
        return;
    }
    let (direct, behind) = (Memcached::start(), Memcached::start());
    let proxy = Proxy::before(&[&behind]);
    let proxied = facts(&python, proxy.address);
    assert_eq!(proxied, facts(&python, direct.address));
    for fact in ["get_many: 100 of 100", "large: 600000", "cas: True False"] {
        assert!(proxied.contains(fact), "no {fact:?} in\n{proxied}");
    }
}
