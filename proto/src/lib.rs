//! The protobuf types on Meltemi's configuration wire.
