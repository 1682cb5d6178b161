//! Messages of the StoreAPI, of Info and of Exemplars. Texts are bytes, because labels need not be UTF-8.

use prost::{Message, Oneof};

/// A name and a value.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Message)]
pub struct Label {
    /// Its name.
    #[prost(bytes = "vec", tag = "1")]
    pub name: Vec<u8>,
    /// Its value.
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// A set of labels as a message of its own.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct LabelSet {
    /// Sorted by name.
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
}

/// What a label must be like.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct LabelMatcher {
    /// 0 equal, 1 not equal, 2 regex, 3 not regex.
    #[prost(int32, tag = "1")]
    pub kind: i32,
    /// Name of the label.
    #[prost(bytes = "vec", tag = "2")]
    pub name: Vec<u8>,
    /// Value or expression.
    #[prost(bytes = "vec", tag = "3")]
    pub value: Vec<u8>,
}

/// A message with its type.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Any {
    /// Its name behind a host.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// Its bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// Hints of any request.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct SeriesHints {
    /// What external labels and `__block_id` of a block must be like.
    #[prost(message, repeated, tag = "1")]
    pub block_matchers: Vec<LabelMatcher>,
    /// Whether counts are wanted; of a Series request only.
    #[prost(bool, tag = "2")]
    pub enable_query_stats: bool,
}

/// Which part of all series is wanted.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ShardInfo {
    /// Number of the part.
    #[prost(int64, tag = "1")]
    pub shard_index: i64,
    /// How many parts there are.
    #[prost(int64, tag = "2")]
    pub total_shards: i64,
    /// Whether `labels` are hashed, or all others.
    #[prost(bool, tag = "3")]
    pub by: bool,
    /// Names of labels.
    #[prost(string, repeated, tag = "4")]
    pub labels: Vec<String>,
}

/// Asks for series.
#[derive(Clone, PartialEq, Message)]
pub struct SeriesRequest {
    /// First millisecond.
    #[prost(int64, tag = "1")]
    pub min_time: i64,
    /// Last millisecond.
    #[prost(int64, tag = "2")]
    pub max_time: i64,
    /// All must match.
    #[prost(message, repeated, tag = "3")]
    pub matchers: Vec<LabelMatcher>,
    /// The coarsest resolution that will do, in milliseconds.
    #[prost(int64, tag = "4")]
    pub max_resolution_window: i64,
    /// 0 raw, 1 count, 2 sum, 3 min, 4 max, 5 counter.
    #[prost(int32, repeated, packed = "true", tag = "5")]
    pub aggregates: Vec<i32>,
    /// The older way to say `partial_response_strategy` 1.
    #[prost(bool, tag = "6")]
    pub partial_response_disabled: bool,
    /// 0 warns, 1 aborts.
    #[prost(int32, tag = "7")]
    pub partial_response_strategy: i32,
    /// Whether only labels are wanted.
    #[prost(bool, tag = "8")]
    pub skip_chunks: bool,
    /// [`SeriesHints`].
    #[prost(message, optional, tag = "9")]
    pub hints: Option<Any>,
    /// Which part.
    #[prost(message, optional, tag = "13")]
    pub shard_info: Option<ShardInfo>,
    /// Labels to be left out.
    #[prost(string, repeated, tag = "14")]
    pub without_replica_labels: Vec<String>,
    /// The most series; 0 is all.
    #[prost(int64, tag = "15")]
    pub limit: i64,
    /// How many series a frame may hold; 0 is one, not in a batch.
    #[prost(int64, tag = "16")]
    pub response_batch_size: i64,
}

/// An encoded run of samples.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Message)]
pub struct ChunkPart {
    /// 0 XOR, 1 histogram, 2 float histogram.
    #[prost(int32, tag = "1")]
    pub kind: i32,
    /// Without length, encoding and checksum.
    #[prost(bytes = "vec", tag = "2")]
    pub data: Vec<u8>,
    /// xxHash64 of the data, or 0.
    #[prost(uint64, tag = "3")]
    pub hash: u64,
}

