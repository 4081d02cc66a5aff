//! Services behind a listener whose connections say where they were going.

use super::*;
use crate::config::{Listener, Mode, ProxyProtocol};
use crate::proxy::tests::proxied::header;

const SOURCE: &str = "10.99.0.2:38058";
const DIALLED: &str = "10.98.0.12:3306";
const CLIENT: &str = "spiffe://cluster.local/ns/shop/sa/cart";

fn behind(endpoints: &[Address], version: &str) -> Snapshot {
    let mut snapshot = with_service(endpoints, |service| {
        let dialled: SocketAddr = DIALLED.parse().unwrap();
        service.addresses = vec![dialled.ip()];
        service.port = dialled.port();
    });
    let mode = Mode::ProxyProtocol(ProxyProtocol {
        own_identity: None,
        patience: Duration::from_millis(300),
    });
    let listener = Listener {
        mode,
        ..Listener::clone(&snapshot.listeners[LISTENER])
    };
    snapshot.listeners.insert(LISTENER.into(), listener.into());
    snapshot.version = version.into();
    snapshot.laid_out(&crate::balance::Layouts::default())
}

fn dial(proxy: &Running, destination: &str, bytes: &[u8]) -> TcpStream {
    let mut client = connect(proxy);
    let header = header(SOURCE, destination, Some(CLIENT));
    client.write_all(&[&header, bytes].concat()).unwrap();
    client
}

#[test]
fn what_follows_the_header_passes_and_servers_may_speak_first() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("access.log");
    let options = ProxyOptions {
        access_log: Destination::File(log.clone()),
        ..ProxyOptions::default()
    };
    let endpoint = upstream(named);
    let mut proxy = Running::with(behind(std::slice::from_ref(&endpoint), "v1"), options);
    let mut silent = dial(&proxy, DIALLED, b"");
    assert_eq!(name(&mut silent), port(&endpoint));
    let mut client = dial(&proxy, DIALLED, b"hello");
    assert_eq!(name(&mut client), port(&endpoint));
    client.read_exact(&mut [0; 5]).unwrap();
    let sent = pattern(4 << 20);
    assert!(exchange(client, &sent) == sent);
    drop(silent);
    wait("their end", || counted(&proxy, "connections") == Some(0.0));
    proxy.stop();
    proxy.join().unwrap();
    let lines = std::fs::read_to_string(log).unwrap();
    let line: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&line["peer"], &line["principal"]),
        (&SOURCE.into(), &CLIENT.into())
    );
}

#[test]
fn an_endpoint_that_is_dialled_itself_is_kept() {
    let endpoints: Vec<_> = (0..3).map(|_| upstream(named)).collect();
    let with_dead = [endpoints.clone(), vec![dead()]].concat();
    let proxy = Running::start(behind(&with_dead, "v1"));
    for endpoint in &endpoints {
        for _ in 0..3 {
            let mut client = dial(&proxy, &endpoint.to_string(), b"");
            assert_eq!(name(&mut client), port(endpoint));
        }
    }
    is_reset(&mut dial(&proxy, &with_dead[3].to_string(), b""));
    wait("the count", || closed(&proxy, "UF") == Some(1.0));
}

#[test]
fn a_change_that_does_not_concern_them_leaves_them_alone() {
    let settings = Settings {
        farewell: Duration::from_millis(100),
        ..Settings::default()
    };
    let options = ProxyOptions {
        settings,
        ..ProxyOptions::default()
    };
    let (old, new) = (upstream(named), upstream(named));
    let proxy = Running::with(behind(std::slice::from_ref(&old), "v1"), options);
    let mut client = dial(&proxy, DIALLED, b"");
    name(&mut client);
    let both = [old, new.clone()];
    proxy.snapshots.send_replace(behind(&both, "v2").into());
    let new = new.to_string();
    wait("the new endpoint", || {
        dial(&proxy, &new, b"").read_exact(&mut [0; 2]).is_ok()
    });
    thread::sleep(Duration::from_millis(400));
    client.write_all(b"still").unwrap();
    client.read_exact(&mut [0; 5]).unwrap();
}
