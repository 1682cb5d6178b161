//! Blocks that go up while they are written and are read where they lie, alike on every store.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use sarsen_block::{
    Ancestry, Block, BlockId, BlockMeta, BlockSink, BlockWriter, BlockWriterOptions, Checks, Chunk, Decode,
    Labels, RewriteOptions, Sample, SampleSet, ThanosMeta, TimeRange, TimedChunk, XorAppender, rewrite,
    verify,
};
use sarsen_bucket::{
    Bucket, Copied, Depth, Error, Layout, Lease, LeaseTerms, Leasing, MarkKind, Marker, ObjstoreConfig,
    Reading, Reloading, Renewal, SinkFile, SinkOptions, Undeleted, UploadOptions, UploadSink, Uploaded, View,
    copy_block, download, open_block, remove, undelete, upload, verify_block,
};
use tokio::runtime::Handle;

/// All samples of a block, by series.
type Content = BTreeMap<String, Vec<Sample>>;

pub(crate) fn id(number: u128) -> BlockId {
    BlockId::from_parts(1_699_999_000_000, number)
}

pub(crate) fn sink_options(id: BlockId, scratch: &Path) -> SinkOptions {
    SinkOptions {
        id,
        scratch: scratch.to_owned(),
        runtime: Handle::current(),
        hashes: true,
        unlabelled: false,
        stream_index: false,
    }
}

/// `series` series of three chunks each, in segments of about 32 KiB.
pub(crate) fn write_block<S: BlockSink>(
    sink: S,
    id: BlockId,
    series: usize,
) -> (S, BlockMeta, Checks, Content) {
    write_segments(sink, id, series, BlockWriterOptions { segment_size: 32 << 10 })
}

fn write_segments<S: BlockSink>(
    sink: S,
    id: BlockId,
    series: usize,
    options: BlockWriterOptions,
) -> (S, BlockMeta, Checks, Content) {
    let mut symbols = vec!["__name__".to_owned(), "m".to_owned(), "n".to_owned()];
    symbols.extend((0..series).map(|i| format!("v{i:05}")));
    symbols.sort();
    let mut writer = BlockWriter::new(sink, options, symbols).unwrap();
    let mut content = Content::new();
    for i in 0..series {
        let labels = Labels::from_pairs([("__name__", "m"), ("n", &format!("v{i:05}"))]).unwrap();
        let mut samples = Vec::new();
        let chunks: Vec<TimedChunk> = (0..3).map(|part| chunk(i as i64, part, &mut samples)).collect();
        writer.add(labels.as_ref(), &chunks).unwrap();
        content.insert(format!("{labels:?}"), samples);
    }
    let written = writer.finish().unwrap();
    let range = TimeRange::new(0, 7_199_999);
    let mut meta = BlockMeta::fresh(id, range, written.stats);
    let labels = BTreeMap::from([("tenant_id".to_owned(), "one".to_owned())]);
    meta.thanos = Some(ThanosMeta { labels, source: "compactor".to_owned(), ..ThanosMeta::default() });
    (written.sink, meta, written.checks, content)
}

fn chunk(series: i64, part: i64, samples: &mut Vec<Sample>) -> TimedChunk {
    let (mut appender, mut bytes) = (XorAppender::new(), Vec::new());
    let (first, last) = (part * 2_400_000, part * 2_400_000 + 119 * 15_000);
    for t in (first..=last).step_by(15_000) {
        // Values that do not compress, so that there are several segments.
        let value = ((t ^ series << 7) as f64).sin();
        appender.append(&mut bytes, t, value);
        samples.push(Sample::float(t, value));
    }
    TimedChunk { range: TimeRange::new(first, last), chunk: Chunk::xor(appender.finish(&bytes)) }
}

pub(crate) fn content_of(block: &Block) -> Result<Content, sarsen_block::Error> {
    let mut decoded = Decode::new(block.select(&[], TimeRange::ALL)?, TimeRange::ALL);
    let mut content = Content::new();
    while let Some(series) = decoded.next()? {
        content.insert(format!("{:?}", series.labels), series.samples);
    }
    Ok(content)
}

pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

