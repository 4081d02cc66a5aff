//! Listeners whose address changes while clients are connected.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use super::harness::{Client, Running, any_port, snapshot, tcp_echo, wait};
use crate::config::{Address, Bind};

const A: &str = "default/edge/a";
const B: &str = "default/edge/b";

/// A port that is free now.
/// No port that the system gives to connections: one of these would keep a listener from the port while it
/// is closed on its way from address to address.
fn free() -> SocketAddr {
    let ports = std::iter::repeat_with(|| rand::random_range(10_000..32_000));
    let addresses = ports.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let mut free = addresses.filter(|address| TcpListener::bind(address).is_ok());
    free.next().unwrap()
}

struct Moving {
    proxy: Running,
    upstream: Address,
}

impl Moving {
    fn new(listeners: &[(&str, Bind)]) -> Self {
        let upstream = tcp_echo();
        let proxy = Running::start(snapshot("v1", listeners, std::slice::from_ref(&upstream)));
        proxy.ready();
        Self { proxy, upstream }
    }

    fn change(&self, listeners: &[(&str, Bind)]) {
        let next = snapshot("v2", listeners, std::slice::from_ref(&self.upstream));
        self.proxy.snapshots.send_replace(next.into());
    }
}

fn call(address: SocketAddr, id: u64) -> Client<TcpStream> {
    let mut client = Client(TcpStream::connect(address).unwrap());
    client.call(id, b"hello");
    client
}

#[test]
fn a_listener_serves_at_its_old_address_until_the_new_one_is_open() {
    let moving = Moving::new(&[(A, any_port())]);
    let old = moving.proxy.address(A);
    let mut client = call(old, 1);
    client.send(2, b"hold");
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let new = taken.local_addr().unwrap();
    moving.change(&[(A, Bind::Tcp(new))]);
    wait("the reason", || {
        let (status, reasons) = moving.proxy.get("/ready");
        status == 503 && reasons.contains(&format!("listener {A}: cannot listen on {new}: "))
    });
    call(old, 1);
    let page = moving.proxy.json("/listeners")["listeners"][0].clone();
    assert_eq!(page["state"], "failed");
    assert_eq!(page["serving"], old.to_string());
    assert_eq!(page["bind"], new.to_string());

    drop(taken);
    moving.proxy.ready();
    assert_eq!(moving.proxy.address(A), new);
    call(new, 1);
    wait("the old one's end", || TcpStream::connect(old).is_err());
    // The connection that was there, and its request, know nothing of it.
    client.send(3, b"go on");
    assert_eq!([client.receive().0.id, client.receive().0.id], [2, 3]);
}

#[test]
fn a_change_that_is_taken_back_leaves_the_listener_as_it_was() {
    let moving = Moving::new(&[(A, any_port())]);
    let old = moving.proxy.address(A);
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    moving.change(&[(A, Bind::Tcp(taken.local_addr().unwrap()))]);
    wait("the failure", || moving.proxy.get("/ready").0 == 503);
    moving.change(&[(A, any_port())]);
    moving.proxy.ready();
    assert_eq!(moving.proxy.address(A), old);
    call(old, 1);
}

#[test]
fn listeners_may_take_each_others_addresses() {
    let (a, b) = (Bind::Tcp(free()), Bind::Tcp(free()));
    let moving = Moving::new(&[(A, a.clone()), (B, b.clone())]);
    let (first, second) = (moving.proxy.address(A), moving.proxy.address(B));
    moving.change(&[(A, b), (B, a)]);
    wait("the exchange", || moving.proxy.address(A) == second);
    moving.proxy.ready();
    assert_eq!(moving.proxy.address(B), first);
    call(first, 1);
    call(second, 1);
}

#[test]
fn a_listener_may_open_to_more_interfaces_at_its_port() {
    let address = free();
    let moving = Moving::new(&[(A, Bind::Tcp(address))]);
    let mut client = call(address, 1);
    let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
    moving.change(&[(A, Bind::Tcp(everywhere))]);
    wait("the move", || moving.proxy.address(A) == everywhere);
    call(address, 1);
    client.call(2, b"as before");
    // And to one other.
    let narrow = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), address.port()));
    moving.change(&[(A, Bind::Tcp(narrow))]);
    wait("the other", || moving.proxy.address(A) == narrow);
    call(narrow, 1);
}
