//! Damaged chunks: an error or some samples, never a panic, and no window outside of what was asked.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod golden;

use golden::making::block;
use golden::{blocks_in, folder, series};
use proptest::prelude::*;
use sarsen_block::{Aggregates, Chunk, Files, SampleIter, SampleSet, TimeRange, TimedChunk, Tombstones};
use sarsen_downsample::{
    AggrChunk, Aggregate, AggregateChunks, AverageIter, CounterIter, DownsampleOptions, History, Resolution,
    Wanted, downsample,
};

/// Chunks of every form, raw and aggregates, that are short enough to be hit.
fn stored() -> Vec<TimedChunk> {
    let blocks = ["floats", "histograms"].map(|case| blocks_in(&folder("downsample").join(case)));
    let all = blocks.iter().flatten().flat_map(|block| series(&block.block)).flat_map(|series| series.chunks);
    all.filter(|timed| timed.chunk.data.len() < 1_500).collect()
}

fn iterate(parts: &AggrChunk) {
    if let Some(counter) = parts.get(Aggregate::Counter) {
        let mut iter = CounterIter::new([counter, counter]);
        while let Ok(Some(_)) = iter.next() {}
    }
    if let (Some(counts), Some(sums)) = (parts.get(Aggregate::Count), parts.get(Aggregate::Sum))
        && let Ok(mut iter) = AverageIter::new(counts, sums)
    {
        while let Ok(Some(_)) = iter.next() {}
        assert!(matches!(iter.next(), Ok(None)), "an iterator ends after its error");
    }
}

/// Everything that can be done with a chunk.
fn use_up(timed: &TimedChunk) {
    let aggregates = AggregateChunks::of(Resolution::FiveMinutes);
    let middle = i64::midpoint(timed.range.min, timed.range.max);
    if let Ok(parts) = AggrChunk::parse(&timed.chunk) {
        iterate(&parts);
        if let Ok(kept) = aggregates.without(timed, &[TimeRange::new(middle, timed.range.max)])
            && !kept.is_empty()
        {
            drop(aggregates.merge(vec![kept, vec![timed.clone()]]));
        }
    }
    for from in [Resolution::Raw, Resolution::FiveMinutes] {
        let alone = block(1, TimeRange::new(0, i64::MAX / 2), &[("a", vec![timed.clone()])]);
        let mut meta = alone.meta().clone();
        meta.thanos.get_or_insert_default().resolution = from.ms();
        let alone = golden::with_meta(&alone, meta);
        let options = DownsampleOptions::new(alone.meta().id, Resolution::OneHour);
        let made = downsample(&alone, Files::default(), options);
        let coarse = made.ok().map(|made| made.written.sink.open(made.meta, Tombstones::default()).unwrap());
        let history = History::new([alone].into_iter().chain(coarse));
        for wanted in Aggregate::ALL.map(Wanted::Part).into_iter().chain([Wanted::Average]) {
            let range = TimeRange::new(timed.range.min, middle);
            let mut set = history.select(&[], range, wanted, Resolution::OneHour).unwrap();
            while let Ok(Some(series)) = set.next() {
                assert!(series.samples.iter().all(|sample| range.contains(sample.t)));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn damaged_chunks_are_read_without_harm(
        which in any::<prop::sample::Index>(),
        hits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let chunks = stored();
        let timed = which.get(&chunks);
        let mut data = timed.chunk.data.to_vec();
        for (at, byte) in hits {
            *at.get_mut(&mut data[..]) = byte;
        }
        if let Some(cut) = cut {
            data.truncate(cut.index(data.len()));
        }
        let chunk = Chunk { encoding: timed.chunk.encoding, data: data.into() };
        // A chunk whose header is cut off cannot be written into a block.
        if chunk.num_samples().is_ok_and(|count| count < 1_000) {
            use_up(&TimedChunk { range: timed.range, chunk });
        }
    }

    #[test]
    fn any_bytes_are_taken_apart_without_harm(data in proptest::collection::vec(any::<u8>(), 0..200)) {
        let chunk = Chunk { encoding: sarsen_block::Encoding::Aggregate, data: data.into() };
        if let Ok(parts) = AggrChunk::parse(&chunk) {
            prop_assert_eq!(&AggrChunk::parse(&parts.to_chunk()).unwrap(), &parts);
            prop_assert_eq!(parts.num_windows().ok(), chunk.num_samples().ok());
        }
    }
}
