//! HTTP in, status out: the only room of the role that knows status codes.
//!
//! The order in which a request is judged is Thanos': tenant, a place in line, series in the head, length on the wire, body, snappy,
//! length decoded, version, protobuf, replica header, limits, and only then the samples. What has only to come back later is
//! 503 with `Retry-After`; Thanos never sends that header, and senders that know it wait instead of hammering.

use std::borrow::Cow;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::Response;
use axum::routing::any;
use http_body_util::BodyExt;
use tokio::sync::oneshot;

use super::door::Door;
use super::ingest::{self, Failure, InFlight, Job};
use super::intake::{Claim, Full, Shortage};
use super::limits::TenantLimits;
use super::observer::{Refused, WriteSeen};
use super::role::Shared;
use super::tenant;
use super::verdict::{SampleFault, Verdict};
use super::version;
use crate::clock;
use crate::wire::remote_write::Counts;

/// What a client is told; the text gets a newline behind it.
struct Answer {
    status: StatusCode,
    text: Cow<'static, str>,
    retry_after: Option<u64>,
}

impl Answer {
    fn new(status: StatusCode, text: impl Into<Cow<'static, str>>) -> Self {
        Self { status, text: text.into(), retry_after: None }
    }

    fn later(text: impl Into<Cow<'static, str>>, seconds: u64) -> Self {
        Self { retry_after: Some(seconds.max(1)), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, text) }
    }

    fn into_response(self) -> Response {
        let quiet = self.status.is_success();
        let body = if quiet { Body::empty() } else { Body::from(format!("{}\n", self.text)) };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if !quiet {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
            headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The routes that take samples.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    let thanos = any(|State(shared), request| write(shared, Door::Thanos, request));
    let mut router = Router::new().route("/api/v1/receive", thanos.clone()).route("/api/v1/receive/", thanos);
    if shared.options.prometheus_write {
        router = router
            .route("/api/v1/write", any(|State(shared), request| write(shared, Door::Prometheus, request)));
    }
    router.with_state(shared)
}

/// What a listener that only takes samples says to everything else.
pub(crate) async fn not_found() -> Response {
    Answer::new(StatusCode::NOT_FOUND, "404 page not found").into_response()
}

async fn write(shared: Arc<Shared>, door: Door, request: Request) -> Response {
    if request.method() != Method::POST {
        let mut response = Answer::new(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed").into_response();
        response.headers_mut().insert(axum::http::header::ALLOW, HeaderValue::from_static("POST"));
        return response;
    }
    let started = clock::moment();
    let (parts, body) = request.into_parts();
    let tenant = match tenant::of_request(&parts.headers, &shared.options.tenancy) {
        Ok(tenant) => tenant.to_owned(),
        Err(tenant::InvalidTenant) => {
            return Answer::new(StatusCode::BAD_REQUEST, "tenant name not valid").into_response();
        }
    };
    let in_work = InWork::begin(&shared);
    let mut taken = Taken::default();
    let answer = match judge(&shared, door, &tenant, &parts.headers, body, &mut taken).await {
        Ok(()) => Answer::new(door.done(), ""),
        Err(failure) => {
            note(&shared, &tenant, &failure);
            answer(door, failure)
        }
    };
    drop(in_work);
    shared.observer.wrote(WriteSeen {
        tenant: &tenant,
        status: answer.status.as_u16(),
        series: taken.counts.series,
        samples: taken.counts.samples,
        body_bytes: taken.body_bytes,
        took: started.elapsed(),
    });
    answer.into_response()
}

/// Tells the observer of a request in work, also of its end if the sender goes away meanwhile.
struct InWork<'a>(&'a Shared);

impl<'a> InWork<'a> {
    fn begin(shared: &'a Shared) -> Self {
        shared.observer.in_work(1);
        Self(shared)
    }
}

impl Drop for InWork<'_> {
    fn drop(&mut self) {
        self.0.observer.in_work(-1);
    }
}

/// What a request brought, as far as it was read.
#[derive(Default)]
struct Taken {
    counts: Counts,
    body_bytes: u64,
}

