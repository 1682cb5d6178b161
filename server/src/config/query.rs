//! The flags of `query`: those of `thanos query` from v0.37 to main, hidden ones too, and the dialect.
//!
//! [`QueryConfig`] is what the rest of the server sees.

use std::time::Duration;

use bytes::Bytes;
use sarsen_block::Labels;
use sarsen_bucket::Selector;

use super::content::Content;
use super::flags::{Fault, Flag, Given, Kind};
use super::grpc::{GRPC, GrpcConfig};
use super::process::{HttpConfig, PROCESS, go_duration};
use super::query_endpoints::{ENDPOINTS, EndpointConfig};
use crate::query::{ApiSettings, CertificateField, Dialect, ExecOptions, Partial, Replicas, Taken, Tenancy};
use crate::store::SelectLimits;

const ONE_ENGINE: &str = "there is one engine, whose answers are those of both";
const NO_LEAVES: &str = "queries are evaluated here, over the series of all endpoints, with the same answers";
const RELATIVE: &str = "links on the page are relative, so it works below any prefix";
const SILENT: &str = "requests are not logged one by one";
const FRAMES: &str = "series come as they are read, and wait in bounded room";
const BOUNDS: &str = "the bounds are Thanos' defaults";

/// How queries are evaluated; `standalone` has these too.
const SHARED: &[Flag] = &[
    Flag::new(
        "query.dialect",
        Kind::Choice(&["thanos", "prometheus"]),
        "thanos",
        "Whose envelope, texts of errors, defaults and counter adjustment.",
    ),
    Flag::new("query.timeout", Kind::Duration, "2m", "How long a query may take."),
    Flag::new("query.max-concurrent", Kind::Number, "20", "Queries at the same time; others wait."),
    Flag::new(
        "query.max-samples",
        Kind::Number,
        "50000000",
        "Samples that a query may have in memory; 0: any.",
    ),
    Flag::new(
        "query.max-bytes",
        Kind::Bytes,
        "0",
        "Bytes that results and windows of a query may take; 0: any.",
    ),
    Flag::new(
        "query.lookback-delta",
        Kind::GoDuration,
        "",
        "How far back a selector looks for a sample; 5m unless given.",
    ),
    Flag::new(
        "query.dynamic-lookback-delta",
        Kind::Bool,
        "true",
        "Look further back where data is read that is coarser than that.",
    )
    .hidden(),
    Flag::new("query.promql-engine", Kind::Choice(&["prometheus", "thanos"]), "prometheus", "Engine.")
        .inert(ONE_ENGINE),
    Flag::switch("query.disable-fallback", "No other engine.").hidden().inert(ONE_ENGINE),
    Flag::switch("query.enable-x-functions", "xrate, xincrease and xdelta.")
        .refused("there are no such functions; use the modifiers anchored and smoothed"),
    Flag::new("query.mode", Kind::Choice(&["local", "distributed"]), "local", "Where queries are evaluated.")
        .inert(NO_LEAVES),
    Flag::switch("query.distributed-with-overlapping-interval", "For distributed queries.")
        .hidden()
        .inert(NO_LEAVES),
    Flag::new("query.partition-label", Kind::Text, "", "Labels of leaf queriers.").repeat().inert(NO_LEAVES),
    Flag::new(
        "query.max-concurrent-select",
        Kind::Number,
        "4",
        "Selections of a query that are asked ahead at the same time; 0: all.",
    ),
    Flag::new(
        "query.default-evaluation-interval",
        Kind::Duration,
        "1m",
        "Step of subqueries that have none of their own.",
    ),
    Flag::new(
        "query.default-step",
        Kind::Duration,
        "1s",
        "The least step of queries over a range that come without one.",
    ),
    Flag::switch(
        "query.auto-downsampling",
        "Read data as coarse as a fifth of the step, if a query does not say how coarse it may be.",
    ),
    Flag::new(
        "query.instant.default.max_source_resolution",
        Kind::Duration,
        "0s",
        "How coarse data of queries at one time may be where coarse data is wanted at all.",
    )
    .hidden(),
    Flag::new(
        "query.metadata.default-time-range",
        Kind::GoDuration,
        "0s",
        "Time of which labels and series are shown if a request does not say; 0s: all.",
    ),
    Flag::new("query.active-query-path", Kind::Text, "", "Directory for a list of running queries.")
        .inert("running queries are in the log when they end badly"),
    Flag::new("enable-feature", Kind::Text, "", "Features of the language, separated by commas.").repeat(),
    Flag::new(
        "deduplication.func",
        Kind::Choice(&["penalty", "chain"]),
        "penalty",
        "How replicas become one: stay with one until it has a gap, or take samples of all.",
    ),
    Flag::new(
        "query.replica-label",
        Kind::Text,
        "",
        "A label that tells replicas apart, or several with commas between them.",
    )
    .repeat(),
    Flag::new("query.partial-response", Kind::Bool, "true", "Answer without what a store could not give."),
    Flag::new("rule.partial-response", Kind::Bool, "true", "The same for rules.").hidden(),
    Flag::new("target.partial-response", Kind::Bool, "true", "The same for targets.").hidden(),
    Flag::new("metric-metadata.partial-response", Kind::Bool, "true", "The same for metadata.").hidden(),
    Flag::new("exemplar.partial-response", Kind::Bool, "true", "The same for exemplars.").hidden(),
    Flag::new("status.partial-response", Kind::Bool, "true", "The same for counts of series.").hidden(),
    Flag::new("query.tenant-header", Kind::Text, "THANOS-TENANT", "Header that says whose query it is."),
    Flag::new("query.default-tenant-id", Kind::Text, "default-tenant", "Whose it is without that header."),
    Flag::new(
        "query.tenant-certificate-field",
        Kind::Choice(&["", "organization", "organizationalUnit", "commonName"]),
        "",
        "Field of the client's TLS certificate that says whose query it is, instead of the header.",
    ),
    Flag::switch("query.enforce-tenancy", "Show each tenant its own series only."),
    Flag::new("query.tenant-label-name", Kind::Text, "tenant_id", "Label that says whose series it is."),
    Flag::new("query.telemetry.request-duration-seconds-quantiles", Kind::Float, "0.1", "Bounds.")
        .repeat()
        .inert(BOUNDS),
    Flag::new("query.telemetry.request-samples-quantiles", Kind::Float, "100", "Bounds.")
        .repeat()
        .inert(BOUNDS),
    Flag::new("query.telemetry.request-series-seconds-quantiles", Kind::Float, "10", "Bounds.")
        .repeat()
        .inert(BOUNDS),
    Flag::new("alert.query-url", Kind::Text, "", "Address of this query in alerts.")
        .inert("no rules run here"),
];