/// A chunk: raw, or aggregates of a stretch.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Message)]
pub struct AggrChunk {
    /// First millisecond.
    #[prost(int64, tag = "1")]
    pub min_time: i64,
    /// Last millisecond.
    #[prost(int64, tag = "2")]
    pub max_time: i64,
    /// Raw samples.
    #[prost(message, optional, tag = "3")]
    pub raw: Option<ChunkPart>,
    /// Counts of samples.
    #[prost(message, optional, tag = "4")]
    pub count: Option<ChunkPart>,
    /// Sums.
    #[prost(message, optional, tag = "5")]
    pub sum: Option<ChunkPart>,
    /// Least values.
    #[prost(message, optional, tag = "6")]
    pub min: Option<ChunkPart>,
    /// Greatest values.
    #[prost(message, optional, tag = "7")]
    pub max: Option<ChunkPart>,
    /// Counter values.
    #[prost(message, optional, tag = "8")]
    pub counter: Option<ChunkPart>,
}

/// A series with chunks.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct StoreSeries {
    /// Sorted by name.
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    /// In any order.
    #[prost(message, repeated, tag = "2")]
    pub chunks: Vec<AggrChunk>,
}

/// Several series in a frame.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct SeriesBatch {
    /// In order.
    #[prost(message, repeated, tag = "1")]
    pub series: Vec<StoreSeries>,
}

/// A frame of the answer to a Series request.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct SeriesResponse {
    /// What it holds.
    #[prost(oneof = "Frame", tags = "1, 2, 3, 4")]
    pub frame: Option<Frame>,
}

/// What a frame holds.
#[derive(Clone, PartialEq, Eq, Oneof)]
pub enum Frame {
    /// A series, or a part of its chunks.
    #[prost(message, tag = "1")]
    Series(StoreSeries),
    /// Something is missing.
    #[prost(string, tag = "2")]
    Warning(String),
    /// What was looked at.
    #[prost(message, tag = "3")]
    Hints(Any),
    /// Several series.
    #[prost(message, tag = "4")]
    Batch(SeriesBatch),
}

/// Asks for names of labels.
#[derive(Clone, PartialEq, Message)]
pub struct LabelNamesRequest {
    /// 0 warns, 1 aborts.
    #[prost(int32, tag = "2")]
    pub partial_response_strategy: i32,
    /// First millisecond.
    #[prost(int64, tag = "3")]
    pub start: i64,
    /// Last millisecond.
    #[prost(int64, tag = "4")]
    pub end: i64,
    /// As [`SeriesHints`].
    #[prost(message, optional, tag = "5")]
    pub hints: Option<Any>,
    /// All must match.
    #[prost(message, repeated, tag = "6")]
    pub matchers: Vec<LabelMatcher>,
    /// Labels to be left out.
    #[prost(string, repeated, tag = "7")]
    pub without_replica_labels: Vec<String>,
    /// The most names; 0 is all.
    #[prost(int64, tag = "8")]
    pub limit: i64,
}

/// Names of labels.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct LabelNamesResponse {
    /// Sorted.
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub names: Vec<Vec<u8>>,
    /// What is missing.
    #[prost(string, repeated, tag = "2")]
    pub warnings: Vec<String>,
    /// [`QueriedBlocks`].
    #[prost(message, optional, tag = "3")]
    pub hints: Option<Any>,
}

/// Asks for values of a label.
#[derive(Clone, PartialEq, Message)]
pub struct LabelValuesRequest {
    /// Name of the label.
    #[prost(bytes = "vec", tag = "1")]
    pub label: Vec<u8>,
    /// 0 warns, 1 aborts.
    #[prost(int32, tag = "3")]
    pub partial_response_strategy: i32,
    /// First millisecond.
    #[prost(int64, tag = "4")]
    pub start: i64,
    /// Last millisecond.
    #[prost(int64, tag = "5")]
    pub end: i64,
    /// As [`SeriesHints`].
    #[prost(message, optional, tag = "6")]
    pub hints: Option<Any>,
    /// All must match.
    #[prost(message, repeated, tag = "7")]
    pub matchers: Vec<LabelMatcher>,
    /// Labels to be left out.
    #[prost(string, repeated, tag = "8")]
    pub without_replica_labels: Vec<String>,
    /// The most values; 0 is all.
    #[prost(int64, tag = "9")]
    pub limit: i64,
}

/// Values of a label.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct LabelValuesResponse {
    /// Sorted.
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub values: Vec<Vec<u8>>,
    /// What is missing.
    #[prost(string, repeated, tag = "2")]
    pub warnings: Vec<String>,
    /// [`QueriedBlocks`].
    #[prost(message, optional, tag = "3")]
    pub hints: Option<Any>,
}

/// The hints of an answer about labels.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct QueriedBlocks {
    /// In any order.
    #[prost(message, repeated, tag = "1")]
    pub queried_blocks: Vec<HintedBlock>,
}