/// Brings a block, and says what is in it.
pub(crate) async fn bring(
    bucket: &Bucket,
    scratch: &Path,
    id: BlockId,
    series: usize,
) -> (BlockMeta, Content) {
    let sink = UploadSink::begin(bucket, sink_options(id, scratch)).await.unwrap();
    let (sink, meta, checks, content) = blocking(move || write_block(sink, id, series)).await;
    let meta = sink.publish(&meta, &checks, 5_000).await.unwrap();
    (meta, content)
}

/// A sink that notes which file becomes which object.
struct Noting {
    sink: UploadSink,
    scratch: PathBuf,
    /// Paths in the block's folder, and the numbers of the files.
    noted: Vec<(String, u64)>,
}

struct Noted(String, SinkFile);

impl std::io::Write for Noted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.1.write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        self.1.flush()
    }
}

impl BlockSink for Noting {
    type File = Noted;
    fn create(&mut self, rel_path: &str) -> std::io::Result<Noted> {
        Ok(Noted(rel_path.to_owned(), self.sink.create(rel_path)?))
    }
    fn finish(&mut self, Noted(rel_path, file): Noted) -> std::io::Result<()> {
        let number = std::fs::metadata(self.scratch.join(&rel_path))?.ino();
        self.noted.push((rel_path, number));
        self.sink.finish(file)
    }
}

/// What a sink has written becomes the object; what is read is the object, also when it has lost its name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_directory_nothing_is_copied() {
    let root = tempfile::tempdir().unwrap();
    let (place, scratch) = (root.path().join("bucket"), root.path().join("scratch"));
    let bucket = Reloading::open(ObjstoreConfig::directory(&place)).unwrap().bucket().build();
    let sink = UploadSink::begin(&bucket, sink_options(id(1), &scratch)).await.unwrap();
    let sink = Noting { sink, scratch: scratch.join(id(1).to_string()), noted: Vec::new() };
    let (sink, meta, checks, content) = blocking(move || write_block(sink, id(1), 100)).await;
    let meta = sink.sink.publish(&meta, &checks, 5_000).await.unwrap();
    assert!(sink.noted.len() > 4, "{:?}", sink.noted);
    for (rel_path, number) in sink.noted {
        let found = std::fs::metadata(place.join(Layout::file(id(1), &rel_path))).unwrap().ino();
        assert_eq!(found, number, "{rel_path}");
    }
    let reading = Reading::new(root.path().join("not needed"));
    let block = open_block(&bucket, &meta, &reading).await.unwrap();
    remove(&bucket, id(1)).await.unwrap();
    assert!(blocking(move || content_of(&block).unwrap()).await == content);
    assert!(reading.fetched.load(Ordering::Relaxed) > 0);
    assert!(!reading.scratch.exists());
}

fn files_below(directory: &Path) -> usize {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { files_below(&path) } else { 1 }).sum()
}

/// Everything on an empty bucket, which is empty again behind it. `other` is another empty one.
pub(crate) async fn run_streams(bucket: &Bucket, other: &Bucket) {
    let scratch = tempfile::tempdir().unwrap();
    there_and_back(bucket, scratch.path()).await;
    one_block_becomes_another(bucket, scratch.path()).await;
    indexes_without_room(bucket, scratch.path()).await;
    copies(bucket, other, scratch.path()).await;
    restored_within_the_delay(bucket, scratch.path()).await;
    leases(bucket).await;
    for bucket in [bucket, other] {
        for object in bucket.list("").await.unwrap() {
            bucket.delete(&object.name).await.unwrap();
        }
    }
    assert_eq!(files_below(scratch.path()), 0, "nothing is left on the local disk");
}

