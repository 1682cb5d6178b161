//! The flags of `receive`: those of `thanos receive` from v0.37 to main, and our own.
//!
//! The table holds every flag that Thanos knows, hidden ones too, so that an image swap starts or says at once why it
//! does not. Own flags stand in a block of their own at the end. [`ReceiveConfig`] is what the rest of the server sees.

use std::time::Duration;

use super::content::Content;
use super::flags::{Fault, Flag, Given, Kind};
use super::grpc::{GRPC, GrpcConfig};
use super::process::{HttpConfig, PROCESS, address, go_duration};
use super::tls::ServerTlsFiles;
use crate::receive::{
    IntakeOptions, Limits, LimitsSource, ReceiveOptions, ShippingOptions, StorageOptions, SyncChoice,
    TenancyOptions, is_tenant,
};
use crate::store::LocalLimits;

const NO_RING: &str = "this build has no ring yet, every receiver is a node of its own";
const NO_CACHE: &str = "there is no such cache";
const NO_OTLP: &str = "this build has no OTLP endpoint yet";
const NO_RELABEL: &str = "relabelling is not built yet";

/// Flags of what every request passes.
const SERVICES: &[Flag] = &[
    Flag::new("request.logging-config-file", Kind::Text, "", "Request logs.")
        .inert("requests are not logged one by one"),
    Flag::new("request.logging-config", Kind::Text, "", "Request logs.")
        .inert("requests are not logged one by one"),
    Flag::new("enable-feature", Kind::Text, "", "Experimental features.")
        .repeat()
        .inert("no feature is behind a switch"),
];

