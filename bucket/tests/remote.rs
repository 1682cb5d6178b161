//! A block that stays in its bucket gives what the same block gives when it is read as a whole, in few requests.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use object_store::memory::InMemory;
use proptest::prelude::*;
use sarsen_block::{Block, BlockMeta, ChunkSet, Labels, MatchOp, Matcher, TimeRange, TimedChunk, Tombstones};
use sarsen_bucket::{
    Bucket, BucketObserver, Budget, Cache, Deletion, Deletions, Error, FailingStore, Finished, HeaderCache,
    HedgeOptions, Layout, Outgoing, RemoteBlock, RemoteBlocks, RemoteOptions, Selection, SeriesBatch, Timer,
    UncountedHeaders, Wait, Weather, visible,
};
use tokio::runtime::Runtime;

#[path = "made/mod.rs"]
mod made;

use made::{Made, STEP, chunk, chunk_of, labels, make, open_plain, write};

/// Counts the requests for ranges.
#[derive(Default)]
struct Counter(AtomicU64);

impl BucketObserver for Counter {
    fn finished(&self, _operation: &Finished) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

struct Remote {
    runtime: Runtime,
    bucket: Bucket,
    block: RemoteBlock,
    requests: Arc<Counter>,
}

fn put(made: &Made) -> (Runtime, Bucket, Arc<Counter>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let requests = Arc::new(Counter::default());
    let bucket = Bucket::builder(Arc::new(InMemory::new()), "test").observer(requests.clone()).build();
    for (name, bytes) in &made.files {
        runtime.block_on(bucket.put(&Layout::file(made.meta.id, name), bytes.clone())).unwrap();
    }
    (runtime, bucket, requests)
}

fn open(made: &Made, options: RemoteOptions, cache: Option<Cache>) -> Remote {
    let (runtime, bucket, requests) = put(made);
    let headers = Arc::new(HeaderCache::new(None, Arc::new(UncountedHeaders)));
    let blocks = RemoteBlocks::new(bucket.clone(), headers, options, cache);
    let block = runtime.block_on(blocks.open(&Arc::new(made.meta.clone()))).unwrap();
    requests.0.store(0, Ordering::Relaxed);
    Remote { runtime, bucket, block, requests }
}

type Plain = Vec<(Labels, Vec<TimedChunk>)>;

impl Remote {
    fn batch(&self, selection: &Selection) -> Result<SeriesBatch, Error> {
        let budget = Budget::unlimited();
        self.runtime.block_on(async { self.block.select(selection, &budget).await?.all().await })
    }