async fn there_and_back(bucket: &Bucket, scratch: &Path) {
    let (meta, content) = bring(bucket, scratch, id(1), 100).await;
    let thanos = meta.thanos.as_ref().unwrap();
    assert!(thanos.segment_files.len() > 3, "{:?}", thanos.segment_files);
    assert_eq!(thanos.upload_time.unix_ms(), Some(5_000));
    assert_eq!(thanos.files.last().unwrap().rel_path, "meta.json");
    assert_eq!(files_below(scratch), 0);
    let view = View::fetch(bucket).await.unwrap();
    assert_eq!(*view.blocks[&id(1)], meta);
    for file in &thanos.files[..thanos.files.len() - 1] {
        let object = bucket.attributes(&Layout::file(meta.id, &file.rel_path)).await.unwrap().unwrap();
        assert_eq!(object.size, file.size_bytes);
        assert_eq!(file.hash.as_ref().unwrap().value.len(), 64);
    }
    let block = open_block(bucket, &meta, &Reading::new(scratch)).await.unwrap();
    let (read, report) = blocking(move || (content_of(&block).unwrap(), verify(&block))).await;
    assert!(read == content, "other samples came back");
    assert!(report.is_sound(), "{:?}", report.faults);
    let begun = UploadSink::begin(bucket, sink_options(id(1), scratch)).await;
    assert!(matches!(begun, Err(Error::Exists { .. })), "{begun:?}");
    assert!(bucket.exists(&Layout::checks(id(1))).await.unwrap());
    for depth in [Depth::Sizes, Depth::Fast, Depth::Quick, Depth::Deep] {
        let found = verify_block(bucket, &meta, depth, &Reading::new(scratch)).await.unwrap();
        assert!(found.is_sound(), "{depth:?}: {:?}", found.faults);
    }
    uploaded_from_a_directory(bucket, &meta, scratch).await;
}

/// A block that was downloaded and goes up again has the same checksums, whether they came along or were made.
async fn uploaded_from_a_directory(bucket: &Bucket, meta: &BlockMeta, scratch: &Path) {
    let name = Layout::checks(meta.id);
    let checks = bucket.get(&name).await.unwrap();
    let directory = download(bucket, meta.id, scratch).await.unwrap();
    for came_along in [false, true] {
        if came_along {
            std::fs::write(directory.join(Layout::CHECKS), &checks).unwrap();
        }
        remove(bucket, meta.id).await.unwrap();
        let options = UploadOptions { now_ms: 5_000, hashes: true };
        let uploaded = upload(bucket, &directory, meta, options).await.unwrap();
        let Uploaded::Complete { meta: written, bytes } = uploaded else { panic!("was removed") };
        let mut shipped = meta.clone();
        // The version of a shipper; a compactor writes none.
        shipped.thanos.as_mut().unwrap().version = 1;
        assert_eq!(*written, shipped);
        assert_eq!(bucket.get(&name).await.unwrap(), checks, "{came_along}");
        let objects = bucket.list(&meta.id.to_string()).await.unwrap();
        assert_eq!(bytes, objects.iter().map(|object| object.size).sum::<u64>());
    }
    std::fs::remove_dir_all(directory).unwrap();
}

/// What a compactor does: blocks in from the bucket, a block out to the bucket, neither on the disk as a whole.
async fn one_block_becomes_another(bucket: &Bucket, scratch: &Path) {
    let view = View::fetch(bucket).await.unwrap();
    let meta = Arc::clone(&view.blocks[&id(1)]);
    let block = open_block(bucket, &meta, &Reading::new(scratch)).await.unwrap();
    let sink = UploadSink::begin(bucket, sink_options(id(2), scratch)).await.unwrap();
    let options = RewriteOptions {
        writer: BlockWriterOptions { segment_size: 32 << 10 },
        ..RewriteOptions::new(id(2), Ancestry::Compacted)
    };
    let rewritten = blocking(move || rewrite(&[block], sink, options).unwrap()).await;
    let written = rewritten.written;
    written.sink.publish(&rewritten.meta, &written.checks, 6_000).await.unwrap();
    for rel_path in ["index", "chunks/000001", "chunks/000002"] {
        let (one, two) = (Layout::file(id(1), rel_path), Layout::file(id(2), rel_path));
        assert!(bucket.get(&one).await.unwrap() == bucket.get(&two).await.unwrap(), "{rel_path}");
    }
}

/// A sink that sees to it that its index never lies on the local disk.
struct Roomless(UploadSink, PathBuf);

impl BlockSink for Roomless {
    type File = Noted;
    fn create(&mut self, rel_path: &str) -> std::io::Result<Noted> {
        Ok(Noted(rel_path.to_owned(), self.0.create(rel_path)?))
    }
    fn finish(&mut self, Noted(rel_path, file): Noted) -> std::io::Result<()> {
        assert_eq!(self.1.join(&rel_path).exists(), rel_path != "index", "{rel_path}");
        self.0.finish(file)
    }
}

