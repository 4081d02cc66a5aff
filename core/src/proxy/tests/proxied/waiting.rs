//! Connections to what is not known yet.

use super::*;

#[test]
fn an_unknown_destination_is_waited_for() {
    let proxy = start();
    let new = "10.98.0.12:20880";
    let mut client = Client(tunnel(&proxy, &header(SOURCE, new, None)));
    client.send(1, b"early");
    wait("the wait", || waiting(&proxy) == Some(1.0));
    let mut next = world("v2", any_port());
    let echo = &next.services["default/echo"];
    let echo = Service {
        addresses: vec![address(new).ip()],
        ..Service::clone(echo)
    };
    next.services.insert(echo.name.clone(), echo.into());
    let next = next.laid_out(&Layouts::default());
    proxy.snapshots.send_replace(next.into());
    assert_eq!(client.receive().1, b"early");
    client.call(2, b"and more");
    assert_eq!(waiting(&proxy), Some(0.0));
    assert_eq!(all_refused(&proxy), 0.0);
}

#[test]
fn an_unknown_destination_is_not_waited_for_for_ever() {
    let proxy = start();
    for unknown in ["10.98.0.10:1", "8.8.8.8:53", "[fd00:98::11]:6379"] {
        let source = if unknown.starts_with('[') {
            "[::2]:1"
        } else {
            SOURCE
        };
        let client = tunnel(&proxy, &header(source, unknown, None));
        let begun = std::time::Instant::now();
        is_closed(client);
        assert!(begun.elapsed() >= PATIENCE - Duration::from_millis(50));
    }
    assert_eq!(refused(&proxy, "unknown_destination"), Some(3.0));
    assert_eq!(waiting(&proxy), Some(0.0));
}

#[test]
fn only_so_many_are_waited_for() {
    let proxy = start_with(Settings {
        waiting: 1,
        ..Settings::default()
    });
    let unknown = header(SOURCE, "10.98.0.12:20880", None);
    // Two workers, each of which has one.
    let all: Vec<_> = (0..6).map(|_| tunnel(&proxy, &unknown)).collect();
    all.into_iter().for_each(is_closed);
    assert_eq!(refused(&proxy, "unknown_destination"), Some(2.0));
    assert_eq!(refused(&proxy, "overflow"), Some(4.0));
}
