//! Calls to the gRPC services of one endpoint: the way there, counters, what is said about whose call it is.
//!
//! Messages are the generated ones, series our own. What goes wrong is said in the words of Thanos' Query (`rpc error: code = ... desc =
//! ...`), which people search their logs for.

use std::error::Error as _;
use std::sync::Arc;

use http::uri::PathAndQuery;
use tonic::client::Grpc;
use tonic::metadata::AsciiMetadataValue;
use tonic::{Code, Request, Status, Streaming};

use crate::net::grpc::{Channel, ChannelOptions, GrpcMetrics, Method, Watched};
use crate::wire::storeapi::{FromWire, ToWire, WireCodec};

macro_rules! methods {
    ($($constant:ident = $service:literal $name:literal $streams:literal;)*) => {
        $(pub(crate) const $constant: Method = Method { service: $service, name: $name, streams: $streams };)*
        /// Every method that is called from here.
        pub(crate) const METHODS: &[Method] = &[$($constant),*];
    };
}

methods! {
    SERIES = "thanos.Store" "Series" true;
    LABEL_NAMES = "thanos.Store" "LabelNames" false;
    LABEL_VALUES = "thanos.Store" "LabelValues" false;
    INFO = "thanos.info.Info" "Info" false;
    EXEMPLARS = "thanos.Exemplars" "Exemplars" true;
    RULES = "thanos.Rules" "Rules" true;
    TARGETS = "thanos.Targets" "Targets" true;
    METADATA = "thanos.Metadata" "MetricMetadata" true;
    STATUS = "thanos.Status" "TSDBStatistics" true;
}

/// Calls to one endpoint. Clones share the connection.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    channel: Channel,
    metrics: Arc<GrpcMetrics>,
}

/// The answers of a call, one after the other. Dropped, it ends the call.
#[derive(Debug)]
pub(crate) struct Answers<A> {
    stream: Streaming<A>,
    watched: Option<Watched>,
}

impl Client {
    /// To `address`, which is `host:port`. Nothing is connected yet.
    ///
    /// # Errors
    /// If the address is none.
    pub(crate) fn new(
        address: &str,
        options: &ChannelOptions,
        metrics: Arc<GrpcMetrics>,
    ) -> Result<Self, String> {
        Ok(Self { channel: Channel::lazy(address, options)?, metrics })
    }

    async fn ready(&self) -> Result<Grpc<Channel>, Status> {
        let mut grpc = Grpc::new(self.channel.clone())
            .max_decoding_message_size(usize::MAX)
            .max_encoding_message_size(usize::MAX);
        grpc.ready().await.map_err(|why| told(Status::from_error(why.into())))?;
        Ok(grpc)
    }

    /// A call with one answer.
    ///
    /// # Errors
    /// As the server says, or `Unavailable` if there is none.
    pub(crate) async fn unary<Q: ToWire + Sync, A: FromWire + Sync>(
        &self,
        method: Method,
        request: Q,
        tenant: Option<&str>,
    ) -> Result<A, Status> {
        let asker = Asker::from(tenant);
        let mut watched = self.metrics.begin(&path_of(method));
        let outcome = async {
            let mut grpc = self.ready().await?;
            let codec = WireCodec::<Q, A>::default();
            grpc.unary(request_of(request, asker), path(method)?, codec).await.map_err(told)
        };
        let outcome = outcome.await;
        if let Some(watched) = &mut watched {
            watched.sent(1);
            watched.received().add(u64::from(outcome.is_ok()));
            watched.ended(outcome.as_ref().map_or_else(Status::code, |_| Code::Ok).into());
        }
        outcome.map(tonic::Response::into_inner)
    }

    /// A call with a stream of answers.
    ///
    /// # Errors
    /// As the server says before its first answer, or `Unavailable` if there is none.
    pub(crate) async fn stream<Q: ToWire + Sync, A: FromWire + Sync>(
        &self,
        method: Method,
        request: Q,
        asker: impl Into<Asker<'_>>,
    ) -> Result<Answers<A>, Status> {
        let asker = asker.into();
        let mut watched = self.metrics.begin(&path_of(method));
        let outcome = async {
            let mut grpc = self.ready().await?;
            let codec = WireCodec::<Q, A>::default();
            grpc.server_streaming(request_of(request, asker), path(method)?, codec).await.map_err(told)
        };
        let outcome = outcome.await;
        if let Some(watched) = &mut watched {
            watched.sent(1);
            if let Err(status) = &outcome {
                watched.ended(status.code().into());
            }
        }
        Ok(Answers { stream: outcome?.into_inner(), watched })
    }
}

/// Who asks, and for what beside the answer: what goes along as metadata of a call.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Asker<'a> {
    /// Whose data is asked for.
    pub(crate) tenant: Option<&'a str>,
    /// Which blocks were read is to be told at the end.
    pub(crate) hints: bool,
}

impl<'a> From<Option<&'a str>> for Asker<'a> {
    fn from(tenant: Option<&'a str>) -> Self {
        Self { tenant, hints: false }
    }
}

impl<A: FromWire> Answers<A> {
    /// The next answer; `None` at the end.
    ///
    /// # Errors
    /// How the call ended, if not well.
    pub(crate) async fn next(&mut self) -> Result<Option<A>, Status> {
        let next = self.stream.message().await.map_err(told);
        if let Some(watched) = &mut self.watched {
            match &next {
                Ok(Some(_)) => watched.received().add(1),
                Ok(None) => watched.ended(Code::Ok.into()),
                Err(status) => watched.ended(status.code().into()),
            }
        }
        next
    }
}

fn path_of(method: Method) -> String {
    format!("/{}/{}", method.service, method.name)
}

fn path(method: Method) -> Result<PathAndQuery, Status> {
    PathAndQuery::try_from(path_of(method)).map_err(|why| Status::internal(why.to_string()))
}

/// The message with whose it is, and what we read beside what Thanos sends.
fn request_of<Q>(message: Q, asker: Asker<'_>) -> Request<Q> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("sarsen-encodings", AsciiMetadataValue::from_static("xor2"));
    if asker.hints {
        request.metadata_mut().insert("sarsen-hints", AsciiMetadataValue::from_static("blocks"));
    }
    if let Some(tenant) = asker.tenant.and_then(|tenant| AsciiMetadataValue::try_from(tenant).ok()) {
        request.metadata_mut().insert("thanos-tenant", tenant);
    }
    request
}

/// A fault of the connection in the words of Go's client, with what the layers below say; a server's own status as it is.
fn told(status: Status) -> Status {
    let Some(mut cause) = status.source() else { return status };
    let mut words: Vec<String> = Vec::new();
    loop {
        let text = cause.to_string();
        if !words.iter().any(|known| known.contains(&text)) {
            words.push(text);
        }
        match cause.source() {
            Some(deeper) => cause = deeper,
            None => break,
        }
    }
    let is_ours = |text: &&String| text.starts_with("dial tcp") || text.contains("handshake failed");
    let unavailable =
        |text: String| Status::unavailable(format!("connection error: desc = \"transport: {text}\""));
    match words.iter().find(is_ours) {
        Some(text) if text.starts_with("dial") => unavailable(format!("Error while dialing: {text}")),
        Some(text) => unavailable(text.clone()),
        None if matches!(status.code(), Code::Unknown | Code::Unavailable) => {
            Status::unavailable(format!("error reading from server: {}", words.join(": ")))
        }
        None => status,
    }
}
