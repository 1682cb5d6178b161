//! The flags of `store`: those of `thanos store` from v0.37 to main, hidden ones too.
//!
//! [`StoreConfig`] is what the rest of the server sees. Bounds of time that are given from now are worked out anew for each look
//! at the bucket.

use std::collections::BTreeMap;
use std::path::PathBuf;

use sarsen_bucket::Selector;

use super::caches;
use super::content::Content;
use super::flags::{Fault, Flag, Given, Kind};
use super::grpc::{GRPC, GrpcConfig};
use super::pages;
use super::process::{HttpConfig, PROCESS, go_duration};
use super::tenant_limits;
use super::values::{Moment, moment};
use crate::store::{GatewayLimits, GatewayOptions, Sieve, TenantLimits};

const LISTED: &str = "the bucket is listed once, whole, and each meta.json is read once";
const LAZY: &str =
    "headers are always fetched when a block is first asked for, and closed when nobody asks any more";
const CHOSEN: &str = "the cheapest way to find series is chosen for each request";
const MEASURED: &str = "sizes are taken from the block itself";
const RELATIVE: &str = "links on the page are relative, so it works below any prefix";

/// Flags that `standalone` has in common with `store`.
const SHARED: &[Flag] = &[
    Flag::new(
        "index-cache-size",
        Kind::Size,
        "250MB",
        "Bytes of the cache of postings and series; not used with --index-cache.config.",
    ),
    Flag::new("index-cache.config-file", Kind::Text, "", "File with the cache of postings and series."),
    Flag::new("index-cache.config", Kind::Text, "", "The same as text."),
    Flag::new(
        "store.caching-bucket.config-file",
        Kind::Text,
        "",
        "File with the cache of chunks and metadata of the bucket.",
    )
    .hidden(),
    Flag::new("store.caching-bucket.config", Kind::Text, "", "The same as text.").hidden(),
    Flag::new(
        "chunk-pool-size",
        Kind::Size,
        "2GB",
        "Bytes that all requests together may hold; what does not fit waits or is refused.",
    ),
    Flag::new(
        "store.grpc.touched-series-limit",
        Kind::Number,
        "0",
        "The old name of --store.limits.request-series.",
    ),
    Flag::new(
        "store.grpc.series-sample-limit",
        Kind::Number,
        "0",
        "The old name of --store.limits.request-samples.",
    ),
    Flag::new(
        "store.grpc.downloaded-bytes-limit",
        Kind::Size,
        "0",
        "Bytes that one request may fetch from the bucket or the caches; 0: any.",
    ),
    Flag::new("store.grpc.series-max-concurrency", Kind::Number, "20", "Series calls at the same time."),
    Flag::new(
        "store.limits.tenant-series-concurrency",
        Kind::Number,
        "0",
        "Of these, calls of one tenant; further ones of the same tenant wait. 0: any.",
    ),
    Flag::new(
        "store.limits.tenants-file",
        Kind::Text,
        "",
        "File with limits of single tenants, in place of those of the flags.",
    ),
    Flag::new("store.limits.tenants", Kind::Text, "", "The same as text."),
    Flag::new("sync-block-duration", Kind::GoDuration, "15m", "Time between two looks at the bucket."),
    Flag::new("block-sync-concurrency", Kind::Number, "20", "Blocks at once.").inert(LISTED),
    Flag::new(
        "ignore-deletion-marks-delay",
        Kind::Duration,
        "24h",
        "How long after its mark for deletion a block is still served; less than the compactor's --delete-delay.",
    ),
    Flag::new(
        "store.index-header-posting-offsets-in-mem-sampling",
        Kind::Number,
        "32",
        "Share of the table of postings in memory.",
    )
    .hidden()
    .inert(MEASURED),
    Flag::switch("store.enable-index-header-lazy-reader", "Open index headers when they are asked for.")
        .inert(LAZY),
    Flag::new(
        "store.index-header-lazy-reader-idle-timeout",
        Kind::GoDuration,
        "5m",
        "Close index headers that nobody asked for so long.",
    )
    .hidden(),
    Flag::new(
        "store.index-header-lazy-download-strategy",
        Kind::Choice(&["eager", "lazy"]),
        "eager",
        "When index headers are fetched.",
    )
    .inert(LAZY),
    Flag::switch("store.enable-lazy-expanded-postings", "Filter series instead of reading long lists.")
        .inert(CHOSEN),
    Flag::new("store.posting-group-max-key-series-ratio", Kind::Float, "100", "When to do so.").inert(CHOSEN),
    Flag::new("debug.series-batch-size", Kind::Number, "10000", "Series at once.").hidden().inert(MEASURED),
    Flag::new("debug.estimated-max-series-size", Kind::Number, "65536", "Bytes of a series.")
        .hidden()
        .inert(MEASURED),
    Flag::new("debug.estimated-max-chunk-size", Kind::Number, "16000", "Bytes of a chunk.")
        .hidden()
        .inert(MEASURED),
    Flag::switch("debug.advertise-compatibility-label", "Advertise a label for old queriers.")
        .hidden()
        .inert("no querier that needs it is left"),
    Flag::new("objstore-parquet.config-file", Kind::Text, "", "Bucket with parquet files.")
        .refused("there are no parquet files here"),
    Flag::new("objstore-parquet.config", Kind::Text, "", "Bucket with parquet files.")
        .refused("there are no parquet files here"),
];

