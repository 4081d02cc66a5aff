//! One slot on the move: where a request for it is sent, and what its client is told.

use meltemi_tests::redis::{Cluster, Server, Wire, encode};

use super::Proxy;

/// Two keys of one slot of node 0, and a proxy that knows it there.
struct Moving {
    cluster: Cluster,
    proxy: Proxy,
    slot: u16,
    here: String,
    gone: String,
}

impl Moving {
    /// The slot is half moved to node 1: `gone` is there, `here` is not.
    fn start() -> Option<Self> {
        if !Server::is_installed() {
            return None;
        }
        let cluster = Cluster::start();
        let proxy = Proxy::of(cluster.manifests("opTimeout: 5s"));
        let tag = cluster.key_of(0, "slot");
        let (here, gone) = (format!("here:{{{tag}}}"), format!("gone:{{{tag}}}"));
        let slot = cluster.slot(&tag);
        let mut client = proxy.connect();
        assert_eq!(client.call(&format!("MSET {here} h {gone} g")), "+OK");
        cluster.begin_move(slot, 0, 1);
        cluster.move_keys(0, 1, &[&gone]);
        Some(Self {
            cluster,
            proxy,
            slot,
            here,
            gone,
        })
    }

    /// How often nodes 0 and 1 executed this.
    fn calls(&self, command: &str) -> [u64; 2] {
        [0, 1].map(|n| self.cluster.node(n).calls(command))
    }

    /// How often they did not.
    fn rejected(&self, command: &str) -> [u64; 2] {
        [0, 1].map(|n| self.cluster.node(n).rejected(command))
    }

    fn reset(&self) {
        for node in self.cluster.nodes() {
            assert_eq!(node.connect().call("CONFIG RESETSTAT"), "+OK");
        }
    }
}

#[test]
fn a_slot_moves_under_its_clients() {
    let Some(moving) = Moving::start() else {
        return;
    };
    half_moved(&moving);
    keys_on_both_sides(&moving);
    within_a_transaction_nothing_is_followed(&moving);
    too_large_to_be_sent_again(&moving);
    let mut channel = listens(&moving);
    moving.cluster.end_move(moving.slot, 0, 1);
    // The server takes the channel back, and the client hears of it.
    let pushed = channel.reply();
    assert_eq!(pushed, format!("[sunsubscribe {} :0]", moving.here));
    moved(&moving);
}

/// `-ASK`: only the one request, with `ASKING`, and the map stays as it was.
fn half_moved(moving: &Moving) {
    let Moving { here, gone, .. } = moving;
    let mut client = moving.proxy.connect();
    moving.reset();
    for _ in 0..3 {
        assert_eq!(client.call(&format!("GET {gone}")), "g");
        assert_eq!(client.call(&format!("GET {here}")), "h");
    }
    assert_eq!(moving.calls("asking"), [0, 3]);
    // Node 0 is asked each time.
    assert_eq!(moving.calls("get"), [3, 3]);
    assert_eq!(moving.rejected("get"), [3, 0]);
    assert_eq!(client.call(&format!("INCR new:{here}")), ":1");
    let script = format!("EVAL return(redis.call('GET',KEYS[1])) 1 {gone}");
    assert_eq!(client.call(&script), "g");

    // A pipeline, whose requests are redirected one after the other.
    let mut bytes = Vec::new();
    for n in 0..100 {
        let n = n.to_string();
        bytes.extend(encode(&[b"APPEND", gone.as_bytes(), n.as_bytes()]));
    }
    client.send(&bytes);
    let mut length = 1;
    for n in 0..100 {
        length += n.to_string().len();
        assert_eq!(client.reply(), format!(":{length}"));
    }
    let all: String = (0..100).map(|n| n.to_string()).collect();
    assert_eq!(client.call(&format!("GET {gone}")), format!("g{all}"));
    assert_eq!(client.call(&format!("SET {gone} g")), "+OK");
}

