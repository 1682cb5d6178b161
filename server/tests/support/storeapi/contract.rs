//! What everybody who answers the StoreAPI must do, as one suite: a head, local blocks, both together, a gateway cold and warm, and
//! Thanos' own, by which the suite itself is judged.
//!
//! All hold the same samples of two tenants ([`Data`]) under the external labels `receive_replica="r0"`, `region="eu"` and
//! `tenant_id`. Answers are compared by samples, since a head may end its chunks elsewhere; series that follow one another with
//! the same labels count as one, since a receiver does not join those of two tenants.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use prost::Message as _;
use sarsen_benches::BlockFolder;
use sarsen_benches::storeapi::{
    Frame, InfoResponse, Label, LabelMatcher, LabelNamesRequest, LabelNamesResponse, LabelValuesRequest,
    LabelValuesResponse, SeriesRequest, SeriesResponse, ShardInfo, StoreClient, StoreSeries,
};
use sarsen_block::{
    BlockId, BlockMeta, BlockWriter, BlockWriterOptions, EncodeOptions, Histogram, Labels, MatchOp, Matcher,
    Sample, Span, ThanosMeta, TimeRange, Value, encode_chunks,
};
use tonic::codec::CompressionEncoding;

use super::text::{self, Look};
use super::{matcher, request};
use crate::support::body;

/// The beginning of all samples, and of a block.
pub(crate) const START: i64 = 1_704_067_200_000;
const MINUTE: i64 = 60_000;
/// From here on samples lie in the second block.
pub(crate) const MIDDLE: i64 = START + 120 * MINUTE;
/// Few enough for a head that is not cut.
const END: i64 = START + 150 * MINUTE;
const TENANTS: [&str; 2] = ["a", "b"];

