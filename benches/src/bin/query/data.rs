//! The block that is asked: counters, buckets of classic histograms, and a gauge for each instance.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use sarsen_benches::BlockFolder;
use sarsen_block::{
    BlockId, BlockMeta, BlockWriter, BlockWriterOptions, EncodeOptions, Labels, Sample, ThanosMeta,
    TimeRange, Timestamp, encode_chunks,
};

/// When the block begins; a multiple of two hours.
pub(crate) const START: Timestamp = 1_700_006_400_000;
/// How long it is.
pub(crate) const LENGTH: Timestamp = 7_200_000;
/// From when on is asked, and until when, and how far apart: an hour by the minute.
pub(crate) const ASKED: (Timestamp, Timestamp, i64) = (START + 3_600_000, START + LENGTH - 1000, 60_000);

const BOUNDS: [&str; 10] = ["0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "+Inf"];

/// The folder of the block; written first if it is not there.
pub(crate) fn block(folder: &Path, series: u64) -> anyhow::Result<PathBuf> {
    let id = BlockId::from_parts(START.cast_unsigned(), u128::from(series));
    let path = folder.join(id.to_string());
    if !path.join("meta.json").exists() {
        write(&path, id, series)?;
    }
    Ok(path)
}

fn write(path: &Path, id: BlockId, count: u64) -> anyhow::Result<()> {
    let mut all = series(count);
    all.sort_by(|a, b| a.0.cmp(&b.0));
    let mut symbols = BTreeSet::new();
    for (labels, _) in &all {
        for (name, value) in labels.iter() {
            symbols.insert(name.to_vec());
            symbols.insert(value.to_vec());
        }
    }
    let sink = BlockFolder::new(path)?;
    let mut writer = BlockWriter::new(sink, BlockWriterOptions::default(), symbols)?;
    for (labels, series) in &all {
        let samples = samples(*series);
        writer.add(labels.as_ref(), &encode_chunks(&samples, EncodeOptions::default())?)?;
    }
    let written = writer.finish()?;
    let meta = BlockMeta::fresh(id, TimeRange::new(START, START + LENGTH - 1), written.stats);
    let thanos = ThanosMeta { version: 1, source: "bench".to_owned(), ..ThanosMeta::default() };
    written.sink.complete(meta, thanos, written.segments)?;
    Ok(())
}

/// What a series is.
#[derive(Debug, Clone, Copy)]
enum Series {
    Counter(u64),
    /// The number of the histogram, and the bucket.
    Bucket(u64, u64),
    Gauge(u64),
}

fn series(count: u64) -> Vec<(Labels, Series)> {
    let instances = count / 20;
    let names = |name: &str, number: u64, more: &[(&str, &str)]| {
        let instance = number % instances;
        let mut pairs: Vec<(String, String)> = vec![
            ("__name__".into(), name.into()),
            ("instance".into(), format!("10.0.{}.{}:9100", instance / 250, instance % 250)),
            ("job".into(), format!("job-{:02}", instance % 25)),
            ("cluster".into(), "prod-central-1".into()),
            ("namespace".into(), format!("team-{:02}-services", instance % 40)),
            ("pod".into(), format!("server-{instance:06x}-{:08x}", mixed(instance) as u32)),
        ];
        pairs.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Labels::from_pairs(pairs)
    };
    let mut all = Vec::new();
    for number in 0..count {
        let path = format!("/api/v1/resource-{:02}", number / instances);
        let labels = names("requests_total", number, &[("path", &path), ("code", "200")]);
        all.extend(labels.map(|labels| (labels, Series::Counter(number))));
        let (histogram, bucket) = (number / 10, number % 10);
        let bound = BOUNDS.get(bucket as usize).copied().unwrap_or("+Inf");
        let path = format!("/api/v1/resource-{:02}", histogram / instances);
        let labels = names("latency_seconds_bucket", histogram, &[("path", &path), ("le", bound)]);
        all.extend(labels.map(|labels| (labels, Series::Bucket(histogram, bucket))));
    }
    for number in 0..instances {
        all.extend(names("limits", number, &[]).map(|labels| (labels, Series::Gauge(number))));
    }
    all
}

fn samples(series: Series) -> Vec<Sample> {
    let number = match series {
        Series::Counter(number) | Series::Gauge(number) | Series::Bucket(number, _) => number,
    };
    let mut value = (mixed(number) % 100_000) as f64;
    let offset = (mixed(number) % 15_000) as i64;
    let rounds = LENGTH / 15_000;
    let sample = (0..rounds).map(|round| {
        let chance = mixed(number << 16 | round.cast_unsigned());
        match series {
            Series::Counter(_) if chance.is_multiple_of(499) => value = 0.0,
            Series::Counter(_) => value += (chance % 40) as f64,
            Series::Gauge(_) => value = (100 + chance % 50) as f64,
            Series::Bucket(_, bucket) => value += (chance % 16 * (bucket + 1)) as f64,
        }
        Sample::float(START + round * 15_000 + offset, value)
    });
    sample.collect()
}

/// A number without a pattern (splitmix64).
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ z >> 31
}
