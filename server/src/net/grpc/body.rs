//! The bodies of a call: messages are counted and repacked, the end is noted, a deadline and a panic end it in order.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame};
use tokio::time::Sleep;
use tonic::Status;

use super::framing::{Counter as Messages, Repacker};
use super::metrics::{GrpcMetrics, Watched};
use crate::metrics::Counter;

/// What comes from the caller, unpacked.
pub(super) struct RequestBody {
    pub(super) inner: Body,
    pub(super) unpack: Option<Repacker>,
    pub(super) messages: Messages,
    pub(super) received: Option<Arc<Counter>>,
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        let this = &mut *self;
        loop {
            let frame = match ready!(Pin::new(&mut this.inner).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                Some(Err(why)) => return Poll::Ready(Some(Err(why.into()))),
                None if this.unpack.as_ref().is_some_and(|unpack| !unpack.is_done()) => {
                    this.unpack = None;
                    return Poll::Ready(Some(Err(Status::internal("unexpected EOF").into())));
                }
                None => return Poll::Ready(None),
            };
            let Ok(data) = frame.into_data() else { continue };
            let data = match &mut this.unpack {
                None => data,
                Some(unpack) => match unpack.change(&data) {
                    Ok(data) if data.is_empty() => continue,
                    Ok(data) => data,
                    Err(status) => return Poll::Ready(Some(Err(status.into()))),
                },
            };
            if let Some(received) = &this.received {
                received.add(this.messages.count(&data));
            }
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream() && self.unpack.as_ref().is_none_or(Repacker::is_done)
    }
}

/// What goes to the caller.
pub(super) struct ResponseBody {
    /// `None` when the call has been ended here.
    pub(super) inner: Option<Body>,
    pub(super) pack: Option<Repacker>,
    pub(super) messages: Messages,
    pub(super) watched: Option<Watched>,
    pub(super) deadline: Option<Pin<Box<Sleep>>>,
    pub(super) metrics: Arc<GrpcMetrics>,
}

impl ResponseBody {
    /// Ends the call with this status; whatever made the answer stops.
    fn end(&mut self, status: &Status) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        self.inner = None;
        if let Some(watched) = &mut self.watched {
            watched.ended(i32::from(status.code()));
        }
        let mut trailers = HeaderMap::new();
        Poll::Ready(match status.add_header(&mut trailers) {
            Ok(()) => Some(Ok(Frame::trailers(trailers))),
            Err(why) => Some(Err(why.into())),
        })
    }

    fn data(&mut self, data: Bytes) -> Result<Bytes, Status> {
        if let Some(watched) = &self.watched {
            watched.sent(self.messages.count(&data));
        }
        match &mut self.pack {
            None => Ok(data),
            Some(pack) => pack.change(&data),
        }
    }
}

/// The code in trailers, or in the headers of an answer without a body.
pub(super) fn code_in(headers: &HeaderMap) -> Option<i32> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        let this = &mut *self;
        if this.deadline.as_mut().is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready()) {
            this.deadline = None;
            if this.inner.is_some() {
                return this.end(&Status::deadline_exceeded("context deadline exceeded"));
            }
        }
        loop {
            let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
            let Ok(polled) = catch_unwind(AssertUnwindSafe(|| Pin::new(inner).poll_frame(cx))) else {
                this.metrics.panicked();
                return this.end(&Status::internal("the call panicked"));
            };
            let frame = match ready!(polled) {
                Some(Ok(frame)) => frame,
                Some(Err(why)) => return Poll::Ready(Some(Err(why.into()))),
                None => {
                    this.inner = None;
                    return Poll::Ready(None);
                }
            };
            match frame.into_data() {
                Ok(data) => match this.data(data) {
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                    Err(status) => return this.end(&status),
                },
                Err(frame) => {
                    let code = frame.trailers_ref().and_then(code_in);
                    if let (Some(watched), Some(code)) = (&mut this.watched, code) {
                        watched.ended(code);
                    }
                    return Poll::Ready(Some(Ok(frame)));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }
}
