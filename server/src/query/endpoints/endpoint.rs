//! One endpoint: its connection, what it last said about itself, and whether it may be asked.
//!
//! An endpoint that does not answer is not asked until it does, unless it is a strict one; what it said last is kept. State changes
//! only here, under a lock that is never held over a call.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use sarsen_block::Timestamp;
use tonic::{Code, Status};

use super::known::Known;
use crate::clock;
use crate::net::grpc::{ChannelOptions, go_text};
use crate::query::client::{Client, INFO};
use crate::wire::generated::thanos::info;

/// An address, and how it is treated.
#[derive(Debug, Clone)]
pub(crate) struct EndpointSpec {
    /// `host:port`.
    pub(crate) address: String,
    /// Whether it is asked and shown even if it does not answer.
    pub(crate) strict: bool,
    /// Of endpoints in the same group one is asked, each in its turn: they have the same.
    pub(crate) group: Option<Arc<str>>,
    /// How it is reached; none: as all others.
    pub(crate) channel: Option<Arc<ChannelOptions>>,
}

impl EndpointSpec {
    /// An endpoint like any other.
    #[cfg(test)]
    pub(crate) fn new(address: impl Into<String>) -> Self {
        Self { address: address.into(), strict: false, group: None, channel: None }
    }

    /// Whether an endpoint of that kind is one of this kind.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let channel = |spec: &Self| spec.channel.as_ref().map(Arc::as_ptr);
        self.address == other.address
            && self.strict == other.strict
            && self.group == other.group
            && channel(self) == channel(other)
    }
}

/// The state of an endpoint for people and programs.
#[derive(Debug, Clone)]
pub(crate) struct EndpointStatus {
    /// Its address.
    pub(crate) address: String,
    /// When it last answered, in milliseconds; `None`: never.
    pub(crate) last_check: Option<Timestamp>,
    /// Why it did not answer since then.
    pub(crate) last_error: Option<String>,
    /// What it said.
    pub(crate) known: Arc<Known>,
    /// Whether it is asked.
    pub(crate) asked: bool,
}

/// One endpoint.
#[derive(Debug)]
pub(crate) struct Endpoint {
    spec: EndpointSpec,
    client: Client,
    created: Instant,
    state: RwLock<State>,
    unsorted: AtomicBool,
}

#[derive(Debug)]
struct State {
    known: Option<Arc<Known>>,
    last_check: Option<(Instant, Timestamp)>,
    last_error: Option<String>,
}

impl Endpoint {
    /// One that has not been asked yet.
    pub(crate) fn new(spec: EndpointSpec, client: Client) -> Self {
        let state = State { known: None, last_check: None, last_error: None };
        let unsorted = AtomicBool::new(false);
        Self { spec, client, created: clock::moment(), state: RwLock::new(state), unsorted }
    }

    /// Its address.
    pub(crate) fn address(&self) -> &str {
        &self.spec.address
    }

    /// How it is treated.
    pub(super) const fn spec(&self) -> &EndpointSpec {
        &self.spec
    }

    /// Calls to it.
    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    /// What it said last, or what is taken for granted.
    pub(crate) fn known(&self) -> Arc<Known> {
        self.state.read().known.clone().unwrap_or_else(|| Arc::new(Known::anything()))
    }

    /// Whether it answered when it was last asked who it is, or is strict.
    pub(crate) fn is_asked(&self) -> bool {
        let state = self.state.read();
        self.spec.strict || (state.last_error.is_none() && state.known.is_some())
    }

    /// Asks who it is and remembers the answer.
    pub(crate) async fn look(&self, timeout: Duration) {
        let call = self.client.unary::<_, info::InfoResponse>(INFO, info::InfoRequest {}, None);
        let outcome = match tokio::time::timeout(timeout, call).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Status::deadline_exceeded("context deadline exceeded")),
        };
        let mut state = self.state.write();
        match outcome {
            Ok(answer) => {
                state.known = Some(Arc::new(Known::read(&answer)));
                state.last_check = Some((clock::moment(), clock::now()));
                state.last_error = None;
            }
            Err(status) => {
                let why = match status.code() {
                    Code::Unimplemented => {
                        "cannot obtain metadata: neither info nor store client found".into()
                    }
                    _ => go_text(&status),
                };
                tracing::warn!(
                    err = format!("getting metadata: {why}"),
                    address = self.address(),
                    "update of endpoint failed"
                );
                state.last_error = Some(why);
            }
        }
    }

    /// Whether it has not answered for so long that it may be forgotten.
    pub(crate) fn is_lost(&self, after: Duration) -> bool {
        let last = self.state.read().last_check.map_or(self.created, |(moment, _)| moment);
        !self.spec.strict && last.elapsed() >= after
    }

    /// For people and programs.
    pub(crate) fn status(&self) -> EndpointStatus {
        let asked = self.is_asked();
        let known = self.known();
        let state = self.state.read();
        EndpointStatus {
            address: self.spec.address.clone(),
            last_check: state.last_check.map(|(_, time)| time),
            last_error: state.last_error.clone(),
            known,
            asked,
        }
    }

    /// It has sent series out of order: from now on its answers are sorted here.
    pub(crate) fn distrust(&self) {
        if !self.unsorted.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                address = self.address(),
                "endpoint sends series out of order, its answers are collected and sorted from now on"
            );
        }
    }

    /// Whether it has sent series out of order.
    pub(crate) fn is_unsorted(&self) -> bool {
        self.unsorted.load(Ordering::Relaxed)
    }
}

impl std::fmt::Display for Endpoint {
    /// As Thanos' texts name a store.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let range = self.known().range;
        write!(f, "Addr: {} MinTime: {} MaxTime: {}", self.spec.address, range.min, range.max)
    }
}
