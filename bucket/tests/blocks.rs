//! A block exists in a bucket when its meta does, whatever fails on the way there or back.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use object_store::memory::InMemory;
use sarsen_block::{BlockId, BlockMeta, BlockStats, ThanosMeta, TimeRange};
use sarsen_bucket::{
    Bucket, BucketSettings, Error, Excluded, FailingStore, Fetcher, Filter, Layout, MarkKind, Marker,
    Partial, Retry, UploadOptions, Uploaded, View, download, remove, upload,
};

const NOW_MS: i64 = 1_700_000_000_123;

fn id(number: u128) -> BlockId {
    BlockId::from_parts(1_699_999_000_000, number)
}

fn meta(id: BlockId) -> BlockMeta {
    let mut meta = BlockMeta::fresh(id, TimeRange::new(0, 7_199_999), BlockStats::default());
    let labels = BTreeMap::from([("tenant_id".to_owned(), "one".to_owned())]);
    meta.thanos = Some(ThanosMeta { labels, source: "receive".to_owned(), ..ThanosMeta::default() });
    meta
}

fn write_block(dir: &Path) {
    std::fs::create_dir_all(dir.join("chunks")).unwrap();
    std::fs::write(dir.join("chunks/000001"), vec![1; 6 << 20]).unwrap();
    std::fs::write(dir.join("chunks/000002"), b"second").unwrap();
    std::fs::write(dir.join("index"), b"index of the block").unwrap();
    // Neither is part of what is uploaded.
    std::fs::write(dir.join("tombstones"), b"t").unwrap();
    std::fs::write(dir.join("meta.json"), b"local").unwrap();
}

fn options() -> UploadOptions {
    UploadOptions { now_ms: NOW_MS, hashes: true }
}

fn bucket(store: &Arc<FailingStore>) -> Bucket {
    let settings =
        BucketSettings { retry: Retry::NEVER, part_size: Some(5 << 20), ..BucketSettings::default() };
    Bucket::builder(store.clone(), "test").settings(settings).build()
}

fn store() -> Arc<FailingStore> {
    Arc::new(FailingStore::new(Arc::new(InMemory::new())))
}

async fn names(bucket: &Bucket) -> Vec<String> {
    bucket.list("").await.unwrap().into_iter().map(|object| object.name).collect()
}

#[tokio::test]
async fn what_was_uploaded_comes_back() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("source");
    write_block(&dir);
    let bucket = bucket(&store());
    let id = id(1);
    let Uploaded::Complete { meta: written, bytes } =
        upload(&bucket, &dir, &meta(id), options()).await.unwrap()
    else {
        panic!("was not there before");
    };
    let thanos = written.thanos.as_ref().unwrap();
    assert_eq!(thanos.segment_files, ["000001", "000002"]);
    let files: Vec<_> = thanos.files.iter().map(|file| (file.rel_path.as_str(), file.size_bytes)).collect();
    assert_eq!(files, [("chunks/000001", 6 << 20), ("chunks/000002", 6), ("index", 18), ("meta.json", 0)]);
    let hash = thanos.files[2].hash.as_ref().unwrap();
    assert_eq!(hash.value.len(), 64);
    assert!(thanos.files[3].hash.is_none());
    assert_eq!(thanos.upload_time.unix_ms(), Some(NOW_MS));
    assert_eq!(bytes, (6 << 20) + 6 + 18 + written.to_bytes().len() as u64);
    let folder = id.to_string();
    let expected =
        ["chunks/000001", "chunks/000002", "index", "meta.json"].map(|file| format!("{folder}/{file}"));
    assert_eq!(names(&bucket).await, expected);

    let view = View::fetch(&bucket).await.unwrap();
    assert_eq!(view.blocks.values().map(|meta| (**meta).clone()).collect::<Vec<_>>(), [*written]);
    let back = download(&bucket, id, scratch.path()).await.unwrap();
    assert_eq!(back, scratch.path().join(&folder));
    for file in ["chunks/000001", "chunks/000002", "index"] {
        assert!(std::fs::read(back.join(file)).unwrap() == std::fs::read(dir.join(file)).unwrap(), "{file}");
    }
    assert!(matches!(download(&bucket, id, scratch.path()).await, Err(Error::Refused { .. })));
}

