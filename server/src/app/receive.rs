//! `receive`, and `standalone`, which is the receiver with everything else beside it.
//!
//! Start: listeners first, so that probes are answered; then the databases, and only then "ready". Stop, the other way
//! round: not ready, no new requests and the open ones to their end, the role's tasks, databases synced and closed, and
//! last the listener that still told how far it is. The StoreAPI listens from the start too; whoever asks before the databases are open is told
//! to come back.

#[cfg(feature = "tools")]
use std::path::Path;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use axum::Router;
use sarsen_bucket::Bucket;
use tokio_util::sync::CancellationToken;

use super::{Server, block_on, bucket_of, told_to_stop};
use crate::cli::Failure;
#[cfg(feature = "standalone")]
use crate::compact::CompactRole;
use crate::config::flags::Given;
use crate::config::receive::ReceiveConfig;
#[cfg(feature = "standalone")]
use crate::metrics::QueryMetrics;
use crate::metrics::{
    HttpMetrics, LogMetrics, ReceiveMetrics, Registry, SelectMetrics, TsdbMetrics, backlog,
};
use crate::net::grpc::Services;
use crate::net::{self, Probe, ServeOptions};
use crate::objstore::Objstore;
#[cfg(feature = "standalone")]
use crate::query::{Api, ApiSettings, ExecOptions, Executor, QueryDefaults, nowhere, querying_services};
#[cfg(feature = "tools")]
use crate::receive::Flushed;
use crate::receive::{self, Parts, ReceiveOptions, Receiver};
#[cfg(feature = "standalone")]
use crate::standalone::{Around, as_scraped};
#[cfg(feature = "standalone")]
use crate::store::{Gateway, MergedStore};
use crate::store::{LocalStore, Store, services};

/// Runs `receive` until it is told to stop.
pub(crate) fn run_receive(given: Given) -> Result<(), Failure> {
    let config = ReceiveConfig::read(&given).map_err(Failure::Usage)?;
    block_on(serve(config, |_, _| Ok(Company::default()), None))
}

/// Runs `standalone` until it is told to stop.
#[cfg(feature = "standalone")]
pub(crate) fn run_standalone(given: Given) -> Result<(), Failure> {
    let config = crate::config::standalone::StandaloneConfig::read(&given).map_err(Failure::Usage)?;
    let (self_scrape, admin_api, compact, store) =
        (config.self_scrape, config.admin_api, config.compact, config.store);
    let asked = (config.exec, config.api);
    let (role, tenancy) = (&config.receive.role, &config.receive.role.tenancy);
    let marks = (role.external_labels.clone(), (tenancy.label.clone(), tenancy.default_tenant.clone()));
    let join = move |bucket: Option<&Bucket>, registry: &Registry| {
        let compact = bucket.map(|bucket| CompactRole::new(bucket.clone(), compact, registry)).transpose();
        let compact = compact.map_err(Failure::Usage)?;
        let gateway = bucket.map(|bucket| Gateway::new(bucket.clone(), store, registry, false));
        let standalone = Standalone { self_scrape, admin_api, compact, gateway, asked, marks };
        Ok(Company { standalone: Some(standalone) })
    };
    block_on(serve(config.receive, join, Some(config.data_dir)))
}

/// What runs in the process beside the receiver.
#[derive(Clone, Default)]
struct Company {
    /// Every other role there is, on one listener; `None`: nothing.
    #[cfg(feature = "standalone")]
    standalone: Option<Standalone>,
}

#[cfg(feature = "standalone")]
#[derive(Clone)]
struct Standalone {
    self_scrape: bool,
    admin_api: bool,
    compact: Option<CompactRole>,
    gateway: Option<Gateway>,
    /// How queries are evaluated, and what requests do not say.
    asked: (ExecOptions, ApiSettings),
    /// The external labels of this process, and the label and name of the default tenant: who asks the process itself does not see them.
    marks: (Vec<(String, String)>, (String, String)),
}