    /// Everything that a selection gives, chunks fetched in one call.
    fn read(&self, selection: &Selection) -> Result<Plain, Error> {
        let batch = self.batch(selection)?;
        let wanted: Vec<_> = (0..batch.len()).flat_map(|at| batch.chunks(at).to_vec()).collect();
        let fetched = self.runtime.block_on(self.block.chunks(&wanted, &Budget::unlimited()))?;
        let mut chunks = wanted.iter().zip(fetched.chunks);
        let mut all = Vec::new();
        for at in 0..batch.len() {
            let mut seen = Vec::new();
            for (of, chunk) in chunks.by_ref().take(batch.chunks(at).len()) {
                seen.extend(visible(self.block.meta().id, of, chunk, batch.deleted(at), None)?);
            }
            if !seen.is_empty() {
                all.push((batch.labels(at).to_owned(), seen));
            }
        }
        Ok(all)
    }
}

fn plain(block: &Block, matchers: &[Matcher], range: TimeRange) -> Plain {
    let mut set = block.select(matchers, range).unwrap();
    std::iter::from_fn(|| set.next().unwrap()).map(|series| (series.labels, series.chunks)).collect()
}

fn matcher() -> impl Strategy<Value = Matcher> {
    let op = prop_oneof![
        Just(MatchOp::Equal),
        Just(MatchOp::NotEqual),
        Just(MatchOp::Regex),
        Just(MatchOp::NotRegex)
    ];
    let value = prop_oneof![
        Just(String::new()),
        Just(".+".to_owned()),
        Just(".*".to_owned()),
        "[12]{1,3}",
        "[12]{1,2}\\.\\*",
        "[12]\\.\\+",
        "[12]{1,2}\\|[12]{1,3}",
        "\\|[12]",
        "\\.\\*[12]",
        Just("up|down".to_owned()),
    ];
    let name = prop_oneof![Just("__name__"), Just("job"), Just("pod"), Just("none")];
    (op, name, value).prop_map(|(op, name, value)| Matcher::new(op, name, value).unwrap())
}

/// A series: two labels besides its name, and how many chunks of 20 samples it has.
type Series = ((String, String, String), u8);

fn series(most: usize) -> impl Strategy<Value = BTreeMap<Labels, u8>> {
    let one: (_, _) = (("(up|down)", "[12]{0,3}", "[12]{0,6}"), 1u8..5);
    let one = one.prop_map(|(text, chunks): Series| (labels(text), chunks));
    prop::collection::vec(one, 0..most).prop_map(|all| all.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_remote_block_gives_what_the_block_gives(
        series in series(120),
        stones in prop::collection::vec((0usize..100, 0i64..100, 0i64..60), 0..4),
        asked in prop::collection::vec((prop::collection::vec(matcher(), 0..4), 0i64..120, 0i64..120), 1..8),
        gap in prop_oneof![Just(0u64), Just(100), Just(512 << 10)],
        limit in prop_oneof![Just(400u64), Just(512 << 20)],
        cached in any::<bool>(),
    ) {
        let made = make(&series, &stones, limit);
        let block = open_plain(&made);
        let cache = cached.then(|| Cache::in_memory(1 << 20));
        let remote = open(&made, RemoteOptions { gap, most: 4096, ..RemoteOptions::default() }, cache);
        for (matchers, from, length) in &asked {
            let range = TimeRange::new(from * STEP, (from + length) * STEP);
            let expected = plain(&block, matchers, range);
            let selection = Selection::new(matchers.clone(), range);
            // What was kept the first time is used the second time.
            for _ in 0..2 {
                prop_assert_eq!(&remote.read(&selection).unwrap(), &expected, "{:?}", matchers);
            }
            let names: BTreeSet<Vec<u8>> = plain_labels(&block, matchers).iter().flat_map(|l| l.iter().map(|(n, _)| n.to_vec()).collect::<Vec<_>>()).collect();
            let budget = Budget::unlimited();
            let found = remote.runtime.block_on(remote.block.label_names(matchers, &budget)).unwrap();
            prop_assert_eq!(found, names.into_iter().collect::<Vec<_>>());
            for name in ["job", "pod", "none"] {
                let values: BTreeSet<Vec<u8>> = plain_labels(&block, matchers).iter().filter_map(|l| l.get(name.as_bytes()).map(<[u8]>::to_vec)).collect();
                let found = remote.runtime.block_on(remote.block.label_values(name.as_bytes(), matchers, &budget)).unwrap();
                prop_assert_eq!(found, values.into_iter().collect::<Vec<_>>(), "{} {:?}", name, matchers);
            }
        }
    }

    #[test]
    fn labels_go_out_as_they_are_wanted_and_in_that_order(
        series in series(60),
        external in prop::collection::btree_map("(a|job|k|pod|z)", "[xy]", 0..3),
        without in prop::collection::btree_set("(a|job|pod|z|__name__)", 0..3),
    ) {
        let made = make(&series, &[], 512 << 20);
        let remote = open(&made, RemoteOptions::default(), None);
        let external = Labels::from_pairs(external).unwrap();
        let mut selection = Selection::new(Vec::new(), TimeRange::ALL);
        selection.outgoing = Outgoing::new(&external, without.iter().map(|name| Bytes::from(name.clone())));
        let batch = remote.batch(&selection).unwrap();
        let mut expected: Vec<Labels> = series.keys().map(|own| {
            let own = own.iter().filter(|(name, _)| external.get(name).is_none());
            let all = own.chain(external.iter()).filter(|(name, _)| !without.contains(std::str::from_utf8(name).unwrap()));
            Labels::from_pairs(all).unwrap()
        }).collect();
        expected.sort();
        let found: Vec<Labels> = (0..batch.len()).map(|at| batch.labels(at).to_owned()).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn what_is_deleted_from_the_bucket_is_not_seen(
        series in series(60), selector in matcher(), from in 0i64..80, length in 0i64..80,
    ) {
        let made = make(&series, &[], 512 << 20);
        let range = TimeRange::new(from * STEP, (from + length) * STEP);
        let Ok(deletion) = Deletion::new("one", i64::MAX, &format!("{{{selector}}}"), range) else { return Ok(()) };
        let mut deletions = Deletions::default();
        deletions.add(deletion).unwrap();
        let block = open_plain(&made);
        let stones = deletions.tombstones(&block).unwrap();
        let remote = open(&made, RemoteOptions::default(), None);
        let mut selection = Selection::new(Vec::new(), TimeRange::ALL);
        selection.deletions = Arc::new(deletions);
        prop_assert_eq!(remote.read(&selection).unwrap(), plain(&block.with_tombstones(stones), &[], TimeRange::ALL));
    }

    #[test]
    fn damage_is_an_error_that_names_the_object_or_is_not_touched(
        series in series(40), file in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(),
        flip in 1u8.., cut in any::<bool>(), asked in prop::collection::vec(matcher(), 0..3),
    ) {
        let made = make(&series, &[], 400);
        let expected = plain(&open_plain(&made), &asked, TimeRange::ALL);
        let remote = open(&made, RemoteOptions::default(), None);
        let names: Vec<&String> = made.files.keys().collect();
        let name = Layout::file(made.meta.id, names[file.index(names.len())]);
        let mut bytes = remote.runtime.block_on(remote.bucket.get(&name)).unwrap().to_vec();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] ^= flip }
        remote.runtime.block_on(remote.bucket.put(&name, bytes.into())).unwrap();
        match remote.read(&Selection::new(asked, TimeRange::ALL)) {
            Ok(read) => prop_assert_eq!(read, expected),
            Err(Error::Corrupt { name: blamed, .. }) => prop_assert_eq!(blamed, name),
            // A store may refuse a range that begins behind the end, which this one calls its own error.
            Err(Error::Store { name: blamed, .. }) => prop_assert!(cut && blamed == name),
            Err(other) => prop_assert!(false, "{}", other),
        }
    }
}

fn plain_labels(block: &Block, matchers: &[Matcher]) -> Vec<Labels> {
    let numbers = block.postings(matchers).unwrap();
    numbers.into_iter().map(|no| block.series(no).unwrap().labels).collect()
}

#[test]
fn a_selective_query_takes_four_requests_at_most() {
    let pods = (0..40_000).map(|i| {
        let name = ["down", "up", "up_total"][i % 3].to_owned();
        ((labels((name, format!("{}", i / 10_000), format!("pod-{:05}", i / 3)))), 3)
    });
    let made = make(&pods.collect(), &[], 512 << 20);
    assert!(made.files["index"].len() > 1 << 20, "postings, entries and chunks lie far apart");
    let remote = open(&made, RemoteOptions { gap: 128 << 10, ..RemoteOptions::default() }, None);
    let range = TimeRange::new(0, 30 * STEP);
    for text in [
        r#"{__name__="up",pod="pod-00123"}"#,
        r#"{__name__="up",pod=~"pod-0012.*"}"#,
        r#"{__name__="up",pod="pod-00123",job!="7"}"#,
        r#"{__name__="up",job="1",pod="pod-04001"}"#,
        r#"{pod="pod-00123"}"#,
        r#"{__name__="up",pod!="",job=~"0|1",pod=~"pod-000[01].*"}"#,
    ] {
        let matchers = sarsen_block::parse_selector(text).unwrap();
        remote.requests.0.store(0, Ordering::Relaxed);
        let read = remote.read(&Selection::new(matchers.clone(), range)).unwrap();
        let requests = remote.requests.0.load(Ordering::Relaxed);
        assert!(!read.is_empty(), "{text}");
        assert_eq!(read, plain(&open_plain(&made), &matchers, range), "{text}");
        // Three metrics of a pod lie far apart, whoever asks for all of them.
        assert!(requests <= if text.contains("{pod") { 7 } else { 4 }, "{text}: {requests} requests");
    }
    // What the names alone tell is asked of nobody.
    remote.requests.0.store(0, Ordering::Relaxed);
    let budget = Budget::unlimited();
    let every = [Matcher::new(MatchOp::NotEqual, "pod", "").unwrap()];
    let pods = remote.runtime.block_on(remote.block.label_values(b"pod", &every, &budget)).unwrap();
    assert_eq!((pods.len(), remote.requests.0.load(Ordering::Relaxed)), (13_334, 0));
}

#[test]
fn a_block_that_goes_away_while_it_is_read_is_missing_and_not_damaged() {
    let series = (0..50).map(|i| (labels(("up".to_owned(), "1".to_owned(), format!("p{i}"))), 2));
    let made = make(&series.collect(), &[], 512 << 20);
    let remote = open(&made, RemoteOptions::default(), None);
    let selection = Selection::new(Vec::new(), TimeRange::ALL);
    let batch = remote.batch(&selection).unwrap();
    for name in made.files.keys() {
        remote.runtime.block_on(remote.bucket.delete(&Layout::file(made.meta.id, name))).unwrap();
    }
    let gone = |error: Error| matches!(error, Error::NotFound { .. });
    assert!(gone(remote.batch(&selection).unwrap_err()));
    let wanted = batch.chunks(0);
    assert!(gone(remote.runtime.block_on(remote.block.chunks(wanted, &Budget::unlimited())).unwrap_err()));
}

#[test]
fn what_is_longer_than_expected_is_asked_for_again() {
    let name = |i: usize| labels(("up".to_owned(), "1".to_owned(), format!("p{i:03}")));
    // One series has an entry a hundred times as long as the others, another ends with a chunk of some 30 KB.
    let chunks = |i: usize| match i {
        100 => (0..2000).map(|number| chunk(number * 25)).collect(),
        200 => vec![chunk(0), chunk_of(25, 4000)],
        _ => vec![chunk(0)],
    };
    let made = write(&(0..300).map(|i| (name(i), chunks(i))).collect(), 512 << 20);
    let block = open_plain(&made);
    let ask = |pod: &str| vec![Matcher::new(MatchOp::Regex, "pod", pod).unwrap()];
    for (pod, gap, requests) in [("p100", 0, 4), ("p200", 0, 4), ("p1.*", 512 << 10, 3), (".+", 512 << 10, 3)]
    {
        let remote = open(&made, RemoteOptions { gap, ..RemoteOptions::default() }, None);
        let read = remote.read(&Selection::new(ask(pod), TimeRange::ALL)).unwrap();
        assert!(read == plain(&block, &ask(pod), TimeRange::ALL), "{pod}");
        assert_eq!(remote.requests.0.load(Ordering::Relaxed), requests, "{pod}");
    }
}

/// Waits for ever and not at all, by turns.
#[derive(Default)]
struct Stuck(AtomicU64);

impl Timer for Stuck {
    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
    fn wait(&self, _duration: Duration) -> Wait<'_> {
        match self.0.fetch_add(1, Ordering::Relaxed) % 2 {
            0 => Box::pin(std::future::pending()),
            _ => Box::pin(std::future::ready(())),
        }
    }
}

