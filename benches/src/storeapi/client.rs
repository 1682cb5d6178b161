//! A connection to somebody who speaks the StoreAPI. Messages go out and come in as bytes, so that a load can be counted
//! without being read, and a recorded request can be sent as it is.

use anyhow::Context;
use bytes::{Buf, BufMut, Bytes};
use prost::Message;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};

use super::message::{SeriesRequest, SeriesResponse};

/// Bytes in, bytes out.
#[derive(Debug, Default, Clone, Copy)]
struct Plain;

impl Codec for Plain {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(item);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// Frames of an answer as they came, and how it ended.
#[derive(Debug)]
pub struct Answer {
    /// Frames before the end.
    pub frames: Vec<Bytes>,
    /// The status, if it is not OK.
    pub failure: Option<Status>,
}

impl Answer {
    /// The frames read as messages of a Series call.
    ///
    /// # Errors
    /// If one is none.
    pub fn series(&self) -> anyhow::Result<Vec<SeriesResponse>> {
        let read = |frame: &Bytes| SeriesResponse::decode(frame.clone()).context("a frame of Series");
        self.frames.iter().map(read).collect()
    }
}

/// A connection. Cheap to clone; clones share it.
#[derive(Debug, Clone)]
pub struct StoreClient {
    grpc: Grpc<Channel>,
    metadata: Vec<(AsciiMetadataKey, AsciiMetadataValue)>,
}

impl StoreClient {
    /// Connects to `host:port`, without encryption.
    ///
    /// # Errors
    /// If nobody listens there.
    pub async fn connect(address: &str) -> anyhow::Result<Self> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
        let window = 16 << 20;
        let endpoint = endpoint.initial_stream_window_size(window).initial_connection_window_size(window);
        let channel = endpoint.connect().await.with_context(|| format!("connecting to {address}"))?;
        Ok(Self::over(channel))
    }

    /// Over a channel that somebody else has set up.
    pub fn over(channel: Channel) -> Self {
        let grpc = Grpc::new(channel).max_decoding_message_size(usize::MAX);
        Self { grpc, metadata: Vec::new() }
    }

    /// The same connection, each request with this metadata.
    ///
    /// # Errors
    /// If it is no ASCII metadata.
    pub fn with_metadata(mut self, name: &'static str, value: &str) -> anyhow::Result<Self> {
        self.metadata.push((AsciiMetadataKey::from_static(name), value.parse()?));
        Ok(self)
    }

    /// The same connection, answers packed as `encoding`, requests too.
    #[must_use]
    pub fn packed(mut self, encoding: tonic::codec::CompressionEncoding) -> Self {
        self.grpc = self.grpc.accept_compressed(encoding).send_compressed(encoding);
        self
    }

    fn request(&self, message: Bytes) -> Request<Bytes> {
        let mut request = Request::new(message);
        for (name, value) in &self.metadata {
            request.metadata_mut().insert(name.clone(), value.clone());
        }
        request
    }

    /// Begins a call with a stream of answers. `path` is that of the method, such as `/thanos.Store/Series`.
    ///
    /// # Errors
    /// As the server says before the first answer.
    pub async fn stream(&self, path: &'static str, message: Bytes) -> Result<Streaming<Bytes>, Status> {
        let mut grpc = self.grpc.clone();
        grpc.ready().await.map_err(|why| Status::unavailable(why.to_string()))?;
        let path = http::uri::PathAndQuery::from_static(path);
        Ok(grpc.server_streaming(self.request(message), path, Plain).await?.into_inner())
    }

    /// A call with one answer.
    ///
    /// # Errors
    /// As the server says.
    pub async fn unary(&self, path: &'static str, message: Bytes) -> Result<Bytes, Status> {
        let mut grpc = self.grpc.clone();
        grpc.ready().await.map_err(|why| Status::unavailable(why.to_string()))?;
        let path = http::uri::PathAndQuery::from_static(path);
        Ok(grpc.unary(self.request(message), path, Plain).await?.into_inner())
    }

    /// All answers of a call.
    pub async fn gather(&self, path: &'static str, message: Bytes) -> Answer {
        let mut answer = Answer { frames: Vec::new(), failure: None };
        let mut stream = match self.stream(path, message).await {
            Ok(stream) => stream,
            Err(status) => return Answer { failure: Some(status), ..answer },
        };
        loop {
            match stream.message().await {
                Ok(Some(frame)) => answer.frames.push(frame),
                Ok(None) => return answer,
                Err(status) => return Answer { failure: Some(status), ..answer },
            }
        }
    }

    /// All answers of a Series call.
    pub async fn series(&self, request: &SeriesRequest) -> Answer {
        self.gather("/thanos.Store/Series", request.encode_to_vec().into()).await
    }
}
