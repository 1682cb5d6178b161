//! The flags of `compact`: those of `thanos compact` from v0.37 to main, hidden ones too, and our own at the end.
//!
//! [`CompactConfig`] is what the rest of the server sees. Times that are given from now, and the file of overrides, which
//! may change, are read again for each round: [`Settings::options`].

use std::path::PathBuf;
use std::time::Duration;

use sarsen_compactor::{Options, Retention};

use super::content::Content;
use super::flags::{Fault, Flag, Given, Kind};
use super::process::{HttpConfig, PROCESS, go_duration};
use super::values::Moment;
use super::{overrides, pages};
use crate::compact::RoleOptions;

const STREAMED: &str = "blocks are streamed: they are read and written piece by piece while they are merged";
const NO_HALT: &str =
    "nothing halts the compactor: what cannot be merged is set aside, and everything else goes on";
const ONE_LISTING: &str = "the bucket is listed once, whole, and each meta.json is read once";
const RELATIVE: &str = "links on the page are relative, so it works below any prefix";

/// Flags that `standalone` has in common with `compact`.
const SHARED: &[Flag] = &[
    Flag::new(
        "consistency-delay",
        Kind::GoDuration,
        "30m",
        "How long an uploaded block rests before it is looked at; blocks of compactors are exempt.",
    ),
    Flag::new("wait-interval", Kind::GoDuration, "5m", "Pause between two rounds."),
    Flag::switch("downsampling.disable", "Do not downsample."),
    Flag::new(
        "block-discovery-strategy",
        Kind::Choice(&["concurrent", "recursive"]),
        "concurrent",
        "How blocks are found.",
    )
    .inert(ONE_LISTING),
    Flag::new("block-meta-fetch-concurrency", Kind::Number, "32", "Metas read at once.").inert(ONE_LISTING),
    Flag::new("block-files-concurrency", Kind::Number, "1", "Files of a block at once.").inert(STREAMED),
    Flag::new(
        "block-viewer.global.sync-block-interval",
        Kind::GoDuration,
        "1m",
        "Time between two looks at the whole bucket for the page of blocks.",
    ),
    Flag::new(
        "block-viewer.global.sync-block-timeout",
        Kind::GoDuration,
        "5m",
        "Time that such a look may take.",
    ),
    Flag::new(
        "compact.cleanup-interval",
        Kind::GoDuration,
        "5m",
        "Time between two removals of half and of deleted blocks beside the rounds; 0s: only in the rounds.",
    ),
    Flag::new(
        "compact.progress-interval",
        Kind::GoDuration,
        "5m",
        "Time between two counts of what is to be done, and between two lines in the log about work under way; 0s: never.",
    ),
    Flag::new("compact.concurrency", Kind::Number, "1", "Merges at the same time."),
    Flag::new("compact.blocks-fetch-concurrency", Kind::Number, "1", "Blocks fetched at once.")
        .inert(STREAMED),
    Flag::new("downsample.concurrency", Kind::Number, "1", "Downsamplings at the same time."),
    Flag::new(
        "delete-delay",
        Kind::Duration,
        "48h",
        "Time between the mark of a block for deletion and its removal.",
    ),
    Flag::new(
        "deduplication.func",
        Kind::Choice(&["", "penalty"]),
        "",
        "How samples of replicas are merged; empty: equal ones become one, 'penalty': as queries do it.",
    ),
    Flag::new(
        "deduplication.replica-label",
        Kind::Text,
        "",
        "External label that tells replicas apart, whose blocks become one; several by repetition or commas.",
    )
    .repeat(),
    Flag::new(
        "min-time",
        Kind::Moment,
        "0000-01-01T00:00:00Z",
        "Leave blocks alone that end before this: a date, or a duration from now (-1d).",
    ),
    Flag::new("max-time", Kind::Moment, "9999-12-31T23:59:59Z", "Leave blocks alone that begin after this."),
    Flag::new(
        "selector.relabel-config-file",
        Kind::Text,
        "",
        "File with relabelling that selects blocks by their external labels.",
    ),
    Flag::new("selector.relabel-config", Kind::Text, "", "The same as text."),
    Flag::new(
        "bucket-web-label",
        Kind::Text,
        "",
        "External label that titles the groups on the page of blocks.",
    ),
    Flag::switch("web.disable", "No page of blocks and no API."),
    Flag::switch("web.disable-cors", "No CORS headers in answers of the API."),
    Flag::switch("disable-admin-operations", "Refuse to mark blocks by the API."),
    Flag::switch("debug.halt-on-error", "Halt.").with_default("true").hidden().inert(NO_HALT),
    Flag::switch("debug.accept-malformed-index", "Accept label names out of order.").hidden().inert(NO_HALT),
    Flag::new(
        "debug.max-compaction-level",
        Kind::Number,
        "4",
        "Highest level: 0=1h, 1=2h, 2=8h, 3=2d, 4=14d.",
    )
    .hidden(),
    Flag::switch("compact.enable-vertical-compaction", "Merge blocks that overlap.")
        .hidden()
        .inert("blocks that overlap are always merged"),
    Flag::new(
        "compact.block-max-index-size",
        Kind::Bytes,
        "64GB",
        "Largest index; blocks whose merged index would come near it are not merged.",
    )
    .hidden(),
    Flag::switch("compact.skip-block-with-out-of-order-chunks", "Skip such blocks.").hidden().inert(NO_HALT),
    // --- ours
    Flag::new(
        "compact.overrides-config-file",
        Kind::Text,
        "",
        "File with retentions for some external labels, read again for each round.",
    ),
    Flag::new("compact.overrides-config", Kind::Text, "", "The same as text."),
    Flag::new(
        "compact.lease",
        Kind::Choice(&["required", "off"]),
        "required",
        "Whether a lease in the bucket keeps other compactors away. Needs a store that creates an object only if there is none.",
    ),
    Flag::new("compact.max-memory", Kind::Bytes, "512MB", "Memory that all work together may take."),
    Flag::new("compact.max-disk", Kind::Bytes, "8GB", "Room in --data-dir that all work together may take."),
];

