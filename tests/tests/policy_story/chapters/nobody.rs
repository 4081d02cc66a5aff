//! Nobody to ask, and nobody who understands.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

use crate::peers::Call;
use crate::proxied::{CLUSTER, Route, Rules};
use crate::stage::Stage;

pub(super) fn nobody(stage: &mut Stage) {
    for (servers, status, reason) in [
        (
            &[closed_port()][..],
            "connect-failure",
            format!("no endpoint of {CLUSTER} can be reached"),
        ),
        (
            &[],
            "no-healthy-upstream",
            format!("no healthy endpoint in {CLUSTER}"),
        ),
        (
            &[noise()],
            "upstream-malformed",
            format!("the endpoint of {CLUSTER} broke the protocol"),
        ),
    ] {
        let _proxied = stage.before(servers, Rules::default());
        for library in &mut stage.libraries {
            library.hears(Call::Who, status, &reason);
            library.hears(Call::Who, status, &reason);
        }
    }
}

/// Where something else says where requests go, a MetaRouter without a route for one leaves it to that.
pub(super) fn no_route(stage: &mut Stage) {
    if !stage.peers.has_destinations() {
        return;
    }
    let rules = Rules {
        routes: &[Route(Some(Call::Who), "")],
        ..Rules::default()
    };
    let _proxied = stage.before(&[stage.a.port()], rules);
    let reason = format!(
        "no route of default/edge/{} matches the request",
        stage.peers.protocol()
    );
    for library in &mut stage.libraries {
        library.hears(Call::Count, "no-route", &reason);
        library.gets(Call::Who, "a");
    }
}

/// A port of loopback where nobody listens.
pub(super) fn closed_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port on loopback");
    listener.local_addr().expect("a bound socket").port()
}

/// Where whoever says something is answered what is of no protocol.
pub(super) fn noise() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port on loopback");
    let port = listener.local_addr().expect("a bound socket").port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || babble(stream));
        }
    });
    port
}

fn babble(mut stream: TcpStream) {
    let mut said = [0; 4096];
    while stream.read(&mut said).is_ok_and(|length| length > 0) {
        if stream.write_all(&[0xff; 4096]).is_err() {
            return;
        }
    }
}
