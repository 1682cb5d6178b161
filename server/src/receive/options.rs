//! Settings of the receive role as plain data, filled by `config` from flags and by tests by hand.
//!
//! No text forms here except where the original takes a whole file (limits, object store): those arrive as
//! text, because the room that owns their meaning parses them.

use std::path::PathBuf;
use std::time::Duration;

/// Everything the receive role has to know.
#[derive(Debug, Clone)]
pub struct ReceiveOptions {
    /// Root of the databases, one directory per tenant in it (`--tsdb.path`).
    pub tsdb_path: PathBuf,
    /// Labels of every block and answer of this node (`--label`), names unique.
    pub external_labels: Vec<(String, String)>,
    /// Who writes.
    pub tenancy: TenancyOptions,
    /// What every tenant's database is opened with.
    pub storage: StorageOptions,
    /// Where complete blocks go.
    pub shipping: ShippingOptions,
    /// Bounds on what is taken at once.
    pub intake: IntakeOptions,
    /// Limits per tenant (`--receive.limits-config[-file]`).
    pub limits: LimitsSource,
    /// Cut and ship the whole head when the role stops (`--receive.flush-on-stop`).
    pub flush_on_stop: bool,
    /// Also serve `/api/v1/write` with the manners of Prometheus. `thanos receive` answers 404 there.
    pub prometheus_write: bool,
}

/// How a request says whose samples it brings.
#[derive(Debug, Clone)]
pub struct TenancyOptions {
    /// First header that is looked at (`--receive.tenant-header`); `THANOS-TENANT` is always the second.
    pub header: String,
    /// Tenant of requests without a header (`--receive.default-tenant-id`).
    pub default_tenant: String,
    /// Name of the label under which blocks and answers carry the tenant (`--receive.tenant-label-name`).
    pub label: String,
    /// Label of a series that names its tenant (`--receive.split-tenant-label-name`); it is removed before storing.
    pub split_label: Option<String>,
    /// Header that says which replica a request is (`--receive.replica-header`).
    pub replica_header: String,
}

/// What every tenant's database is opened with.
#[derive(Debug, Clone)]
pub struct StorageOptions {
    /// Length of a block, milliseconds (`--tsdb.min-block-duration`).
    pub block_ms: i64,
    /// How long local blocks are kept; zero keeps them for ever (`--tsdb.retention`). Counted from the block's end.
    pub retention: Duration,
    /// Bytes that the blocks and the log of a tenant may have before the oldest blocks go; zero: any
    /// (`--tsdb.max-retention-bytes`). What is in no bucket yet stays all the same.
    pub retention_bytes: u64,
    /// Samples may be this much behind the newest of their tenant and come in any order; zero: not at all
    /// (`--tsdb.out-of-order.time-window`).
    pub out_of_order_window: Duration,
    /// Samples of a series that come late are packed at this number; 0: the database's default
    /// (`--tsdb.out-of-order.cap-max`).
    pub out_of_order_cap_max: u32,
    /// Keep start timestamps, in XOR2 chunks and the histogram encodings that have them (`--tsdb.xor2`).
    pub xor2: bool,
    /// Exemplars kept per tenant (`--tsdb.max-exemplars`).
    pub max_exemplars: u32,
    /// Samples further than this ahead of the clock are refused; zero takes all (`--tsdb.too-far-in-future.time-window`).
    pub future_window: Duration,
    /// When a commit counts as done.
    pub sync: SyncChoice,
    /// Compress large records of the log (`--tsdb.wal-compression`).
    pub log_compression: bool,
    /// Cut off a damaged end of a tenant's log at start, reporting what was lost, instead of setting the tenant aside.
    pub cut_off_damage: bool,
    /// A tenant without samples for this long, everything uploaded, is closed and its directory removed; zero never.
    pub prune_after: Duration,
}

/// When an acknowledged sample has to be on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncChoice {
    /// Before the acknowledgement. The default.
    EveryCommit,
    /// At the latest this long after it.
    Interval(Duration),
    /// When the system writes it back.
    System,
}

/// Where complete blocks go.
#[derive(Debug, Clone)]
pub struct ShippingOptions {
    /// Time between two looks for complete blocks.
    pub interval: Duration,
    /// Write SHA256 sums of the files into the meta file (`--hash-func=SHA256`).
    pub hash_files: bool,
    /// Upload chunks with start timestamps and in XOR2 as they are, instead of in the encodings that Thanos reads
    /// (`--shipper.allow-xor2`).
    pub allow_xor2: bool,
}

/// Bounds on what is taken at once. What does not fit is answered 413 if it never could, 503 if it may later.
#[derive(Debug, Clone)]
pub struct IntakeOptions {
    /// Largest request body on the wire, bytes.
    pub body_bytes: usize,
    /// Largest request after decompression, bytes.
    pub decoded_bytes: usize,
    /// Most bytes of requests in work at once, as they are after decompression.
    pub bytes_in_work: usize,
    /// Requests that are decoded and committed at the same time; more wait in line.
    pub threads: usize,
    /// Longest wait in that line, after which a request is answered 503.
    pub patience: Duration,
}

/// Where limits per tenant are read.
#[derive(Debug, Clone, Default)]
pub enum LimitsSource {
    /// No limits.
    #[default]
    None,
    /// YAML given on the command line.
    Inline(String),
    /// A file, looked at again every so often.
    File {
        /// Its path.
        path: PathBuf,
        /// Shortest time between two looks (`--receive.limits-config-reload-timer`).
        reload: Duration,
    },
}

impl Default for ReceiveOptions {
    fn default() -> Self {
        Self {
            tsdb_path: PathBuf::from("./data"),
            external_labels: Vec::new(),
            tenancy: TenancyOptions::default(),
            storage: StorageOptions::default(),
            shipping: ShippingOptions::default(),
            intake: IntakeOptions::default(),
            limits: LimitsSource::None,
            flush_on_stop: false,
            prometheus_write: false,
        }
    }
}

impl Default for TenancyOptions {
    fn default() -> Self {
        Self {
            header: "THANOS-TENANT".into(),
            default_tenant: "default-tenant".into(),
            label: "tenant_id".into(),
            split_label: None,
            replica_header: "THANOS-REPLICA".into(),
        }
    }
}

impl Default for StorageOptions {
    fn default() -> Self {
        Self {
            block_ms: 2 * 3_600_000,
            retention: Duration::from_secs(15 * 86_400),
            retention_bytes: 0,
            out_of_order_window: Duration::ZERO,
            out_of_order_cap_max: 0,
            xor2: false,
            max_exemplars: 0,
            future_window: Duration::ZERO,
            sync: SyncChoice::EveryCommit,
            log_compression: true,
            cut_off_damage: true,
            prune_after: Duration::from_secs(15 * 86_400),
        }
    }
}

impl Default for ShippingOptions {
    fn default() -> Self {
        Self { interval: Duration::from_secs(30), hash_files: false, allow_xor2: false }
    }
}

impl Default for IntakeOptions {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(2, |n| n.get() * 2);
        Self {
            body_bytes: 32 << 20,
            decoded_bytes: 256 << 20,
            bytes_in_work: 512 << 20,
            threads,
            patience: Duration::from_secs(5),
        }
    }
}
