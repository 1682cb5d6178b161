//! The scenarios: which bucket, what is to be done with it, and which numbers come out.

use std::fmt::Write as _;
use std::path::Path;

use clap::ValueEnum;

use sarsen_benches::{BucketPlan, Compactor, Left, Made, Outcome, REPLICA};

/// What can be measured.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Scenario {
    /// Four blocks of 2 h to one of 8 h: 300 k series with few samples, and 20 k series with many.
    Merge,
    /// Three replicas of four blocks of 2 h to one block.
    Replicas,
    /// A block of 2 d to 5 m.
    Downsample,
    /// 14 days in blocks of 2 h to one block, and that to 5 m and 1 h.
    Fortnight,
    /// How the cost of a merge grows with series and with samples.
    Growth,
    /// The fortnight within the limits of a pod, and what 50 GB a day would take.
    Pod,
}

/// What is measured with.
pub(crate) struct Setting {
    pub(crate) programs: Vec<Compactor>,
    pub(crate) under: Vec<String>,
    pub(crate) series: u64,
}

const SECOND: i64 = 1000;
const HOUR: i64 = 3600 * SECOND;
const DAY: i64 = 24 * HOUR;
const FORTNIGHT: i64 = 14 * DAY;
const NO_COARSER: &str = "--downsampling.disable";
/// Raw bytes of a day that one pod has to cope with.
const TARGET_A_DAY: f64 = 50e9;

impl Scenario {
    pub(crate) const ALL: [Self; 6] =
        [Self::Merge, Self::Replicas, Self::Downsample, Self::Fortnight, Self::Growth, Self::Pod];

    pub(crate) fn run(self, setting: &Setting, folder: &Path) -> anyhow::Result<String> {
        match self {
            Self::Merge => merge(setting, folder),
            Self::Replicas => replicas(setting, folder),
            Self::Downsample => downsample(setting, folder),
            Self::Fortnight => fortnight(setting, folder),
            Self::Growth => growth(setting, folder),
            Self::Pod => pod(setting, folder),
        }
    }
}

fn eight_hours(series: u64, seconds: i64) -> BucketPlan {
    BucketPlan { series, interval: seconds * SECOND, life: 0, replicas: 1, span: 8 * HOUR, block: 2 * HOUR }
}

const fn megabytes(outcome: &Outcome) -> u64 {
    outcome.spent.usage.peak >> 20
}

const HEAD: &str =
    "| what | program | CPU | peak resident | wall | scratch disk |\n|---|---|---|---|---|---|\n";

fn row(table: &mut String, what: &str, program: &str, outcome: &Outcome) {
    let (spent, cpu) = (&outcome.spent, outcome.cpu_seconds());
    let _ = writeln!(
        table,
        "| {what} | {program} | {cpu:.2} s | {} MB | {:.2} s | {} MB |",
        megabytes(outcome),
        spent.wall.as_secs_f64(),
        spent.folder >> 20
    );
}

/// Makes a bucket and has every program work on a copy; all have to leave the same.
fn compare(
    setting: &Setting,
    folder: &Path,
    (what, plan): (&str, &BucketPlan),
    arguments: &[&str],
    table: &mut String,
) -> anyhow::Result<Vec<Outcome>> {
    let bucket = folder.join("made");
    let Made { samples, bytes } = plan.make(&bucket)?;
    let what = format!("{what} ({} MB, {:.1} M samples)", bytes / 1_000_000, samples as f64 / 1e6);
    let mut outcomes: Vec<Outcome> = Vec::new();
    for program in &setting.programs {
        let outcome = program.run(&bucket, &[], arguments)?;
        row(table, &what, program.name, &outcome);
        outcomes.push(outcome);
    }
    if let [ours, theirs, ..] = &outcomes[..] {
        same(&ours.left, &theirs.left)?;
        let (cpu, peak) =
            (theirs.cpu_seconds() / ours.cpu_seconds(), megabytes(theirs) as f64 / megabytes(ours) as f64);
        let _ = writeln!(table, "| {what} | Thanos to Sarsen | {cpu:.1} times | {peak:.1} times | | |");
    }
    std::fs::remove_dir_all(&bucket)?;
    Ok(outcomes)
}

/// The same blocks by range, series and samples; what they weigh may differ by how chunks lie.
fn same(ours: &[Left], theirs: &[Left]) -> anyhow::Result<()> {
    let content =
        |left: &[Left]| -> Vec<Left> { left.iter().map(|block| Left { bytes: 0, ..*block }).collect() };
    let (ours, theirs) = (content(ours), content(theirs));
    anyhow::ensure!(ours == theirs, "other blocks are left: {ours:#?} where Thanos has {theirs:#?}");
    Ok(())
}

