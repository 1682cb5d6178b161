//! What Series calls took: blocks, series, what was read for them and how long that was.
//!
//! Names, labels and bounds are Thanos'. Everything is observed once, at the end of a call; where Thanos observes a time for each block or
//! batch, here the longest of the call is observed.

use std::sync::Arc;
use std::time::Duration;

use sarsen_bucket::{Purpose, Reads};

use super::{Counter, Family, Histogram, Registry};

pub(super) const T: &[&str] = &["tenant"];
const TYPED: &[&str] = &["data_type", "tenant"];
/// Requests without a tenant count for the one that Thanos names.
pub(super) const DEFAULT_TENANT: &str = "default-tenant";
const REQUEST_SECONDS: &[f64] =
    &[0.001, 0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 9.0, 20.0, 30.0, 60.0, 90.0, 120.0];
const BLOCKS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];
const RESULT_SERIES: &[f64] = &[
    100.0,
    200.0,
    400.0,
    800.0,
    1600.0,
    3200.0,
    6400.0,
    12_800.0,
    25_600.0,
    51_200.0,
    102_400.0,
    204_800.0,
    409_600.0,
    819_200.0,
    1_638_400.0,
];
const DATA: &[f64] = &[
    200.0,
    400.0,
    800.0,
    1600.0,
    3200.0,
    6400.0,
    12_800.0,
    25_600.0,
    51_200.0,
    102_400.0,
    204_800.0,
    409_600.0,
    819_200.0,
    1_638_400.0,
    3_276_800.0,
];
const DATA_BYTES: &[f64] = &[
    1024.0,
    2048.0,
    4096.0,
    8192.0,
    16_384.0,
    32_768.0,
    65_536.0,
    131_072.0,
    262_144.0,
    524_288.0,
    1_048_576.0,
    2_097_152.0,
    4_194_304.0,
    8_388_608.0,
    16_777_216.0,
];
const POSTINGS_BYTES: &[f64] = &[
    32.0,
    256.0,
    512.0,
    1024.0,
    32_768.0,
    262_144.0,
    524_288.0,
    1_048_576.0,
    33_554_432.0,
    134_217_728.0,
    268_435_456.0,
    536_870_912.0,
    805_306_368.0,
    1_073_741_824.0,
];
const SENT_BYTES: &[f64] = &[
    32.0,
    256.0,
    512.0,
    1024.0,
    32_768.0,
    262_144.0,
    524_288.0,
    1_048_576.0,
    33_554_432.0,
    268_435_456.0,
    536_870_912.0,
];

const PURPOSES: [Purpose; 3] = [Purpose::Postings, Purpose::Series, Purpose::Chunks];

/// What one Series call took.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Answered {
    /// Blocks that were asked.
    pub(crate) blocks: u64,
    /// Until every block had said which series it has.
    pub(crate) found_in: Duration,
    /// From there to the end.
    pub(crate) sent_in: Duration,
    /// Series that were sent.
    pub(crate) series: u64,
    /// Series that matched in the blocks.
    pub(crate) touched_series: u64,
    /// Chunks of theirs that were read.
    pub(crate) touched_chunks: u64,
    /// What was read of the blocks.
    pub(crate) reads: Reads,
}

/// The families.
#[derive(Debug)]
pub(super) struct Answers {
    blocks: Arc<Family<Histogram>>,
    get_all: Arc<Family<Histogram>>,
    merge: Arc<Family<Histogram>>,
    series: Arc<Family<Histogram>>,
    chunk_bytes: Arc<Family<Histogram>>,
    reads: ReadFamilies,
}

