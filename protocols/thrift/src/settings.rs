//! What the settings of a service can change.

use meltemi_codec::{Correlation, Order, SettingRefused, Sharing};

use crate::{
    dialect::{Encoding, Transport},
    frame::Expect,
};

/// A setting, for the reference documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettingDef {
    /// As `settings` of an ApplicationProtocol has it.
    pub name: &'static str,
    /// The values that it may have, the default first.
    pub values: &'static str,
    /// What it does, in a sentence or two.
    pub meaning: &'static str,
}

/// The settings that [`crate::Thrift`] takes.
pub const SETTINGS: &[SettingDef] = &[
    SettingDef {
        name: "transport",
        values: "`auto`, `framed`, `buffered`, `header`, `ttheader`",
        meaning: "The transport of all connections; `auto` finds it out for each by its first bytes.",
    },
    SettingDef {
        name: "protocol",
        values: "`auto`, `binary`, `lax`, `compact`, `json`",
        meaning: "The protocol of all messages; `auto` reads it in each. `binary` and `lax` read each other.",
    },
    SettingDef {
        name: "oneway",
        values: "none, or methods separated by commas",
        meaning: "Methods that clients send as CALL and no server answers: Thrift before 0.9.3 does \
                  so with one-way methods, and Go's clients still do. `Svc:method` means that of one \
                  service.",
    },
    SettingDef {
        name: "sharing",
        values: "`exclusive-per-client`, `pipeline`",
        meaning: "Whether a connection to a server serves the unanswered calls of one client at a \
                  time, or those of all, up to `depth`, answered in order.",
    },
    SettingDef {
        name: "depth",
        values: "1 to 65535, by default 1",
        meaning: "Unanswered calls on one connection. With `sharing: pipeline` only.",
    },
    SettingDef {
        name: "service",
        values: "none, or a name",
        meaning: "The attribute `service` of calls that name none themselves.",
    },
    SettingDef {
        name: "check",
        values: "none, or a method",
        meaning: "The method that a health check calls, without arguments, in the `transport` and \
                  `protocol` of these settings (`framed` and `binary` for `auto`). `Svc:method` is \
                  that of a multiplexed service. None: connections alone are checked.",
    },
    SettingDef {
        name: "correlation",
        values: "`order`, `id`",
        meaning: "`id` for servers that answer out of order: calls get numbers of the proxy's and \
                  share connections. Clients still read their answers in the order of their calls.",
    },
];

/// The settings of a service, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) expect: Expect,
    oneway: Vec<Box<[u8]>>,
    pub(crate) service: Option<Box<str>>,
    pub(crate) by_id: bool,
    /// The method that health checks call.
    pub(crate) check: Option<Box<[u8]>>,
    /// `None`: what fits the correlation.
    shared: Option<Shared>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shared {
    PerClient,
    Pipeline,
}

impl Settings {
    /// These settings and what they make of sharing.
    ///
    /// # Errors
    /// The first setting that is unknown or wrong, with what would be right.
    pub(crate) fn read(settings: &[(&str, &str)]) -> Result<(Self, Sharing), SettingRefused> {
        let mut read = Self::default();
        let mut depth = None;
        for (name, value) in settings {
            let set = match *name {
                "transport" => read.transport(value),
                "protocol" => read.protocol(value),
                "oneway" => read.methods(value),
                "sharing" => read.sharing(value),
                "service" => read.service(value),
                "correlation" => read.correlation(value),
                "check" => read.check(value),
                "depth" => parse_depth(value).map(|parsed| depth = Some(parsed)),
                _ => Err(
                    "there is no such setting; there are transport, protocol, oneway, sharing, \
                     depth, service, check, correlation",
                ),
            };
            set.map_err(|reason| refused(name, reason))?;
        }
        read.agree()?;
        let sharing = match (read.shared, depth, read.by_id) {
            (Some(Shared::Pipeline), depth, false) => Sharing::Pipeline {
                depth: depth.unwrap_or(1),
            },
            (Some(Shared::Pipeline), _, true) => {
                return Err(refused(
                    "sharing",
                    "with correlation `id` connections are multiplexed; leave it out, or say \
                     `exclusive-per-client`",
                ));
            }
            (_, Some(_), _) => {
                return Err(refused("depth", "it belongs to sharing `pipeline` only"));
            }
            (None, None, true) => Sharing::Multiplex,
            _ => Sharing::PerClient,
        };
        Ok((read, sharing))
    }