/// Why a request failed before or after its samples were looked at.
enum Trouble {
    NotReady,
    Full,
    /// The connection broke while the body was read.
    Body(String),
    /// The tenant has as many series as it may.
    HeadSeries,
    MediaType(&'static str),
    /// The thread that worked on it ended without an answer.
    Lost,
    In(Failure),
}

impl From<Shortage> for Trouble {
    fn from(shortage: Shortage) -> Self {
        match shortage {
            Shortage::Now(full) => full.into(),
            Shortage::Always => Self::In(Failure::TooLarge),
        }
    }
}

impl From<Full> for Trouble {
    fn from(_: Full) -> Self {
        Self::Full
    }
}

async fn judge(
    shared: &Arc<Shared>,
    door: Door,
    tenant: &str,
    headers: &HeaderMap,
    body: Body,
    taken: &mut Taken,
) -> Result<(), Trouble> {
    if !shared.is_ready() {
        return Err(Trouble::NotReady);
    }
    let limits = shared.limits.get();
    let _inside = shared.intake.enter(limits.max_concurrency).await?;
    let _admitted = shared.intake.admit().await?;
    let limits = limits.of(tenant);
    if limits.head_series > 0 && shared.tenants.head_series(tenant) >= limits.head_series {
        return Err(Trouble::HeadSeries);
    }
    if door == Door::Prometheus {
        version::media_type_for_prometheus(headers).map_err(Trouble::MediaType)?;
    }
    let mut claim = shared.intake.claim();
    let mut memory = shared.intake.memory();
    let read = read_body(shared, headers, body, limits, &mut claim, &mut memory.body).await;
    taken.body_bytes = memory.body.len() as u64;
    if let Err(trouble) = read {
        shared.intake.give_back(memory);
        return Err(trouble);
    }
    let turn = match shared.intake.compute().await {
        Ok(turn) => turn,
        Err(full) => {
            shared.intake.give_back(memory);
            return Err(full.into());
        }
    };
    let version = match door {
        Door::Thanos => version::version_for_thanos(headers),
        Door::Prometheus => Ok(()),
    };
    let replica = headers.get(shared.options.tenancy.replica_header.as_str());
    let replica = replica.filter(|value| !value.is_empty()).map(|value| value.as_bytes().to_vec());
    let tenant = tenant.to_owned();
    work(shared, Job { door, tenant, limits, version, replica, memory, claim, turn }, taken).await
}

/// Decodes and commits on a thread that may block, then waits for the disk as a task.
async fn work(shared: &Arc<Shared>, job: Job, taken: &mut Taken) -> Result<(), Trouble> {
    let (told, heard) = oneshot::channel();
    let own = Arc::clone(shared);
    tokio::task::spawn_blocking(move || {
        let (counts, mut committed) = ingest::take(&own.ground(), job);
        let leads = committed.as_mut().map(InFlight::take_leads).unwrap_or_default();
        // The request may be gone; its samples go to disk all the same.
        let _ = told.send((counts, committed));
        own.syncs.lead(leads);
    });
    let (counts, committed) = heard.await.map_err(|_| Trouble::Lost)?;
    taken.counts = counts;
    committed.map_err(Trouble::In)?.settle(&shared.tenants).await.map_err(Trouble::In)
}

/// Reads the body into `buffer`, as long as it stays within the limits.
async fn read_body(
    shared: &Shared,
    headers: &HeaderMap,
    mut body: Body,
    limits: TenantLimits,
    claim: &mut Claim,
    buffer: &mut Vec<u8>,
) -> Result<(), Trouble> {
    let own = shared.options.intake.body_bytes;
    let too_large = || Trouble::In(Failure::TooLarge);
    let stated = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if let Some(length) = stated {
        if length > ingest::byte_limit(limits, own) {
            return Err(too_large());
        }
        claim.raise(length)?;
        buffer.reserve(length);
    }
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Trouble::Body(error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        if data.len() > own.saturating_sub(buffer.len()) {
            return Err(too_large());
        }
        claim.raise(buffer.len() + data.len())?;
        buffer.extend_from_slice(&data);
    }
    Ok(())
}

fn answer(door: Door, trouble: Trouble) -> Answer {
    use StatusCode as S;
    match trouble {
        Trouble::NotReady => Answer::later("the receiver is not ready", 5),
        Trouble::Full | Trouble::In(Failure::Busy) => {
            Answer::later("too busy: too many write requests in work", 1)
        }
        Trouble::Body(why) => Answer::new(S::INTERNAL_SERVER_ERROR, format!("read request body: {why}")),
        Trouble::HeadSeries => Answer {
            retry_after: Some(60),
            ..Answer::new(S::TOO_MANY_REQUESTS, "tenant is above the limit of series in the head")
        },
        Trouble::MediaType(what) => Answer::new(S::UNSUPPORTED_MEDIA_TYPE, what),
        Trouble::Lost => Answer::later("the request could not be finished", 5),
        Trouble::In(failure) => answer_failure(door, failure),
    }
}

fn answer_failure(door: Door, failure: Failure) -> Answer {
    use StatusCode as S;
    match failure {
        Failure::TooLarge => Answer::new(S::PAYLOAD_TOO_LARGE, "write request too large"),
        Failure::Snappy(fault) => Answer::new(S::BAD_REQUEST, fault.to_string()),
        Failure::Proto(fault) => Answer::new(S::BAD_REQUEST, fault.to_string()),
        Failure::Version(why) => Answer::new(S::BAD_REQUEST, why),
        Failure::Version2 => Answer::new(
            S::UNSUPPORTED_MEDIA_TYPE,
            "remote write 2.0 is not supported yet, send prometheus.WriteRequest (remote write 1.0)",
        ),
        Failure::ReplicaHeader => Answer::new(S::BAD_REQUEST, "could not parse replica header"),
        Failure::ReplicaTooHigh => {
            Answer::new(S::BAD_REQUEST, "request replica exceeds receiver replication factor")
        }
        Failure::TooManySeries => Answer::new(S::PAYLOAD_TOO_LARGE, "too many timeseries"),
        Failure::TooManySamples => Answer::new(S::PAYLOAD_TOO_LARGE, "too many samples"),
        Failure::InvalidTenant => Answer::new(S::BAD_REQUEST, "tenant name not valid: validation error"),
        Failure::Busy => Answer::later("too busy: too many bytes of write requests in work", 1),
        Failure::Unavailable(unavailable) => {
            Answer::later(unavailable.to_string(), unavailable.retry_after.as_secs())
        }
        Failure::Refused(verdict) => Answer::new(door.refused(), verdict.to_string()),
    }
}

/// Tells the observer and the log what went wrong.
fn note(shared: &Shared, tenant: &str, trouble: &Trouble) {
    let limit = |what| shared.observer.limit_hit(tenant, what);
    match trouble {
        Trouble::In(Failure::TooLarge) => limit("body_size"),
        Trouble::In(Failure::TooManySeries) => limit("series"),
        Trouble::In(Failure::TooManySamples) => limit("samples"),
        Trouble::In(Failure::Refused(verdict)) => note_refused(shared, tenant, verdict),
        Trouble::In(Failure::Unavailable(why)) => {
            tracing::warn!(tenant, err = %why, "write request cannot be stored now");
        }
        Trouble::HeadSeries => limit("head_series"),
        Trouble::Lost => tracing::error!(tenant, "the thread of a write request ended without an answer"),
        _ => {}
    }
}

fn note_refused(shared: &Shared, tenant: &str, verdict: &Verdict) {
    let told = [
        (Refused::Labels, verdict.series_refused()),
        (Refused::OutOfOrder, verdict.samples_refused(SampleFault::OutOfOrder)),
        (Refused::OutOfBounds, verdict.samples_refused(SampleFault::OutOfBounds)),
        (Refused::TooOld, verdict.samples_refused(SampleFault::TooOld)),
        (Refused::Duplicate, verdict.samples_refused(SampleFault::Duplicate)),
        (Refused::Broken, verdict.samples_refused(SampleFault::Broken)),
        (Refused::Exemplars, verdict.exemplars_refused()),
    ];
    for (why, count) in told.into_iter().filter(|(_, count)| *count > 0) {
        shared.observer.refused(tenant, why, count);
    }
    // Once a minute a tenant is enough: a sender that is out of order is so with every request.
    if shared.tenants.may_complain(tenant) {
        tracing::warn!(tenant, err = %verdict, "part of a write request was refused");
    }
}