/// What was read of the blocks.
#[derive(Debug)]
struct ReadFamilies {
    touched: Arc<Family<Histogram>>,
    touched_bytes: Arc<Family<Histogram>>,
    fetched: Arc<Family<Histogram>>,
    fetched_bytes: Arc<Family<Histogram>>,
    postings_bytes: Arc<Family<Histogram>>,
    /// The longest step of a call for each purpose, and all of its steps together where Thanos tells them.
    longest: [Arc<Family<Histogram>>; 3],
    took: [Option<Arc<Family<Histogram>>>; 3],
    /// How often entries and chunks were longer than expected.
    again: [(Purpose, Arc<Family<Counter>>); 2],
    empty: Arc<Family<Counter>>,
    spared: Arc<Counter>,
    spared_bytes: Arc<Counter>,
}

impl Answers {
    /// Registers everything; the tenant of those who name none is there from the start.
    pub(super) fn new(registry: &Registry) -> Self {
        let answers = Self::register(registry);
        let reads = &answers.reads;
        let of_tenant =
            [&answers.blocks, &answers.get_all, &answers.merge, &answers.series, &answers.chunk_bytes];
        let of_reads = reads.longest.iter().chain(reads.took.iter().flatten()).chain([&reads.postings_bytes]);
        for family in of_tenant.into_iter().chain(of_reads) {
            family.with(&[DEFAULT_TENANT]);
        }
        for family in [&reads.touched, &reads.touched_bytes, &reads.fetched, &reads.fetched_bytes] {
            for purpose in PURPOSES {
                family.with(&[purpose.as_str(), DEFAULT_TENANT]);
            }
        }
        reads.empty.with(&[DEFAULT_TENANT]);
        answers
    }

    fn register(registry: &Registry) -> Self {
        let histograms = |name, help, bounds| registry.histograms(name, help, T, bounds);
        let seconds = |name, help| registry.histograms(name, help, T, REQUEST_SECONDS);
        Self {
            blocks: histograms(
                "thanos_bucket_store_series_blocks_queried",
                "Number of blocks in a bucket store that were touched to satisfy a query.",
                BLOCKS,
            ),
            get_all: seconds(
                "thanos_bucket_store_series_get_all_duration_seconds",
                "Time it takes until all per-block prepares and loads for a query are finished.",
            ),
            merge: seconds(
                "thanos_bucket_store_series_merge_duration_seconds",
                "Time it takes to merge sub-results from all queried blocks into a single result.",
            ),
            series: histograms(
                "thanos_bucket_store_series_result_series",
                "Number of series observed in the final result of a query.",
                RESULT_SERIES,
            ),
            chunk_bytes: histograms(
                "thanos_bucket_store_sent_chunk_size_bytes",
                "Size in bytes of the chunks for the single series, which is adequate to the gRPC message size sent to querier.",
                SENT_BYTES,
            ),
            reads: ReadFamilies::register(registry),
        }
    }

    /// Sizes of the series that are sent to a tenant.
    pub(super) fn chunk_bytes(&self, tenant: &str) -> Arc<Histogram> {
        self.chunk_bytes.with(&[tenant])
    }

    /// A call came to its end.
    pub(super) fn observe(&self, tenant: &str, answered: &Answered) {
        self.blocks.with(&[tenant]).observe(answered.blocks as f64);
        self.get_all.with(&[tenant]).observe(answered.found_in.as_secs_f64());
        self.merge.with(&[tenant]).observe(answered.sent_in.as_secs_f64());
        self.series.with(&[tenant]).observe(answered.series as f64);
        self.reads.observe(tenant, &answered.reads);
    }
}