#[test]
fn a_read_that_never_ends_is_asked_again() {
    let series = (0..30).map(|i| (labels(("up".to_owned(), "1".to_owned(), format!("p{i}"))), 3)).collect();
    let made = make(&series, &[], 512 << 20);
    let store = Arc::new(FailingStore::new(Arc::new(InMemory::new())));
    let bucket = Bucket::builder(store.clone(), "test").build();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let hedge = HedgeOptions { least: Duration::ZERO, times: 1, one_in: 1 };
    let options = RemoteOptions { in_flight: 1, hedge: Some(hedge), ..RemoteOptions::default() };
    runtime.block_on(async {
        for (name, bytes) in &made.files {
            bucket.put(&Layout::file(made.meta.id, name), bytes.clone()).await.unwrap();
        }
        let headers = Arc::new(HeaderCache::new(None, Arc::new(UncountedHeaders)));
        let blocks = RemoteBlocks::new(bucket, headers, options, None);
        let block = blocks.open(&Arc::new(made.meta.clone())).await.unwrap();
        let timer: Arc<dyn Timer> = Arc::new(Stuck::default());
        let delay = Duration::from_secs(1);
        store.set_weather(Some(Weather { seed: 1, failing: 0, unanswered: 0, late: 1000, delay, timer }));
        let budget = Budget::unlimited();
        let selection = Selection::new(vec![Matcher::equal("job", "1")], TimeRange::ALL);
        let batch = block.select(&selection, &budget).await.unwrap().all().await.unwrap();
        assert_eq!((batch.len(), batch.num_chunks()), (30, 90));
        let wanted: Vec<_> = (0..batch.len()).flat_map(|at| batch.chunks(at)).copied().collect();
        assert_eq!(block.chunks(&wanted, &budget).await.unwrap().chunks.len(), 90);
        assert_eq!(store.calls(), 6, "the list of all series, entries and chunks, each twice");
    });
}