/// Flags of `receive` beyond those.
const RECEIVE: &[Flag] = &[
    Flag::new("store.limits.request-series", Kind::Number, "0", "Most series of one Series call; 0: any."),
    Flag::new(
        "store.limits.request-samples",
        Kind::Number,
        "0",
        "Most samples of one Series call, a chunk counting as 120; 0: any.",
    ),
    Flag::new("remote-write.address", Kind::Text, "0.0.0.0:19291", "Address that takes remote write."),
    Flag::new("remote-write.server-tls-cert", Kind::Text, "", "Certificate of that server; empty: no TLS."),
    Flag::new("remote-write.server-tls-key", Kind::Text, "", "Key of that server."),
    Flag::new(
        "remote-write.server-tls-client-ca",
        Kind::Text,
        "",
        "CA that clients must have a certificate of.",
    ),
    Flag::new(
        "remote-write.server-tls-min-version",
        Kind::Choice(&["1.0", "1.1", "1.2", "1.3"]),
        "1.3",
        "Lowest TLS version; below 1.2 is read as 1.2.",
    ),
    Flag::new(
        "remote-write.server-tls-ciphers",
        Kind::Text,
        "",
        "Cipher suites of TLS 1.2, by their Go names.",
    )
    .repeat(),
    Flag::new("remote-write.server-tls-curves", Kind::Text, "", "Key exchanges, by their Go names.").repeat(),
    Flag::new("remote-write.client-tls-cert", Kind::Text, "", "Certificate towards other receivers.")
        .inert(NO_RING),
    Flag::new("remote-write.client-tls-key", Kind::Text, "", "Key towards other receivers.").inert(NO_RING),
    Flag::switch("remote-write.client-tls-secure", "TLS towards other receivers.").inert(NO_RING),
    Flag::switch("remote-write.client-tls-skip-verify", "Trust any receiver.").inert(NO_RING),
    Flag::new("remote-write.client-tls-ca", Kind::Text, "", "CA of other receivers.").inert(NO_RING),
    Flag::new("remote-write.client-server-name", Kind::Text, "", "Name of other receivers.").inert(NO_RING),
    Flag::new("remote-write.client-tls-min-version", Kind::Text, "1.3", "Lowest TLS version.").inert(NO_RING),
    Flag::new("tsdb.path", Kind::Text, "./data", "Directory of the databases, one per tenant."),
    Flag::new("label", Kind::Label, "", "External labels of every block; at least one is required.").repeat(),
    Flag::new(
        "objstore.config-file",
        Kind::Text,
        "",
        "File with the object store; without one blocks stay local.",
    ),
    Flag::new("objstore.config", Kind::Text, "", "The same as text (less specific than the file)."),
    Flag::new("tsdb.retention", Kind::Duration, "15d", "How long blocks stay on local disk; 0d: for ever."),
    Flag::new("receive.hashrings-file", Kind::Text, "", "Hash ring file.").refused(NO_RING),
    Flag::new("receive.hashrings", Kind::Text, "", "Hash ring.").refused(NO_RING),
    Flag::new(
        "receive.hashrings-algorithm",
        Kind::Choice(&["hashmod", "ketama"]),
        "hashmod",
        "Algorithm of the ring.",
    )
    .inert(NO_RING),
    Flag::new(
        "receive.hashrings-file-refresh-interval",
        Kind::Duration,
        "5m",
        "Time between looks at the ring file.",
    )
    .inert(NO_RING),
    Flag::new("receive.local-endpoint", Kind::Text, "", "Own endpoint in the ring.").inert(NO_RING),
    Flag::new("receive.tenant-header", Kind::Text, "THANOS-TENANT", "Header that names the tenant."),
    Flag::new(
        "receive.tenant-certificate-field",
        Kind::Choice(&["", "organization", "organizationalUnit", "commonName"]),
        "",
        "Field of the client's certificate that names the tenant.",
    )
    .refused("tenants are not read from certificates yet"),
    Flag::new(
        "receive.default-tenant-id",
        Kind::Text,
        "default-tenant",
        "Tenant of requests that name none.",
    ),
    Flag::new("receive.split-tenant-label-name", Kind::Text, "", "Label that names the tenant of a series."),
    Flag::new(
        "receive.tenant-label-name",
        Kind::Text,
        "tenant_id",
        "External label that carries the tenant.",
    ),
    Flag::new("receive.replica-header", Kind::Text, "THANOS-REPLICA", "Header with the replica number."),
    Flag::new("receive.forward.async-workers", Kind::Number, "5", "Workers per receiver.").inert(NO_RING),
    Flag::new(
        "receive.grpc-compression",
        Kind::Choice(&["snappy", "none"]),
        "snappy",
        "Compression between receivers.",
    )
    .inert(NO_RING),
    Flag::new("receive.replication-factor", Kind::Number, "1", "Copies of every sample.").refused(NO_RING),
    Flag::new(
        "receive.replication-protocol",
        Kind::Choice(&["protobuf", "capnproto"]),
        "protobuf",
        "Protocol between receivers.",
    )
    .inert(NO_RING),
    Flag::new("receive.capnproto-address", Kind::Text, "0.0.0.0:19391", "Address of that protocol.")
        .inert(NO_RING),
    Flag::new("receive.grpc-service-config", Kind::Text, "", "gRPC settings between receivers.")
        .inert(NO_RING),
    Flag::new("receive.relabel-config-file", Kind::Text, "", "Relabelling.").refused(NO_RELABEL),
    Flag::new("receive.relabel-config", Kind::Text, "", "Relabelling.").refused(NO_RELABEL),
    Flag::new(
        "tsdb.too-far-in-future.time-window",
        Kind::Duration,
        "0s",
        "Refuse samples further in the future than this; 0s: never.",
    ),
    Flag::new(
        "tsdb.out-of-order.time-window",
        Kind::Duration,
        "0s",
        "Accept samples this much older than the newest of the tenant, in any order; 0s: none.",
    ),
    Flag::new(
        "tsdb.out-of-order.cap-max",
        Kind::Integer,
        "0",
        "Samples in an out-of-order chunk, 255 at most; 0: 32.",
    ),
    Flag::switch("tsdb.allow-overlapping-blocks", "Allow overlapping blocks.")
        .inert("they are always allowed"),
    Flag::new(
        "tsdb.max-retention-bytes",
        Kind::Size,
        "0",
        "Bytes of local blocks and log per tenant; above it the oldest blocks go, if they are uploaded. 0: any.",
    ),
    Flag::new("tsdb.wal-compression", Kind::Bool, "true", "Compress large records of the log."),
    Flag::switch("tsdb.no-lockfile", "No lock file.")
        .inert("the lock is held by the kernel and leaves nothing behind"),
    Flag::new("tsdb.head.expanded-postings-cache-size", Kind::Size, "0", "Cache.").inert(NO_CACHE),
    Flag::new("tsdb.block.expanded-postings-cache-size", Kind::Size, "0", "Cache.").inert(NO_CACHE),
    Flag::new("tsdb.max-exemplars", Kind::Integer, "0", "Exemplars kept per tenant; 0: none."),
    Flag::switch("tsdb.enable-native-histograms", "Accept native histograms.")
        .inert("they are always accepted"),
    Flag::new("hash-func", Kind::Choice(&["SHA256", ""]), "", "Hashes of files in meta.json."),
    Flag::new("shipper.upload-concurrency", Kind::Number, "0", "Files of a block uploaded at once.")
        .inert("a block's segments are uploaded at a fixed concurrency"),
    Flag::new("matcher-cache-size", Kind::Number, "0", "Cache.").inert(NO_CACHE),
    Flag::switch("receive.otlp-enable-target-info", "target_info for OTLP.")
        .with_default("true")
        .inert(NO_OTLP),
    Flag::new("receive.otlp-promote-resource-attributes", Kind::Text, "", "Labels from OTLP resources.")
        .repeat()
        .inert(NO_OTLP),
    Flag::new("receive.lazy-retrieval-max-buffered-responses", Kind::Number, "20", "Buffered responses.")
        .inert("answers are read a megabyte at a time"),
    Flag::new("receive.limits-config-file", Kind::Text, "", "File with limits per tenant.").hidden(),
    Flag::new("receive.limits-config", Kind::Text, "", "Limits per tenant.").hidden(),
    Flag::new(
        "receive.limits-config-reload-timer",
        Kind::GoDuration,
        "1s",
        "Least time between reloads of that file.",
    )
    .hidden(),
    Flag::new("receive-forward-timeout", Kind::Duration, "5s", "Time for forwarding.")
        .hidden()
        .inert(NO_RING),
    Flag::new("receive-forward-max-backoff", Kind::Duration, "5s", "Pause before asking a receiver again.")
        .hidden()
        .inert(NO_RING),
    Flag::new("receive.artificial-max-delay", Kind::Duration, "0s", "Delay for tests.")
        .hidden()
        .inert("nothing is delayed"),
    Flag::new("tsdb.min-block-duration", Kind::Duration, "2h", "Length of blocks.").hidden(),
    Flag::new(
        "tsdb.max-block-duration",
        Kind::Duration,
        "2h",
        "Length of blocks; must equal the other to upload.",
    )
    .hidden(),
    Flag::new("tsdb.write-queue-size", Kind::Integer, "0", "Queue of chunk writes.")
        .hidden()
        .inert("there is no such queue"),
    Flag::switch("tsdb.memory-snapshot-on-shutdown", "Snapshot.").hidden().inert("a restart reads the log"),
    Flag::switch("shipper.allow-out-of-order-uploads", "Go on with later blocks when one fails.")
        .hidden()
        .inert("blocks always go up in order"),
    Flag::switch("shipper.skip-corrupted-blocks", "Leave damaged blocks out.")
        .hidden()
        .inert("damaged blocks are always left out and reported"),
    Flag::switch("shipper.ignore-unequal-block-size", "Upload blocks of unequal lengths.").hidden(),
    Flag::switch("writer.intern", "Intern strings.").hidden().inert("labels are always stored once"),
    // --- ours
    Flag::new("receive.max-body-size", Kind::Bytes, "32MB", "Largest write request as it comes."),
    Flag::new("receive.max-decoded-size", Kind::Bytes, "256MB", "Largest write request after decompression."),
    Flag::new(
        "receive.max-bytes-in-work",
        Kind::Bytes,
        "512MB",
        "Decompressed bytes of all requests in work; what does not fit waits or is told to come back.",
    ),
    Flag::new(
        "receive.max-query-bytes",
        Kind::Bytes,
        "1GB",
        "Bytes that all requests for series together hold; what does not fit waits or is refused.",
    ),
    Flag::new(
        "tsdb.sync",
        Kind::Text,
        "commit",
        "When a write is acknowledged: 'commit' once it is on disk; a duration (100ms): at once, synced that often; 'os': at once, left to the system.",
    ),
    Flag::new(
        "tsdb.on-damage",
        Kind::Choice(&["repair", "stop"]),
        "repair",
        "What a damaged log does to its tenant at start: 'repair' cuts it off at the damage and reports what was lost, 'stop' leaves the tenant closed.",
    ),
    Flag::switch(
        "tsdb.xor2",
        "Keep start timestamps of samples, in chunk encodings that only Prometheus from 3.10 on reads.",
    ),
    Flag::switch(
        "shipper.allow-xor2",
        "Upload such chunks as they are; else blocks are written anew before, in encodings that Thanos reads.",
    ),
    Flag::switch(
        "receive.prometheus-write",
        "Also take remote write at /api/v1/write, with the answers of Prometheus; Thanos has nothing there.",
    ),
    Flag::switch(
        "receive.flush-on-stop",
        "Cut and upload everything in memory before stopping: for a member that leaves for good.",
    ),
];