/// Series of both tenants.
pub(crate) struct Data(Vec<(&'static str, Labels, Vec<Sample>)>);

fn labels_of(number: i64) -> Labels {
    let mut pairs: BTreeMap<&str, String> = BTreeMap::new();
    pairs.insert("__name__", ["up", "requests_total", "latency", "ünï"][number as usize % 4].to_owned());
    pairs.insert("number", number.to_string());
    if number % 3 != 0 {
        pairs.insert("pod", format!("web-{}", number % 5));
    }
    if number % 2 == 0 {
        pairs.insert("job", ["a", "b", "a\"b"][number as usize % 3].to_owned());
    }
    if number == 11 {
        // A name that sorts behind the external ones, and one that is an external one.
        pairs.insert("zone", "z".to_owned());
        pairs.insert("region", "own".to_owned());
    }
    Labels::from_pairs(pairs).unwrap()
}

fn sample_of(number: i64, t: i64) -> Sample {
    let step = (t - START) / MINUTE;
    if number % 4 == 2 {
        let positive = vec![step, 2 * number];
        let count = (step + step + 2 * number) as u64 + 1;
        let counts = sarsen_block::Counts::Integer { count, zero: 1, positive, negative: Vec::new() };
        let spans = vec![Span { offset: 0, length: 2 }];
        let histogram = Histogram {
            schema: 1,
            zero_threshold: 0.5,
            sum: step as f64,
            positive_spans: spans,
            counts,
            ..Histogram::default()
        };
        return Sample::histogram(t, histogram);
    }
    Sample::float(t, (number * 1000 + step % 37) as f64 / 4.0)
}

impl Data {
    pub(crate) fn new() -> Self {
        let mut all = Vec::new();
        for (at, tenant) in TENANTS.into_iter().enumerate() {
            for number in 0..14 {
                let offset = number * 137 + at as i64;
                // One ends before the second block, one begins in it.
                let times = match number {
                    5 => START..START + 40 * MINUTE,
                    6 => MIDDLE + 5 * MINUTE..END,
                    _ => START..END,
                };
                let steps = (0..).map(|step| START + step * MINUTE + offset).take_while(|t| *t < END);
                let samples = steps.filter(|t| times.contains(t)).map(|t| sample_of(number, t)).collect();
                all.push((tenant, labels_of(number), samples));
            }
        }
        Self(all)
    }

    /// Writes what lies in `range` as blocks of two hours into the folder that `place` names for a tenant.
    pub(crate) fn write_blocks(&self, range: TimeRange, place: impl Fn(&str) -> std::path::PathBuf) {
        for (at, tenant) in TENANTS.into_iter().enumerate() {
            for (number, start) in [START, MIDDLE].into_iter().enumerate() {
                let block = TimeRange::new(start, start + 120 * MINUTE - 1);
                if block.overlaps(range) {
                    self.write_block(tenant, block, (at * 2 + number) as u64, &place(tenant));
                }
            }
        }
    }

    fn write_block(&self, tenant: &str, range: TimeRange, number: u64, place: &Path) {
        let mut series: BTreeMap<&Labels, Vec<Sample>> = BTreeMap::new();
        for (_, labels, samples) in self.0.iter().filter(|(owner, ..)| *owner == tenant) {
            let within: Vec<_> = samples.iter().filter(|sample| range.contains(sample.t)).cloned().collect();
            if !within.is_empty() {
                series.insert(labels, within);
            }
        }
        let symbols: BTreeSet<Vec<u8>> = series
            .keys()
            .flat_map(|labels| labels.iter().flat_map(|(name, value)| [name.to_vec(), value.to_vec()]))
            .collect();
        let symbols: Vec<_> = symbols.into_iter().collect();
        let id = BlockId::from_parts(range.max.cast_unsigned() + number, 77 + u128::from(number));
        let sink = BlockFolder::new(&place.join(id.to_string())).unwrap();
        let mut writer = BlockWriter::new(sink, BlockWriterOptions::default(), symbols).unwrap();
        for (labels, samples) in series {
            writer.add(labels.as_ref(), &encode_chunks(&samples, EncodeOptions::default()).unwrap()).unwrap();
        }
        let written = writer.finish().unwrap();
        let meta = BlockMeta::fresh(id, range, written.stats);
        let labels =
            external(tenant).into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let thanos = ThanosMeta { version: 1, labels, source: "receive".to_owned(), ..ThanosMeta::default() };
        written.sink.complete(meta, thanos, written.segments).unwrap();
    }

    /// Remote write bodies of what lies in `range`, with their tenants, in rising order of time.
    pub(crate) fn bodies(&self, range: TimeRange) -> Vec<(&'static str, Vec<u8>)> {
        let mut bodies = Vec::new();
        for tenant in TENANTS {
            let mut start = range.min.max(START);
            while start <= range.max.min(END) {
                let slice = TimeRange::new(start, (start + 10 * MINUTE - 1).min(range.max));
                let own = self.0.iter().filter(|(owner, ..)| *owner == tenant);
                let messages: Vec<_> =
                    own.filter_map(|(_, labels, samples)| message(labels, samples, slice)).collect();
                bodies.push((tenant, body::snappy(&body::request(&messages))));
                start += 10 * MINUTE;
            }
        }
        bodies
    }

    /// What a request must be answered with, labels removed and series of equal labels joined.
    fn expected(&self, request: &SeriesRequest) -> Vec<String> {
        let range = TimeRange::new(request.min_time, request.max_time);
        let mut found = BTreeMap::<Vec<(Vec<u8>, Vec<u8>)>, BTreeMap<i64, String>>::new();
        for (out, samples) in self.matching(&request.matchers) {
            let within: Vec<_> = samples.iter().filter(|sample| range.contains(sample.t)).collect();
            if within.is_empty() {
                continue;
            }
            let mut out = out.clone();
            for name in &request.without_replica_labels {
                out.remove(name.as_bytes());
            }
            let series = found.entry(out.into_iter().collect()).or_default();
            for sample in within {
                let value = text::value(&sample.value);
                // Joined tenants may have a value each; times differ, so that this does not happen.
                series.insert(sample.t, value);
            }
        }
        let limit = if request.limit > 0 { request.limit as usize } else { usize::MAX };
        let mut lines = Vec::new();
        for (labels, samples) in found.into_iter().take(limit) {
            let labels: Vec<Label> = labels.into_iter().map(|(name, value)| Label { name, value }).collect();
            lines.push(text::labels(&labels));
            if !request.skip_chunks {
                lines.extend(samples.into_iter().map(|(t, value)| format!("  raw {t} {value}")));
            }
        }
        lines
    }

    fn matching(&self, matchers: &[LabelMatcher]) -> Vec<(super::model::Set, &Vec<Sample>)> {
        let mut found = Vec::new();
        for (tenant, labels, samples) in &self.0 {
            let mut out: super::model::Set =
                labels.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
            out.extend(
                external(tenant).map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())),
            );
            let fits = |one: &LabelMatcher| {
                let op =
                    [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex][one.kind as usize];
                let matcher = Matcher::new(op, &one.name, &one.value).unwrap();
                matcher.matches(out.get(&one.name).map_or(&[][..], Vec::as_slice))
            };
            if matchers.iter().all(fits) {
                found.push((out, samples));
            }
        }
        found
    }
}