/// Flags that other roles in one process have too.
const ALONE: &[Flag] = &[
    Flag::new(
        "data-dir",
        Kind::Text,
        "./data",
        "Directory of index headers; nothing in it is needed after a stop.",
    ),
    Flag::new("cache-index-header", Kind::Bool, "true", "Keep index headers in --data-dir."),
    Flag::new("objstore.config-file", Kind::Text, "", "File with the object store."),
    Flag::new("objstore.config", Kind::Text, "", "The same as text."),
    Flag::new("store.limits.request-series", Kind::Number, "0", "Series that one request may touch; 0: any."),
    Flag::new(
        "store.limits.request-samples",
        Kind::Number,
        "0",
        "Samples that one request may fetch; 0: any.",
    ),
    Flag::new(
        "block-discovery-strategy",
        Kind::Choice(&["concurrent", "recursive"]),
        "concurrent",
        "How blocks are found.",
    )
    .inert(LISTED),
    Flag::new("block-meta-fetch-concurrency", Kind::Number, "32", "Metas read at once.").inert(LISTED),
    Flag::new(
        "min-time",
        Kind::Moment,
        "0000-01-01T00:00:00Z",
        "Leave blocks out that end before this: a date, or a duration from now (-6w).",
    ),
    Flag::new("max-time", Kind::Moment, "9999-12-31T23:59:59Z", "Leave blocks out that begin after this."),
    Flag::new(
        "selector.relabel-config-file",
        Kind::Text,
        "",
        "File with relabelling that selects blocks by their external labels.",
    ),
    Flag::new("selector.relabel-config", Kind::Text, "", "The same as text."),
    Flag::new(
        "consistency-delay",
        Kind::Duration,
        "0s",
        "How long an uploaded block rests before it is served.",
    ),
    Flag::switch("web.disable", "No page of blocks and no API."),
    Flag::new(
        "web.external-prefix",
        Kind::Text,
        "",
        "Prefix under which page and API are reached through a proxy.",
    ),
    Flag::new("web.prefix-header", Kind::Text, "", "Header with that prefix.").inert(RELATIVE),
    Flag::switch("web.disable-cors", "No CORS headers in answers of the API."),
    Flag::new(
        "bucket-web-label",
        Kind::Text,
        "",
        "External label that titles the groups on the page of blocks.",
    ),
    Flag::switch("disable-admin-operations", "Refuse to mark blocks by the API."),
    Flag::new("matcher-cache-size", Kind::Number, "0", "Cache of matchers.").inert("there is no such cache"),
    Flag::new("request.logging-config-file", Kind::Text, "", "Request logs.")
        .inert("requests are not logged one by one"),
    Flag::new("request.logging-config", Kind::Text, "", "Request logs.")
        .inert("requests are not logged one by one"),
];

