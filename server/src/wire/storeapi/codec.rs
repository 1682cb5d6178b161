//! How messages get into and out of the buffers of a connection.
//!
//! Messages are written and read by whoever knows how ([`ToWire`], [`FromWire`]): prost for its messages, we ourselves for series.
//! Room for the whole message is made first, so its bytes are copied once.

use std::marker::PhantomData;

use prost::Message;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

use super::message::SeriesMessage;
use super::read::read_from;

/// Something that can be written as a message.
pub(crate) trait ToWire: Send + 'static {
    /// Writes it at the end of `out`.
    fn put(self, out: &mut EncodeBuf<'_>) -> Result<(), Status>;
}

impl<M: Message + 'static> ToWire for M {
    fn put(self, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.reserve(self.encoded_len());
        self.encode(out).map_err(|why| Status::internal(why.to_string()))
    }
}

impl ToWire for SeriesMessage {
    fn put(self, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        let plan = self.plan();
        out.reserve(plan.len());
        self.write(&plan, out);
        Ok(())
    }
}

/// Something that can be read from a message.
pub(crate) trait FromWire: Sized + Send + 'static {
    /// Reads the one message that is in `buf`.
    fn get(buf: &mut DecodeBuf<'_>) -> Result<Self, Status>;
}

impl<M: Message + Default + 'static> FromWire for M {
    fn get(buf: &mut DecodeBuf<'_>) -> Result<Self, Status> {
        Self::decode(buf).map_err(|why| broken(&why))
    }
}

impl FromWire for SeriesMessage {
    fn get(buf: &mut DecodeBuf<'_>) -> Result<Self, Status> {
        read_from(buf).map_err(|why| broken(&why))
    }
}

/// As in Go: what cannot be read is an internal error of the transport.
fn broken(why: &impl std::fmt::Display) -> Status {
    Status::internal(format!("grpc: failed to unmarshal the received message: {why}"))
}

/// The codec of all our calls: messages of type `T` go out, messages of type `U` come in.
#[derive(Debug)]
pub(crate) struct WireCodec<T, U>(PhantomData<fn(T) -> U>);

impl<T, U> Default for WireCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: ToWire, U: FromWire> Codec for WireCodec<T, U> {
    type Encode = T;
    type Decode = U;
    type Encoder = WireEncoder<T>;
    type Decoder = WireDecoder<U>;

    fn encoder(&mut self) -> WireEncoder<T> {
        WireEncoder(PhantomData)
    }

    fn decoder(&mut self) -> WireDecoder<U> {
        WireDecoder(PhantomData)
    }
}

/// The writing half of [`WireCodec`].
#[derive(Debug)]
pub(crate) struct WireEncoder<T>(PhantomData<fn(T)>);

impl<T: ToWire> Encoder for WireEncoder<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, item: T, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.put(out)
    }
}

/// The reading half of [`WireCodec`].
#[derive(Debug)]
pub(crate) struct WireDecoder<U>(PhantomData<fn() -> U>);

impl<U: FromWire> Decoder for WireDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        U::get(buf).map(Some)
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}
