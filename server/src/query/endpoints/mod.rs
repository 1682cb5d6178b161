//! Who can be asked: the endpoints as they are listed, looked at every few seconds.
//!
//! An endpoint joins when it first answers who it is (a strict one at once), is not asked while it does not answer, and goes when it
//! is listed no more or has not answered for [`EndpointOptions::unhealthy`]. Connections of endpoints that have gone end with the
//! last call on them.

mod endpoint;
mod known;
mod sources;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use parking_lot::RwLock;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub(crate) use endpoint::{Endpoint, EndpointSpec, EndpointStatus};
pub(crate) use known::{Known, Offers, labels_of};
pub(crate) use sources::Sources;

use crate::metrics::Registry;
use crate::net::grpc::{ChannelOptions, GrpcMetrics};
use crate::query::client::{Client, METHODS};

/// How often endpoints are asked who they are.
pub(crate) const LOOK: Duration = Duration::from_secs(5);

/// How endpoints are reached and looked after.
#[derive(Debug, Clone)]
pub(crate) struct EndpointOptions {
    /// TLS and packing of connections.
    pub(crate) channel: ChannelOptions,
    /// How long an endpoint may take to say who it is.
    pub(crate) info_timeout: Duration,
    /// How long one that does not answer is kept.
    pub(crate) unhealthy: Duration,
}

impl Default for EndpointOptions {
    fn default() -> Self {
        Self {
            channel: ChannelOptions::default(),
            info_timeout: Duration::from_secs(5),
            unhealthy: Duration::from_secs(300),
        }
    }
}

/// Gives the endpoints that are to be known now; the same address twice counts once.
pub(crate) trait Listing: Send + Sync + 'static {
    /// The list as of now; never waits.
    fn endpoints(&self) -> Vec<EndpointSpec>;
}

impl Listing for Vec<EndpointSpec> {
    fn endpoints(&self) -> Vec<EndpointSpec> {
        self.clone()
    }
}

/// All endpoints.
pub(crate) struct EndpointSet {
    listing: Arc<dyn Listing>,
    options: EndpointOptions,
    metrics: Arc<GrpcMetrics>,
    all: RwLock<BTreeMap<String, Arc<Endpoint>>>,
    looked: watch::Sender<bool>,
    turn: AtomicUsize,
}

impl std::fmt::Debug for EndpointSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EndpointSet").field("all", &*self.all.read()).finish_non_exhaustive()
    }
}

impl EndpointSet {
    /// An empty set that [`look`](Self::look) fills from the listing.
    pub(crate) fn new(listing: Arc<dyn Listing>, options: EndpointOptions, registry: &Registry) -> Self {
        let metrics = Arc::new(GrpcMetrics::of_client(registry, METHODS));
        Self {
            listing,
            options,
            metrics,
            all: RwLock::default(),
            looked: watch::Sender::new(false),
            turn: AtomicUsize::new(0),
        }
    }

