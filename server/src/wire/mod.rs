//! Foreign bytes to our nouns and back; nothing else in the server speaks protobuf or snappy.
//!
//! Every decoder here takes bytes from strangers: none of them panics, and each is bounded by what its caller allows.

mod proto;
pub mod remote_write;
pub mod snappy;
