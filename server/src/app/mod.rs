//! The only rooms that build and join things: components, roles, start and stop order.

#[cfg(feature = "compact")]
mod compact;
#[cfg(feature = "query")]
mod query;
#[cfg(feature = "receive")]
mod receive;
#[cfg(feature = "store")]
mod store;

use std::future::Future;
#[cfg(feature = "objstore")]
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
#[cfg(feature = "objstore")]
use sarsen_bucket::Bucket;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::cli::Failure;
#[cfg(feature = "objstore")]
use crate::clock::Clock;
#[cfg(feature = "grpc")]
use crate::config::grpc::GrpcConfig;
#[cfg(feature = "objstore")]
use crate::metrics::BucketMetrics;
use crate::metrics::Registry;
#[cfg(feature = "grpc")]
use crate::net::Probe;
#[cfg(feature = "grpc")]
use crate::net::grpc::Services;
use crate::net::{self, ServeOptions};
#[cfg(feature = "objstore")]
use crate::objstore::Objstore;
#[cfg(feature = "store")]
use crate::store::{Store, services};
#[cfg(feature = "grpc")]
use crate::wire::DESCRIPTORS;

#[cfg(feature = "compact")]
pub(crate) use compact::run_compact;
#[cfg(feature = "query")]
pub(crate) use query::run_query;
#[cfg(all(feature = "receive", feature = "tools"))]
pub(crate) use receive::flush_stopped;
#[cfg(feature = "receive")]
pub(crate) use receive::run_receive;
#[cfg(feature = "standalone")]
pub(crate) use receive::run_standalone;
#[cfg(feature = "store")]
pub(crate) use store::run_store;

fn block_on<T>(role: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|why| Failure::Run(format!("start threads: {why}")))?;
    let outcome = runtime.block_on(role);
    // Work that was given up in the middle ends at its next look at the store, which is not there any more.
    runtime.shutdown_timeout(LAST_WORK);
    outcome
}

/// How long threads may go on when everything else has ended.
const LAST_WORK: Duration = Duration::from_secs(5);

/// A listener that serves until it is stopped.
struct Server {
    stop: CancellationToken,
    done: JoinHandle<()>,
}

impl Server {
    async fn open(address: &str, router: Router, options: ServeOptions) -> Result<Self, Failure> {
        let listener = net::bind(address).await.map_err(Failure::Run)?;
        let stop = CancellationToken::new();
        let done = tokio::spawn(net::serve(listener, router, options, stop.clone()));
        Ok(Self { stop, done })
    }

    /// The listener of a store's gRPC services; their health follows `probe`.
    #[cfg(feature = "store")]
    async fn open_grpc(
        config: &GrpcConfig,
        store: Arc<dyn Store>,
        probe: &Probe,
        registry: &Registry,
    ) -> Result<Self, Failure> {
        Self::open_services(config, services(store), probe, registry).await
    }

    /// The listener of these services; their health follows `probe`.
    #[cfg(feature = "grpc")]
    async fn open_services(
        config: &GrpcConfig,
        services: Services,
        probe: &Probe,
        registry: &Registry,
    ) -> Result<Self, Failure> {
        let router = services.into_router(DESCRIPTORS, probe.watch_ready(), registry);
        let options = ServeOptions::grpc(config).map_err(Failure::Usage)?;
        let server = Self::open(&config.address, router.map_err(Failure::Run)?, options).await?;
        tracing::info!(address = config.address, "listening for serving gRPC");
        Ok(server)
    }

    async fn close(self) {
        self.stop.cancel();
        let _ = self.done.await;
    }
}

/// The bucket of an object store, measured and counted.
#[cfg(feature = "objstore")]
fn bucket_of(objstore: &Objstore, registry: &Registry) -> Bucket {
    let observer = Arc::new(BucketMetrics::new(registry, &objstore.name()));
    objstore.bucket().timer(Arc::new(Clock::start())).observer(observer).build()
}

/// Waits for SIGTERM or SIGINT.
async fn told_to_stop() -> Result<(), Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| signal(kind).map_err(|why| Failure::Run(format!("wait for a signal: {why}")));
    let (mut term, mut int) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let name = tokio::select! {
        _ = term.recv() => "terminated",
        _ = int.recv() => "interrupt",
    };
    tracing::info!(signal = name, "caught signal. Exiting.");
    Ok(())
}
