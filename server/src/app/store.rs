//! `store`: the listeners, and the gateway behind them.
//!
//! Start: the HTTP listener first, so that probes are answered while the bucket is looked at for the first time, however long the
//! store is away; then, once there are blocks to answer from, gRPC, and only then "ready". Stop, the other way round: not ready, calls
//! to their end, the gateway's loop, and last the HTTP listener.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{Server, block_on, bucket_of, told_to_stop};
use crate::cli::Failure;
use crate::config::flags::Given;
use crate::config::store::StoreConfig;
use crate::metrics::{HttpMetrics, Registry};
use crate::net::{self, Probe, ServeOptions};
use crate::objstore::Objstore;
use crate::store::Gateway;

/// Runs `store` until it is told to stop.
pub(crate) fn run_store(given: Given) -> Result<(), Failure> {
    let config = StoreConfig::read(&given).map_err(Failure::Usage)?;
    block_on(serve(config))
}

async fn serve(config: StoreConfig) -> Result<(), Failure> {
    crate::resources::prepare();
    let registry = Registry::new();
    let probe = Probe::new(&registry, "store");
    let http = HttpMetrics::without_tenants(&registry);
    let objstore = Objstore::open(config.objstore).map_err(Failure::Usage)?;
    let gateway = Gateway::new(bucket_of(&objstore, &registry), config.role, &registry, true);
    let web = ServeOptions::of(&config.http.web, config.http.grace).map_err(Failure::Usage)?;
    let routes = net::admin_routes(probe.clone(), registry.clone()).merge(gateway.routes(&http));
    let server = Server::open(&config.http.address, routes, web).await?;
    probe.healthy();
    tracing::info!(address = %config.http.address, "listening for requests and metrics");

    let stop = CancellationToken::new();
    tokio::spawn(objstore.follow(stop.clone()));
    tracing::info!("starting store node");
    let work = tokio::spawn({
        let (gateway, stop) = (gateway.clone(), stop.clone());
        async move { gateway.run(stop).await }
    });
    let mut grpc = None;
    tokio::select! {
        () = gateway.started() => {
            tracing::info!("bucket store ready");
            let store = Arc::new(gateway.clone());
            grpc = Some(Server::open_grpc(&config.grpc, store, &probe, &registry).await?);
            probe.ready();
            told_to_stop().await?;
        }
        told = told_to_stop() => told?,
    }
    probe.not_ready("told to stop");
    if let Some(grpc) = grpc {
        grpc.close().await;
    }
    stop.cancel();
    let _ = work.await;
    server.close().await;
    tracing::info!("exiting");
    Ok(())
}
