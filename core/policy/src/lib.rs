//! Pure functions that the data plane and the control plane share: route lookup, subsets, locality tiers.
