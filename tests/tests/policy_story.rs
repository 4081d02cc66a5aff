//! What an owner of a service asks for in a MetaRouter or a DestinationRule: one story, told to real servers and real
//! clients of each protocol, whose libraries read the errors as the protocol's page of the docs says.

#[path = "policy_story/chapters.rs"]
mod chapters;
#[path = "policy_story/dubbo.rs"]
mod dubbo;
#[path = "policy_story/peers.rs"]
mod peers;
#[path = "policy_story/proxied.rs"]
mod proxied;
#[path = "policy_story/redis.rs"]
mod redis;
#[path = "policy_story/stage.rs"]
mod stage;
#[path = "policy_story/thrift.rs"]
mod thrift;
#[path = "policy_story/told.rs"]
mod told;

use peers::Peers;
use stage::Stage;

fn tell(peers: Option<impl Peers + 'static>) {
    let Some(peers) = peers else { return };
    let mut stage = Stage::set(Box::new(peers));
    for (name, chapter) in chapters::ALL {
        println!("{name}");
        chapter(&mut stage);
    }
}

#[test]
fn dubbo_providers_and_consumers() {
    tell(dubbo::Dubbo::find());
}

#[test]
fn thrift_servers_and_clients() {
    tell(thrift::Thrift::find());
}

#[test]
fn redis_servers_and_clients() {
    tell(redis::Redis::MetaRouter.find());
}

#[test]
fn redis_servers_and_clients_under_a_redis_service() {
    tell(redis::Redis::RedisService.find());
}
