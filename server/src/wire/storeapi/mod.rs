//! Messages of the StoreAPI: requests to our nouns, our nouns to the bytes of answers.
//!
//! What is asked seldom and is small goes through the generated types of `wire/gen`. Series are many: their messages are written by
//! hand, straight from the store's chunks into the buffer of the connection.

mod codec;
mod message;
mod request;

pub(crate) use codec::WireCodec;
pub(crate) use message::SeriesMessage;
pub use request::accepted_as;
pub(crate) use request::{Call, label_names_query, label_values_query, selectors, series_query};