/// A block that was looked at.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct HintedBlock {
    /// Its ULID.
    #[prost(string, tag = "1")]
    pub id: String,
}

/// A message without fields.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Nothing {}

/// A range of time.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TimeSpan {
    /// First millisecond.
    #[prost(int64, tag = "1")]
    pub min_time: i64,
    /// Last millisecond.
    #[prost(int64, tag = "2")]
    pub max_time: i64,
}

/// Who somebody is.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct InfoResponse {
    /// External labels.
    #[prost(message, repeated, tag = "1")]
    pub label_sets: Vec<LabelSet>,
    /// `store`, `receive`, ...
    #[prost(string, tag = "2")]
    pub component_type: String,
    /// There if it has series.
    #[prost(message, optional, tag = "3")]
    pub store: Option<StoreInfo>,
    /// There if it has rules.
    #[prost(message, optional, tag = "4")]
    pub rules: Option<TimeSpan>,
    /// There if it has metadata of metrics.
    #[prost(message, optional, tag = "5")]
    pub metric_metadata: Option<Nothing>,
    /// There if it has targets.
    #[prost(message, optional, tag = "6")]
    pub targets: Option<Nothing>,
    /// There if it has exemplars.
    #[prost(message, optional, tag = "7")]
    pub exemplars: Option<TimeSpan>,
    /// There if it evaluates.
    #[prost(message, optional, tag = "8")]
    pub query: Option<Nothing>,
    /// There if it tells about its database.
    #[prost(message, optional, tag = "9")]
    pub status: Option<Nothing>,
}

/// Which series somebody has.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct StoreInfo {
    /// First millisecond.
    #[prost(int64, tag = "1")]
    pub min_time: i64,
    /// Last millisecond.
    #[prost(int64, tag = "2")]
    pub max_time: i64,
    /// Whether it knows shards.
    #[prost(bool, tag = "3")]
    pub supports_sharding: bool,
    /// Whether it can leave labels out.
    #[prost(bool, tag = "5")]
    pub supports_without_replica_labels: bool,
    /// What there is of each label set.
    #[prost(message, repeated, tag = "6")]
    pub tsdb_infos: Vec<TsdbInfo>,
    /// Whether it can leave all but some labels out.
    #[prost(bool, tag = "7")]
    pub supports_projections: bool,
}

/// A stretch of time of a label set.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TsdbInfo {
    /// External labels.
    #[prost(message, optional, tag = "1")]
    pub labels: Option<LabelSet>,
    /// First millisecond.
    #[prost(int64, tag = "2")]
    pub min_time: i64,
    /// Last millisecond.
    #[prost(int64, tag = "3")]
    pub max_time: i64,
}

/// Asks for exemplars.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ExemplarsRequest {
    /// PromQL.
    #[prost(string, tag = "1")]
    pub query: String,
    /// First millisecond.
    #[prost(int64, tag = "2")]
    pub start: i64,
    /// Last millisecond.
    #[prost(int64, tag = "3")]
    pub end: i64,
    /// 0 warns, 1 aborts.
    #[prost(int32, tag = "4")]
    pub partial_response_strategy: i32,
}

/// A frame of the answer.
#[derive(Clone, PartialEq, Message)]
pub struct ExemplarsAnswer {
    /// What it holds.
    #[prost(oneof = "ExemplarsFrame", tags = "1, 2")]
    pub frame: Option<ExemplarsFrame>,
}

/// What a frame holds.
#[derive(Clone, PartialEq, Oneof)]
pub enum ExemplarsFrame {
    /// Exemplars of a series.
    #[prost(message, tag = "1")]
    Data(ExemplarData),
    /// Something is missing.
    #[prost(string, tag = "2")]
    Warning(String),
}

/// Exemplars of a series.
#[derive(Clone, PartialEq, Message)]
pub struct ExemplarData {
    /// Labels of the series.
    #[prost(message, optional, tag = "1")]
    pub series: Option<LabelSet>,
    /// In order of time.
    #[prost(message, repeated, tag = "2")]
    pub exemplars: Vec<Exemplar>,
}

/// An exemplar.
#[derive(Clone, PartialEq, Message)]
pub struct Exemplar {
    /// What it says, usually a trace.
    #[prost(message, optional, tag = "1")]
    pub labels: Option<LabelSet>,
    /// The observed value.
    #[prost(double, tag = "2")]
    pub value: f64,
    /// Milliseconds.
    #[prost(int64, tag = "3")]
    pub ts: i64,
}
