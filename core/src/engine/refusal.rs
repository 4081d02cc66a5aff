//! The access log's line of a connection that came to nothing before anything was received of it.

use std::{net::SocketAddr, time::Instant};

use super::{ConnectionId, Engine};
use crate::{
    access_log::Entry,
    telemetry::{OutcomeLabel, ResponseFlag},
};

/// Why a client was not served.
#[derive(Clone, Copy, Debug)]
pub struct Why<'a> {
    /// In a word.
    pub flag: ResponseFlag,
    /// For people.
    pub detail: &'a str,
}

/// A connection that was refused while it was nobody's.
#[derive(Clone, Copy, Debug)]
pub struct Stranger<'a> {
    /// Where it came in, or the service that it was going to.
    pub service: &'a str,
    /// Where it came from.
    pub peer: Option<SocketAddr>,
    /// Who it said to be.
    pub principal: Option<&'a str>,
    /// When it was accepted.
    pub since: Instant,
}

impl Engine {
    /// A client came to nothing before it could be served: its handshake failed, for instance. Its line says why.
    pub fn refused(&mut self, id: ConnectionId, why: Why<'_>, now: Instant) {
        self.at(now);
        match id {
            ConnectionId::Client(key) => {
                if let Some(client) = self.clients.get(key) {
                    let service = self.tables.service(client.service);
                    let service = service.map(|service| service.name.clone());
                    let (peer, since) = (client.peer, client.opened);
                    let stranger = Stranger {
                        service: service.as_deref().unwrap_or_default(),
                        peer,
                        principal: None,
                        since,
                    };
                    self.turned_away(&stranger, why, now);
                }
                self.failed(id, now);
            }
            ConnectionId::Tunnel(key) => self.tunnel_refused(key, why),
            ConnectionId::Server(_) => self.connect_failed(id, now),
        }
    }

    /// A connection was closed before it was a client's.
    pub fn turned_away(&mut self, stranger: &Stranger<'_>, why: Why<'_>, now: Instant) {
        if self.telemetry.access_log().is_none() || !self.logged.take(&mut self.random) {
            return;
        }
        let protocol = self.tables.protocol_of(stranger.service);
        let peer = stranger.peer.map(|peer| peer.to_string());
        let entry = Entry {
            start: stranger.since,
            service: stranger.service.to_owned(),
            protocol: protocol.unwrap_or_default(),
            route: String::new(),
            owner: String::new(),
            destination: String::new(),
            endpoint: String::new(),
            locality: String::new(),
            attempts: Vec::new(),
            attributes: Vec::new(),
            peer: peer.unwrap_or_default(),
            principal: stranger.principal.unwrap_or_default().to_owned(),
            duration: now.saturating_duration_since(stranger.since),
            upstream: None,
            request_bytes: 0,
            response_bytes: 0,
            outcome: OutcomeLabel::Local,
            code: 0,
            flag: why.flag,
            detail: why.detail.to_owned(),
        };
        if let Some(log) = self.telemetry.access_log() {
            log.write(entry);
        }
    }
}
