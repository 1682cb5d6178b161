//! Ranges of chunk segments through the cache.
//!
//! A segment is kept in pieces of one size that begin at multiples of it, so that ranges which overlap share what they have in
//! common. Whoever asks says how missing ranges are fetched; nothing is fetched here. Without a cache for chunks every
//! range goes straight to that.

use std::collections::BTreeMap;
use std::future::Future;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use sarsen_block::BlockId;

use super::key::KeyRef;
use super::{BucketCacheOptions, Cache, Item, Store};
use crate::error::Error;
use crate::layout::Layout;

/// A file of a block.
#[derive(Debug, Clone, Copy)]
pub struct BlockPart<'a> {
    /// The block.
    pub block: BlockId,
    /// Its path in the block's folder.
    pub file: &'a str,
    /// Its size in bytes.
    pub size: u64,
}

impl Cache {
    /// Whether chunks are kept.
    pub fn keeps_chunks(&self) -> bool {
        self.0.bucket.is_some()
    }

    /// The bytes of each of `ranges` of a segment, in the order asked for. `fetch` brings ranges of the same segment that are not here:
    /// sorted, without overlap, all of them inside of it; and gives the bytes of each in the same order.
    ///
    /// # Errors
    /// `Corrupt` if a range ends behind the segment; otherwise as `fetch` says.
    pub async fn chunk_ranges<F, Fetched>(
        &self,
        part: BlockPart<'_>,
        ranges: &[Range<u64>],
        fetch: F,
    ) -> Result<Vec<Bytes>, Error>
    where
        F: FnOnce(Vec<Range<u64>>) -> Fetched,
        Fetched: Future<Output = Result<Vec<Bytes>, Error>>,
    {
        if let Some(range) = ranges.iter().find(|range| range.end > part.size || range.start > range.end) {
            let name = Layout::file(part.block, part.file);
            let why = format!("bytes {}..{} of {} are asked for", range.start, range.end, part.size);
            return Err(Error::corrupt(name, why));
        }
        let Some((store, options)) = &self.0.bucket else {
            return fetch_sorted(ranges, fetch).await;
        };
        let step = options.chunk_subrange_size.max(1);
        let name = format!("{}:{step}", part.file);
        let key = |start: u64| KeyRef {
            item: Item::Chunks,
            block: part.block,
            number: start,
            text: name.as_bytes(),
        };
        let starts = starts_of(ranges, step);
        let keys: Vec<KeyRef<'_>> = starts.iter().map(|start| key(*start)).collect();
        let piece = |start: u64| start..start.saturating_add(step).min(part.size);
        let found = self.look_in(store, Item::Chunks, &keys).await;
        let mut have = Pieces::default();
        for (start, bytes) in starts.iter().zip(found) {
            // A piece of another length is no piece of this segment.
            if let Some(bytes) = bytes.filter(|bytes| bytes.len() as u64 == length(&piece(*start))) {
                have.0.insert(*start, bytes);
            }
        }
        let missing = starts.iter().filter(|start| !have.0.contains_key(start)).map(|start| piece(*start));
        let missing = join(missing, options.max_chunks_get_range_requests);
        if !missing.is_empty() {
            let fetched = fetch(missing.clone()).await?;
            self.keep_pieces((store, options), &missing, &fetched, key);
            for (range, bytes) in missing.into_iter().zip(fetched) {
                have.insert(range.start, bytes);
            }
        }
        let whole = |range: &Range<u64>| {
            let name = || Layout::file(part.block, part.file);
            let short =
                || Error::corrupt(name(), format!("bytes {}..{} are missing", range.start, range.end));
            have.cut(range).ok_or_else(short)
        };
        ranges.iter().map(whole).collect()
    }

    fn keep_pieces<'a>(
        &self,
        (store, options): (&Store, &BucketCacheOptions),
        ranges: &[Range<u64>],
        fetched: &[Bytes],
        key: impl Fn(u64) -> KeyRef<'a>,
    ) {
        let step = options.chunk_subrange_size.max(1);
        for (range, bytes) in ranges.iter().zip(fetched) {
            if bytes.len() as u64 != length(range) {
                continue;
            }
            let step = usize::try_from(step).unwrap_or(usize::MAX);
            for (number, piece) in (0u64..).zip(bytes.chunks(step)) {
                let start = range.start.saturating_add(number.saturating_mul(step as u64));
                self.put_in(store, key(start), piece, options.chunk_subrange_ttl);
            }
        }
    }
}

