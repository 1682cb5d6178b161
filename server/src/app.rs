//! The only room that builds and joins things: components, roles, start and stop order.

use std::future::Future;

use tokio_util::sync::CancellationToken;

use crate::cli::Failure;
use crate::config::flags::Given;
use crate::config::receive::ReceiveConfig;
use crate::metrics::Registry;
use crate::net::{self, Probe, ServeOptions};

/// Runs `receive` until it is told to stop.
pub(crate) fn run_receive(given: Given) -> Result<(), Failure> {
    let config = ReceiveConfig::read(&given).map_err(Failure::Usage)?;
    block_on(receive(config))
}

/// Runs `standalone` until it is told to stop.
#[cfg(feature = "standalone")]
pub(crate) fn run_standalone(given: Given) -> Result<(), Failure> {
    let config = crate::config::standalone::StandaloneConfig::read(&given).map_err(Failure::Usage)?;
    block_on(receive(config.receive))
}

fn block_on(role: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|why| Failure::Run(format!("start threads: {why}")))?.block_on(role)
}

async fn receive(config: ReceiveConfig) -> Result<(), Failure> {
    let registry = Registry::new();
    let probe = Probe::new(&registry, "receive");
    let listener = net::bind(&config.http_address).await.map_err(Failure::Run)?;
    probe.healthy();
    let stop = CancellationToken::new();
    let options = ServeOptions::of(&config.web, config.http_grace).map_err(Failure::Usage)?;
    tracing::info!(address = %config.http_address, "listening for requests and metrics");
    let server =
        tokio::spawn(net::serve(listener, net::admin_routes(probe.clone(), registry), options, stop.clone()));
    probe.ready();
    told_to_stop().await.map_err(|why| Failure::Run(format!("wait for a signal: {why}")))?;
    probe.not_ready("told to stop");
    stop.cancel();
    let _ = server.await;
    tracing::info!("exiting");
    Ok(())
}

/// Waits for SIGTERM or SIGINT.
async fn told_to_stop() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let name = tokio::select! {
        _ = term.recv() => "terminated",
        _ = int.recv() => "interrupt",
    };
    tracing::info!(signal = name, "caught signal. Exiting.");
    Ok(())
}