fn external(tenant: &str) -> [(&'static str, &str); 3] {
    [("receive_replica", "r0"), ("region", "eu"), ("tenant_id", tenant)]
}

fn message(labels: &Labels, samples: &[Sample], slice: TimeRange) -> Option<Vec<u8>> {
    let within: Vec<&Sample> = samples.iter().filter(|sample| slice.contains(sample.t)).collect();
    let pairs: Vec<_> = labels.iter().collect();
    let mut out = body::series(&pairs, &[]);
    for sample in &within {
        match &sample.value {
            Value::Float(value) => body::field(&mut out, 2, &body::sample(sample.t, value.to_bits())),
            Value::Histogram(histogram) => body::field(&mut out, 4, &body::histogram(sample.t, histogram)),
        }
    }
    (!within.is_empty()).then_some(out)
}

/// Matchers on external labels alone are answered by each in its own way; this one selects every series of the contract.
fn every() -> LabelMatcher {
    matcher("number", "=~", ".+")
}

fn all() -> SeriesRequest {
    request(START, END, vec![every()])
}

/// Series of all frames in order, neighbours of equal labels as one.
fn joined(frames: Vec<SeriesResponse>) -> Vec<StoreSeries> {
    let mut joined: Vec<StoreSeries> = Vec::new();
    let mut add = |series: StoreSeries| match joined.last_mut() {
        Some(last) if last.labels == series.labels => last.chunks.extend(series.chunks),
        _ => joined.push(series),
    };
    for frame in frames {
        match frame.frame {
            Some(Frame::Series(series)) => add(series),
            Some(Frame::Batch(batch)) => batch.series.into_iter().for_each(&mut add),
            other => unreachable!("a frame that is no series: {other:?}"),
        }
    }
    joined
}

/// The suite against one server.
pub(crate) struct Contract<'a> {
    pub(crate) data: &'a Data,
    pub(crate) client: &'a StoreClient,
    faults: Vec<String>,
}

/// A part of the suite that hangs is named.
async fn within_a_minute(what: &str, part: impl Future<Output = ()>) {
    let ended = tokio::time::timeout(std::time::Duration::from_secs(60), part).await;
    assert!(ended.is_ok(), "{what} does not end");
}

/// Runs the suite; what is broken.
pub(crate) async fn run(data: &Data, client: &StoreClient) -> Vec<String> {
    let mut contract = Contract { data, client, faults: Vec::new() };
    within_a_minute("info", contract.info()).await;
    within_a_minute("matchers", contract.matchers()).await;
    within_a_minute("times", contract.times()).await;
    within_a_minute("removed_labels", contract.removed_labels()).await;
    within_a_minute("shards", contract.shards()).await;
    within_a_minute("limits", contract.limits()).await;
    within_a_minute("batches", contract.batches()).await;
    within_a_minute("label_calls", contract.label_calls()).await;
    within_a_minute("packed", contract.packed()).await;
    within_a_minute("errors", contract.errors()).await;
    within_a_minute("callers_that_leave", contract.callers_that_leave()).await;
    contract.faults
}

