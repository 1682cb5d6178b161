//! Clients and messages of the StoreAPI and its sister services, generated from `server/proto` (see `wire_generated.rs`).

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::too_many_lines,
    clippy::semicolon_if_nothing_returned,
    clippy::allow_attributes_without_reason,
    reason = "generated for every test that speaks the StoreAPI; none uses all of it"
)]

/// Package `thanos`.
pub mod thanos {
    include!("thanos.rs");

    /// Package `thanos.info`.
    pub mod info {
        include!("thanos.info.rs");
    }
}

/// Package `hintspb`.
pub mod hintspb {
    include!("hintspb.rs");
}

/// Package `prometheus_copy`.
pub mod prometheus_copy {
    include!("prometheus_copy.rs");
}
