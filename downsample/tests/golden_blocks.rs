//! Blocks downsampled are the blocks of Thanos, to the last byte: index, chunk files, meta but for name and time of upload.
//!
//! Where the bounds of custom buckets change, Thanos loses the samples before the change. There every sample that it kept must be
//! there, and one for every window that it counted.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod golden;

use golden::{GoldenBlock, blocks_in, cases, files_of, series};
use sarsen_block::{
    Ancestry, BlockFile, BlockMeta, Chunk, ChunkSeries, Files, RewriteOptions, Rewritten, Sample, SampleIter,
    Tombstones, UploadTime, rewrite, verify,
};
use sarsen_downsample::{AggrChunk, Aggregate, DownsampleOptions, Resolution, downsample, downsample_both};

fn made(source: &GoldenBlock, wanted: &GoldenBlock) -> Rewritten<Files> {
    let to = Resolution::of_ms(wanted.resolution()).unwrap();
    let options = DownsampleOptions::new(wanted.meta().id, to);
    downsample(&source.block, Files::default(), options).unwrap()
}

/// The samples of one aggregate over all chunks of a series.
fn part(series: &ChunkSeries, aggregate: Aggregate) -> Vec<Sample> {
    let parts = series.chunks.iter().map(|timed| AggrChunk::parse(&timed.chunk).unwrap());
    let of = |part: &Chunk| {
        let mut samples = part.samples().unwrap();
        std::iter::from_fn(|| samples.next().unwrap()).collect::<Vec<_>>()
    };
    parts.flat_map(|parts| parts.get(aggregate).map(of).unwrap_or_default()).collect()
}

/// Whether Thanos lost samples of a series.
fn is_lossy(series: &ChunkSeries) -> bool {
    part(series, Aggregate::Count).len() != part(series, Aggregate::Sum).len()
}

/// The meta as it is behind an upload, but for the time of that.
fn uploaded(mut meta: BlockMeta, files: &Files) -> BlockMeta {
    let thanos = meta.thanos.as_mut().unwrap();
    let with_size = |(name, bytes): (&String, &Vec<u8>)| BlockFile {
        rel_path: name.clone(),
        size_bytes: bytes.len() as u64,
        hash: None,
    };
    thanos.files = files.0.iter().map(with_size).collect();
    thanos.files.push(BlockFile { rel_path: "meta.json".to_owned(), ..BlockFile::default() });
    thanos.upload_time = UploadTime::default();
    meta
}

fn text(meta: &BlockMeta) -> String {
    String::from_utf8(meta.to_bytes()).unwrap()
}

fn compare(source: &GoldenBlock, wanted: &GoldenBlock) {
    let made = made(source, wanted);
    // What Thanos had lost before is lost in both.
    let lossy = |series: &ChunkSeries| source.resolution() == 0 && is_lossy(series);
    let (name, files) = (wanted.dir.display(), &made.written.sink);
    let found = files.open(made.meta.clone(), Tombstones::default()).unwrap();
    let report = verify(&found);
    assert!(report.is_sound(), "{name}: {:?}", report.faults);
    let (found, all_wanted) = (series(&found), series(&wanted.block));
    let labels = |all: &[ChunkSeries]| all.iter().map(|series| series.labels.clone()).collect::<Vec<_>>();
    assert_eq!(labels(&found), labels(&all_wanted), "{name}");
    for (found, wanted) in found.iter().zip(&all_wanted) {
        if !lossy(wanted) {
            assert_eq!(found, wanted, "{name}");
            continue;
        }
        assert!(!is_lossy(found));
        let (count, sum) = (part(found, Aggregate::Count), part(found, Aggregate::Sum));
        assert_eq!(count, part(wanted, Aggregate::Count), "{name}");
        assert!(count.iter().map(|s| s.t).eq(sum.iter().map(|s| s.t)), "{name}");
        for aggregate in [Aggregate::Sum, Aggregate::Counter] {
            let (found, wanted) = (part(found, aggregate), part(wanted, aggregate));
            let mut untold: Vec<_> = wanted.iter().map(untold).collect();
            untold.retain(|sample| !found.iter().any(|found| self::untold(found) == *sample));
            assert_eq!(untold, [], "{name}: {aggregate:?}");
        }
    }
    if !all_wanted.iter().any(lossy) {
        assert!(files.0 == files_of(&wanted.dir).0, "{name}");
        let mut meta = wanted.meta().clone();
        meta.thanos.as_mut().unwrap().upload_time = UploadTime::default();
        // A block that only a compaction of the generator wrote was not uploaded.
        let uploads = !meta.thanos.as_ref().unwrap().files.is_empty();
        let found = if uploads { uploaded(made.meta.clone(), files) } else { made.meta.clone() };
        assert_eq!(text(&found), text(&meta), "{name}");
    }
}

