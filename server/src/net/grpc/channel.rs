//! A connection to somebody else's gRPC services: made when it is first needed, made anew when it breaks, shared by all calls.
//!
//! TLS and packing are ours, so that what we speak to others is what we speak as a server. Answers may be packed in any way we
//! know, whatever we pack requests with. Each stream may have [`STREAM_WINDOW`] bytes on the way; the connection as a whole is not
//! bounded, so that a stream that nobody reads for a while does not stop the others.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::header::HeaderValue;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tonic::Status;
use tonic::body::Body;
use tonic::transport::{Channel as Plain, Endpoint};
use tower::{Service, service_fn};

use super::framing::{Repacker, Way};
use super::pack::{ACCEPTED, Packing};
use crate::net::client_tls::ClientTls;

const STREAM_WINDOW: u32 = 2 << 20;
/// The most that HTTP/2 knows.
const CONNECTION_WINDOW: u32 = i32::MAX as u32;
/// How long somebody may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// A connection with calls on it is looked at so often, and given up when nobody answers for so long: as in Thanos.
const PING: Duration = Duration::from_secs(10);
const PONG: Duration = Duration::from_secs(5);

/// How connections are made.
#[derive(Debug, Clone, Default)]
pub(crate) struct ChannelOptions {
    /// TLS; none: plain.
    pub(crate) tls: Option<Arc<ClientTls>>,
    /// Whether requests are packed with snappy.
    pub(crate) snappy: bool,
}

/// A connection. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Channel {
    inner: Plain,
    packing: Option<Packing>,
}

impl Channel {
    /// To `address`, which is `host:port`. Nothing is connected yet.
    ///
    /// # Errors
    /// If the address is none.
    pub(crate) fn lazy(address: &str, options: &ChannelOptions) -> Result<Self, String> {
        let fault = |why: &dyn std::fmt::Display| format!("address {address}: {why}");
        let scheme = if options.tls.is_some() { "https" } else { "http" };
        let authority = match &options.tls {
            Some(tls) => tls.authority(address),
            None => address.to_owned(),
        };
        let origin = format!("{scheme}://{authority}").parse().map_err(|why| fault(&why))?;
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .and_then(|endpoint| endpoint.user_agent(concat!("sarsen/", env!("CARGO_PKG_VERSION"))))
            .map_err(|why| fault(&why))?
            .origin(origin)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .http2_keep_alive_interval(PING)
            .keep_alive_timeout(PONG);
        let (address, tls) = (Arc::<str>::from(address), options.tls.clone());
        let connector = service_fn(move |_: http::Uri| connect(Arc::clone(&address), tls.clone()));
        let inner = endpoint.connect_with_connector_lazy(connector);
        Ok(Self { inner, packing: options.snappy.then_some(Packing::Snappy) })
    }
}

trait Wire: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Wire for T {}

async fn connect(address: Arc<str>, tls: Option<Arc<ClientTls>>) -> io::Result<TokioIo<Pin<Box<dyn Wire>>>> {
    let connected = async {
        let stream = TcpStream::connect(&*address)
            .await
            .map_err(|why| io::Error::new(why.kind(), format!("dial tcp {address}: {why}")))?;
        stream.set_nodelay(true)?;
        Ok(match tls {
            None => Box::pin(stream) as Pin<Box<dyn Wire>>,
            Some(tls) => Box::pin(tls.connect(&address, stream).await?),
        })
    };
    match tokio::time::timeout(CONNECT, connected).await {
        Ok(connected) => connected.map(TokioIo::new),
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, format!("dial tcp {address}: i/o timeout"))),
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Repacked>;
    type Error = tonic::transport::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        request.headers_mut().insert("grpc-accept-encoding", HeaderValue::from_static(ACCEPTED));
        if let Some(packing) = self.packing {
            request.headers_mut().insert("grpc-encoding", HeaderValue::from_static(packing.name()));
        }
        let pack = self.packing.map(|packing| Repacker::new(packing, Way::Pack));
        let request = request.map(|inner| match pack {
            None => inner,
            pack => Body::new(Repacked { inner, repack: pack, cut: "" }),
        });
        let answer = self.inner.call(request);
        async move {
            let mut response = answer.await?;
            let name = response.headers_mut().remove("grpc-encoding");
            let name = name.as_ref().and_then(|name| name.to_str().ok()).unwrap_or("identity").to_owned();
            let repack = match Packing::of_name(&name) {
                Ok(packing) => packing.map(|packing| Repacker::new(packing, Way::Unpack)),
                // Said where the message is read: nothing comes of it if there is none.
                Err(()) => None,
            };
            Ok(response.map(|inner| Repacked { inner, repack, cut: "unexpected EOF" }))
        }
        .boxed()
    }
}

/// A body whose messages are packed or unpacked on the way.
#[derive(Debug)]
pub(crate) struct Repacked {
    inner: Body,
    repack: Option<Repacker>,
    /// What to say if a message is cut off at the end.
    cut: &'static str,
}

impl HttpBody for Repacked {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        loop {
            let Some(frame) = ready!(Pin::new(&mut this.inner).poll_frame(cx)) else {
                let cut = this.repack.take().is_some_and(|repack| !repack.is_done());
                return Poll::Ready(cut.then(|| Err(Status::internal(this.cut))));
            };
            let frame = match (frame?.into_data(), &mut this.repack) {
                (Err(frame), _) => frame,
                (Ok(data), None) => Frame::data(data),
                (Ok(data), Some(repack)) => match repack.change(&data)? {
                    data if data.is_empty() => continue,
                    data => Frame::data(data),
                },
            };
            return Poll::Ready(Some(Ok(frame)));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream() && self.repack.as_ref().is_none_or(Repacker::is_done)
    }

    fn size_hint(&self) -> SizeHint {
        if self.repack.is_some() { SizeHint::default() } else { self.inner.size_hint() }
    }
}
