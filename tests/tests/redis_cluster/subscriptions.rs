//! Classic channels reach all nodes; sharded ones live on the shard of their slot.

use super::Proxied;

#[test]
fn messages_reach_their_subscribers() {
    let Some(proxied) = Proxied::start("opTimeout: 10s") else {
        return;
    };
    let mut publisher = proxied.connect();
    let mut listener = proxied.connect();
    assert_eq!(listener.call("SUBSCRIBE news"), "[subscribe news :1]");
    let mut patterns = proxied.connect();
    assert_eq!(patterns.call("PSUBSCRIBE n*"), "[psubscribe n* :1]");
    for n in 0..10 {
        // Whichever node it comes to.
        assert!(
            publisher
                .call(&format!("PUBLISH news {n}"))
                .starts_with(':')
        );
        assert_eq!(listener.reply(), format!("[message news {n}]"));
        assert_eq!(patterns.reply(), format!("[pmessage n* news {n}]"));
    }
    assert_eq!(publisher.call("PUBSUB CHANNELS"), "[news]");
    assert_eq!(
        publisher.call("PUBSUB NUMSUB news none"),
        "[news :1 none :0]"
    );
    assert_eq!(publisher.call("PUBSUB NUMPAT"), ":1");
    assert_eq!(listener.call("UNSUBSCRIBE news"), "[unsubscribe news :0]");
    assert_eq!(listener.call("PING"), "+PONG");

    for channel in proxied.keys("shard") {
        let mut listener = proxied.connect();
        let subscribed = listener.call(&format!("SSUBSCRIBE {channel}"));
        assert_eq!(subscribed, format!("[ssubscribe {channel} :1]"));
        assert_eq!(publisher.call(&format!("SPUBLISH {channel} hello")), ":1");
        assert_eq!(listener.reply(), format!("[smessage {channel} hello]"));
        // Servers may still have those of listeners that have just left.
        let channels = publisher.call("PUBSUB SHARDCHANNELS");
        assert!(channels.contains(&channel), "{channels}");
        let left = listener.call(&format!("SUNSUBSCRIBE {channel}"));
        assert_eq!(left, format!("[sunsubscribe {channel} :0]"));
        // RESP3: between pushes anything may be asked, of any shard.
        listener.call("HELLO 3");
        let subscribed = listener.call(&format!("SSUBSCRIBE {channel}"));
        assert_eq!(subscribed, format!("push[ssubscribe {channel} :1]"));
        for key in proxied.keys("between") {
            assert_eq!(listener.call(&format!("SET {key} 1")), "+OK");
        }
        assert_eq!(publisher.call(&format!("SPUBLISH {channel} hello")), ":1");
        assert_eq!(listener.reply(), format!("push[smessage {channel} hello]"));
    }
}