/// Flags that another role in the same process has too, or that have another default there.
const ALONE: &[Flag] = &[
    Flag::new("web.route-prefix", Kind::Text, "", "Prefix under which API and page are served."),
    Flag::new("web.external-prefix", Kind::Text, "", "Prefix under which they are reached through a proxy."),
    Flag::new("web.prefix-header", Kind::Text, "", "Header with that prefix.").inert(RELATIVE),
    Flag::switch("web.disable-cors", "No CORS headers in answers of the API."),
    Flag::new(
        "store.limits.request-series",
        Kind::Number,
        "0",
        "Series of one request to the endpoints together, our own and those of others; 0: any number.",
    ),
    Flag::new(
        "store.limits.request-samples",
        Kind::Number,
        "0",
        "The same for samples, of which a chunk counts as 120.",
    ),
    Flag::new("request.logging-config-file", Kind::Text, "", "Request logs.").inert(SILENT),
    Flag::new("request.logging-config", Kind::Text, "", "Request logs.").inert(SILENT),
    Flag::new(
        "selector-label",
        Kind::Label,
        "",
        "Labels that stand for all that this querier has: told to those who may ask it, and matched instead of sent on.",
    )
    .repeat(),
    Flag::new(
        "query.conn-metric.label",
        Kind::Text,
        "external_labels",
        "Labels of the metric of connections.",
    )
    .repeat(),
    Flag::new("grpc.proxy-strategy", Kind::Choice(&["eager", "lazy"]), "eager", "How series are read.")
        .hidden()
        .inert(FRAMES),
    Flag::new("query.lazy-retrieval-max-buffered-responses", Kind::Number, "20", "Frames that wait.")
        .hidden()
        .inert(FRAMES),
    Flag::new(
        "selector.relabel-config-file",
        Kind::Text,
        "",
        "File with relabelling that selects endpoints, and what of them is asked, by their external labels.",
    ),
    Flag::new("selector.relabel-config", Kind::Text, "", "The same as text."),
];