/// What `store` was asked to do, checked.
#[derive(Debug, Clone)]
pub(crate) struct StoreConfig {
    /// Where probes, metrics, page and API are answered.
    pub(crate) http: HttpConfig,
    /// Where the StoreAPI is served.
    pub(crate) grpc: GrpcConfig,
    /// Where the blocks are.
    pub(crate) objstore: Content,
    /// What the role itself has to know.
    pub(crate) role: GatewayOptions,
}

/// The whole table of `store`.
pub(crate) fn table() -> Vec<Flag> {
    PROCESS.iter().chain(GRPC).chain(ALONE).chain(SHARED).copied().collect()
}

/// What the gateway inside `standalone` is asked by.
#[cfg(feature = "standalone")]
pub(crate) fn shared() -> impl Iterator<Item = Flag> {
    SHARED.iter().copied()
}

impl StoreConfig {
    /// From flags to settings; what the table alone cannot check is checked here.
    pub(crate) fn read(given: &Given) -> Result<Self, Fault> {
        if let Some(argument) = given.arguments.first() {
            return Err(format!("unexpected {argument}"));
        }
        let objstore = Content::of(given, "objstore.config")?;
        let objstore = objstore
            .ok_or("--objstore.config-file or --objstore.config is required: it says where the blocks are")?;
        let mut role = role(given, given.text("data-dir").into(), sieve(given)?)?;
        role.local_headers = given.is_on("cache-index-header");
        role.web = pages::web(given);
        Ok(Self { http: HttpConfig::read(given)?, grpc: GrpcConfig::read(given)?, objstore, role })
    }
}

/// The settings of the role, without a page.
pub(crate) fn role(given: &Given, data_dir: PathBuf, sieve: Sieve) -> Result<GatewayOptions, Fault> {
    let number = |names: [&str; 2]| -> Result<u64, Fault> {
        let name = if given.is_given(names[1]) && !given.is_given(names[0]) { names[1] } else { names[0] };
        given.text(name).parse().map_err(|_| format!("--{name}: {:?} is no whole number", given.text(name)))
    };
    let of_all = TenantLimits {
        series: number(["store.limits.request-series", "store.grpc.touched-series-limit"])?,
        samples: number(["store.limits.request-samples", "store.grpc.series-sample-limit"])?,
        bytes: given.bytes("store.grpc.downloaded-bytes-limit")?,
        concurrency: given.count("store.limits.tenant-series-concurrency")?.into(),
    };
    let mut limits = GatewayLimits {
        of_all,
        of_tenants: BTreeMap::new(),
        concurrency: given.count("store.grpc.series-max-concurrency")? as usize,
        memory: given.bytes("chunk-pool-size")?,
    };
    if let Some(content) = Content::of(given, "store.limits.tenants")? {
        let read = tenant_limits::parse(&content.read_expanded()?, &limits);
        limits.of_tenants = read.map_err(|why| format!("{}: {why}", content.place()))?;
    }
    Ok(GatewayOptions {
        data_dir,
        local_headers: true,
        sync_every: go_duration(given, "sync-block-duration")?.max(std::time::Duration::from_secs(1)),
        header_idle: go_duration(given, "store.index-header-lazy-reader-idle-timeout")?,
        sieve,
        limits,
        caches: caches::read(given)?,
        web: None,
        flags: given.values(&["objstore.config"]),
    })
}