/// The same where the disk has no room for indexes: they are read where they are, and go up while they are made.
async fn indexes_without_room(bucket: &Bucket, scratch: &Path) {
    let writer = BlockWriterOptions { segment_size: 4 << 20 };
    let sink = UploadSink::begin(bucket, sink_options(id(3), scratch)).await.unwrap();
    let (sink, meta, checks, _) = blocking(move || write_segments(sink, id(3), 4_000, writer)).await;
    let meta = sink.publish(&meta, &checks, 5_000).await.unwrap();
    let index = bucket.attributes(&Layout::index(id(3))).await.unwrap().unwrap().size;
    let reading = Reading { stretch: 64 << 10, copy_index: false, ..Reading::new(scratch) };
    assert!(index > 3 * reading.stretch, "{index} bytes are no long index");
    let block = open_block(bucket, &meta, &reading).await.unwrap();
    let options = SinkOptions { stream_index: true, ..sink_options(id(4), scratch) };
    let sink = UploadSink::begin(bucket, options).await.unwrap();
    let sink = Roomless(sink, scratch.join(id(4).to_string()));
    let options = RewriteOptions { writer, ..RewriteOptions::new(id(4), Ancestry::Compacted) };
    let rewritten = blocking(move || rewrite(&[block], sink, options).unwrap()).await;
    let (written, Roomless(sink, _)) = (rewritten.written.checks, rewritten.written.sink);
    sink.publish(&rewritten.meta, &written, 6_000).await.unwrap();
    assert_eq!(files_below(scratch), 0);
    for rel_path in ["index", "chunks/000001"] {
        let (one, two) = (Layout::file(id(3), rel_path), Layout::file(id(4), rel_path));
        assert!(bucket.get(&one).await.unwrap() == bucket.get(&two).await.unwrap(), "{rel_path}");
    }
    // One that is given up leaves nothing.
    let options = SinkOptions { stream_index: true, ..sink_options(id(5), scratch) };
    let mut sink = UploadSink::begin(bucket, options).await.unwrap();
    let (sink, file) = blocking(move || {
        let mut file = sink.create("index").unwrap();
        file.write_all(&[7; 100_000]).unwrap();
        (sink, file)
    })
    .await;
    drop(file);
    sink.discard().await.unwrap();
    assert!(bucket.list(&id(5).to_string()).await.unwrap().is_empty());
    for made in [id(3), id(4)] {
        remove(bucket, made).await.unwrap();
    }
}

async fn copies(bucket: &Bucket, other: &Bucket, scratch: &Path) {
    Marker { kind: MarkKind::NoCompact, ..Marker::deletion(id(1), 5, "") }.put(bucket).await.unwrap();
    // A copy that was broken off: one object is there, another one is not whole.
    let first = Layout::file(id(1), "chunks/000001");
    other.put(&first, bucket.get(&first).await.unwrap()).await.unwrap();
    other.put(&Layout::index(id(1)), "half".into()).await.unwrap();
    let there = bucket.list(&id(1).to_string()).await.unwrap();
    let Copied::Complete { objects, bytes } = copy_block(bucket, other, id(1)).await.unwrap() else {
        panic!("not there before")
    };
    assert_eq!(objects, there.len() - 1);
    let first_size = there.iter().find(|object| object.name == first).unwrap().size;
    assert_eq!(bytes, there.iter().map(|object| object.size).sum::<u64>() - first_size);
    let sizes = |objects: &[sarsen_bucket::Object]| {
        objects.iter().map(|object| (object.name.clone(), object.size)).collect::<Vec<_>>()
    };
    assert_eq!(sizes(&other.list("").await.unwrap()), sizes(&there));
    let meta = Arc::clone(&View::fetch(other).await.unwrap().blocks[&id(1)]);
    let deep = verify_block(other, &meta, Depth::Deep, &Reading::new(scratch)).await.unwrap();
    assert!(deep.is_sound(), "{:?}", deep.faults);
    Marker::deletion(id(1), 7, "").put(bucket).await.unwrap();
    assert_eq!(copy_block(bucket, other, id(1)).await.unwrap(), Copied::Present);
    assert_eq!(Marker::get(other, id(1), MarkKind::Deletion).await.unwrap().unwrap().time, 7);
    assert_eq!(copy_block(bucket, other, id(9)).await.unwrap(), Copied::Gone);
    Marker::remove(bucket, id(1), MarkKind::Deletion).await.unwrap();
}