#[tokio::test]
async fn a_complete_block_is_never_written_over() {
    let scratch = tempfile::tempdir().unwrap();
    write_block(scratch.path());
    let bucket = bucket(&store());
    upload(&bucket, scratch.path(), &meta(id(1)), options()).await.unwrap();
    std::fs::write(scratch.path().join("index"), b"another").unwrap();
    assert_eq!(upload(&bucket, scratch.path(), &meta(id(1)), options()).await.unwrap(), Uploaded::Present);
    assert_eq!(bucket.get(&Layout::index(id(1))).await.unwrap(), "index of the block");
    let mut nameless = meta(id(2));
    nameless.thanos.as_mut().unwrap().labels.clear();
    assert!(matches!(
        upload(&bucket, scratch.path(), &nameless, options()).await,
        Err(Error::Refused { .. })
    ));
    std::fs::remove_file(scratch.path().join("index")).unwrap();
    assert!(matches!(
        upload(&bucket, scratch.path(), &meta(id(3)), options()).await,
        Err(Error::Local { .. })
    ));
    assert_eq!(names(&bucket).await.len(), 4, "nothing of the refused ones");
}

/// Every call fails in turn, once and for good; then the bucket is looked at and the upload is repeated.
#[tokio::test]
async fn an_upload_that_fails_anywhere_leaves_no_block_and_can_be_repeated() {
    let scratch = tempfile::tempdir().unwrap();
    write_block(scratch.path());
    let meta = meta(id(1));
    for lasting in [false, true] {
        for call in 1.. {
            let store = store();
            let bucket = bucket(&store);
            store.fail_at(call, lasting);
            let result = upload(&bucket, scratch.path(), &meta, options()).await;
            let reached = store.calls() >= call;
            store.fail_at(0, false);
            let view = View::fetch(&bucket).await.unwrap();
            if result.is_ok() {
                assert!(!reached, "call {call} failed unseen");
                assert_eq!(view.blocks.len(), 1);
                assert!(call > 5, "an upload has more calls than {call}");
                break;
            }
            assert!(view.blocks.is_empty(), "call {call}, lasting {lasting}");
            if !lasting {
                assert!(names(&bucket).await.is_empty(), "call {call}: {:?}", names(&bucket).await);
            }
            for partial in view.partial.values() {
                assert!(matches!(partial, Partial::NoMeta { newest_ms: Some(_) }), "{partial:?}");
            }
            upload(&bucket, scratch.path(), &meta, options()).await.unwrap();
            assert_eq!(View::fetch(&bucket).await.unwrap().blocks.len(), 1);
        }
    }
}

#[tokio::test]
async fn a_removal_that_fails_anywhere_leaves_a_half_block_with_its_mark() {
    let scratch = tempfile::tempdir().unwrap();
    write_block(scratch.path());
    for call in 1.. {
        let store = store();
        let bucket = bucket(&store);
        upload(&bucket, scratch.path(), &meta(id(1)), options()).await.unwrap();
        Marker::deletion(id(1), 5, "").put(&bucket).await.unwrap();
        store.fail_at(call, true);
        let result = remove(&bucket, id(1)).await;
        store.fail_at(0, false);
        if let Ok(count) = result {
            assert_eq!((count, names(&bucket).await.len()), (5, 0));
            break;
        }
        let view = View::fetch(&bucket).await.unwrap();
        assert!(view.mark(id(1), MarkKind::Deletion).is_some(), "call {call}");
        assert_eq!(view.blocks.len(), usize::from(call <= 2), "call {call}");
        assert_eq!(remove(&bucket, id(1)).await.unwrap(), if call <= 2 { 5 } else { 7 - call as usize });
    }
}

#[tokio::test]
async fn a_download_that_fails_anywhere_leaves_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    write_block(scratch.path());
    let store = store();
    let bucket = bucket(&store);
    upload(&bucket, scratch.path(), &meta(id(1)), options()).await.unwrap();
    for call in 1.. {
        let target = tempfile::tempdir().unwrap();
        store.fail_at(call, false);
        let result = download(&bucket, id(1), target.path()).await;
        store.fail_at(0, false);
        if result.is_ok() {
            assert!(call > 4);
            break;
        }
        assert_eq!(std::fs::read_dir(target.path()).unwrap().count(), 0, "call {call}");
    }
}

