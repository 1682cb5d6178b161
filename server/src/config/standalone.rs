//! The flags of `standalone`: those of `receive`, `store`, `compact` and `query` with other defaults, and a few of its own.

use std::path::PathBuf;

use super::compact;
use super::content::Content;
use super::flags::{Fault, Flag, Given, Kind};
use super::receive::{self, ReceiveConfig};
use super::{query, store};
use crate::compact::RoleOptions;
use crate::query::{ApiSettings, Dialect, ExecOptions};
use crate::store::{GatewayOptions, Sieve};

const OWN: &[Flag] = &[
    Flag::new("data-dir", Kind::Text, "data", "Directory of everything."),
    Flag::new("self-scrape", Kind::Bool, "true", "Scrape this process every 15 seconds."),
    Flag::switch(
        "web.enable-admin-api",
        "Serve /api/v1/admin/tsdb/delete_series, clean_tombstones and snapshot, as Prometheus does.",
    ),
    Flag::new(
        "retention.resolution-raw",
        Kind::Duration,
        "7d",
        "How long raw data is kept in the bucket; 0d: for ever.",
    ),
    Flag::new(
        "retention.resolution-5m",
        Kind::Duration,
        "30d",
        "How long data of 5 minutes is kept; 0d: for ever.",
    ),
    Flag::new(
        "retention.resolution-1h",
        Kind::Duration,
        "180d",
        "How long data of an hour is kept; 0d: for ever.",
    ),
    Flag::switch("wait", "Go on.").with_default("true").inert("this program always goes on"),
];

/// What `standalone` was asked to do, checked.
#[derive(Debug, Clone)]
pub(crate) struct StandaloneConfig {
    /// The receiver inside.
    pub(crate) receive: ReceiveConfig,
    /// The store gateway inside.
    pub(crate) store: GatewayOptions,
    /// The compactor inside.
    pub(crate) compact: RoleOptions,
    /// How the querier inside evaluates.
    pub(crate) exec: ExecOptions,
    /// How its API answers.
    pub(crate) api: ApiSettings,
    /// Scrape this process.
    pub(crate) self_scrape: bool,
    /// Serve the admin API.
    pub(crate) admin_api: bool,
    /// Where everything lies, perhaps still as Prometheus left it.
    pub(crate) data_dir: PathBuf,
}

/// The whole table of `standalone`.
pub(crate) fn table() -> Vec<Flag> {
    let adapt = |flag: Flag| match flag.name {
        "http-address" => flag.with_default("127.0.0.1:9090"),
        "grpc-address" => flag.with_default("127.0.0.1:10901"),
        "remote-write.address" => flag.with_default(""),
        "tsdb.path" => flag.with_default(""),
        "tsdb.retention" => flag.with_default("2h"),
        "query.dialect" => flag.with_default("prometheus"),
        // Raw data goes first: what is older is there downsampled only.
        "query.auto-downsampling" => flag.with_default("true"),
        // The bucket is at hand, and other roles of this process change it.
        "sync-block-duration" => flag.with_default("1m"),
        _ => flag,
    };
    // The compactor's says it of blocks, and is stricter; the receiver has no features of its own.
    let asked = query::shared().filter(|flag| flag.name != "deduplication.func");
    let received = receive::table().into_iter().filter(|flag| flag.name != "enable-feature");
    let shared = store::shared().chain(compact::shared()).chain(asked);
    OWN.iter().copied().chain(received.map(adapt)).chain(shared.map(adapt)).collect()
}

impl StandaloneConfig {
    /// From flags to settings.
    pub(crate) fn read(given: &Given) -> Result<Self, Fault> {
        if let Some(argument) = given.arguments.first() {
            return Err(format!("unexpected {argument}"));
        }
        let mut labels = given.labels("label")?;
        if labels.is_empty() {
            // Not `instance`: that label belongs to the series.
            labels.push(("sarsen".to_owned(), "standalone".to_owned()));
        }
        let mut receive = ReceiveConfig::read_without_labels(given, labels)?;
        let data_dir = given.text("data-dir").trim_end_matches('/');
        if receive.role.tsdb_path.as_os_str().is_empty() {
            receive.role.tsdb_path = format!("{data_dir}/tenants").into();
        }
        receive.objstore.get_or_insert_with(|| bucket_in(&format!("{data_dir}/bucket")));
        receive.role.prometheus_write = true;
        let (self_scrape, admin_api) = (given.is_on("self-scrape"), given.is_on("web.enable-admin-api"));
        let compact = compact::role(given, format!("{data_dir}/compact").into())?;
        // Everything in the bucket is served; bounds of time are for the compactor.
        let store = store::role(given, format!("{data_dir}/store").into(), Sieve::default())?;
        let dialect = Dialect::named(given.text("query.dialect"));
        let (exec, api) = (query::exec(given, dialect)?, query::api(given, dialect)?);
        Ok(Self { receive, store, compact, exec, api, self_scrape, admin_api, data_dir: data_dir.into() })
    }
}

/// The configuration of a bucket that is a directory.
fn bucket_in(directory: &str) -> Content {
    let text = format!("type: FILESYSTEM\nconfig:\n  directory: '{}'\n", directory.replace('\'', "''"));
    Content::Text { flag: "data-dir".to_owned(), text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_under_one_directory() {
        let read = |args: &[&str]| {
            let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
            Given::read(table(), &args).and_then(|given| StandaloneConfig::read(&given))
        };
        let config = read(&["--data-dir=/x/"]).unwrap();
        assert_eq!(config.receive.role.tsdb_path, std::path::Path::new("/x/tenants"));
        assert!(config.receive.objstore.unwrap().read().unwrap().contains("directory: '/x/bucket'"));
        assert_eq!(config.receive.http.address, "127.0.0.1:9090");
        assert!(config.self_scrape && config.receive.write_address.is_empty());
        assert!(!read(&["--no-self-scrape"]).unwrap().self_scrape);
        assert_eq!(config.compact.scratch, std::path::Path::new("/x/compact"));
        assert_eq!(config.store.data_dir, std::path::Path::new("/x/store"));
        let retention = config.compact.settings.options(0).unwrap().retention;
        let days =
            [retention.raw_ms, retention.five_minutes_ms, retention.one_hour_ms].map(|ms| ms / 86_400_000);
        assert_eq!(days, [7, 30, 180]);
        assert!(read(&["--retention.resolution-raw=1d"]).unwrap_err().contains("--retention.resolution-raw"));
        let mut names: Vec<&str> = table().iter().map(|flag| flag.name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "no flag stands twice");
    }
}
