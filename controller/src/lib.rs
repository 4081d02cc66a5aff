//! Manifests in, xDS out.
