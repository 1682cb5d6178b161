//! The handle: what goes in comes out under the same key and no other.

use std::sync::Mutex;

use sarsen_block::MatchOp;

use super::*;

#[derive(Default)]
struct Log(Mutex<Vec<(Item, u64, u64)>>);

impl CacheObserver for Log {
    fn looked(&self, item: Item, asked: u64, found: u64, _took: Duration) {
        self.0.lock().unwrap().push((item, asked, found));
    }
}

fn with(options: CacheOptions) -> (Cache, Arc<Log>) {
    let log = Arc::new(Log::default());
    let context = CacheContext { runtime: Handle::current(), timer: Arc::new(NoTime), observer: log.clone() };
    (Cache::new(&options, &context), log)
}

#[tokio::test]
async fn things_of_an_index_are_told_apart() {
    let (cache, log) = with(CacheOptions::default());
    let (one, two) = (BlockId::from_parts(1, 1), BlockId::from_parts(1, 2));
    cache.put_postings(one, (b"ab", b"c"), b"first");
    cache.put_postings(one, (b"a", b"bc"), b"second");
    cache.put_series(one, SeriesNo(7), b"third");
    let found = cache.postings(one, &[(b"a", b"bc"), (b"ab", b"c"), (b"abc", b"")]).await;
    assert_eq!(found, [Some("second".into()), Some("first".into()), None]);
    assert_eq!(cache.postings(two, &[(b"ab", b"c")]).await, [None]);
    assert_eq!(cache.series(one, &[SeriesNo(8), SeriesNo(7)]).await, [None, Some("third".into())]);
    assert_eq!(
        *log.0.lock().unwrap(),
        [(Item::Postings, 3, 2), (Item::Postings, 1, 0), (Item::Series, 2, 1)]
    );
    let sizes = cache.sizes();
    assert_eq!((sizes[Item::Postings as usize].1.items, sizes[Item::Postings as usize].1.bytes), (2, 11));
}

#[tokio::test]
async fn matchers_in_any_order_are_the_same() {
    let (cache, _) = with(CacheOptions::default());
    let block = BlockId::from_parts(1, 1);
    let (a, b) = (Matcher::equal("a", "1"), Matcher::new(MatchOp::NotEqual, "b", "2").unwrap());
    cache.put_expanded(block, &[a.clone(), b.clone()], b"list");
    assert_eq!(cache.expanded(block, &[b, a.clone()]).await.as_deref(), Some(&b"list"[..]));
    assert_eq!(cache.expanded(block, &[a]).await, None);
    for (one, other) in [(("a", "b\"c"), ("a\"b", "c")), (("a", ""), ("", "a"))] {
        let text = |(name, value)| text_of(&[Matcher::equal(name, value)]);
        assert_ne!(text(one), text(other));
    }
}

#[tokio::test]
async fn kinds_that_are_switched_off_are_not_kept() {
    let index = IndexCacheOptions { enabled: vec![Item::Series], ..IndexCacheOptions::default() };
    let (cache, log) = with(CacheOptions { index, bucket: None });
    let block = BlockId::from_parts(1, 1);
    cache.put_postings(block, (b"a", b"b"), b"list");
    cache.put_series(block, SeriesNo(1), b"entry");
    assert_eq!(cache.postings(block, &[(b"a", b"b")]).await, [None]);
    assert_eq!(cache.series(block, &[SeriesNo(1)]).await, [Some("entry".into())]);
    assert_eq!(*log.0.lock().unwrap(), [(Item::Series, 1, 1)]);
}

/// Whoever serves requests moves them between threads.
#[tokio::test]
async fn what_waits_can_be_moved() {
    fn movable<T: Send>(_: T) {}
    let (cache, _) = with(CacheOptions::default());
    let block = BlockId::from_parts(1, 1);
    let bucket = crate::Bucket::builder(Arc::new(object_store::memory::InMemory::new()), "test").build();
    movable(cache.postings(block, &[(b"a", b"b")]));
    movable(cache.expanded(block, &[]));
    movable(cache.content(&bucket, "a"));
    movable(cache.list(&bucket, ""));
    let part = crate::BlockPart { block, file: "chunks/000001", size: 1 };
    movable(cache.chunk_ranges(part, &[], |_| std::future::ready(Ok(Vec::new()))));
    let headers = crate::HeaderCache::new(None, Arc::new(crate::UncountedHeaders));
    movable(headers.header(&bucket, block, 100));
}
