//! Who may use a service, as its connections and requests are judged.

use std::net::IpAddr;

use meltemi_codec::{AttributeKey, Downstream, Frame, Protocol};
use meltemi_policy::authorization::{Connection, Policies, Standing, Value, Verdict};

use crate::{config, engine::source::Source};

/// The policies of a service, of which there is at least one.
pub(in crate::engine) struct Authorization {
    policies: Policies<AttributeKey>,
    /// Which clients dial.
    port: u16,
    /// What every request has: where it cannot be read, it is unknown.
    operation: Option<AttributeKey>,
    /// As they were given.
    given: Policies,
    /// The configuration before had other ones.
    pub(in crate::engine) is_new: bool,
}

impl Authorization {
    /// `None`: anybody may use the service.
    pub(super) fn new(
        service: &config::Service,
        protocol: &dyn Protocol,
        before: Option<&Self>,
    ) -> Option<Self> {
        let given = &service.authorization;
        if given.is_empty() {
            return None;
        }
        let schema = protocol.attributes();
        Some(Self {
            policies: given.map(|name| AttributeKey::resolve(schema, name)),
            port: service.port,
            operation: protocol
                .operation_attribute()
                .map(|name| AttributeKey::resolve(schema, name)),
            is_new: before.is_none_or(|before| before.given != *given),
            given: given.clone(),
        })
    }

    /// What is known of all requests of a client.
    pub(in crate::engine) fn standing(&self, source: &Source) -> Standing {
        self.policies.standing(self.connection(source))
    }

    /// What becomes of a request, and whether it is to be counted.
    pub(in crate::engine) fn judge(
        &self,
        source: &Source,
        codec: &dyn Downstream,
        frame: Frame<'_>,
    ) -> (Verdict, bool) {
        let from = self.connection(source);
        let value = |attribute: &AttributeKey| match codec.attribute(frame, attribute) {
            Some(value) => Value::Known(value),
            None if frame.whole && self.operation.as_ref() != Some(attribute) => Value::Absent,
            // It may be in what is still to come.
            None => Value::Unknown,
        };
        let verdict = self.policies.judge(from, value);
        (verdict, self.policies.audits(from, value))
    }

    fn connection<'a>(&self, source: &'a Source) -> Connection<'a> {
        connection(source, self.port)
    }
}

/// A client's connection to a port, as policies see it.
pub(super) fn connection(source: &Source, port: u16) -> Connection<'_> {
    let address = source.address.as_deref();
    Connection {
        principal: source.principal.as_deref(),
        address: address.and_then(|address| address.parse::<IpAddr>().ok()),
        port,
    }
}
