//! Global rate limits of a MetaRouter before real peers: a real rate limit service over a real Redis
//! counts, and what it does not decide on goes on or is refused, as the MetaRouter says.

#[path = "global_limits/deciding.rs"]
mod deciding;
#[path = "global_limits/failing.rs"]
mod failing;
#[path = "global_limits/lying.rs"]
mod lying;
#[path = "global_limits/shop.rs"]
mod shop;
