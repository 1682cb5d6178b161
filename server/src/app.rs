//! The only room that builds and joins things: components, roles, start and stop order.
//!
//! Start: listeners first, so that probes are answered; then the databases, and only then "ready". Stop, the other way
//! round: not ready, no new requests and the open ones to their end, the role's tasks, databases synced and closed, and
//! last the listener that still told how far it is.

use std::future::Future;
#[cfg(feature = "tools")]
use std::path::Path;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use axum::Router;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::cli::Failure;
use crate::clock::Clock;
use crate::config::flags::Given;
use crate::config::receive::ReceiveConfig;
use crate::metrics::{
    BucketMetrics, HttpMetrics, LogMetrics, ReceiveMetrics, Registry, TsdbMetrics, backlog,
};
use crate::net::{self, Probe, ServeOptions};
use crate::objstore::Objstore;
#[cfg(feature = "tools")]
use crate::receive::Flushed;
use crate::receive::{self, Parts, ReceiveOptions, Receiver};

/// Runs `receive` until it is told to stop.
pub(crate) fn run_receive(given: Given) -> Result<(), Failure> {
    let config = ReceiveConfig::read(&given).map_err(Failure::Usage)?;
    block_on(serve(config, Company::Alone, None))
}

/// Runs `standalone` until it is told to stop.
#[cfg(feature = "standalone")]
pub(crate) fn run_standalone(given: Given) -> Result<(), Failure> {
    let config = crate::config::standalone::StandaloneConfig::read(&given).map_err(Failure::Usage)?;
    let company = Company::Standalone { self_scrape: config.self_scrape, admin_api: config.admin_api };
    block_on(serve(config.receive, company, Some(config.data_dir)))
}

fn block_on<T>(role: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|why| Failure::Run(format!("start threads: {why}")))?.block_on(role)
}

/// What runs in the process beside the receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Company {
    /// Nothing.
    Alone,
    /// Every role there is, on one listener.
    #[cfg(feature = "standalone")]
    Standalone { self_scrape: bool, admin_api: bool },
}

impl Company {
    fn is_alone(self) -> bool {
        self == Self::Alone
    }
}

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

    async fn close(self) {
        self.stop.cancel();
        let _ = self.done.await;
    }
}

/// `moved_in`: a directory that Prometheus may have left, to be taken over before the databases are opened.
async fn serve(config: ReceiveConfig, company: Company, moved_in: Option<PathBuf>) -> Result<(), Failure> {
    crate::resources::prepare();
    let registry = Registry::new();
    let probe = Probe::new(&registry, "receive");
    let objstore = config.objstore.clone().map(Objstore::open).transpose().map_err(Failure::Usage)?;
    let receiver = build(config.role.clone(), objstore.as_ref(), &registry)?;
    let web = ServeOptions::of(&config.web, config.http_grace).map_err(Failure::Usage)?;
    let write_options =
        ServeOptions::plain(config.http_grace).with_tls(config.write_tls.as_ref()).map_err(Failure::Usage)?;

    let routes = net::admin_routes(probe.clone(), registry.clone());
    let admin = Server::open(&config.http_address, beside(company, routes, &receiver), web).await?;
    probe.healthy();
    tracing::info!(address = %config.http_address, "listening for requests and metrics");
    let mut write = None;
    if !config.write_address.is_empty() {
        let router = receiver.write_router().fallback(receive::not_found);
        write = Some(Server::open(&config.write_address, router, write_options).await?);
        tracing::info!(address = %config.write_address, "listening for remote write");
    }

    let stop = CancellationToken::new();
    let outcome = tokio::select! {
        started = receiver.start(moved_in) => started.map_err(Failure::Run),
        told = told_to_stop() => { told.map_err(waiting_failed)?; stop.cancel(); Ok(()) }
    };
    if outcome.is_ok() && !stop.is_cancelled() {
        if let Some(objstore) = objstore {
            tokio::spawn(objstore.follow(stop.clone()));
        }
        let work = tokio::spawn(work(receiver.clone(), registry, config.http_address, company, stop.clone()));
        probe.ready();
        told_to_stop().await.map_err(waiting_failed)?;
        probe.not_ready("told to stop");
        if let Some(write) = write.take() {
            write.close().await;
        }
        receiver.refuse_writes();
        stop.cancel();
        let _ = work.await;
    }
    let closed = receiver.stop().await;
    admin.close().await;
    outcome?;
    closed.map_err(Failure::Run)?;
    tracing::info!("exiting");
    Ok(())
}

