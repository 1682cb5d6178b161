//! Our engine on the block: here, or in a process of its own.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use sarsen_benches::usage;
use sarsen_block::{Block, BlockChunkSet, ChunkIter, ChunkSet, TimeRange, TimedChunk};
use sarsen_promql::{
    Budget, Error, InputSeries, ParseOptions, Question, Samples, Selection, SeriesData, SeriesSet, parse,
    prepare,
};
use sarsen_tsdb::open_block;

use crate::data::ASKED;

/// The best time, the processor time of all threads once on average (both without what opening the block takes), and the most memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Took {
    pub(crate) time: Duration,
    pub(crate) cpu: Duration,
    pub(crate) peak: u64,
}

/// Processor time of a process so far.
pub(crate) fn cpu(pid: u32) -> anyhow::Result<Duration> {
    Ok(Duration::from_millis(usage(pid)?.cpu_ms))
}

/// Asks a question so often; the best time and the processor time. The block is opened as a database opens its own: the index mapped, chunks read by position.
pub(crate) fn ask(
    block: &Path,
    query: &str,
    workers: usize,
    times: usize,
) -> anyhow::Result<(Duration, Duration)> {
    let block = open_block(block)?;
    let mut best = Duration::MAX;
    let before = cpu(std::process::id())?;
    for _ in 0..times {
        let begin = Instant::now();
        let question = Question::range(ASKED.0, ASKED.1, ASKED.2);
        let query = prepare(query, parse(query, &ParseOptions::default())?, &question)?;
        let sets = query.selections().iter().map(|selection| select(&block, selection));
        let sets = sets.collect::<anyhow::Result<Vec<_>>>()?;
        let mut budget = Budget::default();
        budget.workers = workers;
        let answer = query.evaluate(sets, &budget)?;
        best = best.min(begin.elapsed());
        drop(answer);
    }
    let spent = cpu(std::process::id())? - before;
    Ok((best, spent / times.max(1) as u32))
}

/// The same in a process of its own.
pub(crate) fn in_a_process(
    folder: &Path,
    query: &str,
    (workers, times): (usize, usize),
) -> anyhow::Result<Took> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("--folder")
        .arg(folder)
        .args(["--ask", query, "--workers", &workers.to_string(), "--times", &times.to_string()])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut out = child.stdout.take().context("the process has no output")?;
    let mut peak = 0;
    while child.try_wait()?.is_none() {
        peak = peak.max(usage(child.id()).map(|used| used.peak).unwrap_or_default());
        std::thread::sleep(Duration::from_millis(2));
    }
    let mut text = String::new();
    std::io::Read::read_to_string(&mut out, &mut text)?;
    let (micros, cpu) = text.trim().split_once(' ').with_context(|| format!("{query} has no answer"))?;
    let duration = |micros: &str| micros.parse().map(Duration::from_micros);
    Ok(Took { time: duration(micros)?, cpu: duration(cpu)?, peak })
}

fn select(block: &Block, selection: &Selection) -> anyhow::Result<Box<dyn SeriesSet>> {
    let found = block.select(&selection.matchers, selection.range)?;
    Ok(Box::new(Found { found, range: selection.range }))
}

struct Found {
    found: BlockChunkSet,
    range: TimeRange,
}

impl SeriesSet for Found {
    fn next(&mut self) -> Result<Option<InputSeries>, Error> {
        let series = self.found.next().map_err(|why| Error::Data(why.to_string()))?;
        let range = self.range;
        Ok(series.map(|series| InputSeries {
            labels: series.labels,
            data: Box::new(Chunks { chunks: series.chunks, range }),
        }))
    }
}

/// Chunks of numbers that do not overlap, as a block has them.
#[derive(Debug)]
struct Chunks {
    chunks: Vec<TimedChunk>,
    range: TimeRange,
}

impl SeriesData for Chunks {
    fn read(&self, samples: &mut Samples) -> Result<(), Error> {
        let wrong = |why: sarsen_block::Error| Error::Data(why.to_string());
        for timed in self.chunks.iter().filter(|timed| timed.range.overlaps(self.range)) {
            let ChunkIter::Xor(mut iter) = timed.chunk.samples().map_err(wrong)? else { continue };
            while let Some((t, value)) = iter.next().map_err(wrong)? {
                samples.times.push(t);
                samples.floats.push(value);
            }
        }
        Ok(())
    }
}