/// What `receive` was asked to do, checked.
#[derive(Debug, Clone)]
pub(crate) struct ReceiveConfig {
    /// Where probes and metrics are answered, and for `standalone` everything else.
    pub(crate) http: HttpConfig,
    /// Where remote write is taken; empty: only at the address of `http`.
    pub(crate) write_address: String,
    pub(crate) write_tls: Option<ServerTlsFiles>,
    /// Where the StoreAPI is served; empty: nowhere.
    pub(crate) grpc: GrpcConfig,
    /// Bounds of a request for series.
    pub(crate) store: LocalLimits,
    /// Where blocks go; without one they stay local.
    pub(crate) objstore: Option<Content>,
    /// What the role itself has to know.
    pub(crate) role: ReceiveOptions,
}

/// The whole table of `receive`.
pub(crate) fn table() -> Vec<Flag> {
    PROCESS.iter().chain(GRPC).chain(SERVICES).chain(RECEIVE).copied().collect()
}

impl ReceiveConfig {
    /// From flags to settings; what the table alone cannot check is checked here.
    pub(crate) fn read(given: &Given) -> Result<Self, Fault> {
        if let Some(argument) = given.arguments.first() {
            return Err(format!("unexpected {argument}"));
        }
        let labels = given.labels("label")?;
        if labels.is_empty() {
            return Err(
                "no external labels configured for receive, uniquely identifying external labels must be \
                        configured (--label name=\"value\")"
                    .to_owned(),
            );
        }
        let config = Self::read_without_labels(given, labels)?;
        Ok(config)
    }

