//! The open requests of a connection: counted from their head to the last byte of their answers.
//!
//! A connection that is to end waits for these and not for its peer, which may be stuck, or gone without a word.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use http_body::{Frame, SizeHint};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// The same router, whose requests `open` counts.
pub(super) fn counted(router: Router, open: TaskTracker) -> Router {
    router.layer(from_fn(move |request: Request, next: Next| {
        let token = open.token();
        async move {
            let answer: Response = next.run(request).await;
            answer.map(|inner| Body::new(Answer { inner, _open: token }))
        }
    }))
}

/// A body that is open until it is dropped, which hyper does when it has been sent or cannot be.
struct Answer {
    inner: Body,
    _open: TaskTrackerToken,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
