//! Meltemi beside the floor and other proxies, in one run.
//!
//! Every part is a process of its own ([`echo`], [`relay`], each proxy), so that the CPU time of
//! the proxy is the proxy's alone. The load comes from this process ([`load`]).

pub mod cli;
pub mod echo;
pub mod load;
pub mod relay;

mod admin;
mod callgrind;
mod churn;
mod contender;
mod idle;
mod instructions;
mod link;
mod pace;
mod process;
mod report;
mod soak;
mod steady;
mod suite;
mod syscalls;
mod updates;
mod upstream;
mod wire;