    /// The same for a caller that has its own rule about labels.
    pub(crate) fn read_without_labels(given: &Given, labels: Vec<(String, String)>) -> Result<Self, Fault> {
        Ok(Self {
            http: HttpConfig::read(given)?,
            write_address: address(given, "remote-write.address")?,
            write_tls: ServerTlsFiles::of(given, "remote-write.server-tls")?,
            grpc: GrpcConfig::read(given)?,
            store: LocalLimits {
                series: given.count("store.limits.request-series")?.into(),
                samples: given.count("store.limits.request-samples")?.into(),
                memory: given.bytes("receive.max-query-bytes")?,
            },
            objstore: Content::of(given, "objstore.config")?,
            role: ReceiveOptions {
                tsdb_path: given.text("tsdb.path").into(),
                external_labels: labels,
                tenancy: tenancy(given)?,
                storage: storage(given)?,
                shipping: shipping(given),
                intake: intake(given)?,
                limits: limits(given)?,
                flush_on_stop: given.is_on("receive.flush-on-stop"),
                prometheus_write: given.is_on("receive.prometheus-write"),
            },
        })
    }
}

fn tenancy(given: &Given) -> Result<TenancyOptions, Fault> {
    let default_tenant = given.text("receive.default-tenant-id");
    if !is_tenant(default_tenant) {
        return Err(format!(
            "--receive.default-tenant-id: {default_tenant:?} cannot be the name of a tenant"
        ));
    }
    Ok(TenancyOptions {
        header: header(given, "receive.tenant-header")?,
        default_tenant: default_tenant.to_owned(),
        label: given.text("receive.tenant-label-name").to_owned(),
        split_label: given.text_if_any("receive.split-tenant-label-name"),
        replica_header: header(given, "receive.replica-header")?,
    })
}

