//! Blocks as an engine reads them: raw ones as they are, downsampled ones by what a selection is for.
//!
//! Blocks with the same external labels are one source; its series carry these labels, as the StoreAPI gives them, over labels of their own
//! of the same names. What a selection finds is decoded and held in memory whole.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use sarsen_block::{Block, Decode, Labels, Matcher, Merge, Sample, SampleSeries, SampleSet, Value};
use sarsen_downsample::{History, Resolution, aggregate_for};
use sarsen_promql::{Error, InputSeries, Samples, Selection, SeriesData, SeriesSet};

use super::super::open::{blocks_in, fail, open_block};
use crate::cli::Failure;

/// How deep blocks may lie below a data directory: `tenants/<tenant>/<block>`, `bucket/<block>`.
const DEPTH: usize = 3;

type ExternalLabels = BTreeMap<String, String>;

/// The blocks of a directory, by their external labels.
pub(super) struct Blocks {
    sources: Vec<(ExternalLabels, Source)>,
    /// Nothing coarser is read where finer data are.
    coarsest: Resolution,
}

enum Source {
    Raw(Vec<Block>),
    /// Some are downsampled.
    Downsampled(History),
}

impl Blocks {
    /// The blocks in `dir`, or in the directories in it.
    pub(super) fn open(dir: &Path, coarsest: Resolution) -> Result<Self, Failure> {
        let mut paths = Vec::new();
        find(dir, DEPTH, &mut paths)?;
        if paths.is_empty() {
            return Err(Failure::Run(format!("{}: no block and no directory of blocks", dir.display())));
        }
        let mut sources: BTreeMap<ExternalLabels, Vec<Block>> = BTreeMap::new();
        for path in paths {
            let block = open_block(&path)?.block;
            let labels = block.meta().thanos.as_ref().map(|thanos| thanos.labels.clone());
            sources.entry(labels.unwrap_or_default()).or_default().push(block);
        }
        let sources = sources.into_iter().map(|(labels, blocks)| (labels, Source::of(blocks))).collect();
        Ok(Self { sources, coarsest })
    }

    /// What `selection` finds.
    pub(super) fn select(&self, selection: &Selection) -> Result<Box<dyn SeriesSet>, Failure> {
        let mut found: BTreeMap<Labels, Vec<Sample>> = BTreeMap::new();
        for (external, source) in &self.sources {
            let Some(matchers) = own_matchers(&selection.matchers, external) else { continue };
            let mut set = source.select(&matchers, selection, self.coarsest).map_err(failed)?;
            while let Some(SampleSeries { labels, samples }) = set.next().map_err(failed)? {
                found.insert(with(&labels, external).map_err(failed)?, samples);
            }
        }
        Ok(Box::new(Found(found.into_iter())))
    }
}

fn failed(why: sarsen_block::Error) -> Failure {
    Failure::Run(why.to_string())
}

/// The matchers that blocks must answer themselves; `None` if the external labels are others than those asked for.
fn own_matchers(matchers: &[Matcher], external: &ExternalLabels) -> Option<Vec<Matcher>> {
    let mut own = Vec::with_capacity(matchers.len());
    for matcher in matchers {
        let value = str::from_utf8(matcher.name()).ok().and_then(|name| external.get(name));
        match value {
            Some(value) if !matcher.matches(value.as_bytes()) => return None,
            Some(_) => {}
            None => own.push(matcher.clone()),
        }
    }
    Some(own)
}

/// The labels of a series with the external ones over them.
fn with(labels: &Labels, external: &ExternalLabels) -> Result<Labels, sarsen_block::Error> {
    let hidden = |name: &[u8]| str::from_utf8(name).is_ok_and(|name| external.contains_key(name));
    let own = labels.iter().filter(|(name, _)| !hidden(name));
    Labels::from_pairs(own.chain(external.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()))))
}

impl Source {
    fn of(blocks: Vec<Block>) -> Self {
        let is_raw = |block: &Block| block.meta().thanos.as_ref().is_none_or(|thanos| thanos.resolution == 0);
        if blocks.iter().all(is_raw) { Self::Raw(blocks) } else { Self::Downsampled(History::new(blocks)) }
    }

    fn select(
        &self,
        matchers: &[Matcher],
        selection: &Selection,
        coarsest: Resolution,
    ) -> Result<Box<dyn SampleSet>, sarsen_block::Error> {
        let range = selection.range;
        Ok(match self {
            Self::Raw(blocks) => {
                let sets = blocks.iter().map(|block| block.select(matchers, range));
                Box::new(Decode::new(Merge::new(sets.collect::<Result<Vec<_>, _>>()?), range))
            }
            Self::Downsampled(history) => {
                let wanted = aggregate_for(selection.hint.function);
                Box::new(history.select(matchers, range, wanted, coarsest)?)
            }
        })
    }
}

/// Gathers the block directories in `dir` and as many levels below it.
fn find(dir: &Path, levels: usize, into: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let here = blocks_in(dir)?;
    if !here.is_empty() || levels == 0 {
        into.extend(here);
        return Ok(());
    }
    let entries = fs::read_dir(dir).map_err(|why| fail(dir, why))?;
    let mut below: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    below.retain(|path| path.is_dir());
    below.sort_unstable();
    below.iter().try_for_each(|path| find(path, levels - 1, into))
}

struct Found(std::collections::btree_map::IntoIter<Labels, Vec<Sample>>);

impl SeriesSet for Found {
    fn next(&mut self) -> Result<Option<InputSeries>, Error> {
        let next = self.0.next();
        Ok(next.map(|(labels, samples)| InputSeries { labels, data: Box::new(Decoded(samples)) }))
    }
}

#[derive(Debug)]
struct Decoded(Vec<Sample>);

impl SeriesData for Decoded {
    fn read(&self, samples: &mut Samples) -> Result<(), Error> {
        for sample in &self.0 {
            match &sample.value {
                Value::Float(value) => {
                    samples.times.push(sample.t);
                    samples.floats.push(*value);
                    samples.starts.push(sample.start);
                }
                Value::Histogram(histogram) => {
                    samples.histogram_times.push(sample.t);
                    samples.histograms.push((**histogram).clone().to_float());
                    samples.histogram_starts.push(sample.start);
                }
            }
        }
        Ok(())
    }
}
