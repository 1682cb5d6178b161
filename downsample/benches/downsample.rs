//! What does downsampling cost a sample, and does its memory grow with the block?
//!
//! Budget: raw to 5 m at 120 million samples a CPU-second, in 64 MB, for a block of 3,000 series and 34.6 million samples (Thanos: 15
//! million, 221 MB). Blocks are written to a directory and read by position, as the compactor does; CPU time is that of the kernel's
//! count for this process, memory its peak.
//!
//! Last answer (two cores of a Xeon at 2.3 GHz with work for seven beside it, so no more than lower bounds; the best of three):
//!
//! | series | days | samples | raw to 5 m              | 5 m to 1 h   | both in one reading    |
//! |--------|------|---------|-------------------------|--------------|------------------------|
//! | 300    | 2    | 3.5 M   | 0.03 s, 105 M/s, 4 MB   | 0.01 s, 4 MB | 0.04 s, 80 M/s, 4 MB   |
//! | 3,000  | 2    | 34.6 M  | 0.32 s, 107 M/s, 4 MB   | 0.09 s, 4 MB | 0.42 s, 83 M/s, 5 MB   |
//! | 3,000  | 4    | 69.1 M  | 0.63 s, 109 M/s, 5 MB   | 0.19 s, 5 MB | 0.81 s, 85 M/s, 5 MB   |
//!
//! Cost grows with samples alone, memory with neither. The budget of 120 M samples/s is missed by a tenth.
//!
//! Run with `cargo bench -p sarsen-downsample --bench downsample`, or with `-- <series> <days>` for one block. Series are of five kinds in
//! equal numbers, as in block's bench `chunk`; scrapes are 15 s apart.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a bench that prints, and may fail loudly")]

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use sarsen_block::{
    Block, BlockId, BlockMeta, BlockSink, BlockWriter, BlockWriterOptions, Chunk, Labels, Source, TimeRange,
    TimedChunk, Tombstones, XorAppender,
};
use sarsen_downsample::{DownsampleOptions, Resolution, downsample, downsample_both};

const KINDS: [&str; 5] = ["counter", "gauge", "slow", "random", "constant"];
const START: i64 = 1_699_920_000_000;
const STEP: i64 = 15_000;
const PER_DAY: usize = 5_760;
const PER_CHUNK: usize = 120;

/// A small generator of numbers without a pattern (splitmix64), so that every run measures the same values.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let a = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let b = (a ^ a >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        b ^ b >> 31
    }

    fn below(&mut self, limit: u64) -> f64 {
        (self.next() % limit) as f64
    }
}

fn chunks(kind: &str, samples: usize, random: &mut Random) -> Vec<TimedChunk> {
    let mut value = random.below(10_000);
    let mut chunks = Vec::with_capacity(samples.div_ceil(PER_CHUNK));
    for first in (0..samples).step_by(PER_CHUNK) {
        let (mut appender, mut bytes) = (XorAppender::new(), Vec::new());
        let last = (first + PER_CHUNK).min(samples) - 1;
        for i in first..=last {
            value = match kind {
                "counter" => value + random.below(400),
                "gauge" => ((value + (random.below(200) - 100.0) / 100.0) * 100.0).round() / 100.0,
                "slow" => value + if random.next().is_multiple_of(10) { 1.0 } else { 0.0 },
                "random" => f64::from_bits(random.next() >> 2),
                _ => value,
            };
            appender.append(&mut bytes, START + i as i64 * STEP, value);
        }
        let range = TimeRange::new(START + first as i64 * STEP, START + last as i64 * STEP);
        chunks.push(TimedChunk { range, chunk: Chunk::xor(appender.finish(&bytes)) });
    }
    chunks
}

/// Files of a block in a directory.
struct Directory(PathBuf);

impl BlockSink for Directory {
    type File = File;
    fn create(&mut self, rel_path: &str) -> io::Result<File> {
        let path = self.0.join(rel_path);
        fs::create_dir_all(path.parent().unwrap())?;
        File::create(path)
    }
    fn finish(&mut self, _: File) -> io::Result<()> {
        Ok(())
    }
}

struct OnDisk(File, u64);

impl OnDisk {
    fn open(path: &Path) -> Arc<dyn Source> {
        let file = File::open(path).unwrap();
        let len = file.metadata().unwrap().len();
        Arc::new(Self(file, len))
    }
}

impl Source for OnDisk {
    fn len(&self) -> u64 {
        self.1
    }
    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        self.0.read_exact_at(&mut bytes, range.start)?;
        Ok(bytes.into())
    }
}