    /// Endpoints that may be asked, by address; of each group one, another one each time.
    pub(crate) fn asked(&self) -> Vec<Arc<Endpoint>> {
        let mut asked: Vec<Arc<Endpoint>> =
            self.all.read().values().filter(|endpoint| endpoint.is_asked()).cloned().collect();
        let mut groups: BTreeMap<Arc<str>, usize> = BTreeMap::new();
        for group in asked.iter().filter_map(|endpoint| endpoint.spec().group.clone()) {
            *groups.entry(group).or_default() += 1;
        }
        if groups.is_empty() {
            return asked;
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut left: BTreeMap<Arc<str>, usize> =
            groups.into_iter().map(|(group, count)| (group, turn % count)).collect();
        asked.retain(|endpoint| {
            let Some(group) = &endpoint.spec().group else { return true };
            // The one whose turn it is has none before it; those behind it have been let past.
            match left.get_mut(group) {
                Some(0) => left.remove(group).is_some(),
                Some(before) => {
                    *before -= 1;
                    false
                }
                None => false,
            }
        });
        asked
    }

    /// The state of all endpoints, by address.
    pub(crate) fn status(&self) -> Vec<EndpointStatus> {
        self.all.read().values().map(|endpoint| endpoint.status()).collect()
    }

    /// Waits until all endpoints have been looked at once.
    pub(crate) async fn looked_once(&self) {
        let mut looked = self.looked.subscribe();
        // The sender lives as long as this.
        let _ = looked.wait_for(|looked| *looked).await;
    }

    /// Looks at all endpoints again and again until it is told to stop.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        let mut tick = tokio::time::interval(LOOK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = tick.tick() => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.look() => {}
            }
        }
    }

    /// Asks every listed endpoint who it is, all at once; who is new joins when it has answered, who has gone leaves at the end.
    pub(crate) async fn look(&self) {
        let mut listed: BTreeMap<String, EndpointSpec> = BTreeMap::new();
        for spec in self.listing.endpoints() {
            let strict = spec.strict;
            listed.entry(spec.address.clone()).or_insert(spec).strict |= strict;
        }
        let before = self.all.read().clone();
        let endpoints: Vec<Arc<Endpoint>> =
            listed.values().filter_map(|spec| self.endpoint(spec, &before)).collect();
        let is_new = |endpoint: &Arc<Endpoint>| {
            before.get(endpoint.address()).is_none_or(|known| !Arc::ptr_eq(known, endpoint))
        };
        for endpoint in endpoints.iter().filter(|endpoint| endpoint.spec().strict && is_new(endpoint)) {
            self.join(endpoint);
        }
        let mut looks: FuturesUnordered<_> = endpoints
            .iter()
            .map(|endpoint| async move {
                endpoint.look(self.options.info_timeout).await;
                endpoint
            })
            .collect();
        // One that does not answer keeps nobody from those that do.
        while let Some(endpoint) = looks.next().await {
            if is_new(endpoint) && endpoint.is_asked() {
                let known = endpoint.known();
                tracing::info!(
                    address = endpoint.address(),
                    extLset = known.label_sets_text(),
                    "adding new {} with {}",
                    known.component,
                    known.offers.words()
                );
                self.join(endpoint);
            }
        }
        self.let_go(&listed);
        warn_of_equal_labels(&self.all.read());
        self.looked.send_replace(true);
    }

    fn join(&self, endpoint: &Arc<Endpoint>) {
        self.all.write().insert(endpoint.address().to_owned(), Arc::clone(endpoint));
    }

    /// Forgets who is listed no more or lost.
    fn let_go(&self, listed: &BTreeMap<String, EndpointSpec>) {
        self.all.write().retain(|address, endpoint| {
            let stays = listed.contains_key(address) && !endpoint.is_lost(self.options.unhealthy);
            if !stays {
                tracing::info!(
                    address,
                    extLset = endpoint.known().label_sets_text(),
                    "removing endpoint because it's unhealthy or does not exist"
                );
            }
            stays
        });
    }

    /// The endpoint of this address as it is known, or a new one.
    fn endpoint(
        &self,
        spec: &EndpointSpec,
        before: &BTreeMap<String, Arc<Endpoint>>,
    ) -> Option<Arc<Endpoint>> {
        if let Some(known) = before.get(&spec.address)
            && known.spec().is_like(spec)
        {
            return Some(Arc::clone(known));
        }
        let channel = spec.channel.as_deref().unwrap_or(&self.options.channel);
        match Client::new(&spec.address, channel, Arc::clone(&self.metrics)) {
            Ok(client) => Some(Arc::new(Endpoint::new(spec.clone(), client))),
            Err(why) => {
                tracing::warn!(err = why, address = spec.address, "new endpoint creation failed");
                None
            }
        }
    }
}

/// Sidecars and rulers with the same external labels write the same series into a bucket.
fn warn_of_equal_labels(all: &BTreeMap<String, Arc<Endpoint>>) {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for endpoint in all.values().filter(|endpoint| endpoint.is_asked()) {
        let known = endpoint.known();
        if !matches!(known.component, "sidecar" | "rule") || !known.offers.store {
            continue;
        }
        let labels = known.label_sets_text();
        let count = seen.entry(labels.clone()).or_default();
        *count += 1;
        if *count > 1 {
            tracing::warn!(
                address = endpoint.address(),
                extLset = labels,
                duplicates = *count,
                "found duplicate storeEndpoints producer (sidecar or ruler). This is not advised as it will malform data in in the same bucket"
            );
        }
    }
}
