//! Reads samples straight from a bucket, without a server: `cargo run -p sarsen-bucket --example read -- objstore.yml '{room="attic"}'`.
//!
//! The reader looks at the bucket once, and says which names there are; one selection over all time reads what matches, from as many
//! blocks as have it, with few ranged reads of each. The program has no async code of its own.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a program reads its environment and prints"
)]

use std::error::Error;
use std::sync::Arc;

use sarsen_block::{Decode, SampleSet, TimeRange, parse_selector};
use sarsen_bucket::{BlockingReader, Bucket, BucketReader, ObjstoreConfig, ReaderOptions, Reloading};

/// What was read.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counted {
    series: usize,
    samples: usize,
}

fn read(bucket: Bucket, selector: &str) -> Result<Counted, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    // At most 64 MiB of memory, however much there is to read.
    let options = ReaderOptions { memory: 64 << 20, ..ReaderOptions::default() };
    let reader = BlockingReader::new(Arc::new(BucketReader::new(bucket, options)), runtime.handle().clone());
    reader.refresh()?;
    println!("{} blocks", reader.blocks().len());
    for name in reader.label_names(&[], TimeRange::ALL)? {
        let values = reader.label_values(&name, &[], TimeRange::ALL)?;
        println!("{}: {} values", String::from_utf8_lossy(&name), values.len());
    }
    let found = reader.select(&parse_selector(selector)?, TimeRange::ALL)?;
    let (mut decoded, mut counted) = (Decode::new(found, TimeRange::ALL), Counted::default());
    while let Some(series) = decoded.next()? {
        println!("{:?}: {} samples", series.labels, series.samples.len());
        counted.series += 1;
        counted.samples += series.samples.len();
    }
    Ok(counted)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().ok_or("usage: read objstore.yml [selector]")?;
    let selector = arguments.next().unwrap_or_else(|| "{__name__!=\"\"}".to_owned());
    let text = std::fs::read_to_string(file)?;
    let store = Reloading::open(ObjstoreConfig::parse(&text, |name| std::env::var(name).ok())?)?;
    let counted = read(store.bucket().build(), &selector)?;
    println!("{} series, {} samples", counted.series, counted.samples);
    Ok(())
}

#[cfg(test)]
#[path = "../tests/made/mod.rs"]
mod made;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use object_store::memory::InMemory;
    use sarsen_bucket::Layout;

    use super::*;

    #[test]
    fn what_lies_in_the_bucket_is_read() {
        let series = |name: &str| made::labels((name.to_owned(), "1".to_owned(), "a".to_owned()));
        let block = made::make(&BTreeMap::from([(series("up"), 3), (series("down"), 2)]), &[], 512 << 20);
        let bucket = Bucket::builder(Arc::new(InMemory::new()), "memory").build();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for (name, bytes) in &block.files {
            runtime.block_on(bucket.put(&Layout::file(block.meta.id, name), bytes.clone())).unwrap();
        }
        runtime.block_on(bucket.put(&Layout::meta(block.meta.id), block.meta.to_bytes().into())).unwrap();
        assert_eq!(read(bucket.clone(), r#"{job="1"}"#).unwrap(), Counted { series: 2, samples: 100 });
        assert_eq!(read(bucket, r#"{__name__=~"u.*"}"#).unwrap(), Counted { series: 1, samples: 60 });
        assert!(made::open_plain(&block).tombstones().is_empty());
    }
}
