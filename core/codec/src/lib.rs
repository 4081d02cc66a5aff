//! The contract between the Meltemi core and a protocol: all that a protocol crate sees.
//!
//! A protocol is a [`Protocol`]: a value that states its facts ([`Traits`], its attributes)
//! and makes one [`Downstream`] codec for each client connection and one [`Upstream`] codec
//! for each server connection. Codecs are synchronous state machines over bytes: no socket,
//! no clock, no randomness. The core owns everything else: sockets, time, routing, balancing,
//! pools, correlation tables, order, limits, retries, metrics.
//!
//! # How a request flows
//!
//! 1. [`Downstream::decode`] finds a request in the bytes of a client and says what the core
//!    has to know of it: its id, how many answers it is owed, what it pins.
//! 2. [`Downstream::attribute`] is asked for those attributes that some rule names, and no others.
//! 3. [`Upstream::forward`] writes it to the chosen server under the id that the core assigned
//!    to this *attempt* on that connection.
//! 4. [`Upstream::decode`] finds the answer, [`Upstream::outcome`] judges it.
//! 5. [`Downstream::respond`] writes it to the client under the client's own id; where there is
//!    no server to ask, [`Downstream::local_reply`] answers in the client's dialect.
//!
//! What a codec learned in step 1 and needs in steps 3 to 5 it keeps in the request's [`Memo`].
//!
//! # Bytes
//!
//! A codec is given the unconsumed bytes of its connection as one slice that starts at a message
//! boundary. A message that is not larger than [`Limits::whole`] is returned only when all of it
//! is there; a larger one as soon as its head can be read, and the rest passes through a window
//! without being stored ([`Size`]).

pub mod attribute;
pub mod downstream;
pub mod edit;
#[cfg(feature = "kit")]
pub mod kit;
pub mod message;
pub mod protocol;
pub mod reply;
pub mod scatter;
pub mod session;
pub mod topology;
pub mod upstream;

pub use attribute::{AttributeDef, AttributeKey};
pub use downstream::{Downstream, Drain, EndOfFile, FromClient};
pub use edit::{Edit, EditRefused};
pub use message::{
    Alike, Answers, Body, Constraint, Decoded, Frame, Limits, Malformed, Memo, Message, OwnRequest,
    Pin, Request, Role, Size,
};
pub use protocol::{Correlation, Order, Protocol, SettingRefused, Sharing, Sniff, Traits};
pub use reply::{LocalReply, Status};
pub use scatter::{Merge, Plan, Scatter, ShardMap};
pub use session::{Open, Opening, Session};
pub use topology::{Node, Probe, Topology, TopologyEvent};
pub use upstream::{At, Expected, FromServer, Outcome, Response, Upstream};
