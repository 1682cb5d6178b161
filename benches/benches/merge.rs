//! What does a compaction cost a whole process, and how does that grow with series and with samples?
//!
//! Blocks of a steady fleet (11 labels a series) are written to files; another process merges them into one block of files and tells its CPU time
//! (user and system, from `schedstat`) and the most memory that was ever resident; a third reads the result with `verify_quick`. The small and the
//! large case are those of the budgets: four blocks of two hours with 20 k series and 38 M samples, at most 0.17 CPU-s and 64 MB; and with
//! 300 k series and 360 MB, at most 1.7 CPU-s and 128 MB (Thanos: 1.36 CPU-s, 243 MB; 13.6 CPU-s, 463 MB). Replicas are three receivers of the same fleet, out
//! of step. `growth` prints what happens when only the series, and when only the samples double. Behind it criterion measures the parts, in memory.
//!
//! `cargo bench -p sarsen-benches --bench merge [-- growth]`
//!
//! Last answer (2 cores shared with much other work): small 0.14 CPU-s and 8 MB (of 170 MB), large 0.64 CPU-s and 13 MB (of 409 MB); 1.7 us and some 23 bytes of
//! peak a series and block of four whatever the number of series, 3.4 ns a sample at 960 samples a chunk run and no memory; replicas deduplicated 29 ns a sample
//! read, merged in a chain 45 ns; `verify_quick` a third of a merge in row, in 5 MB.

#![expect(clippy::print_stdout, reason = "a bench tells what it measured")]

use std::fs::{self, File};
use std::hint::black_box;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use criterion::{Criterion, Throughput};
use sarsen_benches::{Fleet, Shipper, folder_bytes, usage};
use sarsen_block::{
    Ancestry, Block, BlockId, BlockMeta, BlockSink, Checks, Overlap, RewriteOptions, Source, Timestamp,
    Tombstones, rewrite, verify_quick,
};

/// A multiple of eight hours.
const START: Timestamp = 1_699_977_600_000;
const TWO_HOURS: Timestamp = 7_200_000;

/// A file that is read by position.
struct Positional(File, u64);

impl Source for Positional {
    fn len(&self) -> u64 {
        self.1
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let mut bytes = vec![0; usize::try_from(range.end - range.start).map_err(io::Error::other)?];
        self.0.read_exact_at(&mut bytes, range.start)?;
        Ok(bytes.into())
    }
}

/// Files in a folder.
struct Folder(PathBuf);

impl BlockSink for Folder {
    type File = File;

    fn create(&mut self, rel_path: &str) -> io::Result<File> {
        File::create(self.0.join(rel_path))
    }

    fn finish(&mut self, _file: File) -> io::Result<()> {
        Ok(())
    }
}

/// Files that are forgotten.
struct Nowhere;

impl BlockSink for Nowhere {
    type File = io::Sink;

    fn create(&mut self, _rel_path: &str) -> io::Result<io::Sink> {
        Ok(io::sink())
    }

    fn finish(&mut self, _file: io::Sink) -> io::Result<()> {
        Ok(())
    }
}

fn sorted(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// The blocks in a folder, read through `read`.
fn blocks(folder: &Path, read: impl Fn(&Path) -> io::Result<Arc<dyn Source>>) -> Result<Vec<Block>> {
    let open = |path: PathBuf| {
        let meta = BlockMeta::parse(&fs::read(path.join("meta.json"))?)?;
        let segments =
            sorted(&path.join("chunks"))?.iter().map(|path| read(path)).collect::<io::Result<_>>()?;
        Ok(Block::open_unread(read(&path.join("index"))?, segments, meta, Tombstones::default())?)
    };
    sorted(folder)?.into_iter().map(open).collect()
}

fn positional(path: &Path) -> io::Result<Arc<dyn Source>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    Ok(Arc::new(Positional(file, length)))
}

fn in_memory(path: &Path) -> io::Result<Arc<dyn Source>> {
    Ok(Arc::new(Bytes::from(fs::read(path)?)))
}

fn options(overlap: Overlap) -> RewriteOptions<'static> {
    RewriteOptions { overlap, ..RewriteOptions::new(BlockId::from_parts(1, 1), Ancestry::Compacted) }
}

fn overlap(name: &str) -> Overlap {
    if name == "penalty" { Overlap::Penalty } else { Overlap::Chain }
}

/// What one process did: nanoseconds of CPU time, most resident bytes, bytes of the result.
#[derive(Debug, Clone, Copy)]
struct Cost {
    cpu: u64,
    peak: u64,
    bytes: u64,
}

/// In a process of its own: merges, or verifies, and tells the cost.
fn child(work: &str, from: &Path, to: &Path, how: &str) -> Result<()> {
    let blocks = blocks(from, positional)?;
    let bytes = if work == "merge" {
        fs::create_dir_all(to.join("chunks"))?;
        let rewritten = rewrite(&blocks, Folder(to.to_owned()), options(overlap(how)))?;
        fs::write(to.join("meta.json"), rewritten.meta.to_bytes())?;
        rewritten.written.size
    } else {
        let report = verify_quick(&blocks[0]);
        ensure!(report.is_sound(), "{:?}", report.faults.first());
        report.chunk_bytes
    };
    let cpu = fs::read_to_string("/proc/self/schedstat")?;
    let cpu: u64 = cpu.split_whitespace().next().context("schedstat is empty")?.parse()?;
    println!("{cpu} {} {bytes}", usage(std::process::id())?.peak);
    Ok(())
}