/// What `query` was asked to do, checked.
#[derive(Debug, Clone)]
pub(crate) struct QueryConfig {
    /// Where API, page, probes and metrics are answered.
    pub(crate) http: HttpConfig,
    /// Where the services of a querier are.
    pub(crate) grpc: GrpcConfig,
    /// What is taken of them.
    pub(crate) taken: Taken,
    /// Who is asked.
    pub(crate) endpoints: EndpointConfig,
    /// How queries are evaluated.
    pub(crate) exec: ExecOptions,
    /// What requests do not say.
    pub(crate) api: ApiSettings,
}

/// The whole table of `query`.
pub(crate) fn table() -> Vec<Flag> {
    PROCESS.iter().chain(GRPC).chain(ENDPOINTS).chain(ALONE).chain(SHARED).copied().collect()
}

/// What the querier inside `standalone` is asked by.
#[cfg(feature = "standalone")]
pub(crate) fn shared() -> impl Iterator<Item = Flag> {
    SHARED.iter().copied()
}

impl QueryConfig {
    /// From flags to settings.
    pub(crate) fn read(given: &Given) -> Result<Self, Fault> {
        if let Some(argument) = given.arguments.first() {
            return Err(format!("unexpected {argument}"));
        }
        let mut api = api(given, Dialect::named(given.text("query.dialect")))?;
        api.cors = !given.is_on("web.disable-cors");
        api.prefix = super::pages::prefix(given);
        Ok(Self {
            http: HttpConfig::read(given)?,
            grpc: GrpcConfig::read(given)?,
            taken: taken(given)?,
            endpoints: EndpointConfig::read(given)?,
            exec: exec(given, api.dialect)?,
            api,
        })
    }
}

/// What is taken of the endpoints.
fn taken(given: &Given) -> Result<Taken, Fault> {
    let selector = Content::of(given, "selector.relabel-config")?.map(|content| {
        let read = Selector::parse(&content.read_expanded()?);
        read.map_err(|why| format!("{}: {why}", content.place()))
    });
    let number = |name: &str| {
        let text = given.text(name);
        text.parse::<u64>().map_err(|_| format!("--{name}: {text:?} is no whole number"))
    };
    let series = number("store.limits.request-series")?;
    let samples = number("store.limits.request-samples")?;
    Ok(Taken {
        connections: connections(given),
        labels: Labels::from_pairs(given.labels("selector-label")?)
            .map_err(|why| format!("--selector-label: {why}"))?,
        selector: selector.transpose()?,
        limits: SelectLimits { series, samples },
    })
}

fn connections(given: &Given) -> Vec<String> {
    let named = given.all("query.conn-metric.label");
    if named.is_empty() {
        ["external_labels", "store_type"].map(str::to_owned).to_vec()
    } else {
        named.to_vec()
    }
}

/// How queries are evaluated.
pub(crate) fn exec(given: &Given, dialect: Dialect) -> Result<ExecOptions, Fault> {
    let number = |name: &str| {
        let text = given.text(name);
        text.parse::<u64>().map_err(|_| format!("--{name}: {text:?} is no whole number"))
    };
    let lookback = match given.text_if_any("query.lookback-delta") {
        None => Duration::ZERO,
        Some(_) => go_duration(given, "query.lookback-delta")?,
    };
    let lookback = if lookback.is_zero() { Duration::from_secs(300) } else { lookback };
    let features = given.all("enable-feature").iter().flat_map(|list| list.split(','));
    let features: Vec<String> =
        features.map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    Ok(ExecOptions {
        dialect,
        timeout: given.duration("query.timeout")?,
        most: usize::try_from(number("query.max-concurrent")?.max(1)).unwrap_or(usize::MAX),
        selects: usize::try_from(number("query.max-concurrent-select")?).unwrap_or(usize::MAX),
        max_samples: number("query.max-samples")?,
        max_bytes: given.bytes("query.max-bytes")?,
        lookback_ms: i64::try_from(lookback.as_millis()).unwrap_or(i64::MAX),
        dynamic_lookback: given.is_on("query.dynamic-lookback-delta"),
        subquery_step_ms: given.millis("query.default-evaluation-interval")?,
        features,
    })
}

