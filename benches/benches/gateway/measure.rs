//! Asking, and what it cost.

#![expect(clippy::print_stdout, reason = "a bench tells what it measured")]

use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use prost::Message as _;
use sarsen_benches::storeapi::{Answer, Frame, LabelValuesResponse, StoreClient, StoreSeries};
use sarsen_benches::{ArchivePlan, Gateway, Question};
use sarsen_block::codec::crc32c;

/// What was answered, in numbers that do not depend on the order of chunks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    series: u64,
    chunks: u64,
    content: u64,
}

/// What asking some questions of a kind has cost.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    milliseconds: Vec<f64>,
    cpu_ms: u64,
    requests: u64,
    fetched: u64,
    answered: u64,
    resident: u64,
    pub(crate) sum: Sum,
}

pub(crate) fn print_head() {
    println!(
        "| question | gateway | | p50, ms | p99, ms | CPU-ms each | requests each | KiB read each | KiB answered each | resident, MiB |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
}

impl Row {
    /// Several runs as one.
    pub(crate) fn together(rows: Vec<Self>) -> Option<Self> {
        rows.into_iter().reduce(|mut all, row| {
            all.milliseconds.extend(row.milliseconds);
            all.cpu_ms += row.cpu_ms;
            all.requests += row.requests;
            all.fetched += row.fetched;
            all.answered += row.answered;
            all.resident = all.resident.max(row.resident);
            all
        })
    }

    pub(crate) fn print(&self, gateway: &str, phase: &str, class: &str) {
        let mut sorted = self.milliseconds.clone();
        sorted.sort_by(f64::total_cmp);
        let count = sorted.len().max(1);
        let at =
            |share: f64| sorted.get(((count - 1) as f64 * share).round() as usize).copied().unwrap_or(0.0);
        let each = |number: u64| number as f64 / count as f64;
        println!(
            "| {class} | {gateway} | {phase} | {:.1} | {:.1} | {:.1} | {:.1} | {:.0} | {:.0} | {} |",
            at(0.5),
            at(0.99),
            each(self.cpu_ms),
            each(self.requests),
            each(self.fetched) / 1024.0,
            each(self.answered) / 1024.0,
            self.resident >> 20
        );
    }
}

/// Thanos' says that it is ready a moment before it listens.
fn connect(gateway: &Gateway, runtime: &tokio::runtime::Runtime) -> Result<StoreClient> {
    let begin = Instant::now();
    loop {
        match runtime.block_on(StoreClient::connect(&gateway.grpc)) {
            Err(_) if begin.elapsed() < Duration::from_secs(10) => {
                std::thread::sleep(Duration::from_millis(20));
            }
            outcome => return outcome,
        }
    }
}

/// Asks the questions one after another.
pub(crate) fn ask(
    gateway: &Gateway,
    class: Question,
    plan: &ArchivePlan,
    numbers: Range<u64>,
    runtime: &tokio::runtime::Runtime,
) -> Result<Row> {
    let client = connect(gateway, runtime)?;
    let (before, counted) = (gateway.usage()?, gateway.requests()?);
    let mut milliseconds = Vec::new();
    let mut answers = Vec::new();
    for number in numbers {
        let message = class.message(plan, number);
        let begin = Instant::now();
        let answer = if class == Question::Values {
            let values = runtime.block_on(client.unary(class.path(), message))?;
            Answer { frames: vec![values], failure: None }
        } else {
            runtime.block_on(client.gather(class.path(), message))
        };
        milliseconds.push(begin.elapsed().as_secs_f64() * 1e3);
        ensure!(answer.failure.is_none(), "{}: {:?}", class.name(), answer.failure);
        answers.push(answer);
    }
    let (after, now) = (gateway.usage()?, gateway.requests()?);
    let requests = |counts: &std::collections::BTreeMap<String, u64>| {
        counts.iter().filter(|(name, _)| *name != "bytes").map(|(_, count)| count).sum::<u64>()
    };
    let bytes = |counts: &std::collections::BTreeMap<String, u64>| counts.get("bytes").copied().unwrap_or(0);
    let frames = answers.iter().flat_map(|answer| &answer.frames);
    let mut row = Row {
        milliseconds,
        cpu_ms: after.cpu_ms - before.cpu_ms,
        requests: requests(&now) - requests(&counted),
        fetched: bytes(&now) - bytes(&counted),
        answered: frames.map(|frame| frame.len() as u64).sum(),
        resident: after.peak,
        sum: Sum::default(),
    };
    for answer in &answers {
        row.sum.add(class, answer)?;
    }
    Ok(row)
}

impl Sum {
    fn add(&mut self, class: Question, answer: &Answer) -> Result<()> {
        if class == Question::Values {
            for frame in &answer.frames {
                let values = LabelValuesResponse::decode(frame.clone())?.values;
                self.series += values.len() as u64;
                self.content += values.iter().map(|value| u64::from(crc32c(value))).sum::<u64>();
            }
            return Ok(());
        }
        for frame in answer.series()? {
            match frame.frame {
                Some(Frame::Series(series)) => self.series(&series),
                Some(Frame::Warning(text)) => anyhow::bail!("a warning: {text}"),
                _ => (),
            }
        }
        Ok(())
    }

    fn series(&mut self, series: &StoreSeries) {
        let labels = series.labels.iter().fold(0, |sum, label| {
            sum ^ (u64::from(crc32c(&label.name)) << 32 | u64::from(crc32c(&label.value)))
        });
        self.series += 1;
        for chunk in &series.chunks {
            self.chunks += 1;
            let parts = [&chunk.raw, &chunk.count, &chunk.sum, &chunk.min, &chunk.max, &chunk.counter];
            let parts = parts.into_iter().flatten().map(|part| u64::from(crc32c(&part.data))).sum::<u64>();
            let times = chunk.min_time.cast_unsigned() ^ chunk.max_time.cast_unsigned().rotate_left(32);
            self.content = self.content.wrapping_add(labels ^ times ^ parts);
        }
    }
}
