//! `compact`: the listener, and the role.
//!
//! Ready as soon as the listener is there, as with Thanos: there is nothing that others could send too early. Stop: not
//! ready, the round given up, the lease given back, and last the listener. Without `--wait` the role's end is the end.

use tokio_util::sync::CancellationToken;

use super::{Server, block_on, bucket_of, told_to_stop};
use crate::cli::Failure;
use crate::compact::CompactRole;
use crate::config::compact::CompactConfig;
use crate::config::flags::Given;
use crate::metrics::{HttpMetrics, Registry};
use crate::net::{self, Probe, ServeOptions};
use crate::objstore::Objstore;

/// Runs `compact` until its round is done, or with `--wait` until it is told to stop.
pub(crate) fn run_compact(given: Given) -> Result<(), Failure> {
    let config = CompactConfig::read(&given).map_err(Failure::Usage)?;
    block_on(serve(config))
}

async fn serve(config: CompactConfig) -> Result<(), Failure> {
    crate::resources::prepare();
    let registry = Registry::new();
    let probe = Probe::new(&registry, "compact");
    let http = HttpMetrics::without_tenants(&registry);
    let objstore = Objstore::open(config.objstore).map_err(Failure::Usage)?;
    let waits = config.role.wait.is_some();
    let role =
        CompactRole::new(bucket_of(&objstore, &registry), config.role, &registry).map_err(Failure::Usage)?;
    let web = ServeOptions::of(&config.http.web, config.http.grace).map_err(Failure::Usage)?;
    let mut routes = net::admin_routes(probe.clone(), registry);
    if waits {
        routes = routes.merge(role.routes(&http, true));
    }
    let server = Server::open(&config.http.address, routes, web).await?;
    probe.healthy();
    tracing::info!(address = %config.http.address, "listening for requests and metrics");

    let stop = CancellationToken::new();
    tokio::spawn(objstore.follow(stop.clone()));
    tracing::info!("starting compact node");
    probe.ready();
    let work = role.run(stop.clone());
    tokio::pin!(work);
    let outcome = tokio::select! {
        outcome = &mut work => outcome,
        told = told_to_stop() => {
            told?;
            probe.not_ready("told to stop");
            stop.cancel();
            work.await
        }
    };
    probe.not_ready("done");
    stop.cancel();
    server.close().await;
    outcome.map_err(Failure::Run)?;
    tracing::info!("exiting");
    Ok(())
}
