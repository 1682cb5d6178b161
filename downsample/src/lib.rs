//! Aggregated resolutions: their format, their making, their reading.

#![forbid(unsafe_code)]

mod window;

pub use window::Resolution;
