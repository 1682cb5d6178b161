//! Reads a block, or all blocks of a directory of Prometheus, Thanos or Sarsen, and changes nothing. Run with
//! `cargo run -p sarsen-tsdb --example read_block -- /some/directory`.
//!
//! What such a directory has not cut into a block yet lies in its log, which only opening it as a database reads.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::collections::BTreeMap;
use std::error::Error;

use sarsen_block::{ChunkSet, Encoding, METRIC_NAME, TimeRange};
use sarsen_tsdb::{open_block, open_blocks};

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args().nth(1).ok_or("which directory?")?;
    let is_block = std::path::Path::new(&directory).join("meta.json").exists();
    let blocks = if is_block { vec![open_block(&directory)?] } else { open_blocks(&directory)? };
    for block in &blocks {
        let meta = block.meta();
        println!("{} from {} until {}", meta.id, meta.min_time, meta.max_time);
        // Chunks as they are stored: nothing is decoded here, and what tombstones cover is left out.
        let mut set = block.select(&[], TimeRange::ALL)?;
        let mut metrics = BTreeMap::<Vec<u8>, (u64, u64, u64)>::new();
        let mut histograms = 0;
        while let Some(series) = set.next()? {
            let name = series.labels.get(METRIC_NAME).unwrap_or_default().to_vec();
            let counts = metrics.entry(name).or_default();
            counts.0 += 1;
            for timed in &series.chunks {
                counts.1 += u64::from(timed.chunk.num_samples()?);
                counts.2 += timed.chunk.data.len() as u64;
                histograms += u64::from(!matches!(timed.chunk.encoding, Encoding::Xor | Encoding::Xor2));
            }
        }
        for (name, (series, samples, bytes)) in metrics.iter().take(10) {
            let name = String::from_utf8_lossy(name);
            println!("  {name}: {series} series, {samples} samples, {bytes} bytes in chunks");
        }
        println!("  {} metrics, {histograms} chunks of histograms", metrics.len());
    }
    println!("{} blocks", blocks.len());
    Ok(())
}
