//! Dubbo for Meltemi.
