//! Messages of the StoreAPI: requests to our nouns, our nouns to the bytes of answers.
//!
//! What is asked seldom and is small goes through the generated types of `wire/gen`. Series are many: their messages are written by
//! hand, straight from the store's chunks into the buffer of the connection.

#[cfg(feature = "query")]
mod ask;
mod codec;
mod hints;
mod message;
mod read;
mod request;

#[cfg(feature = "query")]
pub(crate) use ask::{label_names_request, label_values_request, series_request};
pub(crate) use codec::WireCodec;
#[cfg(feature = "query")]
pub(crate) use codec::{FromWire, ToWire};
pub(crate) use hints::hints_message;
#[cfg(feature = "query")]
pub(crate) use hints::read_hints;
pub(crate) use message::SeriesMessage;
pub use read::frames_in;
pub use request::accepted_as;
pub(crate) use request::{
    Call, exemplars_query, label_names_query, label_values_query, matchers_from, series_query,
};