/// Flags that only `compact` has, or that `standalone` has with other defaults.
const ALONE: &[Flag] = &[
    Flag::new(
        "data-dir",
        Kind::Text,
        "./data",
        "Directory for work under way; nothing in it is needed after a stop.",
    ),
    Flag::new("objstore.config-file", Kind::Text, "", "File with the object store."),
    Flag::new("objstore.config", Kind::Text, "", "The same as text."),
    Flag::new("retention.resolution-raw", Kind::Duration, "0d", "How long raw data is kept; 0d: for ever."),
    Flag::new(
        "retention.resolution-5m",
        Kind::Duration,
        "0d",
        "How long data of 5 minutes is kept; 0d: for ever.",
    ),
    Flag::new(
        "retention.resolution-1h",
        Kind::Duration,
        "0d",
        "How long data of an hour is kept; 0d: for ever.",
    ),
    Flag::switch("wait", "Go on when all is done, and look for new work again and again.").short('w'),
    Flag::new("hash-func", Kind::Choice(&["SHA256", ""]), "", "Hashes of files in meta.json."),
    Flag::new(
        "web.route-prefix",
        Kind::Text,
        "",
        "Prefix under which page and API are served too; empty: --web.external-prefix.",
    ),
    Flag::new("web.external-prefix", Kind::Text, "", "Prefix under which they are reached through a proxy."),
    Flag::new("web.prefix-header", Kind::Text, "", "Header with that prefix.").inert(RELATIVE),
];

/// What `compact` was asked to do, checked.
#[derive(Debug, Clone)]
pub(crate) struct CompactConfig {
    /// Where probes, metrics, page and API are answered.
    pub(crate) http: HttpConfig,
    /// Where the blocks are.
    pub(crate) objstore: Content,
    /// What the role itself has to know.
    pub(crate) role: RoleOptions,
}

/// The whole table of `compact`.
pub(crate) fn table() -> Vec<Flag> {
    PROCESS.iter().chain(ALONE).chain(SHARED).copied().collect()
}

/// What the compactor inside `standalone` is asked by.
#[cfg(feature = "standalone")]
pub(crate) fn shared() -> impl Iterator<Item = Flag> {
    SHARED.iter().copied()
}

impl CompactConfig {
    /// From flags to settings; what the table alone cannot check is checked here.
    pub(crate) fn read(given: &Given) -> Result<Self, Fault> {
        if let Some(argument) = given.arguments.first() {
            return Err(format!("unexpected {argument}"));
        }
        let objstore = Content::of(given, "objstore.config")?;
        let objstore = objstore
            .ok_or("--objstore.config-file or --objstore.config is required: it says where the blocks are")?;
        let wait = if given.is_on("wait") { Some(go_duration(given, "wait-interval")?) } else { None };
        let mut role = role(given, given.text("data-dir").into())?;
        role.wait = wait;
        Ok(Self { http: HttpConfig::read(given)?, objstore, role })
    }
}