impl Company {
    /// What is served as one store: the databases, and in company the bucket beside them.
    fn served(&self, local: LocalStore) -> Arc<dyn Store> {
        #[cfg(feature = "standalone")]
        if let Some(gateway) = self.standalone.as_ref().and_then(|standalone| standalone.gateway.clone()) {
            return Arc::new(MergedStore::new("receive", vec![Arc::new(local), Arc::new(gateway)]));
        }
        Arc::new(local)
    }

    /// The gRPC services over what is served, and in company the HTTP API.
    fn faces(
        &self,
        local: &LocalStore,
        receiver: &Receiver,
        http: &HttpMetrics,
        registry: &Registry,
    ) -> (Services, Router) {
        let store = self.served(local.clone());
        #[cfg(feature = "standalone")]
        if let Some(standalone) = &self.standalone {
            let (exec, settings) = standalone.asked.clone();
            let metrics = QueryMetrics::new(registry, exec.most, exec.selects);
            let queries = Executor::new(Arc::clone(&store), exec, metrics);
            let (labels, tenant) = &standalone.marks;
            let scraped = as_scraped(&store, labels, (&tenant.0, &tenant.1));
            let services = querying_services(
                Arc::clone(&store),
                Arc::new(queries.clone()),
                QueryDefaults::of(&settings),
            );
            let around = Around::new(receiver.clone(), store, registry.clone(), "this process".to_owned());
            let api = Api::new(queries.over(scraped), Arc::new(around), settings, http.clone());
            return (services, api.routes().fallback(nowhere));
        }
        let _ = (receiver, http, registry);
        (services(store), Router::new())
    }
}

/// `join` builds what runs beside the receiver. `moved_in`: a directory that Prometheus may have left, to be taken over before
/// the databases are opened.
async fn serve(
    config: ReceiveConfig,
    join: impl FnOnce(Option<&Bucket>, &Registry) -> Result<Company, Failure>,
    moved_in: Option<PathBuf>,
) -> Result<(), Failure> {
    crate::resources::prepare();
    let registry = Registry::new();
    let probe = Probe::new(&registry, "receive");
    let objstore = config.objstore.clone().map(Objstore::open).transpose().map_err(Failure::Usage)?;
    let bucket = objstore.as_ref().map(|objstore| bucket_of(objstore, &registry));
    let http = HttpMetrics::new(&registry);
    let receiver = build(config.role.clone(), bucket.clone(), &registry, http.clone())?;
    let company = join(bucket.as_ref(), &registry)?;
    #[cfg(feature = "standalone")]
    if company.standalone.is_some() {
        probe.speak_as_prometheus();
    }
    let local = LocalStore::new(receiver.clone(), config.store, Arc::new(SelectMetrics::new(&registry)));
    let web = ServeOptions::of(&config.http.web, config.http.grace).map_err(Failure::Usage)?;
    let write_options =
        ServeOptions::plain(config.http.grace).with_tls(config.write_tls.as_ref()).map_err(Failure::Usage)?;

    let routes = net::admin_routes(probe.clone(), registry.clone());
    let (services, api) = company.faces(&local, &receiver, &http, &registry);
    let routes = beside(&company, routes, &receiver, &http).merge(api);
    let admin = Server::open(&config.http.address, routes, web).await?;
    probe.healthy();
    tracing::info!(address = %config.http.address, "listening for requests and metrics");
    let mut write = None;
    if !config.write_address.is_empty() {
        let router = receiver.write_router().fallback(receive::not_found);
        write = Some(Server::open(&config.write_address, router, write_options).await?);
        tracing::info!(address = %config.write_address, "listening for remote write");
    }

    let mut grpc = None;
    if !config.grpc.address.is_empty() {
        grpc = Some(Server::open_services(&config.grpc, services, &probe, &registry).await?);
    }

    let stop = CancellationToken::new();
    if let Some(bucket) = bucket {
        let stop = stop.clone();
        tokio::spawn(async move { local.follow_deletions(bucket, stop).await });
    }
    let outcome = tokio::select! {
        started = receiver.start(moved_in) => started.map_err(Failure::Run),
        told = told_to_stop() => { told?; stop.cancel(); Ok(()) }
    };
    if outcome.is_ok() && !stop.is_cancelled() {
        if let Some(objstore) = objstore {
            tokio::spawn(objstore.follow(stop.clone()));
        }
        let work = tokio::spawn(work(receiver.clone(), registry, config.http.address, company, stop.clone()));
        probe.ready();
        told_to_stop().await?;
        probe.not_ready("told to stop");
        let close = |server: Option<Server>| async move {
            if let Some(server) = server {
                server.close().await;
            }
        };
        tokio::join!(close(write.take()), close(grpc.take()));
        receiver.refuse_writes();
        stop.cancel();
        let _ = work.await;
    }
    let closed = receiver.stop().await;
    if let Some(grpc) = grpc {
        grpc.close().await;
    }
    admin.close().await;
    outcome?;
    closed.map_err(Failure::Run)?;
    tracing::info!("exiting");
    Ok(())
}

