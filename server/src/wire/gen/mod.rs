//! Messages and servers of the StoreAPI and its sister services, generated from `server/proto` (see `tests/wire_generated.rs`).
//!
//! Names and values of labels are bytes here. The answer of `Store.Series` is not generated: it is `wire/storeapi`'s own.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    missing_debug_implementations,
    clippy::all,
    clippy::too_many_lines,
    clippy::large_futures,
    clippy::semicolon_if_nothing_returned,
    clippy::uninlined_format_args,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]

pub(crate) mod thanos {
    include!("thanos.rs");

    pub(crate) mod info {
        include!("thanos.info.rs");
    }
}

pub(crate) mod hintspb {
    include!("hintspb.rs");
}

pub(crate) mod prometheus_copy {
    include!("prometheus_copy.rs");
}

/// The texts as descriptors, for reflection.
pub(crate) const DESCRIPTORS: &[u8] = include_bytes!("descriptors.bin");