/// What requests do not say.
pub(crate) fn api(given: &Given, dialect: Dialect) -> Result<ApiSettings, Fault> {
    let labels = given.all("query.replica-label").iter().flat_map(|list| list.split(','));
    let mut labels: Vec<Bytes> = labels
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(|name| Bytes::from(name.to_owned()))
        .collect();
    labels.sort();
    labels.dedup();
    let label = given.text("query.tenant-label-name").to_owned();
    let tenancy = Tenancy {
        header: given.text("query.tenant-header").to_owned(),
        default: given.text("query.default-tenant-id").to_owned(),
        certificate: CertificateField::named(given.text("query.tenant-certificate-field")),
        label: given.is_on("query.enforce-tenancy").then_some(label),
    };
    if axum::http::HeaderName::try_from(tenancy.header.as_str()).is_err() {
        return Err(format!("--query.tenant-header: {:?} is no name of a header", tenancy.header));
    }
    let chain = given.text("deduplication.func") == "chain";
    Ok(ApiSettings {
        dialect,
        cors: true,
        prefix: String::new(),
        tenancy,
        replica_labels: labels,
        replicas: if chain { Replicas::Chain } else { Replicas::Penalty },
        partial: Partial {
            queries: given.is_on("query.partial-response"),
            rules: given.is_on("rule.partial-response"),
            targets: given.is_on("target.partial-response"),
            metadata: given.is_on("metric-metadata.partial-response"),
            exemplars: given.is_on("exemplar.partial-response"),
        },
        auto_downsampling: given.is_on("query.auto-downsampling"),
        instant_resolution_ms: given.millis("query.instant.default.max_source_resolution")?,
        default_step: given.duration("query.default-step")?,
        metadata_range: go_duration(given, "query.metadata.default-time-range")?,
        flags: given.values(&["tracing.config", "request.logging-config"]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str]) -> Result<QueryConfig, Fault> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        QueryConfig::read(&Given::read(table(), &args)?)
    }

    #[test]
    fn defaults_are_those_of_thanos() {
        let config = read(&[]).unwrap();
        assert_eq!(
            (config.exec.timeout.as_secs(), config.exec.most, config.exec.lookback_ms),
            (120, 20, 300_000)
        );
        assert_eq!(config.api.dialect, Dialect::Thanos);
        assert!(config.api.partial.queries && config.api.cors && config.api.tenancy.label.is_none());
        assert!(config.exec.dynamic_lookback && !config.api.auto_downsampling);
    }

    #[test]
    fn replica_labels_of_both_forms() {
        let config =
            read(&["--query.replica-label=b,a", "--query.replica-label=c", "--query.replica-label", "a"])
                .unwrap();
        assert_eq!(config.api.replica_labels, ["a", "b", "c"]);
    }

    #[test]
    fn wishes_are_heard() {
        let config = read(&[
            "--query.lookback-delta=90s",
            "--query.enforce-tenancy",
            "--query.tenant-label-name=owner",
            "--deduplication.func=chain",
            "--web.external-prefix=http://x/y/",
            "--enable-feature=promql-experimental-functions,promql-at-modifier",
            "--no-query.partial-response",
        ])
        .unwrap();
        assert_eq!(config.exec.lookback_ms, 90_000);
        assert_eq!(config.exec.features, ["promql-experimental-functions", "promql-at-modifier"]);
        assert_eq!(config.api.tenancy.label.as_deref(), Some("owner"));
        assert_eq!((config.api.prefix.as_str(), config.api.replicas), ("/y", Replicas::Chain));
        assert!(!config.api.partial.queries);
        for bad in
            ["--query.tenant-header=a b", "--query.mode=x", "--query.enable-x-functions", "--query.timeout=1"]
        {
            assert!(read(&[bad]).is_err(), "{bad}");
        }
    }
}