/// What the page at `/` leads to.
#[cfg(feature = "standalone")]
const PAGES: [(&str, &str); 3] = [("blocks", "Blocks"), ("tenants", "Tenants"), ("metrics", "Metrics")];

/// The routes of the listener for everything but remote write; in company, of everything.
fn beside(company: &Company, routes: Router, receiver: &Receiver, http: &HttpMetrics) -> Router {
    #[cfg(feature = "standalone")]
    if let Some(standalone) = &company.standalone {
        let own = crate::standalone::page(receiver.clone())
            .merge(crate::query::page("", &PAGES))
            .merge(crate::standalone::admin(receiver.clone(), standalone.admin_api));
        let compact = standalone.compact.as_ref().map(|compact| compact.routes(http, false));
        return routes.merge(receiver.write_router()).merge(own).merge(compact.unwrap_or_default());
    }
    #[cfg(not(feature = "standalone"))]
    let _ = (company, receiver, http);
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
    if let Some(Standalone { self_scrape, compact, gateway, .. }) = company.standalone {
        let scrape = async {
            if self_scrape {
                let metrics = move || registry.page(false).1;
                crate::standalone::scrape_self(receiver.clone(), metrics, address, stop.clone()).await;
            }
        };
        let serve_bucket = async {
            if let Some(gateway) = gateway {
                gateway.run(stop.clone()).await;
            }
        };
        let compact = compact_beside(compact, stop.clone());
        tokio::join!(receiver.run(stop.clone()), scrape, compact, serve_bucket);
        return;
    }
    #[cfg(not(feature = "standalone"))]
    let _ = (registry, address, company);
    receiver.run(stop).await;
}

/// A compactor that cannot work is no reason to take no samples.
#[cfg(feature = "standalone")]
async fn compact_beside(compact: Option<CompactRole>, stop: CancellationToken) {
    let Some(compact) = compact else { return };
    if let Err(why) = compact.run(stop).await {
        tracing::error!(err = why, "the compactor has ended, blocks stay in the bucket as they are");
    }
}

/// The receiver with its disk, bucket and listeners of events.
fn build(
    options: ReceiveOptions,
    bucket: Option<Bucket>,
    registry: &Registry,
    http: HttpMetrics,
) -> Result<Receiver, Failure> {
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
        observer: Arc::new(ReceiveMetrics::new(registry, http)),
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
    let registry = Registry::new();
    let bucket = objstore.map(|objstore| bucket_of(objstore, &registry));
    let receiver = build(options, bucket, &registry, HttpMetrics::new(&registry))?;
    block_on(async move { receiver.flush_tenant(tenant).await.map_err(Failure::Run) })
}