fn storage(given: &Given) -> Result<StorageOptions, Fault> {
    let retention = given.duration("tsdb.retention")?;
    Ok(StorageOptions {
        block_ms: block_duration(given)?,
        retention,
        retention_bytes: given.bytes("tsdb.max-retention-bytes")?,
        out_of_order_window: given.duration("tsdb.out-of-order.time-window")?,
        out_of_order_cap_max: cap_max(given)?,
        xor2: given.is_on("tsdb.xor2"),
        max_exemplars: given.count("tsdb.max-exemplars")?,
        future_window: given.duration("tsdb.too-far-in-future.time-window")?,
        sync: sync(given.text("tsdb.sync"))?,
        log_compression: given.is_on("tsdb.wal-compression"),
        cut_off_damage: given.text("tsdb.on-damage") == "repair",
        prune_after: retention,
    })
}

/// As Prometheus bounds it.
fn cap_max(given: &Given) -> Result<u32, Fault> {
    let cap = given.count("tsdb.out-of-order.cap-max")?;
    if cap > 255 {
        return Err(format!("--tsdb.out-of-order.cap-max: {cap} is above 255"));
    }
    Ok(cap)
}

fn shipping(given: &Given) -> ShippingOptions {
    ShippingOptions {
        hash_files: given.text("hash-func") == "SHA256",
        allow_xor2: given.is_on("shipper.allow-xor2"),
        ..ShippingOptions::default()
    }
}

fn intake(given: &Given) -> Result<IntakeOptions, Fault> {
    let bytes = |name: &str| Ok::<_, Fault>(usize::try_from(given.bytes(name)?).unwrap_or(usize::MAX));
    Ok(IntakeOptions {
        body_bytes: bytes("receive.max-body-size")?,
        decoded_bytes: bytes("receive.max-decoded-size")?,
        bytes_in_work: bytes("receive.max-bytes-in-work")?,
        ..IntakeOptions::default()
    })
}

fn limits(given: &Given) -> Result<LimitsSource, Fault> {
    let Some(content) = Content::of(given, "receive.limits-config")? else { return Ok(LimitsSource::None) };
    let text = content.read_expanded()?;
    // Read here for the fault, which names flag and line; the role reads it again as often as the file changes.
    Limits::parse(&text).map_err(|why| format!("{}: {why}", content.place()))?;
    Ok(match content {
        Content::Text { .. } => LimitsSource::Inline(text),
        Content::File { path, .. } => {
            let reload = go_duration(given, "receive.limits-config-reload-timer")?;
            LimitsSource::File { path: path.into(), reload }
        }
    })
}

fn header(given: &Given, name: &str) -> Result<String, Fault> {
    let text = given.text(name);
    match http::HeaderName::try_from(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(format!("--{name}: {text:?} is no header name")),
    }
}

fn block_duration(given: &Given) -> Result<i64, Fault> {
    let uploads = Content::of(given, "objstore.config")?.is_some();
    let (min, max) = (given.millis("tsdb.min-block-duration")?, given.millis("tsdb.max-block-duration")?);
    if min != max && uploads && !given.is_on("shipper.ignore-unequal-block-size") {
        return Err(
            "--tsdb.min-block-duration and --tsdb.max-block-duration must be equal when blocks are uploaded"
                .to_owned(),
        );
    }
    if min < 1000 {
        return Err("--tsdb.min-block-duration: blocks cannot be shorter than a second".to_owned());
    }
    Ok(min)
}