/// The folders below `folder` that hold a block.
fn blocks_below(folder: &Path, found: &mut Vec<PathBuf>) {
    if folder.join("index").is_file() && folder.join("meta.json").is_file() {
        found.push(folder.to_owned());
    }
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            blocks_below(&path, found);
        }
    }
}

fn load(folder: &Path) -> Made {
    let read = |path: PathBuf| Bytes::from(std::fs::read(path).unwrap());
    let mut files = BTreeMap::from([("index".to_owned(), read(folder.join("index")))]);
    if let Ok(entries) = std::fs::read_dir(folder.join("chunks")) {
        for entry in entries {
            let path = entry.unwrap().path();
            files.insert(format!("chunks/{}", path.file_name().unwrap().to_str().unwrap()), read(path));
        }
    }
    let mut tombstones = Tombstones::default();
    if let Ok(bytes) = std::fs::read(folder.join("tombstones")) {
        tombstones = Tombstones::decode(&bytes).unwrap();
        files.insert("tombstones".to_owned(), bytes.into());
    }
    let meta = BlockMeta::parse(&std::fs::read(folder.join("meta.json")).unwrap()).unwrap();
    Made { meta, files, tombstones }
}

/// What is asked of a block that was found somewhere: matchers of every kind on each of its labels.
fn questions(block: &Block) -> Vec<Vec<Matcher>> {
    let mut all = vec![Vec::new()];
    for name in block.label_names().unwrap() {
        let values = block.label_values(&name).unwrap();
        let middle = String::from_utf8_lossy(&values[values.len() / 2]).into_owned();
        let start: String = middle.chars().take(3).filter(char::is_ascii_alphanumeric).collect();
        for (op, value) in [
            (MatchOp::Equal, middle.as_str()),
            (MatchOp::NotEqual, middle.as_str()),
            (MatchOp::NotEqual, ""),
            (MatchOp::Equal, ""),
            (MatchOp::Regex, &format!("{start}.*")),
            (MatchOp::NotRegex, &format!("{start}.+")),
            (MatchOp::Regex, ".*[a-m0-4]"),
        ] {
            let matcher = Matcher::new(op, &name, value).unwrap();
            let last = all.last().cloned().unwrap_or_default().into_iter().take(2);
            all.push(vec![matcher.clone()]);
            all.push(last.chain([matcher]).collect());
        }
    }
    all
}

#[test]
fn blocks_of_prometheus_and_thanos_are_read_by_ranges_as_they_are_read_whole() {
    let mut folders = Vec::new();
    blocks_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/blocks"), &mut folders);
    assert!(!folders.is_empty());
    for folder in folders {
        let made = load(&folder);
        let block = open_plain(&made);
        let remote = open(&made, RemoteOptions::default(), Some(Cache::in_memory(8 << 20)));
        for matchers in questions(&block) {
            let expected = plain(&block, &matchers, TimeRange::ALL);
            let read = remote.read(&Selection::new(matchers.clone(), TimeRange::ALL)).unwrap();
            assert!(read == expected, "{}: {matchers:?}", folder.display());
        }
    }
}
