//! The contract between the Meltemi core and a protocol.
