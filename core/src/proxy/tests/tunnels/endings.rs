//! How tunnels end.

use super::*;

#[test]
fn each_side_may_end_before_the_other() {
    // It ends at once, and still gets all that its client has to say.
    let (heard, hears) = std::sync::mpsc::channel::<Vec<u8>>();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let endpoint = Address::Tcp(listener.local_addr().unwrap());
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"bye").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        heard.send(rest(&mut stream).unwrap()).unwrap();
    });
    let proxy = Running::start(passing(&[endpoint]));
    let mut client = connect(&proxy);
    assert_eq!(rest(&mut client).unwrap(), b"bye");
    let sent = pattern(4 << 20);
    client.write_all(&sent).unwrap();
    assert_eq!(closed(&proxy, "-"), None, "one direction is still open");
    client.shutdown(Shutdown::Write).unwrap();
    assert!(hears.recv().unwrap() == sent);
    wait("its end", || closed(&proxy, "-") == Some(1.0));
}

#[test]
fn an_endpoint_that_breaks_off_resets_its_client_and_a_client_its_endpoint() {
    let breaks = |mut stream: TcpStream| {
        stream.read_exact(&mut [0]).unwrap();
        let socket = socket2::SockRef::from(&stream);
        socket.set_linger(Some(Duration::ZERO)).unwrap();
    };
    let proxy = Running::start(passing(&[upstream(breaks)]));
    let mut client = connect(&proxy);
    client.write_all(b"x").unwrap();
    is_reset(&mut client);
    wait("the count", || closed(&proxy, "UC") == Some(1.0));
    drop(proxy);

    let (ended, ends) = std::sync::mpsc::channel();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let endpoint = Address::Tcp(listener.local_addr().unwrap());
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0]).unwrap();
        stream.write_all(b"y").unwrap();
        ended.send(rest(&mut stream)).unwrap();
    });
    let proxy = Running::start(passing(&[endpoint]));
    let mut client = connect(&proxy);
    client.write_all(b"x").unwrap();
    client.read_exact(&mut [0]).unwrap();
    let socket = socket2::SockRef::from(&client);
    socket.set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    let error = ends.recv().unwrap().expect_err("a reset");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    wait("the count", || closed(&proxy, "DC") == Some(1.0));
}

#[test]
fn a_silent_one_is_closed_and_one_that_lasts_too_long() {
    type Change = fn(&mut Service);
    let rows: [(&str, Change); 2] = [
        ("SI", |service| {
            service.idle_timeout = Some(Duration::from_millis(300))
        }),
        ("DT", |service| {
            service.max_connection_duration = Some(Duration::from_millis(300))
        }),
    ];
    for (flag, change) in rows {
        let proxy = Running::start(with_service(&[upstream(mirror)], change));
        let mut client = connect(&proxy);
        client.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
        assert_eq!(rest(&mut client).unwrap(), b"", "{flag}");
        wait(flag, || closed(&proxy, flag) == Some(1.0));
    }
}

#[test]
fn a_drain_lets_them_go_on_until_its_time_is_over() {
    let options = ProxyOptions {
        drain_time: Duration::from_millis(500),
        ..ProxyOptions::default()
    };
    let mut proxy = Running::with(passing(&[upstream(mirror)]), options);
    let mut clients = [connect(&proxy), connect(&proxy)];
    for client in &mut clients {
        client.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
    }
    proxy.stop();
    wait("the drain", || {
        proxy.metric("meltemi_draining") == Some(1.0)
    });
    let [mut one, mut other] = clients;
    other.write_all(b"still").unwrap();
    other.read_exact(&mut [0; 5]).unwrap();
    assert_eq!(rest(&mut one).unwrap(), b"");
    drop(other);
    proxy.join().unwrap();
}

#[test]
fn a_drain_ends_with_the_last_of_them() {
    let options = ProxyOptions {
        drain_time: Duration::from_secs(600),
        ..ProxyOptions::default()
    };
    let mut proxy = Running::with(passing(&[upstream(mirror)]), options);
    let mut client = connect(&proxy);
    client.write_all(b"x").unwrap();
    client.read_exact(&mut [0]).unwrap();
    proxy.stop();
    drop(client);
    proxy.join().unwrap();
}

#[test]
fn what_the_configuration_has_no_more_may_end_by_itself() {
    let settings = Settings {
        farewell: Duration::from_millis(500),
        ..Settings::default()
    };
    let options = ProxyOptions {
        settings,
        ..ProxyOptions::default()
    };
    let (old, new) = (upstream(named), upstream(named));
    let proxy = Running::with(passing(std::slice::from_ref(&old)), options);
    let mut client = connect(&proxy);
    assert_eq!(name(&mut client), port(&old));
    let next = Snapshot {
        version: "v2".into(),
        ..passing(std::slice::from_ref(&new))
    };
    proxy.snapshots.send_replace(next.into());
    wait("the new endpoint", || {
        name(&mut connect(&proxy)) == port(&new)
    });
    client.write_all(b"still").unwrap();
    client.read_exact(&mut [0; 5]).unwrap();
    assert_eq!(rest(&mut client).unwrap(), b"");
    wait("its end", || closed(&proxy, "DI") == Some(1.0));
    let page = proxy.json("/clusters");
    let endpoints = page["clusters"][CLUSTER]["endpoints"].as_array().unwrap();
    assert_eq!(endpoints.len(), 1);
}