/// The settings of the role, as one that goes on, with a page.
pub(crate) fn role(given: &Given, scratch: PathBuf) -> Result<RoleOptions, Fault> {
    let role = RoleOptions {
        scratch,
        wait: Some(go_duration(given, "wait-interval")?),
        cleanup: go_duration(given, "compact.cleanup-interval")?,
        progress: go_duration(given, "compact.progress-interval")?,
        viewer: go_duration(given, "block-viewer.global.sync-block-interval")?.max(Duration::from_secs(1)),
        viewer_timeout: go_duration(given, "block-viewer.global.sync-block-timeout")?,
        lease: given.text("compact.lease") == "required",
        settings: Settings::read(given)?,
        web: pages::web(given),
        flags: given.values(&["objstore.config"]),
    };
    Ok(role)
}

/// What the compactor is told, as far as it does not depend on when it is told.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    options: Options,
    min: Moment,
    max: Moment,
    overrides: Option<Content>,
}

impl Settings {
    /// From flags, checked as far as they can be now.
    pub(crate) fn read(given: &Given) -> Result<Self, Fault> {
        let settings = Self {
            options: options(given)?,
            min: given.moment("min-time")?,
            max: given.moment("max-time")?,
            overrides: Content::of(given, "compact.overrides-config")?,
        };
        settings.options(crate::clock::now())?;
        Ok(settings)
    }

    /// What the compactor is told in a round that begins at `now_ms`. Reads the file of overrides, if there is one.
    pub(crate) fn options(&self, now_ms: i64) -> Result<Options, Fault> {
        let mut options = self.options.clone();
        options.time = sarsen_block::TimeRange::new(self.min.resolve(now_ms), self.max.resolve(now_ms));
        if options.time.is_empty() {
            return Err("--min-time lies behind --max-time".to_owned());
        }
        options.check().map_err(|why| named(&why.to_string()))?;
        if let Some(content) = &self.overrides {
            let fault = |why: String| format!("{}: {why}", content.place());
            options.overrides = overrides::parse(&content.read_expanded()?).map_err(fault)?;
            options.check().map_err(|why| fault(why.to_string()))?;
        }
        Ok(options)
    }
}

/// The fault of the compactor's settings with the flags that it is about.
fn named(why: &str) -> Fault {
    let flags = match why.split(':').next().unwrap_or_default() {
        "retention" => "--retention.resolution-raw, --retention.resolution-5m: ",
        "penalty" => "--deduplication.func=penalty: ",
        "concurrency" => "--compact.concurrency, --downsample.concurrency: ",
        _ => "",
    };
    format!("{flags}{why}")
}