#[tokio::test]
async fn a_download_is_checked_against_the_meta() {
    let scratch = tempfile::tempdir().unwrap();
    write_block(scratch.path());
    let bucket = bucket(&store());
    upload(&bucket, scratch.path(), &meta(id(1)), options()).await.unwrap();
    let target = tempfile::tempdir().unwrap();
    let name = Layout::index(id(1));
    for wrong in ["shorter", "Index of the block"] {
        bucket.put(&name, wrong.into()).await.unwrap();
        assert!(
            matches!(download(&bucket, id(1), target.path()).await, Err(Error::Corrupt { .. })),
            "{wrong}"
        );
    }
    bucket.delete(&name).await.unwrap();
    assert!(matches!(download(&bucket, id(1), target.path()).await, Err(Error::Corrupt { .. })));
    assert!(matches!(download(&bucket, id(2), target.path()).await, Err(Error::NotFound { .. })));
    assert_eq!(std::fs::read_dir(target.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn damage_is_part_of_the_view() {
    let store = store();
    let bucket = bucket(&store);
    let put = async |name: String, text: &str| bucket.put(&name, text.to_owned().into()).await.unwrap();
    put(Layout::meta(id(1)), "{").await;
    put(Layout::meta(id(2)), std::str::from_utf8(&meta(id(9)).to_bytes()).unwrap()).await;
    put(Layout::index(id(3)), "x").await;
    put(Layout::meta(id(4)), std::str::from_utf8(&meta(id(4)).to_bytes()).unwrap()).await;
    put(Layout::mark(id(4), MarkKind::NoCompact), "no mark").await;
    Marker::deletion(id(4), 5, "").put(&bucket).await.unwrap();
    put("debug/metas/x.json".to_owned(), "x").await;
    put("meta.pb".to_owned(), "x").await;
    let mut fetcher = Fetcher::default();
    let view = fetcher.fetch(&bucket).await.unwrap();
    assert_eq!(view.blocks.keys().copied().collect::<Vec<_>>(), [id(4)]);
    assert!(matches!(&view.partial[&id(1)], Partial::BadMeta { .. }));
    assert!(
        matches!(&view.partial[&id(2)], Partial::BadMeta { why, .. } if why.contains(&id(9).to_string()))
    );
    assert!(matches!(&view.partial[&id(3)], Partial::NoMeta { newest_ms: Some(_) }));
    assert_eq!(view.bad_marks.len(), 1);
    assert!(
        view.mark(id(4), MarkKind::Deletion).is_some() && view.mark(id(4), MarkKind::NoCompact).is_none()
    );
    // What is known is not read again.
    let before = (store.fail_at(0, false), store.calls()).1;
    assert_eq!(fetcher.fetch(&bucket).await.unwrap(), view);
    assert_eq!(store.calls() - before, 4, "the listing, two bad metas and a bad mark");
    // What has changed is: a mark that is taken off, one that comes, a meta that is mended.
    Marker::remove(&bucket, id(4), MarkKind::Deletion).await.unwrap();
    put(Layout::mark(id(4), MarkKind::NoDownsample), "no mark either").await;
    put(Layout::meta(id(2)), std::str::from_utf8(&meta(id(2)).to_bytes()).unwrap()).await;
    store.fail_at(0, false);
    let changed = fetcher.fetch(&bucket).await.unwrap();
    assert_eq!(store.calls(), 5, "the bad mark and the new one, two metas, the listing");
    assert_eq!(changed, View::fetch(&bucket).await.unwrap());
    assert!(changed.blocks.contains_key(&id(2)) && changed.mark(id(4), MarkKind::Deletion).is_none());
    assert_eq!(changed.bad_marks.len(), 2);
    // A look that fails is no look: what was known is known.
    put(Layout::meta(id(3)), std::str::from_utf8(&meta(id(3)).to_bytes()).unwrap()).await;
    store.fail_at(2, true);
    assert!(fetcher.fetch(&bucket).await.is_err(), "a view is whole or there is none");
    assert_eq!(fetcher.seen().blocks, changed.blocks);
    store.fail_at(0, false);
    assert!(fetcher.fetch(&bucket).await.unwrap().blocks.contains_key(&id(3)));
    assert_eq!(store.calls(), 5);
}

#[test]
fn filters() {
    let mut view = View::default();
    let mut add = |number: u128, sources: &[u128], label: &str, uploaded_ms: i64| {
        let mut meta = meta(id(number));
        meta.compaction.sources = sources.iter().map(|source| id(*source)).collect();
        let thanos = meta.thanos.as_mut().unwrap();
        thanos.labels.insert("a".to_owned(), label.to_owned());
        thanos.upload_time = sarsen_block::UploadTime::from_unix_ms(uploaded_ms);
        view.blocks.insert(meta.id, Arc::new(meta));
    };
    add(1, &[1], "x", 1000);
    add(2, &[2], "x", 2000);
    add(3, &[1, 2], "x", 3000);
    add(4, &[1, 2], "y", 4000);
    add(5, &[1, 2], "x", 5000);
    let ids = |found: Vec<(BlockId, Excluded)>| found.into_iter().map(|(id, _)| id).collect::<Vec<_>>();
    let mut once = view.clone();
    assert_eq!(ids(Filter::NoDuplicates.apply(&mut once)), [id(1), id(2), id(5)]);
    assert_eq!(once.blocks.keys().copied().collect::<Vec<_>>(), [id(3), id(4)]);
    let mut aged = view.clone();
    assert_eq!(ids(Filter::Age { now_ms: 5000, delay_ms: 2000 }.apply(&mut aged)), [id(4), id(5)]);
    let mut timed = view.clone();
    assert!(Filter::Time(TimeRange::new(7_200_000, 9_000_000)).apply(&mut timed).is_empty());
    assert_eq!(Filter::Time(TimeRange::new(7_200_001, 9_000_000)).apply(&mut timed).len(), 5);
    view.marks.insert(id(1), vec![Marker::deletion(id(1), 100, "")]);
    view.marks.insert(id(2), vec![Marker::deletion(id(2), 200, "")]);
    let deleted = Filter::NotDeleted { now_s: 250, delay_s: 100 }.apply(&mut view);
    assert_eq!(deleted, [(id(1), Excluded::MarkedForDeletion)]);
}

proptest::proptest! {
    /// The quick filter agrees with the plain one: sorted by number of sources and id, a block goes if one that stays has all of its sources.
    #[test]
    fn duplicates_are_those_of_the_plain_rule(sets in proptest::collection::vec(proptest::collection::btree_set(0u128..6, 1..5), 0..14)) {
        let mut view = View::default();
        for (number, sources) in sets.iter().enumerate() {
            let mut meta = meta(id(100 + number as u128));
            meta.compaction.sources = sources.iter().map(|source| id(*source)).collect();
            view.blocks.insert(meta.id, Arc::new(meta));
        }
        let mut order: Vec<_> = view.blocks.values().cloned().collect();
        order.sort_by_key(|meta| (usize::MAX - meta.compaction.sources.len(), meta.id));
        let mut kept: Vec<Arc<BlockMeta>> = Vec::new();
        for meta in order {
            if !kept.iter().any(|other| meta.compaction.sources.iter().all(|source| other.compaction.sources.contains(source))) {
                kept.push(meta);
            }
        }
        let mut expected: Vec<BlockId> = kept.iter().map(|meta| meta.id).collect();
        expected.sort();
        Filter::NoDuplicates.apply(&mut view);
        proptest::prop_assert_eq!(view.blocks.keys().copied().collect::<Vec<_>>(), expected);
    }
}

/// Servers run these in tasks that move between threads.
#[test]
fn what_is_awaited_can_move_between_threads() {
    fn movable<T: Send>(_: T) {}
    let bucket = bucket(&store());
    let (meta, path) = (meta(id(1)), Path::new("nowhere"));
    movable(View::fetch(&bucket));
    movable(upload(&bucket, path, &meta, options()));
    movable(download(&bucket, id(1), path));
    movable(remove(&bucket, id(1)));
    movable(sarsen_bucket::get_ranges(&bucket, "x", &[], 1, 1));
    movable(Marker::deletion(id(1), 1, "").put(&bucket));
}