fn merge(setting: &Setting, folder: &Path) -> anyhow::Result<String> {
    let mut table = HEAD.to_owned();
    for (what, plan) in [
        ("4 x 2 h to 8 h, 300 k series", eight_hours(300_000, 120)),
        ("4 x 2 h to 8 h, 20 k series", eight_hours(20_000, 15)),
    ] {
        compare(setting, folder, (what, &plan), &[NO_COARSER], &mut table)?;
    }
    Ok(table)
}

fn replicas(setting: &Setting, folder: &Path) -> anyhow::Result<String> {
    let mut table = HEAD.to_owned();
    let plan = BucketPlan { replicas: 3, ..eight_hours(20_000, 15) };
    let label = format!("--deduplication.replica-label={REPLICA}");
    compare(
        setting,
        folder,
        ("3 replicas of 4 x 2 h to 8 h, 20 k series", &plan),
        &[NO_COARSER, &label],
        &mut table,
    )?;
    Ok(table)
}

fn downsample(setting: &Setting, folder: &Path) -> anyhow::Result<String> {
    let mut table = HEAD.to_owned();
    let plan = BucketPlan { span: 2 * DAY, block: 2 * DAY, ..eight_hours(3_000, 15) };
    let outcomes = compare(setting, folder, ("2 d raw to 5 m, 3 k series", &plan), &[], &mut table)?;
    for (program, outcome) in setting.programs.iter().zip(outcomes) {
        let raw = outcome.left.iter().filter(|block| block.resolution == 0);
        let rate = raw.map(|block| block.samples).sum::<u64>() as f64 / outcome.cpu_seconds();
        let _ = writeln!(
            table,
            "| samples per CPU-second, whole process | {} | {:.0} M | | | |",
            program.name,
            rate / 1e6
        );
    }
    Ok(table)
}

/// Two weeks at 30 s, pods that live a day.
fn two_weeks(series: u64) -> BucketPlan {
    BucketPlan { life: DAY, span: FORTNIGHT, ..eight_hours(series, 30) }
}

fn fortnight(setting: &Setting, folder: &Path) -> anyhow::Result<String> {
    let mut table = HEAD.to_owned();
    let what = format!("14 d in blocks of 2 h to 14 d, 5 m and 1 h, {} series", setting.series);
    compare(setting, folder, (&what, &two_weeks(setting.series)), &[], &mut table)?;
    Ok(table)
}

fn growth(setting: &Setting, folder: &Path) -> anyhow::Result<String> {
    let mut table = HEAD.to_owned();
    for series in [25_000, 50_000, 100_000, 200_000, 400_000] {
        let what = format!("4 x 2 h to 8 h, {series} series, 120 samples each");
        compare(setting, folder, (&what, &eight_hours(series, 240)), &[NO_COARSER], &mut table)?;
    }
    for seconds in [240, 60, 15, 5] {
        let what = format!("4 x 2 h to 8 h, 20000 series, {} samples each", 8 * 3600 / seconds);
        compare(setting, folder, (&what, &eight_hours(20_000, seconds)), &[NO_COARSER], &mut table)?;
    }
    Ok(table)
}

fn pod(setting: &Setting, folder: &Path) -> anyhow::Result<String> {
    let mut table = HEAD.to_owned();
    let bucket = folder.join("made");
    let made = two_weeks(setting.series).make(&bucket)?;
    let a_day = made.bytes as f64 / 14.0;
    for program in setting.programs.iter().filter(|program| program.role.is_none()) {
        let outcome = program.run(&bucket, &setting.under, &[])?;
        let what = format!("14 d of {:.2} GB a day, {} series at a time", a_day / 1e9, setting.series);
        row(&mut table, &what, &setting.under.join(" "), &outcome);
        let a_gigabyte = outcome.cpu_seconds() / (made.bytes as f64 / 1e9);
        let cores = a_gigabyte * TARGET_A_DAY / 1e9 / 86_400.0;
        let _ = writeln!(
            table,
            "\n{a_gigabyte:.1} CPU-seconds a GB of raw blocks for all merges and both resolutions: 50 GB a day take {cores:.3} cores."
        );
        for (resolution, bytes) in outcome.by_resolution() {
            let _ = writeln!(table, "Left at resolution {resolution} ms: {:.1} MB.", bytes as f64 / 1e6);
        }
    }
    Ok(table)
}
