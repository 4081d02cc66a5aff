//! Protocols that break one rule each: a kit that lets them pass is worse than none.
