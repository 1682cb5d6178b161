//! Foreign bytes to our nouns and back; nothing else in the server speaks protobuf or snappy.
//!
//! Every decoder here takes bytes from strangers: none of them panics, and each is bounded by what its caller allows.

#[cfg(feature = "grpc")]
#[path = "gen/mod.rs"]
pub(crate) mod generated;
#[cfg(feature = "query")]
pub(crate) mod json;
#[cfg(feature = "grpc")]
#[cfg_attr(not(feature = "receive"), allow(dead_code, reason = "only remote write checks shapes"))]
mod proto;
#[cfg(feature = "receive")]
pub mod remote_write;
#[cfg(feature = "receive")]
pub mod snappy;
#[cfg(feature = "grpc")]
pub mod storeapi;

#[cfg(feature = "grpc")]
pub(crate) use generated::DESCRIPTORS;