fn sync(text: &str) -> Result<SyncChoice, Fault> {
    match text {
        "commit" => Ok(SyncChoice::EveryCommit),
        "os" => Ok(SyncChoice::System),
        _ => match super::values::model_duration(text) {
            Ok(0) => Ok(SyncChoice::EveryCommit),
            Ok(ms) => Ok(SyncChoice::Interval(Duration::from_millis(ms.unsigned_abs()))),
            Err(_) => Err(format!("--tsdb.sync: {text:?} is neither commit nor os nor a duration")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str]) -> Result<ReceiveConfig, Fault> {
        let mut all = vec!["--label=replica=\"0\"".to_owned()];
        all.extend(args.iter().map(|arg| (*arg).to_owned()));
        ReceiveConfig::read(&Given::read(table(), &all)?)
    }

    #[test]
    fn defaults_are_those_of_thanos() {
        let config = read(&[]).unwrap();
        assert_eq!(config.write_address, "0.0.0.0:19291");
        let (tenancy, storage) = (&config.role.tenancy, &config.role.storage);
        assert_eq!(storage.retention, Duration::from_secs(15 * 86_400));
        assert_eq!(storage.block_ms, 7_200_000);
        assert_eq!(
            (tenancy.header.as_str(), tenancy.default_tenant.as_str()),
            ("THANOS-TENANT", "default-tenant")
        );
        assert!(storage.log_compression && storage.cut_off_damage && storage.sync == SyncChoice::EveryCommit);
        assert_eq!(config.role.intake.body_bytes, 32 << 20);
    }

    #[test]
    fn a_label_is_required() {
        let fault = ReceiveConfig::read(&Given::read(table(), &[]).unwrap()).unwrap_err();
        assert!(fault.contains("external labels") && fault.contains("--label"), "{fault}");
    }

    #[test]
    fn what_we_cannot_do_is_refused() {
        for (arg, part) in [
            ("--receive.replication-factor=3", "ring"),
            ("--receive.hashrings=[]", "ring"),
            ("--receive.hashrings-file=x", "ring"),
            ("--tsdb.out-of-order.cap-max=256", "255"),
            ("--receive.relabel-config=x", "relabelling"),
            ("--tsdb.sync=never", "--tsdb.sync"),
            ("--receive.tenant-header=a b", "--receive.tenant-header"),
            ("--tsdb.min-block-duration=0s", "--tsdb.min-block-duration"),
            ("--receive.default-tenant-id=a/b", "tenant"),
            ("--http-address=nowhere", "address"),
            ("--remote-write.address=:http", "address"),
            ("--receive.limits-config=wri: 1", "line 1"),
        ] {
            let fault = read(&[arg]).unwrap_err();
            let name = arg.split_once('=').unwrap().0;
            assert!(fault.contains(part) && fault.contains(name), "{arg}: {fault}");
        }
        assert!(read(&["--objstore.config=type: S3", "--tsdb.min-block-duration=1h"]).is_err());
        assert!(read(&["--tsdb.min-block-duration=1h"]).is_ok());
    }

    #[test]
    fn what_is_kept() {
        let storage =
            read(&["--tsdb.max-exemplars=5", "--tsdb.max-retention-bytes=10GB"]).unwrap().role.storage;
        assert_eq!((storage.max_exemplars, storage.retention_bytes), (5, 10 << 30));
        let storage = read(&["--tsdb.out-of-order.time-window=30m"]).unwrap().role.storage;
        assert_eq!(storage.out_of_order_window, Duration::from_secs(1800));
        assert_eq!(read(&["--tsdb.max-exemplars=-1"]).unwrap().role.storage.max_exemplars, 0);
        assert!(read(&["--tsdb.max-exemplars=5000000000"]).unwrap_err().contains("--tsdb.max-exemplars"));
    }

    #[test]
    fn sync_policies() {
        assert_eq!(
            read(&["--tsdb.sync=100ms"]).unwrap().role.storage.sync,
            SyncChoice::Interval(Duration::from_millis(100))
        );
        assert_eq!(read(&["--tsdb.sync=os"]).unwrap().role.storage.sync, SyncChoice::System);
    }
}
