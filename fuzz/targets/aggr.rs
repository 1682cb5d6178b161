//! Any bytes as an aggregate chunk: nothing panics, what is taken apart is put together again, and whatever is read from it can be
//! downsampled, merged and cut without harm.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sarsen_block::{
    Aggregates, BlockId, BlockMeta, BlockWriter, BlockWriterOptions, Chunk, Encoding, Files, Labels,
    SampleIter, SampleSet, TimeRange, TimedChunk, Tombstones,
};
use sarsen_downsample::{
    AggrChunk, Aggregate, AggregateChunks, AverageIter, CounterIter, DownsampleOptions, History, Resolution,
    downsample, downsample_both,
};

fuzz_target!(|data: &[u8]| {
    let (aggregate, raw) = (chunk(Encoding::Aggregate, data), chunk(Encoding::Xor, data));
    if let Ok(parts) = AggrChunk::parse(&aggregate) {
        assert_eq!(AggrChunk::parse(&parts.to_chunk()).unwrap(), parts);
        assert_eq!(parts.num_windows().ok(), aggregate.num_samples().ok());
        // A few bytes can stand for very many histograms.
        let many = |part: &Chunk| part.num_samples().is_ok_and(|count| count > 300);
        if Aggregate::ALL.iter().filter_map(|&one| parts.get(one)).any(many) {
            return;
        }
        iterators(&parts);
        cut(&aggregate);
    }
    for (chunk, ms) in [(raw, 0), (aggregate, 300_000)] {
        whole(chunk, ms);
    }
});

fn chunk(encoding: Encoding, data: &[u8]) -> Chunk {
    Chunk { encoding, data: data.to_vec().into() }
}

fn iterators(parts: &AggrChunk) {
    if let Some(counter) = parts.get(Aggregate::Counter) {
        let mut followed = CounterIter::new([counter, counter]);
        while let Ok(Some(_)) = followed.next() {}
    }
    if let (Some(counts), Some(sums)) = (parts.get(Aggregate::Count), parts.get(Aggregate::Sum))
        && let Ok(mut averages) = AverageIter::new(counts, sums)
    {
        while let Ok(Some(_)) = averages.next() {}
        assert!(matches!(averages.next(), Ok(None)), "an iterator ends after its error");
    }
}

fn cut(aggregate: &Chunk) {
    let timed = TimedChunk { range: TimeRange::new(0, 1_000_000), chunk: aggregate.clone() };
    let aggregates = AggregateChunks::of(Resolution::FiveMinutes);
    if let Ok(kept) = aggregates.without(&timed, &[TimeRange::new(300_000, 600_000)]) {
        let _ = aggregates.merge(vec![kept, vec![timed.clone()]]);
    }
    let _ = aggregates.merge(vec![vec![timed.clone()], vec![timed]]);
}

/// The chunk as all there is in a block.
fn whole(chunk: Chunk, ms: i64) {
    let range = TimeRange::new(0, 1_000_000);
    let mut writer = BlockWriter::new(Files::default(), BlockWriterOptions::default(), ["a", "b"]).unwrap();
    let labels = Labels::from_pairs([("a", "b")]).unwrap();
    if writer.add(labels.as_ref(), &[TimedChunk { range, chunk }]).is_err() {
        return;
    }
    let written = writer.finish().unwrap();
    let mut meta = BlockMeta::fresh(BlockId::from_parts(1, 1), range, written.stats);
    meta.thanos.get_or_insert_default().resolution = ms;
    let block = written.sink.open(meta, Tombstones::default()).unwrap();
    let options = |to| DownsampleOptions::new(BlockId::from_parts(2, 2), to);
    let (five, hour) = (options(Resolution::FiveMinutes), options(Resolution::OneHour));
    let coarse = downsample(&block, Files::default(), hour);
    if ms == 0
        && let Ok([fine, _]) = downsample_both(&block, (Files::default(), five), (Files::default(), hour))
    {
        let fine = fine.written.sink.open(fine.meta, Tombstones::default()).unwrap();
        let history = History::new([block.clone(), fine]);
        query(&history);
    }
    if let Ok(coarse) = coarse {
        query(&History::new([block, coarse.written.sink.open(coarse.meta, Tombstones::default()).unwrap()]));
    }
}

fn query(history: &History) {
    for function in ["rate", "min", "max", "count", "sum_over_time", ""] {
        let wanted = sarsen_downsample::aggregate_for(function);
        let mut set =
            history.select(&[], TimeRange::new(100_000, 800_000), wanted, Resolution::OneHour).unwrap();
        while let Ok(Some(series)) = set.next() {
            assert!(series.samples.iter().all(|sample| (100_000..=800_000).contains(&sample.t)));
        }
    }
}