/// `-TRYAGAIN`: served once the keys are together, and said where they are not for long.
fn keys_on_both_sides(moving: &Moving) {
    let Moving { here, gone, .. } = moving;
    let mut client = moving.proxy.connect();
    let told = client.call(&format!("MGET {here} {gone}"));
    assert!(told.starts_with("-TRYAGAIN "), "{told}");
    let [before, _] = moving.rejected("mget");
    client.command(&format!("MGET {here} {gone}"));
    // It waits at the proxy: the other key is moved meanwhile.
    meltemi_tests::until("it was asked", || {
        (moving.rejected("mget")[0] > before).then_some(())
    });
    moving.cluster.move_keys(0, 1, &[here]);
    assert_eq!(client.reply(), "[h g]");
}

fn within_a_transaction_nothing_is_followed(moving: &Moving) {
    let Moving { gone, .. } = moving;
    let mut client = moving.proxy.connect();
    assert_eq!(client.call("MULTI"), "+OK");
    let refused = client.call(&format!("GET {gone}"));
    assert!(refused.starts_with("-ERR proxy: "), "{refused}");
    let aborted = client.call("EXEC");
    assert!(aborted.starts_with("-EXECABORT "), "{aborted}");
    assert_eq!(client.call(&format!("GET {gone}")), "g");
}

/// The bytes of a large request are gone when the answer comes.
fn too_large_to_be_sent_again(moving: &Moving) {
    let Moving { gone, .. } = moving;
    let mut client = moving.proxy.connect();
    let value = vec![b'x'; 200 * 1024];
    client.send(&encode(&[b"SET", gone.as_bytes(), &value]));
    assert_eq!(client.reply(), "+OK", "what is kept is sent again");
    let value = vec![b'x'; 2 * 1024 * 1024];
    client.send(&encode(&[b"SET", gone.as_bytes(), &value]));
    let refused = client.reply();
    assert!(refused.starts_with("-ERR proxy: "), "{refused}");
    assert_eq!(client.call(&format!("SET {gone} g")), "+OK");
}

fn listens(moving: &Moving) -> Wire {
    let mut client = moving.proxy.connect();
    let channel = &moving.here;
    let listens = client.call(&format!("SSUBSCRIBE {channel}"));
    assert_eq!(listens, format!("[ssubscribe {channel} :1]"));
    client
}

/// `-MOVED`: followed once, then known.
fn moved(moving: &Moving) {
    let Moving { here, gone, .. } = moving;
    moving.reset();
    let mut clients = [moving.proxy.connect(), moving.proxy.connect()];
    for client in &mut clients {
        for _ in 0..5 {
            assert_eq!(client.call(&format!("MGET {gone} {here}")), "[g h]");
        }
    }
    assert_eq!(moving.calls("mget"), [0, 10]);
    // Each worker learns it once at most.
    let [old, new] = moving.rejected("mget");
    assert!(old <= 2 && new == 0, "{old} {new}");

    // Who watches, subscribes or waits is sent to the new owner too.
    let mut client = moving.proxy.connect();
    moving.cluster.move_slot(moving.slot, 1, 0);
    assert_eq!(client.call(&format!("WATCH {gone}")), "+OK");
    assert_eq!(client.call("MULTI"), "+OK");
    assert_eq!(client.call(&format!("SET {gone} 2")), "+QUEUED");
    assert_eq!(client.call("EXEC"), "[+OK]");
    moving.cluster.move_slot(moving.slot, 0, 1);
    let mut listener = moving.proxy.connect();
    let listens = listener.call(&format!("SSUBSCRIBE {here}"));
    assert_eq!(listens, format!("[ssubscribe {here} :1]"));
    assert_eq!(client.call(&format!("SPUBLISH {here} x")), ":1");
    assert_eq!(listener.reply(), format!("[smessage {here} x]"));
    // A client that is blocked when the slot moves.
    let list = format!("list:{here}");
    let mut blocked = moving.proxy.connect();
    blocked.command(&format!("BLPOP {list} 60"));
    meltemi_tests::until("it is blocked", || {
        let clients = moving.cluster.node(1).connect().call("INFO clients");
        clients.contains("blocked_clients:1").then_some(())
    });
    moving.cluster.move_slot(moving.slot, 1, 0);
    meltemi_tests::until("it is blocked elsewhere", || {
        let clients = moving.cluster.node(0).connect().call("INFO clients");
        clients.contains("blocked_clients:1").then_some(())
    });
    assert_eq!(client.call(&format!("RPUSH {list} v")), ":1");
    assert_eq!(blocked.reply(), format!("[{list} v]"));
}