fn open(dir: &Path, meta: BlockMeta) -> Block {
    let mut names: Vec<_> = fs::read_dir(dir.join("chunks")).unwrap().map(|e| e.unwrap().path()).collect();
    names.sort();
    let segments = names.iter().map(|path| OnDisk::open(path)).collect();
    Block::open(OnDisk::open(&dir.join("index")), segments, meta, Tombstones::default()).unwrap()
}

fn write(dir: &Path, series: usize, samples: usize) -> BlockMeta {
    let mut random = Random(7);
    let mut symbols: Vec<String> = (0..series).map(|number| format!("instance-{number:07}")).collect();
    symbols.extend(["__name__", "http_requests_total", "instance"].map(String::from));
    symbols.sort();
    let options = BlockWriterOptions::default();
    let mut writer = BlockWriter::new(Directory(dir.to_owned()), options, &symbols).unwrap();
    for number in 0..series {
        let instance = format!("instance-{number:07}");
        let labels =
            Labels::from_pairs([("__name__", "http_requests_total"), ("instance", instance.as_str())])
                .unwrap();
        let kind = KINDS[number % KINDS.len()];
        writer.add(labels.as_ref(), &chunks(kind, samples, &mut random)).unwrap();
    }
    let stats = writer.finish().unwrap().stats;
    let range = TimeRange::new(START, START + samples as i64 * STEP - 1);
    BlockMeta::fresh(BlockId::from_parts(1, 1), range, stats)
}

/// CPU time of this process in seconds.
fn cpu() -> f64 {
    let told = fs::read_to_string("/proc/self/schedstat").unwrap();
    told.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e9
}

/// Peak of resident memory in MB since it was last forgotten.
fn peak() -> f64 {
    let told = fs::read_to_string("/proc/self/status").unwrap();
    let line = told.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

fn forget_peak() {
    // Not everywhere allowed; then the peak is that of the whole process.
    drop(fs::write("/proc/self/clear_refs", "5"));
}

fn measure(series: usize, days: usize, repeat: usize) {
    let dir = tempfile::tempdir().unwrap();
    let (raw, five) = (dir.path().join("raw"), dir.path().join("5m"));
    let samples = days * PER_DAY;
    let meta = write(&raw, series, samples);
    let block = open(&raw, meta);
    let id = BlockId::from_parts(2, 2);
    let options = |to| DownsampleOptions::new(id, to);
    let sink = |name: &str| Directory(dir.path().join(name));
    let mut best = [f64::MAX; 3];
    let mut peaks = [0.0; 3];
    let mut timed = |which: usize, work: &mut dyn FnMut()| {
        forget_peak();
        let start = cpu();
        work();
        best[which] = best[which].min(cpu() - start);
        peaks[which] = peak();
    };
    for _ in 0..repeat {
        let mut made = None;
        timed(0, &mut || {
            made = Some(downsample(&block, sink("5m"), options(Resolution::FiveMinutes)).unwrap().meta);
        });
        let fine = open(&five, made.unwrap());
        timed(1, &mut || {
            downsample(&fine, sink("1h"), options(Resolution::OneHour)).unwrap();
        });
        timed(2, &mut || {
            let fine = (sink("both5m"), options(Resolution::FiveMinutes));
            let coarse = (sink("both1h"), options(Resolution::OneHour));
            downsample_both(&block, fine, coarse).unwrap();
        });
    }
    let all = (series * samples) as f64;
    let rate = |seconds: f64| all / seconds / 1e6;
    println!(
        "| {series:>7} | {days:>4} | {:>7.1} | {:>6.2} s, {:>4.0} M/s, {:>3.0} MB | {:>5.2} s, {:>3.0} MB | {:>6.2} s, {:>4.0} M/s, {:>3.0} MB |",
        all / 1e6,
        best[0],
        rate(best[0]),
        peaks[0],
        best[1],
        peaks[1],
        best[2],
        rate(best[2]),
        peaks[2],
    );
}

fn main() {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|arg| arg.parse().ok()).collect();
    println!(
        "|  series | days | samples | raw to 5 m                | 5 m to 1 h     | both in one reading       |"
    );
    println!(
        "|---------|------|---------|---------------------------|----------------|---------------------------|"
    );
    if let [series, days] = numbers[..] {
        return measure(series, days, 3);
    }
    for (series, days) in [(3_000, 2), (300, 2), (30_000, 2), (3_000, 1), (3_000, 14)] {
        measure(series, days, 3);
    }
}
