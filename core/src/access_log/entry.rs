//! One exchange, as it is logged.

use std::time::{Duration, Instant};

use serde::ser::{Serialize, SerializeMap, SerializeStruct, Serializer};

use crate::telemetry::{OutcomeLabel, ResponseFlag};

/// What is logged of one exchange. Empty texts are written as `null`.
#[derive(Clone, Debug)]
pub struct Entry {
    /// When the request's last byte had arrived. Written as the time of day.
    pub start: Instant,
    /// The service's name.
    pub service: String,
    /// The protocol's id.
    pub protocol: &'static str,
    /// The route's name.
    pub route: String,
    /// `kind/namespace/name` of the object that the route came from.
    pub owner: String,
    /// The cluster that was chosen.
    pub destination: String,
    /// The endpoint that answered, or was asked last.
    pub endpoint: String,
    /// Where that endpoint is: `region/zone/subzone`.
    pub locality: String,
    /// All endpoints that were asked, in order.
    pub attempts: Vec<Attempt>,
    /// The message's attributes, as far as they were read.
    pub attributes: Vec<(String, String)>,
    /// The client's address.
    pub peer: String,
    /// The identity that the client has proven: a URI where it has one, Envoy's
    /// `%DOWNSTREAM_PEER_URI_SAN%`.
    pub principal: String,
    /// From the request's last byte to the answer's.
    pub duration: Duration,
    /// Of that, from when the last attempt was sent.
    pub upstream: Option<Duration>,
    /// Of the request.
    pub request_bytes: u64,
    /// Of the answer.
    pub response_bytes: u64,
    /// How it ended.
    pub outcome: OutcomeLabel,
    /// The protocol's own response code.
    pub code: u32,
    /// Why it ended so.
    pub flag: ResponseFlag,
    /// The same in more words, where there are any: of a client that was refused, the reason.
    pub detail: String,
}

/// One endpoint that was asked.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Attempt {
    /// Its address.
    pub endpoint: String,
    /// What came of it, in a word.
    pub result: &'static str,
}

/// An entry with the time of day of its start.
pub(super) struct Line<'a> {
    pub(super) time: &'a str,
    pub(super) entry: &'a Entry,
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let entry = self.entry;
        let mut line = serializer.serialize_struct("Entry", 22)?;
        line.serialize_field("time", self.time)?;
        line.serialize_field("service", &text(&entry.service))?;
        line.serialize_field("protocol", entry.protocol)?;
        line.serialize_field("route", &text(&entry.route))?;
        line.serialize_field("owner", &text(&entry.owner))?;
        line.serialize_field("destination", &text(&entry.destination))?;
        line.serialize_field("endpoint", &text(&entry.endpoint))?;
        line.serialize_field("locality", &text(&entry.locality))?;
        line.serialize_field("attempts", &entry.attempts)?;
        line.serialize_field("attributes", &Attributes(&entry.attributes))?;
        line.serialize_field("peer", &text(&entry.peer))?;
        line.serialize_field("principal", &text(&entry.principal))?;
        line.serialize_field("duration_us", &microseconds(entry.duration))?;
        line.serialize_field("upstream_us", &entry.upstream.map(microseconds))?;
        line.serialize_field("request_bytes", &entry.request_bytes)?;
        line.serialize_field("response_bytes", &entry.response_bytes)?;
        line.serialize_field("outcome", entry.outcome.as_str())?;
        line.serialize_field("code", &entry.code)?;
        line.serialize_field("flag", entry.flag.as_str())?;
        line.serialize_field("reason", entry.flag.word())?;
        line.serialize_field("detail", &text(&entry.detail))?;
        line.end()
    }
}

fn text(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

struct Attributes<'a>(&'a [(String, String)]);

impl Serialize for Attributes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}