/// Hands each different range to `fetch`, sorted.
async fn fetch_sorted<F, Fetched>(ranges: &[Range<u64>], fetch: F) -> Result<Vec<Bytes>, Error>
where
    F: FnOnce(Vec<Range<u64>>) -> Fetched,
    Fetched: Future<Output = Result<Vec<Bytes>, Error>>,
{
    let wanted = join(ranges.iter().cloned(), 0);
    let fetched = if wanted.is_empty() { Vec::new() } else { fetch(wanted.clone()).await? };
    let mut have = Pieces::default();
    for (range, bytes) in wanted.into_iter().zip(fetched) {
        have.insert(range.start, bytes);
    }
    let missing = || Error::corrupt("a segment", "fewer bytes than were asked for");
    ranges.iter().map(|range| have.cut(range).ok_or_else(missing)).collect()
}

/// Stretches of a segment, by where they begin. They may overlap; each is whole.
#[derive(Default)]
struct Pieces(BTreeMap<u64, Bytes>);

impl Pieces {
    fn insert(&mut self, start: u64, bytes: Bytes) {
        let longer = self.0.get(&start).is_none_or(|there| there.len() < bytes.len());
        if longer {
            self.0.insert(start, bytes);
        }
    }

    /// The bytes of a range: a view where one stretch has them all, else a copy.
    fn cut(&self, range: &Range<u64>) -> Option<Bytes> {
        if range.is_empty() {
            return Some(Bytes::new());
        }
        let mut at = range.start;
        let mut copy = BytesMut::new();
        while at < range.end {
            // Of the stretches that begin before, the one that reaches furthest: a long one may begin before a short one.
            let from = |(start, bytes): (&u64, &Bytes)| {
                let skip = usize::try_from(at - start).ok()?;
                (skip < bytes.len()).then(|| bytes.slice(skip..))
            };
            let rest = self.0.range(..=at).rev().find_map(from)?;
            let take = usize::try_from(range.end - at).unwrap_or(usize::MAX).min(rest.len());
            let part = rest.slice(..take);
            if at == range.start && part.len() as u64 == length(range) {
                return Some(part);
            }
            copy.extend_from_slice(&part);
            at += take as u64;
        }
        Some(copy.freeze())
    }
}

const fn length(range: &Range<u64>) -> u64 {
    range.end.saturating_sub(range.start)
}

/// Where the pieces begin that cover `ranges`: sorted, each once.
fn starts_of(ranges: &[Range<u64>], step: u64) -> Vec<u64> {
    let mut starts: Vec<u64> = Vec::new();
    for range in ranges.iter().filter(|range| !range.is_empty()) {
        let mut start = range.start - range.start % step;
        while start < range.end {
            starts.push(start);
            start = start.saturating_add(step);
        }
    }
    starts.sort_unstable();
    starts.dedup();
    starts
}