/// A sample without what its chunk says of the one before it.
fn untold(sample: &Sample) -> Sample {
    let mut sample = sample.clone();
    if let sarsen_block::Value::Histogram(histogram) = &mut sample.value {
        histogram.hint = sarsen_block::ResetHint::Unknown;
    }
    sample
}

#[test]
fn downsampled_blocks_are_those_of_thanos() {
    let mut compared = 0;
    for case in cases() {
        let blocks = blocks_in(&case);
        for wanted in blocks.iter().filter(|block| block.resolution() > 0) {
            let same = |source: &&GoldenBlock| {
                source.resolution() < wanted.resolution()
                    && source.meta().compaction.sources == wanted.meta().compaction.sources
            };
            // Of the coarsest that is finer; a block that has none was compacted of others.
            let Some(source) = blocks.iter().filter(same).max_by_key(|source| source.resolution()) else {
                continue;
            };
            compare(source, wanted);
            compared += 1;
        }
    }
    assert!(compared > 0);
}

#[test]
fn both_in_one_reading_are_what_they_are_one_after_the_other() {
    for raw in cases().iter().flat_map(|case| blocks_in(case)).filter(|block| block.resolution() == 0) {
        let options = |to| DownsampleOptions::new(raw.meta().id, to);
        let (five, hour) = (options(Resolution::FiveMinutes), options(Resolution::OneHour));
        let [fine, coarse] =
            downsample_both(&raw.block, (Files::default(), five), (Files::default(), hour)).unwrap();
        let first = downsample(&raw.block, Files::default(), five).unwrap();
        let second = downsample(
            &first.written.sink.open(first.meta.clone(), Tombstones::default()).unwrap(),
            Files::default(),
            hour,
        )
        .unwrap();
        for (both, alone) in [(fine, first), (coarse, second)] {
            assert!(both.written.sink.0 == alone.written.sink.0, "{}", raw.dir.display());
            assert_eq!(text(&both.meta), text(&alone.meta));
        }
    }
}

#[test]
fn a_compaction_of_downsampled_blocks_copies_their_chunks() {
    let mut compared = 0;
    for case in cases() {
        let blocks = blocks_in(&case);
        for wanted in blocks.iter().filter(|block| block.resolution() > 0) {
            let parents = &wanted.meta().compaction.parents;
            let same = || blocks.iter().filter(|block| block.resolution() == wanted.resolution());
            let find = |id| same().find(|block| block.meta().id == id).map(|block| block.block.clone());
            let inputs: Option<Vec<_>> = parents.iter().map(|parent| find(parent.id)).collect();
            let Some(inputs) = inputs.filter(|inputs| inputs.len() > 1) else { continue };
            let options = RewriteOptions::new(wanted.meta().id, Ancestry::Compacted);
            let made = rewrite(&inputs, Files::default(), options).unwrap();
            assert!(made.written.sink.0 == files_of(&wanted.dir).0, "{}", wanted.dir.display());
            assert_eq!(made.meta.stats.num_samples, wanted.meta().stats.num_samples);
            compared += 1;
        }
    }
    assert!(compared > 0);
}

#[test]
fn a_block_is_not_made_finer() {
    for block in cases().iter().flat_map(|case| blocks_in(case)) {
        for to in Resolution::ALL.into_iter().filter(|to| to.ms() <= block.resolution()) {
            let options = DownsampleOptions::new(block.meta().id, to);
            let error = downsample(&block.block, Files::default(), options).unwrap_err();
            assert_eq!(error.advice(), sarsen_block::Advice::Refuse);
        }
    }
}
