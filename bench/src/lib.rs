//! Meltemi beside the floor and other proxies, in one run.