/// Sorted ranges that cover these, joined where they touch; then, if there are more than `most` (0: no bound), across the
/// smallest gaps.
fn join(ranges: impl Iterator<Item = Range<u64>>, most: u64) -> Vec<Range<u64>> {
    let ranges: Vec<_> = ranges.collect();
    let joined = crate::ranges::coalesce(&ranges, 0, u64::MAX);
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    if most == 0 || joined.len() <= most {
        return joined;
    }
    let gap = |pair: &[Range<u64>]| match pair {
        [left, right] => right.start - left.end,
        _ => 0,
    };
    // The widest gaps stay.
    let mut gaps: Vec<(u64, usize)> =
        joined.windows(2).enumerate().map(|(at, pair)| (gap(pair), at)).collect();
    gaps.sort_unstable_by(|a, b| b.cmp(a));
    let mut ends: Vec<usize> = gaps.iter().take(most - 1).map(|(_, at)| *at).collect();
    ends.sort_unstable();
    ends.push(joined.len() - 1);
    let mut first = 0;
    let mut fewer = Vec::with_capacity(most);
    for last in ends {
        if let (Some(start), Some(end)) = (joined.get(first), joined.get(last)) {
            fewer.push(start.start..end.end);
        }
        first = last + 1;
    }
    fewer
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use proptest::prelude::*;

    use super::super::{CacheContext, CacheOptions, CacheStore, MemoryOptions, Uncounted};
    use super::*;
    use crate::observer::NoTime;

    fn cache(step: u64, requests: u64, runtime: tokio::runtime::Handle) -> Cache {
        let store = CacheStore::Memory(MemoryOptions::of_size(60_000));
        let bucket = BucketCacheOptions {
            chunk_subrange_size: step,
            max_chunks_get_range_requests: requests,
            ..BucketCacheOptions::new(store)
        };
        let options = CacheOptions { bucket: Some(bucket), ..CacheOptions::default() };
        let context = CacheContext {
            runtime,
            timer: std::sync::Arc::new(NoTime),
            observer: std::sync::Arc::new(Uncounted),
        };
        Cache::new(&options, &context)
    }

    fn requests() -> impl Strategy<Value = Vec<Vec<(u64, u64)>>> {
        prop::collection::vec(prop::collection::vec((0u64..9_900, 0u64..900), 0..8), 1..12)
    }

    proptest! {
        /// Whatever is kept and whatever is fetched: the bytes are those of the segment, nothing that is there is fetched alone, and
        /// no more requests are made than allowed.
        #[test]
        fn every_range_has_its_bytes(requests in requests(), step in 1u64..2000, most in 0u64..4, cached in any::<bool>()) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let segment: Bytes = (0..10_000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
            let cache = if cached { cache(step, most, runtime.handle().clone()) } else { Cache::in_memory(1000) };
            let part = BlockPart { block: BlockId::from_parts(1, 2), file: "chunks/000001", size: 10_000 };
            for request in requests {
                let ranges: Vec<Range<u64>> = request.iter().map(|(start, n)| *start..(start + n).min(10_000)).collect();
                let asked = Mutex::new(Vec::new());
                let fetch = |wanted: Vec<Range<u64>>| {
                    asked.lock().unwrap().clone_from(&wanted);
                    let cut = |range: &Range<u64>| segment.slice(range.start as usize..range.end as usize);
                    let bytes: Vec<Bytes> = wanted.iter().map(cut).collect();
                    std::future::ready(Ok(bytes))
                };
                let got = runtime.block_on(cache.chunk_ranges(part, &ranges, fetch)).unwrap();
                for (range, bytes) in ranges.iter().zip(&got) {
                    prop_assert_eq!(&bytes[..], &segment[range.start as usize..range.end as usize]);
                }
                let asked = asked.into_inner().unwrap();
                prop_assert!(asked.windows(2).all(|pair| pair[0].end < pair[1].start));
                prop_assert!(!cached || most == 0 || asked.len() as u64 <= most);
                // Again at once: the same, from whatever is kept by now.
                let fetch = |wanted: Vec<Range<u64>>| {
                    let cut = |range: &Range<u64>| segment.slice(range.start as usize..range.end as usize);
                    std::future::ready(Ok(wanted.iter().map(cut).collect()))
                };
                prop_assert_eq!(runtime.block_on(cache.chunk_ranges(part, &ranges, fetch)).unwrap(), got);
            }
        }

        #[test]
        fn joining_covers_everything_with_no_more_ranges_than_allowed(
            ranges in prop::collection::vec((0u64..500, 1u64..40), 1..30), most in 1u64..6,
        ) {
            let ranges: Vec<Range<u64>> = ranges.into_iter().map(|(start, n)| start..start + n).collect();
            let joined = join(ranges.iter().cloned(), most);
            prop_assert!(joined.len() as u64 <= most);
            for range in &ranges {
                prop_assert!(joined.iter().any(|whole| whole.start <= range.start && range.end <= whole.end));
            }
        }
    }

    #[tokio::test]
    async fn what_was_fetched_is_not_fetched_again() {
        let cache = cache(100, 3, tokio::runtime::Handle::current());
        let part = BlockPart { block: BlockId::NONE, file: "chunks/000001", size: 1050 };
        let fetch = |wanted: Vec<Range<u64>>| {
            std::future::ready(Ok(wanted
                .iter()
                .map(|range| vec![1; length(range) as usize].into())
                .collect()))
        };
        cache.chunk_ranges(part, &[110..120, 190..210, 1049..1050], fetch).await.unwrap();
        let none = |wanted: Vec<Range<u64>>| {
            assert!(wanted.is_empty(), "{wanted:?}");
            std::future::ready(Ok(Vec::new()))
        };
        cache.chunk_ranges(part, &[100..300, 1000..1050, 150..150], none).await.unwrap();
    }

    #[tokio::test]
    async fn what_lies_behind_the_end_is_refused() {
        let cache = Cache::in_memory(1000);
        let part = BlockPart { block: BlockId::NONE, file: "chunks/000001", size: 10 };
        let fetch = |_| std::future::ready(Ok(Vec::new()));
        let wanted = 5..11;
        let refused = cache.chunk_ranges(part, std::slice::from_ref(&wanted), fetch).await.unwrap_err();
        assert!(matches!(refused, Error::Corrupt { .. }), "{refused}");
        // Fewer bytes than were asked for are no answer.
        let wanted = 5..9;
        assert!(cache.chunk_ranges(part, std::slice::from_ref(&wanted), fetch).await.is_err());
    }
}