fn cost(work: &str, from: &Path, to: &Path, how: &str) -> Result<Cost> {
    let output = Command::new(std::env::current_exe()?).arg(work).args([from, to]).arg(how).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let numbers = text.split_whitespace().map(str::parse).collect::<std::result::Result<Vec<u64>, _>>()?;
    let [cpu, peak, bytes] = numbers[..] else { anyhow::bail!("not three numbers: {text}") };
    Ok(Cost { cpu, peak, bytes })
}

/// Four blocks of two hours.
#[derive(Debug, Clone, Copy)]
struct Case {
    series: u64,
    /// Milliseconds between samples.
    interval: i64,
    replicas: u64,
    how: &'static str,
}

const HEAD: &str = "| series | samples | replicas | in, MB | out, MB | merge, CPU-s | us a series | ns a sample | peak, MB | verify, CPU-s | peak, MB |
|---|---|---|---|---|---|---|---|---|---|---|";

fn make(case: Case, folder: &Path) -> Result<u64> {
    let mut samples = 0;
    for replica in 0..case.replicas {
        let late = i64::try_from(replica)? * 4321;
        let fleet = Fleet { interval: case.interval, ..Fleet::steady(case.series, START + late) };
        let shipper = Shipper::new(fleet, &[("tenant_id", "bench")], replica);
        let metas = shipper.ship_all(folder, START..START + 4 * TWO_HOURS, TWO_HOURS)?;
        samples += metas.iter().map(|meta| meta.stats.num_samples).sum::<u64>();
    }
    Ok(samples)
}

fn row(case: Case) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (from, to) = (folder.path().join("in"), folder.path().join("out"));
    fs::create_dir_all(&from)?;
    let samples = make(case, &from)?;
    let size = folder_bytes(&from);
    // The first run meets a cold cache, and is told nowhere.
    cost("merge", &from, &to.join("a"), case.how)?;
    let merge = cost("merge", &from, &to.join("a"), case.how)?;
    let verify = cost("verify", &to, &to, "")?;
    let mb = |bytes: u64| bytes as f64 / 1e6;
    println!(
        "| {} | {samples} | {} {} | {:.0} | {:.0} | {:.3} | {:.2} | {:.2} | {:.1} | {:.3} | {:.1} |",
        case.series,
        case.replicas,
        case.how,
        mb(size),
        mb(merge.bytes),
        merge.cpu as f64 / 1e9,
        merge.cpu as f64 / 1e3 / case.series as f64,
        merge.cpu as f64 / samples as f64,
        mb(merge.peak),
        verify.cpu as f64 / 1e9,
        mb(verify.peak),
    );
    Ok(())
}

fn table(title: &str, cases: impl IntoIterator<Item = Case>) -> Result<()> {
    println!("\n{title}\n\n{HEAD}");
    cases.into_iter().try_for_each(row)
}

fn parts(c: &mut Criterion) -> Result<()> {
    for (name, replicas) in [("4 blocks in a row", 1), ("3 replicas of 4 blocks", 3)] {
        let folder = tempfile::tempdir()?;
        let samples = make(Case { series: 1000, interval: 15_000, replicas, how: "" }, folder.path())?;
        let blocks = blocks(folder.path(), in_memory)?;
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements(samples)).sample_size(20);
        for how in ["chain", "penalty"] {
            group.bench_function(how, |b| {
                b.iter(|| black_box(rewrite(&blocks, Nowhere, options(overlap(how)))).is_ok());
            });
        }
        group.bench_function("verify_quick", |b| {
            b.iter(|| blocks.iter().for_each(|block| drop(black_box(verify_quick(block)))));
        });
        group.bench_function("checks", |b| {
            b.iter(|| blocks.iter().for_each(|block| drop(black_box(Checks::of(block)))));
        });
        group.finish();
    }
    Ok(())
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, work, from, to, how] = &arguments[..]
        && ["merge", "verify"].contains(&work.as_str())
    {
        return child(work, Path::new(from), Path::new(to), how);
    }
    let case = |series, interval, replicas, how| Case { series, interval, replicas, how };
    if arguments.iter().any(|argument| argument == "growth") {
        let series = [25_000, 50_000, 100_000, 200_000, 400_000, 800_000];
        table("Series grow, 24 samples each", series.map(|series| case(series, 1_200_000, 1, "chain")))?;
        let intervals = [120_000, 60_000, 30_000, 15_000, 7_500];
        return table(
            "Samples grow, 10,000 series",
            intervals.map(|interval| case(10_000, interval, 1, "chain")),
        );
    }
    table(
        "Small: 0.17 CPU-s, 64 MB; large: 1.7 CPU-s, 128 MB",
        [case(20_000, 15_000, 1, "chain"), case(300_000, 150_000, 1, "chain")],
    )?;
    table("Replicas", [case(5_000, 15_000, 3, "penalty"), case(5_000, 15_000, 3, "chain")])?;
    let mut criterion = Criterion::default().configure_from_args();
    parts(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}