/// Which blocks are served.
fn sieve(given: &Given) -> Result<Sieve, Fault> {
    let bound = |name: &str| -> Result<Moment, Fault> {
        moment(given.text(name)).map_err(|why| format!("--{name}: {why}"))
    };
    let selector = match Content::of(given, "selector.relabel-config")? {
        None => Selector::default(),
        Some(content) => {
            let read = Selector::parse(&content.read_expanded()?);
            read.map_err(|why| format!("{}: {why}", content.place()))?
        }
    };
    let sieve = Sieve {
        min: bound("min-time")?,
        max: bound("max-time")?,
        selector,
        consistency_delay_ms: given.millis("consistency-delay")?,
        ignore_marks_ms: given.millis("ignore-deletion-marks-delay")?,
    };
    if sieve.range(crate::clock::now()).is_empty() {
        return Err("--min-time lies behind --max-time".to_owned());
    }
    Ok(sieve)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn read(args: &[&str]) -> Result<StoreConfig, Fault> {
        let mut all = vec!["--objstore.config=type: FILESYSTEM".to_owned()];
        all.extend(args.iter().map(|arg| (*arg).to_owned()));
        Given::read(table(), &all).and_then(|given| StoreConfig::read(&given))
    }

    #[test]
    fn the_usual_command_line() {
        let config = read(&[
            "--log.level=info",
            "--data-dir=/var/thanos/store",
            "--index-cache-size=500MB",
            "--chunk-pool-size=500MB",
        ])
        .unwrap();
        assert_eq!(config.role.data_dir, std::path::Path::new("/var/thanos/store"));
        let index = sarsen_bucket::CacheStore::Memory(sarsen_bucket::MemoryOptions::of_size(500 << 20));
        assert_eq!((config.role.caches.index.store, config.role.limits.memory), (index, 500 << 20));
        assert_eq!(config.role.caches.bucket, None);
        assert_eq!(
            (config.http.address.as_str(), config.grpc.address.as_str()),
            ("0.0.0.0:10902", "0.0.0.0:10901")
        );
        assert_eq!(config.role.sync_every, Duration::from_secs(900));
        assert_eq!((config.role.limits.of_all.series, config.role.limits.concurrency), (0, 20));
        assert!(config.role.local_headers && config.role.web.is_some());
    }

    #[test]
    fn old_names_of_limits() {
        let limits = |args: &[&str]| read(args).unwrap().role.limits.of_all;
        assert_eq!(limits(&["--store.grpc.touched-series-limit=5"]).series, 5);
        assert_eq!(
            limits(&["--store.grpc.touched-series-limit=5", "--store.limits.request-series=7"]).series,
            7
        );
        assert_eq!(limits(&["--store.grpc.series-sample-limit=1200"]).samples, 1200);
    }

    #[test]
    fn limits_of_tenants() {
        let given = [
            "--store.limits.request-series=5",
            "--store.limits.tenants={tenants: {a: {request-samples: 6}}}",
        ];
        let limits = read(&given).unwrap().role.limits;
        let own = TenantLimits { series: 5, samples: 6, ..TenantLimits::default() };
        assert_eq!((limits.of(Some("a")), limits.of(Some("b"))), (own, limits.of_all));
    }

    #[test]
    fn faults_name_the_flag() {
        for (arg, part) in [
            ("--store.limits.tenants=[]", "--store.limits.tenants"),
            ("--store.limits.tenants-file=/nowhere", "--store.limits.tenants-file: /nowhere"),
            ("--min-time=yesterday", "--min-time"),
            ("--selector.relabel-config=[{action: replace}]", "--selector.relabel-config"),
            ("--chunk-pool-size=5", "--chunk-pool-size"),
            ("--objstore-parquet.config=x", "parquet"),
            ("--sync-block-duration=1d", "--sync-block-duration"),
            ("more", "more"),
        ] {
            assert!(read(&[arg]).unwrap_err().contains(part), "{arg}");
        }
        assert!(read(&["--min-time=2h", "--max-time=-2h"]).unwrap_err().contains("--max-time"));
        let bare = Given::read(table(), &[]).and_then(|given| StoreConfig::read(&given));
        assert!(bare.unwrap_err().contains("--objstore.config-file"));
    }

    #[test]
    fn no_flag_stands_twice() {
        let mut names: Vec<&str> = table().iter().map(|flag| flag.name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