    /// What each setting allows and the settings together do not.
    fn agree(&self) -> Result<(), SettingRefused> {
        match (self.expect.transport, self.expect.encoding) {
            (Some(Transport::Buffered), Some(Encoding::Json)) => Err(refused(
                "protocol",
                "`json` is supported in frames only: transport `framed`",
            )),
            (Some(Transport::TtHeader), Some(Encoding::Json)) => Err(refused(
                "protocol",
                "TTHeader has no `json`: `binary` or `compact`",
            )),
            _ => Ok(()),
        }
    }

    /// Whether calls of a method want no answer. The name is the one on the wire.
    pub(crate) fn is_oneway(&self, name: &[u8], method: &[u8]) -> bool {
        let mut listed = self.oneway.iter();
        listed.any(|listed| **listed == *name || **listed == *method)
    }

    pub(crate) fn correlates(&self) -> (Correlation, Order) {
        match self.by_id {
            true => (
                Correlation::ById {
                    bits: 32,
                    reserved: &[],
                },
                Order::Independent,
            ),
            false => (Correlation::InOrder, Order::PerClient),
        }
    }

    fn transport(&mut self, value: &str) -> Result<(), &'static str> {
        let mut all = Transport::ALL.into_iter();
        let found = all.find(|transport| transport.name() == value);
        if found.is_none() && value != "auto" {
            return Err("it is none of auto, framed, buffered, header, ttheader");
        }
        self.expect.transport = found;
        Ok(())
    }

    fn protocol(&mut self, value: &str) -> Result<(), &'static str> {
        let mut all = Encoding::ALL.into_iter();
        let found = all.find(|encoding| encoding.name() == Some(value));
        if found.is_none() && value != "auto" {
            return Err("it is none of auto, binary, lax, compact, json");
        }
        self.expect.encoding = found;
        Ok(())
    }

    fn methods(&mut self, value: &str) -> Result<(), &'static str> {
        let names = value.split(',').map(str::trim);
        self.oneway = names.map(|name| name.as_bytes().into()).collect();
        match self.oneway.iter().any(|name| name.is_empty()) {
            true => {
                Err("names of methods are separated by single commas, such as `notify,Log:write`")
            }
            false => Ok(()),
        }
    }

    fn sharing(&mut self, value: &str) -> Result<(), &'static str> {
        self.shared = match value {
            "exclusive-per-client" => Some(Shared::PerClient),
            "pipeline" => Some(Shared::Pipeline),
            _ => return Err("it is none of exclusive-per-client, pipeline"),
        };
        Ok(())
    }

    fn service(&mut self, value: &str) -> Result<(), &'static str> {
        self.service = Some(value.into());
        match value.is_empty() {
            true => Err("the name of a service is not empty"),
            false => Ok(()),
        }
    }

    fn check(&mut self, value: &str) -> Result<(), &'static str> {
        self.check = Some(value.as_bytes().into());
        match value.is_empty() {
            true => Err("the name of a method is not empty"),
            false => Ok(()),
        }
    }

    fn correlation(&mut self, value: &str) -> Result<(), &'static str> {
        self.by_id = match value {
            "order" => false,
            "id" => true,
            _ => return Err("it is none of order, id"),
        };
        Ok(())
    }
}

fn parse_depth(value: &str) -> Result<u16, &'static str> {
    match value.parse() {
        Ok(depth @ 1..) => Ok(depth),
        _ => Err("it is a number from 1 to 65535"),
    }
}

fn refused(name: &str, reason: &'static str) -> SettingRefused {
    SettingRefused {
        name: name.into(),
        reason,
    }
}
