//! The facts and the settings.

use meltemi_codec::{Correlation, Order, Protocol, Sharing};
use meltemi_redis::Redis;

#[test]
fn the_facts_are_those_of_redis() {
    let traits = Redis::default().traits();
    assert_eq!(traits.correlation, Correlation::InOrderWithPush);
    assert_eq!(traits.order, Order::PerClient);
    assert_eq!(traits.sharing, Sharing::Pipeline { depth: 1024 });
    assert!(traits.frame_limit > 512 * 1024 * 1024);
    assert_eq!(Redis::default().operation_attribute(), Some("command"));
    assert_eq!(Redis::default().key_attribute(), Some("key"));
    assert!(Redis::default().scatter().is_some() && Redis::default().topology().is_some());
}

#[test]
fn all_settings_are_taken() {
    let settings = [
        ("username", "u"),
        ("password", "p"),
        ("upstreamUsername", "u"),
        ("upstreamPassword", "p"),
        ("readPolicy", "ANY"),
        ("hashTags", "false"),
        ("enableRedirection", "false"),
        ("mode", "CLUSTER"),
    ];
    assert!(Redis::default().configure(&settings).is_ok());
    assert!(Redis::default().configure(&[]).is_ok());
}

#[test]
fn a_wrong_setting_is_named_with_its_remedy() {
    for (name, value, remedy) in [
        ("hashTag", "true", "hashTags"),
        ("hashTags", "yes", "true or false"),
        ("enableRedirection", "", "true or false"),
        ("readPolicy", "master", "MASTER"),
        ("mode", "SENTINEL", "PROXY or CLUSTER"),
        ("username", "u", "password"),
        ("upstreamUsername", "u", "password"),
    ] {
        let Err(refused) = Redis::default().configure(&[(name, value)]) else {
            panic!("{name}={value} is taken");
        };
        assert_eq!(&*refused.name, name);
        assert!(refused.reason.contains(remedy), "{}", refused.reason);
    }
}

#[test]
fn a_later_setting_replaces_an_earlier_one() {
    let protocol = Redis::default().configure(&[
        ("upstreamPassword", "service"),
        ("upstreamPassword", "cluster"),
    ]);
    let (_, _, said) = crate::legs::Server::of(&*protocol.unwrap(), None, false);
    assert_eq!(said.as_bytes(), crate::words::cmd("AUTH cluster"));
}
