//! Endpoints that change, every one of them real: all addresses of 127.0.0.0/8 lead to one listener.

use std::fmt;
use std::net::Ipv4Addr;

use clap::ValueEnum;
use meltemi_proto::envoy::config::core::v3 as core;
use meltemi_proto::envoy::config::core::v3::address::Address;
use meltemi_proto::envoy::config::core::v3::socket_address::PortSpecifier;
use meltemi_proto::envoy::config::endpoint::v3 as eds;
use meltemi_proto::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use serde::Serialize;

/// Localities, as many in each zone as there are zones.
const ZONES: u32 = 3;
const LOCALITIES: u32 = ZONES * ZONES;
/// Of so many endpoints one is unhealthy.
const SICK: u32 = 20;

/// What an update does to the endpoints.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Change {
    /// Every endpoint goes, and as many come.
    Replace,
    /// One goes, or comes.
    One,
    /// Every weight changes, and who is unhealthy.
    Weights,
    /// One in ten goes, and as many come.
    Churn,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Replace => "all replaced",
            Self::One => "one added or removed",
            Self::Weights => "all weights and health",
            Self::Churn => "10 % replaced",
        })
    }
}

#[derive(Clone, Copy, Debug)]
struct Member {
    ip: Ipv4Addr,
    /// It decides the locality, the weight and the health.
    number: u32,
}

/// The endpoints of a service.
#[derive(Clone, Debug)]
pub(crate) struct Fleet {
    members: Vec<Member>,
    /// All addresses before this were given.
    next: u32,
    port: u16,
    /// How often weights changed.
    round: u32,
}

impl Fleet {
    pub(crate) fn new(size: u32, port: u16) -> Self {
        let mut fleet = Self {
            members: Vec::new(),
            // 127.0.x.y is left to whatever else listens there.
            next: 1 << 16,
            port,
            round: 0,
        };
        for _ in 0..size {
            let member = fleet.newcomer();
            fleet.members.push(member);
        }
        fleet
    }

    fn newcomer(&mut self) -> Member {
        let number = self.next;
        // The last of 127.0.0.0/8 is a broadcast address; nobody gets that far in a day.
        self.next = (self.next + 1) % 0x00ff_ffff;
        Member {
            ip: Ipv4Addr::from_bits(0x7f00_0000 | number),
            number,
        }
    }

    pub(crate) fn change(&mut self, change: Change) {
        match change {
            Change::Replace => self.replace(1),
            Change::Churn => self.replace(10),
            Change::Weights => self.round += 1,
            Change::One if self.members.len().is_multiple_of(2) => {
                let middle = self.members.len() / 2;
                self.members.remove(middle);
            }
            Change::One => {
                let newcomer = self.newcomer();
                self.members.insert(self.members.len() / 2, newcomer);
            }
        }
    }

    /// Every `step`th is another from now on, at the same place.
    fn replace(&mut self, step: usize) {
        let start = self.next as usize % step;
        for index in (start..self.members.len()).step_by(step) {
            let newcomer = self.newcomer();
            if let Some(member) = self.members.get_mut(index) {
                *member = newcomer;
            }
        }
    }

    /// As the control plane says it: by locality, in a fixed order.
    pub(crate) fn assignment(&self, cluster: &str) -> eds::ClusterLoadAssignment {
        let localities = (0..LOCALITIES).map(|locality| {
            let here = self
                .members
                .iter()
                .filter(|m| m.number % LOCALITIES == locality);
            eds::LocalityLbEndpoints {
                locality: Some(core::Locality {
                    region: "region".to_owned(),
                    zone: format!("zone{}", locality / ZONES),
                    sub_zone: format!("subzone{}", locality % ZONES),
                }),
                lb_endpoints: here.map(|member| self.endpoint(*member)).collect(),
                load_balancing_weight: Some(1),
                priority: 0,
            }
        });
        eds::ClusterLoadAssignment {
            cluster_name: cluster.to_owned(),
            endpoints: localities.collect(),
            policy: None,
        }
    }

    fn endpoint(&self, member: Member) -> eds::LbEndpoint {
        let turn = member.number / LOCALITIES + self.round;
        let health = match turn % SICK {
            0 => core::HealthStatus::Unhealthy,
            _ => core::HealthStatus::Healthy,
        };
        let socket = core::SocketAddress {
            address: member.ip.to_string(),
            port_specifier: Some(PortSpecifier::PortValue(self.port.into())),
            ..core::SocketAddress::default()
        };
        let endpoint = eds::Endpoint {
            address: Some(core::Address {
                address: Some(Address::SocketAddress(socket)),
            }),
            hostname: String::new(),
        };
        eds::LbEndpoint {
            host_identifier: Some(HostIdentifier::Endpoint(endpoint)),
            health_status: health.into(),
            metadata: None,
            load_balancing_weight: Some(1 + turn % 3),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn changes_are_what_they_say() {
        let ips = |fleet: &Fleet| fleet.members.iter().map(|m| m.ip).collect::<HashSet<_>>();
        let shown = |fleet: &Fleet| {
            let assignment = fleet.assignment("cluster");
            let of_locality = assignment.endpoints.into_iter();
            of_locality
                .flat_map(|it| it.lb_endpoints)
                .collect::<Vec<_>>()
        };
        let mut fleet = Fleet::new(1000, 80);
        for (change, size, kept) in [
            (Change::One, 999, 999),
            (Change::One, 1000, 999),
            (Change::Churn, 1000, 900),
            (Change::Weights, 1000, 1000),
            (Change::Replace, 1000, 0),
        ] {
            let before = fleet.clone();
            fleet.change(change);
            let (old, new) = (ips(&before), ips(&fleet));
            assert_eq!((new.len(), shown(&fleet).len()), (size, size), "{change}");
            assert_eq!(old.intersection(&new).count(), kept, "{change}");
        }
        let before = fleet.clone();
        fleet.change(Change::Weights);
        let pairs = shown(&before).into_iter().zip(shown(&fleet));
        for (old, new) in pairs {
            assert_eq!(old.host_identifier, new.host_identifier);
            assert_ne!(old.load_balancing_weight, new.load_balancing_weight);
        }
    }
}
