//! The roles of Sarsen.

#![forbid(unsafe_code)]

#[cfg(feature = "receive")]
pub mod receive;