async fn restored_within_the_delay(bucket: &Bucket, scratch: &Path) {
    let (meta, _) = bring(bucket, scratch, id(3), 2).await;
    assert_eq!(undelete(bucket, id(3), 1_000, 100).await.unwrap(), Undeleted::NotMarked);
    let mark = Marker::deletion(id(3), 900, "by mistake");
    mark.put(bucket).await.unwrap();
    assert_eq!(undelete(bucket, id(3), 1_001, 100).await.unwrap(), Undeleted::TooLate { marked_s: 900 });
    assert!(Marker::get(bucket, id(3), MarkKind::Deletion).await.unwrap().is_some());
    let restored = undelete(bucket, id(3), 1_000, 100).await.unwrap();
    assert_eq!(restored, Undeleted::Restored { mark: Some(mark.clone()) });
    assert!(Marker::get(bucket, id(3), MarkKind::Deletion).await.unwrap().is_none());
    assert_eq!(*View::fetch(bucket).await.unwrap().blocks[&id(3)], meta);
    // A block that is being removed has no meta.
    mark.put(bucket).await.unwrap();
    bucket.delete(&Layout::meta(id(3))).await.unwrap();
    let gone = undelete(bucket, id(3), 1_000, 100).await.unwrap();
    assert!(matches!(&gone, Undeleted::Incomplete { why } if why.contains("meta.json")), "{gone:?}");
    assert!(Marker::get(bucket, id(3), MarkKind::Deletion).await.unwrap().is_some());
}

async fn leases(bucket: &Bucket) {
    let terms = |holder: &str| LeaseTerms {
        name: "compactor".to_owned(),
        holder: holder.to_owned(),
        term_ms: 60_000,
    };
    let taken = async |holder: &str, now_ms| Lease::take(bucket, &terms(holder), now_ms).await.unwrap();
    let Leasing::Held(mut one) = taken("one", 1_000_000).await else { panic!("nobody holds it") };
    let busy = taken("two", 1_010_000).await;
    assert!(matches!(&busy, Leasing::Busy { holder, until_ms: 1_060_000 } if holder == "one"), "{busy:?}");
    assert_eq!(one.renew(1_050_000).await.unwrap(), Renewal::Held);
    // It ran to 1 110 000 by the holder's clock, which may differ by half a term.
    assert!(matches!(taken("two", 1_140_000).await, Leasing::Busy { .. }));
    let Leasing::Held(two) = taken("two", 1_140_001).await else { panic!("it has run out") };
    let lost = Renewal::Lost { holder: "two".to_owned() };
    assert_eq!(one.renew(1_140_002).await.unwrap(), lost);
    // To give back what was lost takes it from nobody.
    one.give_back().await.unwrap();
    assert!(matches!(taken("three", 1_140_003).await, Leasing::Busy { .. }));
    two.give_back().await.unwrap();
    let Leasing::Held(three) = taken("three", 1_140_004).await else { panic!("it was given back") };
    // The same holder, after a crash.
    let Leasing::Held(mut again) = taken("three", 1_140_005).await else { panic!("its own") };
    assert_eq!(again.renew(1_140_006).await.unwrap(), Renewal::Held);
    drop(three);
    let folder = bucket.list("sarsen-compactor.lease").await.unwrap();
    assert_eq!(folder.len(), 1, "{folder:?}");
    bucket.put(&folder[0].name, "no lease".into()).await.unwrap();
    let unreadable = taken("four", folder[0].modified_ms + 1_000).await;
    assert!(matches!(unreadable, Leasing::Busy { .. }), "{unreadable:?}");
    assert!(matches!(taken("four", folder[0].modified_ms + 10_000_000).await, Leasing::Held(_)));
    bucket.delete(&bucket.list("sarsen-compactor.lease").await.unwrap()[0].name).await.unwrap();
}