impl ReadFamilies {
    fn register(registry: &Registry) -> Self {
        let typed = |name, help, bounds| registry.histograms(name, help, TYPED, bounds);
        let seconds = |name, help| registry.histograms(name, help, T, REQUEST_SECONDS);
        let of_tenant = |name, help| registry.family::<Counter>(name, help, T);
        let alone = |name, help| registry.family::<Counter>(name, help, &[]).with(&[]);
        Self {
            touched: typed(
                "thanos_bucket_store_series_data_touched",
                "Number of items of a data type in all blocks that were touched for a single Series request.",
                DATA,
            ),
            touched_bytes: typed(
                "thanos_bucket_store_series_data_size_touched_bytes",
                "Bytes of the items of a data type in all blocks that were touched for a single Series request.",
                DATA_BYTES,
            ),
            fetched: typed(
                "thanos_bucket_store_series_data_fetched",
                "Number of items of a data type in all blocks that no index cache had for a single Series request.",
                DATA,
            ),
            fetched_bytes: typed(
                "thanos_bucket_store_series_data_size_fetched_bytes",
                "Bytes asked of the bucket for a data type in all blocks for a single Series request, gaps included.",
                DATA_BYTES,
            ),
            postings_bytes: registry.histograms(
                "thanos_bucket_store_postings_size_bytes",
                "Size in bytes of the postings for a single series call.",
                T,
                POSTINGS_BYTES,
            ),
            longest: [
                seconds(
                    "thanos_bucket_store_postings_fetch_duration_seconds",
                    "The longest that a Series call took to fetch postings, from caches or the bucket, for one block or batch.",
                ),
                seconds(
                    "thanos_bucket_store_series_fetch_duration_seconds",
                    "The longest that a Series call took to fetch series, from caches or the bucket, for one block or batch.",
                ),
                seconds(
                    "thanos_bucket_store_chunks_fetch_duration_seconds",
                    "The longest that a Series call took to fetch chunks, from caches or the bucket, for one block or batch.",
                ),
            ],
            took: [
                None,
                Some(seconds(
                    "thanos_bucket_store_series_fetch_duration_sum_seconds",
                    "What a Series call took to fetch series, from caches or the bucket, of all blocks and batches together.",
                )),
                Some(seconds(
                    "thanos_bucket_store_chunks_fetch_duration_sum_seconds",
                    "What a Series call took to fetch chunks, from caches or the bucket, of all blocks and batches together.",
                )),
            ],
            again: refetches(registry),
            empty: of_tenant(
                "thanos_bucket_store_empty_postings_total",
                "Blocks in which the matchers of a Series call found no series.",
            ),
            spared: alone(
                "thanos_bucket_store_lazy_expanded_postings_total",
                "Blocks where matchers were asked of series because their postings were not worth fetching.",
            ),
            spared_bytes: alone(
                "thanos_bucket_store_lazy_expanded_posting_size_bytes_total",
                "Bytes of the postings that were not fetched for that.",
            ),
        }
    }

    fn observe(&self, tenant: &str, reads: &Reads) {
        self.postings_bytes.with(&[tenant]).observe(reads.postings.touched_bytes as f64);
        for ((purpose, longest), took) in PURPOSES.into_iter().zip(&self.longest).zip(&self.took) {
            let (read, labels) = (reads.of(purpose), [purpose.as_str(), tenant]);
            self.touched.with(&labels).observe(read.touched as f64);
            self.touched_bytes.with(&labels).observe(read.touched_bytes as f64);
            self.fetched.with(&labels).observe(read.fetched as f64);
            self.fetched_bytes.with(&labels).observe(read.fetched_bytes as f64);
            longest.with(&[tenant]).observe(read.longest.as_secs_f64());
            if let Some(took) = took {
                took.with(&[tenant]).observe(read.took.as_secs_f64());
            }
        }
        for (purpose, again) in &self.again {
            match reads.of(*purpose).again {
                0 => {}
                count => again.with(&[tenant]).add(count),
            }
        }
        self.empty.with(&[tenant]).add(reads.empty);
        self.spared.add(reads.spared);
        self.spared_bytes.add(reads.spared_bytes);
    }
}

fn refetches(registry: &Registry) -> [(Purpose, Arc<Family<Counter>>); 2] {
    let of_tenant = |name, help| registry.family::<Counter>(name, help, T);
    [
        (
            Purpose::Series,
            of_tenant(
                "thanos_bucket_store_series_refetches_total",
                "Series that were longer than expected and fetched again.",
            ),
        ),
        (
            Purpose::Chunks,
            of_tenant(
                "thanos_bucket_store_chunk_refetches_total",
                "Chunks that were longer than expected and fetched again.",
            ),
        ),
    ]
}