fn options(given: &Given) -> Result<Options, Fault> {
    let millis =
        |name: &str| Ok::<_, Fault>(i64::try_from(go_duration(given, name)?.as_millis()).unwrap_or(i64::MAX));
    let count = |name: &str| Ok::<_, Fault>(given.count(name)? as usize);
    let replicas = given.all("deduplication.replica-label").iter().flat_map(|text| text.split(','));
    let mut options = Options {
        replica_labels: replicas
            .map(str::trim)
            .filter(|label| !label.is_empty())
            .map(str::to_owned)
            .collect(),
        penalty: given.text("deduplication.func") == "penalty",
        consistency_delay_ms: millis("consistency-delay")?,
        delete_delay_ms: given.millis("delete-delay")?,
        max_index_bytes: given.bytes("compact.block-max-index-size")?,
        downsampling: !given.is_on("downsampling.disable"),
        retention: Retention {
            raw_ms: given.millis("retention.resolution-raw")?,
            five_minutes_ms: given.millis("retention.resolution-5m")?,
            one_hour_ms: given.millis("retention.resolution-1h")?,
        },
        concurrency: count("compact.concurrency")?,
        downsample_concurrency: count("downsample.concurrency")?,
        memory_bytes: given.bytes("compact.max-memory")?,
        disk_bytes: given.bytes("compact.max-disk")?,
        hashes: given.text("hash-func") == "SHA256",
        ..Options::default()
    };
    // As with Thanos, half blocks stay for two days at least.
    options.partial_delay_ms = options.partial_delay_ms.max(options.consistency_delay_ms);
    let (level, levels) = (count("debug.max-compaction-level")?, options.ranges.len());
    if level >= levels {
        return Err(format!("--debug.max-compaction-level: {level} is above {}, the highest", levels - 1));
    }
    options.ranges.truncate(level + 1);
    if let Some(content) = Content::of(given, "selector.relabel-config")? {
        let selector = sarsen_bucket::Selector::parse(&content.read_expanded()?);
        options.selector = Some(selector.map_err(|why| format!("{}: {why}", content.place()))?);
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn read(args: &[&str]) -> Result<CompactConfig, Fault> {
        let mut all = vec!["--objstore.config=type: FILESYSTEM".to_owned()];
        all.extend(args.iter().map(|arg| (*arg).to_owned()));
        CompactConfig::read(&Given::read(table(), &all)?)
    }

    fn options(args: &[&str]) -> Options {
        read(args).unwrap().role.settings.options(0).unwrap()
    }

    #[test]
    fn defaults_are_those_of_thanos() {
        let config = read(&[]).unwrap();
        assert_eq!((config.role.wait, config.role.cleanup), (None, Duration::from_secs(300)));
        let options = options(&[]);
        assert_eq!(options.ranges, [1, 2, 8, 48, 336].map(|hours| hours * HOUR));
        assert_eq!((options.consistency_delay_ms, options.delete_delay_ms), (HOUR / 2, 48 * HOUR));
        assert_eq!((options.retention, options.downsampling), (Retention::FOREVER, true));
        assert_eq!((options.concurrency, options.max_index_bytes), (1, 64 << 30));
    }

    #[test]
    fn the_arguments_of_the_manifest() {
        let args = [
            "--log.level=info",
            "--data-dir=/var/thanos/compactor",
            "--retention.resolution-raw=7d",
            "--retention.resolution-5m=30d",
            "--retention.resolution-1h=90d",
            "--downsample.concurrency=1",
            "--delete-delay=48h",
            "--compact.concurrency=1",
            "--wait",
            "--wait-interval=3m",
        ];
        let role = read(&args).unwrap().role;
        assert_eq!(
            (role.wait, role.scratch),
            (Some(Duration::from_secs(180)), "/var/thanos/compactor".into())
        );
        let retention = options(&args).retention;
        let days =
            [retention.raw_ms, retention.five_minutes_ms, retention.one_hour_ms].map(|ms| ms / 24 / HOUR);
        assert_eq!(days, [7, 30, 90]);
        assert!(options(&["--downsampling.disable=false"]).downsampling);
    }

    #[test]
    fn times_labels_and_levels() {
        let role = read(&["-w", "--min-time=-1d", "--max-time=2h"]).unwrap().role;
        assert!(role.wait.is_some());
        let time = role.settings.options(30 * HOUR).unwrap().time;
        assert_eq!((time.min, time.max), (6 * HOUR, 32 * HOUR));
        let labels = [
            "--deduplication.replica-label=a,b",
            "--deduplication.replica-label",
            "c",
            "--deduplication.func=penalty",
        ];
        let options_ = options(&labels);
        assert_eq!(
            (options_.replica_labels, options_.penalty),
            (vec!["a".into(), "b".into(), "c".into()], true)
        );
        assert_eq!(options(&["--debug.max-compaction-level=1"]).ranges, [HOUR, 2 * HOUR]);
    }

    #[test]
    fn faults_name_their_flag() {
        for (args, part) in [
            (&["--retention.resolution-raw=1d"][..], "--retention.resolution-raw"),
            (&["--retention.resolution-5m=9d"], "--retention.resolution-5m"),
            (&["--deduplication.func=penalty"], "--deduplication.func"),
            (&["--deduplication.func=chain"], "--deduplication.func"),
            (&["--debug.max-compaction-level=5"], "--debug.max-compaction-level"),
            (&["--compact.concurrency=0"], "--compact.concurrency"),
            (&["--min-time=2024-01-01T00:00:00Z", "--max-time=2023-01-01T00:00:00Z"], "--min-time"),
            (&["--min-time=soon"], "--min-time"),
            (&["--wait-interval=7d"], "--wait-interval"),
            (&["--compact.overrides-config=retention: 1"], "--compact.overrides-config"),
            (&["more"], "unexpected more"),
        ] {
            let fault = read(args).unwrap_err();
            assert!(fault.contains(part), "{args:?}: {fault}");
        }
        assert!(read(&["--retention.resolution-raw=1d", "--downsampling.disable"]).is_ok());
        let alone = Given::read(table(), &[]).unwrap();
        assert!(CompactConfig::read(&alone).unwrap_err().contains("--objstore.config-file"));
    }

    #[test]
    fn prefixes_have_one_form() {
        let prefix = |args: &[&str]| read(args).unwrap().role.web.unwrap().prefix;
        assert_eq!(prefix(&[]), "");
        assert_eq!(prefix(&["--web.route-prefix=x/y/"]), "/x/y");
        assert_eq!(prefix(&["--web.external-prefix=https://host/z/"]), "/z");
        assert!(read(&["--web.disable"]).unwrap().role.web.is_none());
    }
}
