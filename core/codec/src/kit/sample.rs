//! Two protocols that exist nowhere but in tests: as small as a protocol can be that still has
//! everything the core must treat well. They prove the kit, and drive the core's simulator.

pub mod by_id;
pub mod in_order;

pub use by_id::ById;
pub use in_order::InOrder;
