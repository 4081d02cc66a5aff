//! End-to-end tests over real peers, and their harness.