impl Contract<'_> {
    async fn found(&mut self, request: &SeriesRequest) -> Vec<StoreSeries> {
        let answer = self.client.series(request).await;
        if let Some(status) = &answer.failure {
            self.faults.push(format!("{request:?}: {status:?}"));
        }
        joined(answer.series().unwrap())
    }

    async fn check(&mut self, what: &str, request: &SeriesRequest) {
        let look = Look::Samples(TimeRange::new(request.min_time, request.max_time));
        let mut found = Vec::new();
        for series in self.found(request).await {
            if request.skip_chunks && !series.chunks.is_empty() {
                self.faults.push(format!("{what}: chunks, though they were to be skipped"));
            }
            text::series(&series, look, &mut found);
        }
        if let Some(difference) = text::difference(&self.data.expected(request), &found) {
            self.faults.push(format!("{what}: {difference}\n   {request:?}"));
        }
    }

    async fn info(&mut self) {
        let answer = self.client.unary("/thanos.info.Info/Info", Vec::new().into()).await.unwrap();
        let info = InfoResponse::decode(answer).unwrap();
        for tenant in TENANTS {
            let expected: Vec<Label> = external(tenant)
                .map(|(name, value)| Label { name: name.into(), value: value.into() })
                .to_vec();
            if !info.label_sets.iter().any(|set| set.labels == expected) {
                self.faults.push(format!("info: no labels of {tenant}: {info:?}"));
            }
        }
        let fits = info.store.as_ref().is_some_and(|store| {
            let both = store.supports_sharding && store.supports_without_replica_labels;
            both && store.min_time <= START + 2000 && store.max_time >= END - MINUTE
        });
        if !fits {
            self.faults.push(format!("info: {info:?}"));
        }
    }

    async fn matchers(&mut self) {
        self.check("everything", &all()).await;
        let values = ["", "up", "web-1", "a", "eu", "own", "nothing"];
        let expressions =
            ["", ".*", ".+", "up|latency", "web-.*", ".*-1", "a|", "(?i)UP", "[ab]", "web-[12]"];
        for name in ["__name__", "job", "pod", "zone", "nosuch", "region", "tenant_id"] {
            for kind in ["=", "!=", "=~", "!~"] {
                let texts = if kind.contains('~') { &expressions[..] } else { &values[..] };
                for value in texts {
                    let mut wanted = all();
                    wanted.matchers.push(matcher(name, kind, value));
                    wanted.skip_chunks = true;
                    self.check(&format!("{name}{kind}{value:?}"), &wanted).await;
                }
            }
        }
        let two =
            vec![matcher("pod", "!=", ""), matcher("pod", "!~", "web-[34]"), matcher("job", "=~", "a.*|")];
        self.check("three at once", &request(START, END, two)).await;
    }

    async fn times(&mut self) {
        let half = 30_000;
        let ranges = [
            (START, START + half),
            (START + 50 * MINUTE, START + 52 * MINUTE),
            (MIDDLE - MINUTE, MIDDLE + MINUTE),
            (MIDDLE, MIDDLE + 10 * MINUTE),
            (START, MIDDLE - 1),
            (START - 500 * MINUTE, START - 1),
            (END + 500 * MINUTE, END + 600 * MINUTE),
            (0, i64::MAX / 4),
        ];
        for (min, max) in ranges {
            for skip_chunks in [false, true] {
                // Whose chunks end where decides what is in a range of which it has no sample.
                let whole = min <= START && max >= MIDDLE - 1;
                if !skip_chunks || whole {
                    let wanted = SeriesRequest { skip_chunks, ..request(min, max, vec![every()]) };
                    self.check(&format!("{min} to {max}"), &wanted).await;
                }
            }
        }
    }

    async fn removed_labels(&mut self) {
        let removed: [&[&str]; 7] = [
            &["receive_replica"],
            &["tenant_id"],
            &["pod"],
            &["__name__", "nosuch"],
            &["number"],
            &["receive_replica", "region", "tenant_id"],
            &["job", "tenant_id"],
        ];
        for names in removed {
            let without_replica_labels: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            for skip_chunks in [false, true] {
                let wanted = SeriesRequest {
                    without_replica_labels: without_replica_labels.clone(),
                    skip_chunks,
                    ..all()
                };
                self.check(&format!("without {names:?}"), &wanted).await;
            }
        }
    }

    /// Every series lies in exactly one shard.
    async fn shards(&mut self) {
        let whole: Vec<_> = self.found(&SeriesRequest { skip_chunks: true, ..all() }).await;
        let whole: Vec<String> = whole.iter().map(|series| text::labels(&series.labels)).collect();
        for (by, labels) in
            [(true, vec!["pod"]), (false, vec!["pod", "tenant_id"]), (false, vec![]), (true, vec!["number"])]
        {
            let labels: Vec<String> = labels.into_iter().map(str::to_owned).collect();
            let mut together = Vec::new();
            for shard_index in 0..3 {
                let shard = ShardInfo { shard_index, total_shards: 3, by, labels: labels.clone() };
                let wanted = SeriesRequest { skip_chunks: true, shard_info: Some(shard), ..all() };
                let part = self.found(&wanted).await;
                together.extend(part.iter().map(|series| text::labels(&series.labels)));
            }
            together.sort();
            let mut sorted = whole.clone();
            sorted.sort();
            if together != sorted {
                self.faults.push(format!("shards by {by} {labels:?}: {together:?} instead of {sorted:?}"));
            }
        }
    }

    async fn limits(&mut self) {
        for limit in [1, 2, 13, 27, 28, 1000] {
            self.check(&format!("limit {limit}"), &SeriesRequest { limit, ..all() }).await;
        }
    }

    async fn batches(&mut self) {
        for response_batch_size in [1, 2, 5, 28, 100] {
            let wanted = SeriesRequest { response_batch_size, ..all() };
            self.check(&format!("batches of {response_batch_size}"), &wanted).await;
            let answer = self.client.series(&wanted).await.series().unwrap();
            let sizes: Vec<usize> = answer
                .iter()
                .map(|frame| match &frame.frame {
                    Some(Frame::Batch(batch)) => batch.series.len(),
                    _ => 1,
                })
                .collect();
            let full = response_batch_size as usize;
            let (last, before) = sizes.split_last().unwrap();
            if *last > full || before.iter().any(|size| *size != full) {
                self.faults.push(format!("batches of {full} came as {sizes:?}"));
            }
        }
    }

    async fn label_calls(&mut self) {
        let sets = [
            vec![],
            vec![every()],
            vec![matcher("job", "=", "a")],
            vec![matcher("pod", "=", ""), every()],
            vec![matcher("__name__", "=", "nothing")],
        ];
        for matchers in sets {
            let mut out: Vec<super::model::Set> = Vec::new();
            out.extend(self.data.matching(&matchers).into_iter().map(|(set, _)| set));
            let names: BTreeSet<Vec<u8>> = out.iter().flat_map(|set| set.keys().cloned()).collect();
            let request = LabelNamesRequest {
                start: START,
                end: END,
                matchers: matchers.clone(),
                ..LabelNamesRequest::default()
            };
            let answer =
                self.client.unary("/thanos.Store/LabelNames", request.encode_to_vec().into()).await.unwrap();
            let mut found = LabelNamesResponse::decode(answer).unwrap().names;
            // Thanos' receiver tells a name twice that series and external labels have.
            found.dedup();
            if found != names.into_iter().collect::<Vec<_>>() {
                self.faults.push(format!("names under {matchers:?}: {found:?}"));
            }
            for label in ["__name__", "pod", "job", "zone", "tenant_id", "nosuch"] {
                let values: BTreeSet<Vec<u8>> =
                    out.iter().filter_map(|set| set.get(label.as_bytes()).cloned()).collect();
                let request = LabelValuesRequest {
                    label: label.into(),
                    start: START,
                    end: END,
                    matchers: matchers.clone(),
                    ..LabelValuesRequest::default()
                };
                let answer = self
                    .client
                    .unary("/thanos.Store/LabelValues", request.encode_to_vec().into())
                    .await
                    .unwrap();
                let found = LabelValuesResponse::decode(answer).unwrap().values;
                if found != values.into_iter().collect::<Vec<_>>() {
                    self.faults.push(format!("values of {label} under {matchers:?}: {found:?}"));
                }
            }
        }
    }

    /// Packed answers are the same answers.
    async fn packed(&mut self) {
        let plain = joined(self.client.series(&all()).await.series().unwrap());
        let packed = self.client.clone().packed(CompressionEncoding::Gzip).series(&all()).await;
        if joined(packed.series().unwrap()) != plain {
            self.faults.push(format!("packed with gzip: {:?}", packed.failure));
        }
    }

    async fn errors(&mut self) {
        for (kind, broken) in [("=~", "["), ("!~", "("), ("=~", "*")] {
            let wanted = request(START, END, vec![every(), matcher("pod", kind, broken)]);
            let status = self.client.series(&wanted).await.failure;
            if status.as_ref().map(tonic::Status::code) != Some(tonic::Code::InvalidArgument) {
                self.faults.push(format!("a broken expression: {status:?}"));
            }
        }
    }

    /// Who leaves in the middle of an answer takes nothing away from others.
    async fn callers_that_leave(&mut self) {
        for _ in 0..40 {
            let message = all().encode_to_vec();
            let mut stream = self.client.stream("/thanos.Store/Series", message.into()).await.unwrap();
            assert!(stream.message().await.unwrap().is_some());
        }
        self.check("after callers that left", &all()).await;
    }
}
