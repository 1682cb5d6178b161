//! `query`: the listeners, and the querier behind them.
//!
//! Start: the HTTP listener first, so that probes are answered while endpoints are looked at for the first time; then gRPC; ready when each endpoint has
//! been looked at once, or has had its time. Stop, the other way round: not ready, calls to their end, the looks at endpoints, and last the HTTP
//! listener.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Server, block_on, told_to_stop};
use crate::cli::Failure;
use crate::config::flags::Given;
use crate::config::query::QueryConfig;
use crate::metrics::{HttpMetrics, QueryMetrics, Registry};
use crate::net::{self, Probe, ServeOptions};
use crate::query::{Api, Executor, Fleet, QueryDefaults, SystemNames, nowhere, page, querier_services};

/// How long the first look at the endpoints may take before the querier is ready without them.
const FIRST_LOOK: Duration = Duration::from_secs(30);

/// Runs `query` until it is told to stop.
pub(crate) fn run_query(given: Given) -> Result<(), Failure> {
    let config = QueryConfig::read(&given).map_err(Failure::Usage)?;
    block_on(serve(config))
}

/// The page, at the root and below the prefix.
fn pages(prefix: &str) -> axum::Router {
    let links = [("metrics", "Metrics")];
    match prefix {
        "" => page("", &links),
        prefix => page("", &links).merge(page(prefix, &links)),
    }
}

async fn serve(config: QueryConfig) -> Result<(), Failure> {
    crate::resources::prepare();
    let registry = Registry::new();
    let probe = Probe::new(&registry, "query");
    if config.api.dialect.is_prometheus() {
        probe.speak_as_prometheus();
    }
    let http = HttpMetrics::of_querier(&registry);
    let patience = config.endpoints.response_timeout;
    let names = Arc::new(SystemNames::new().map_err(Failure::Run)?);
    let replica_labels = config.api.replica_labels.clone();
    let fleet = Fleet::open(config.endpoints, names, replica_labels, &config.taken, &registry);
    let fleet = Arc::new(fleet.map_err(Failure::Usage)?);
    let store = fleet.store();
    let metrics = QueryMetrics::new(&registry, config.exec.most, config.exec.selects);
    let executor = Executor::new(Arc::clone(&store), config.exec, metrics);
    let defaults = QueryDefaults::of(&config.api);
    let prefix = config.api.prefix.clone();
    let api = Api::new(executor.clone(), Arc::clone(&fleet) as _, config.api, http);

    let web = ServeOptions::of(&config.http.web, config.http.grace).map_err(Failure::Usage)?;
    let routes = net::admin_routes(probe.clone(), registry.clone())
        .merge(api.routes())
        .merge(pages(&prefix))
        .fallback(nowhere);
    let server = Server::open(&config.http.address, routes, web).await?;
    probe.healthy();
    tracing::info!(address = %config.http.address, "listening for requests and metrics");
    let services = querier_services(Arc::clone(&fleet), Arc::new(executor), defaults);
    let grpc = Server::open_services(&config.grpc, services, &probe, &registry).await?;

    tracing::info!("starting query node");
    let stop = CancellationToken::new();
    let work = tokio::spawn({
        let (fleet, stop) = (Arc::clone(&fleet), stop.clone());
        async move { fleet.run(stop).await }
    });
    let patience = if patience.is_zero() { FIRST_LOOK } else { patience };
    tokio::select! {
        _ = tokio::time::timeout(patience, fleet.looked_once()) => {
            probe.ready();
            told_to_stop().await?;
        }
        told = told_to_stop() => told?,
    }
    probe.not_ready("told to stop");
    grpc.close().await;
    stop.cancel();
    let _ = work.await;
    server.close().await;
    tracing::info!("exiting");
    Ok(())
}
