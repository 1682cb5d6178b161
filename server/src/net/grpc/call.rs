//! What is the same for every call: packing, deadline, panics, counters.
//!
//! An answer is packed the way its request was, as Go's servers do; one that was not is answered plain, whatever else the caller
//! would take.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use http::HeaderMap;
use http::header::HeaderValue;
use tokio::time::Instant;
use tonic::Status;

use super::body::{RequestBody, ResponseBody, code_in};
use super::framing::{Counter, Repacker, Way};
use super::metrics::{GrpcMetrics, Watched};
use super::pack::{ACCEPTED, Packing};

const ENCODING: &str = "grpc-encoding";
const ACCEPT_ENCODING: &str = "grpc-accept-encoding";
const TIMEOUT: &str = "grpc-timeout";

/// Takes a call through its service.
pub(super) async fn call(
    State(metrics): State<Arc<GrpcMetrics>>,
    mut request: Request,
    next: Next,
) -> Response {
    let mut watched = metrics.begin(request.uri().path());
    let packing = match packing_of(request.headers()) {
        Ok(packing) => packing,
        Err(status) => return refuse(&status, watched.as_mut()),
    };
    request.headers_mut().remove(ENCODING);
    let deadline = timeout_of(request.headers()).and_then(|timeout| Instant::now().checked_add(timeout));
    let request = request.map(|inner| {
        Body::new(RequestBody {
            inner,
            unpack: packing.map(|packing| Repacker::new(packing, Way::Unpack)),
            messages: Counter::default(),
            received: watched.as_ref().map(Watched::received),
        })
    });
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind();
    let answer = match deadline {
        None => answer.await,
        Some(deadline) => match tokio::time::timeout_at(deadline, answer).await {
            Ok(answer) => answer,
            Err(_) => {
                return refuse(&Status::deadline_exceeded("context deadline exceeded"), watched.as_mut());
            }
        },
    };
    let Ok(mut response) = answer else {
        metrics.panicked();
        return refuse(&Status::internal("the call panicked"), watched.as_mut());
    };
    if let (Some(watched), Some(code)) = (&mut watched, code_in(response.headers())) {
        watched.ended(code);
    }
    let headers = response.headers_mut();
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(ACCEPTED));
    if let Some(packing) = packing {
        headers.insert(ENCODING, HeaderValue::from_static(packing.name()));
    }
    response.map(|inner| {
        Body::new(ResponseBody {
            inner: Some(inner),
            pack: packing.map(|packing| Repacker::new(packing, Way::Pack)),
            messages: Counter::default(),
            watched,
            deadline: deadline.map(|deadline| Box::pin(tokio::time::sleep_until(deadline))),
            metrics,
        })
    })
}

fn refuse(status: &Status, watched: Option<&mut Watched>) -> Response {
    if let Some(watched) = watched {
        watched.ended(i32::from(status.code()));
    }
    let mut response = status.clone().into_http::<Body>().map(|_: Body| Body::empty()).into_response();
    response.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static(ACCEPTED));
    response
}

fn packing_of(headers: &HeaderMap) -> Result<Option<Packing>, Status> {
    let Some(name) = headers.get(ENCODING) else { return Ok(None) };
    let name = name.to_str().unwrap_or("?");
    Packing::of_name(name).map_err(|()| {
        Status::unimplemented(format!("grpc: Decompressor is not installed for grpc-encoding {name:?}"))
    })
}

/// How long the caller waits: up to eight digits and a unit. Something else is no deadline.
fn timeout_of(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_as_they_are_written() {
        let read = |text: &str| {
            timeout_of(&HeaderMap::from_iter([(TIMEOUT.parse().unwrap(), text.parse().unwrap())]))
        };
        assert_eq!(read("2M"), Some(Duration::from_secs(120)));
        assert_eq!(read("4999999u"), Some(Duration::from_micros(4_999_999)));
        assert_eq!(read("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        for wrong in ["", "5", "s5", "123456789S", "5x", "-5S"] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }
}