/// The routes of the listener for everything but remote write; in company, of everything.
fn beside(company: Company, routes: Router, receiver: &Receiver) -> Router {
    if company.is_alone() {
        return routes;
    }
    #[cfg(feature = "standalone")]
    let routes = {
        let enabled = matches!(company, Company::Standalone { admin_api: true, .. });
        let own = crate::standalone::page(receiver.clone())
            .merge(crate::standalone::admin(receiver.clone(), enabled));
        routes.merge(receiver.write_router()).merge(own)
    };
    #[cfg(not(feature = "standalone"))]
    let _ = receiver;
    routes
}

/// What goes on beside requests, until told to stop.
async fn work(
    receiver: Receiver,
    registry: Registry,
    address: String,
    company: Company,
    stop: CancellationToken,
) {
    #[cfg(feature = "standalone")]
    if matches!(company, Company::Standalone { self_scrape: true, .. }) {
        let metrics = move || registry.page(false).1;
        let scrape = crate::standalone::scrape_self(receiver.clone(), metrics, address, stop.clone());
        tokio::join!(receiver.run(stop), scrape);
        return;
    }
    #[cfg(not(feature = "standalone"))]
    let _ = (registry, address, company);
    receiver.run(stop).await;
}

/// The receiver with its disk, bucket and listeners of events.
fn build(
    options: ReceiveOptions,
    objstore: Option<&Objstore>,
    registry: &Registry,
) -> Result<Receiver, Failure> {
    let bucket = objstore.map(|objstore| {
        let observer = Arc::new(BucketMetrics::new(registry, &objstore.name()));
        objstore.bucket().timer(Arc::new(Clock::start())).observer(observer).build()
    });
    let known: Arc<OnceLock<Receiver>> = Arc::default();
    let sizes = {
        let known = Arc::clone(&known);
        move || {
            let snapshot = known.get().map(Receiver::snapshot);
            let tenants = snapshot.map(|snapshot| snapshot.tenants).unwrap_or_default();
            tenants.into_iter().filter_map(|(name, _, stats)| Some((name, stats?))).collect()
        }
    };
    let (databases, logs) = (TsdbMetrics::new(registry, sizes), LogMetrics::new(registry));
    let parts = Parts {
        disk: sarsen_wal::real_disk(),
        bucket,
        observer: Arc::new(ReceiveMetrics::new(registry, HttpMetrics::new(registry))),
        databases: Arc::new(move |tenant| {
            (Arc::new(databases.tenant(tenant)), Arc::new(logs.tenant(tenant)))
        }),
    };
    let receiver = Receiver::new(options, parts).map_err(Failure::Usage)?;
    let shown = receiver.clone();
    registry.snapshot(move |page| backlog::write(page, &shown.snapshot()));
    let _ = known.set(receiver.clone());
    Ok(receiver)
}

/// Cuts and ships the whole head of a stopped database: the directory of one tenant.
#[cfg(feature = "tools")]
pub(crate) fn flush_stopped(
    directory: &Path,
    options: ReceiveOptions,
    objstore: Option<&Objstore>,
) -> Result<Flushed, Failure> {
    let tenant = directory.file_name().and_then(|name| name.to_str()).filter(|_| directory.is_dir());
    let (Some(tenant), Some(root)) = (tenant, directory.parent()) else {
        return Err(Failure::Run(format!("{} is no database directory", directory.display())));
    };
    let options = ReceiveOptions { tsdb_path: root.to_owned(), ..options };
    let receiver = build(options, objstore, &Registry::new())?;
    block_on(async move { receiver.flush_tenant(tenant).await.map_err(Failure::Run) })
}

fn waiting_failed(why: std::io::Error) -> Failure {
    Failure::Run(format!("wait for a signal: {why}"))
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
