//! Whole blocks that Prometheus wrote: read to the last posting, and written back to the same bytes.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod golden;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use golden::whole::{file, open, open_without_tombstones, same_files};
use golden::{GoldenBlock, SeriesLine, blocks, text};
use sarsen_block::{
    Block, BlockWriter, BlockWriterOptions, ChunkRef, ChunkSet, Files, IndexReader, IndexWriter, Labels,
    Matcher, Postings, PostingsSource, TimeRange, TimedChunk, WrittenBlock, verify,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct IndexJson {
    size: u64,
    toc: BTreeMap<String, u64>,
    symbols: Vec<String>,
    label_names: Vec<String>,
    all_postings: Vec<u32>,
    postings: Vec<ListJson>,
}

#[derive(Deserialize)]
struct ListJson {
    name: String,
    value: String,
    start: u64,
    refs: Vec<u32>,
}

#[derive(Deserialize)]
struct BlockJson {
    ulid: String,
    #[serde(default)]
    tombstones: Option<Vec<StonesJson>>,
    num_series: usize,
    num_chunks: usize,
    num_samples: u64,
}

#[derive(Deserialize)]
struct StonesJson {
    #[serde(rename = "ref")]
    series_ref: u32,
    intervals: Vec<(i64, i64)>,
}

/// What lies beside a block and describes it: `<name>` in its parent, or `<folder>-<name>` one up.
fn beside(block: &GoldenBlock, name: &str) -> Option<PathBuf> {
    let parent = block.dir.parent()?;
    let folder = parent.file_name()?.to_str()?;
    let places = [parent.join(name), parent.with_file_name(format!("{folder}-{name}"))];
    places.into_iter().find(|path| path.exists())
}

fn labels_of(line: &SeriesLine) -> Labels {
    Labels::from_pairs(line.labels.iter().map(|(name, value)| (name, value))).unwrap()
}

fn index_json(block: &GoldenBlock) -> Option<IndexJson> {
    Some(serde_json::from_str(&text(&beside(block, "index.json")?)).unwrap())
}

#[test]
fn the_index_is_read_to_the_last_posting() {
    let mut lists = 0;
    for block in blocks() {
        let Some(json) = index_json(&block) else { continue };
        let index = IndexReader::open(Arc::new(file(&block, "index"))).unwrap();
        assert_eq!(index.size(), json.size);
        let toc = index.toc();
        for (name, offset) in [
            ("symbols", toc.symbols),
            ("series", toc.series),
            ("label_indices", toc.label_indices),
            ("label_indices_table", toc.label_indices_table),
            ("postings", toc.postings),
            ("postings_table", toc.postings_table),
        ] {
            assert_eq!(json.toc[name], offset, "{name}");
        }
        let symbols: Vec<_> = index.symbols().map(Result::unwrap).collect();
        assert_eq!(symbols, json.symbols.iter().map(String::as_bytes).collect::<Vec<_>>());
        let names: Vec<_> = index.label_names().unwrap().collect();
        assert_eq!(names, json.label_names.iter().map(String::as_bytes).collect::<Vec<_>>());
        let numbers =
            |walk: sarsen_block::EncodedWalk| walk.collect_all().iter().map(|no| no.0).collect::<Vec<_>>();
        assert_eq!(numbers(index.all().unwrap()), json.all_postings);

        let found: Vec<_> = index.lists().map(Result::unwrap).collect();
        assert_eq!(found.len(), json.postings.len());
        for ((name, value, offset), list) in found.into_iter().zip(&json.postings) {
            assert_eq!((name, value), (list.name.as_bytes(), list.value.as_bytes()));
            assert_eq!(offset + 4, list.start);
            assert_eq!(
                numbers(index.list(name, value).unwrap().unwrap()),
                list.refs,
                "{}={}",
                list.name,
                list.value
            );
            lists += 1;
        }
        for name in &json.label_names {
            let values: Vec<_> =
                json.postings.iter().filter(|l| l.name == *name).map(|l| l.value.as_bytes()).collect();
            assert_eq!(index.label_values(name.as_bytes()).unwrap(), values);
            assert!(index.list(name.as_bytes(), b"\xff no such value").unwrap().is_none());
            assert!(index.list(name.as_bytes(), b"").unwrap().is_none());
        }
    }
    assert!(lists > 300, "{lists} lists");
}

#[test]
fn series_chunks_and_tombstones_are_those_of_the_dump() {
    for block in blocks() {
        let opened = open(&block);
        if let Some(path) = beside(&block, "block.json") {
            let json: BlockJson = serde_json::from_str(&text(&path)).unwrap();
            let stats = opened.meta().stats;
            assert_eq!(opened.meta().id.to_string(), json.ulid);
            assert_eq!(
                (stats.num_series, stats.num_chunks),
                (json.num_series as u64, json.num_chunks as u64)
            );
            assert_eq!(stats.num_samples, json.num_samples);
            let stones: Vec<_> = opened.tombstones().iter().map(|(no, r)| (no.0, r.min, r.max)).collect();
            let told = json.tombstones.unwrap_or_default();
            let told: Vec<_> = told
                .iter()
                .flat_map(|s| s.intervals.iter().map(|&(min, max)| (s.series_ref, min, max)))
                .collect();
            assert_eq!(stones, told);
            assert_eq!(stats.num_tombstones, opened.tombstones().count() as u64);
        }
        let Some(dump) = &block.dump else { continue };
        let numbers = opened.postings(&[]).unwrap();
        assert_eq!(numbers.len(), dump.len());
        for (no, line) in numbers.into_iter().zip(dump) {
            assert_eq!(u64::from(no.0), line.series_ref);
            let series = opened.series(no).unwrap();
            assert_eq!(series.labels, labels_of(line));
            let metas: Vec<_> =
                series.chunks.iter().map(|c| (c.chunk_ref.0, c.range.min, c.range.max)).collect();
            let told: Vec<_> = line.chunks.iter().map(|c| (c.chunk_ref, c.mint, c.maxt)).collect();
            assert_eq!(metas, told);
            for chunk in &line.chunks {
                let read = opened.chunk(ChunkRef(chunk.chunk_ref)).unwrap();
                assert_eq!((read.encoding.byte(), read.data.len()), (chunk.enc_byte, chunk.len));
            }
        }
    }
}

#[test]
fn an_index_of_the_same_series_has_the_same_bytes() {
    for block in blocks() {
        let (bytes, opened) = (file(&block, "index"), open(&block));
        let mut writer = IndexWriter::new(Vec::new()).unwrap();
        for symbol in opened.index().symbols() {
            writer.add_symbol(symbol.unwrap()).unwrap();
        }
        for no in opened.postings(&[]).unwrap() {
            let series = opened.series(no).unwrap();
            assert_eq!(writer.add_series(series.labels.as_ref(), &series.chunks).unwrap(), no);
        }
        let (written, told) = writer.finish().unwrap();
        assert!(written == bytes, "{}", block.dir.display());
        assert_eq!(told.size, bytes.len() as u64);
    }
}

/// Writes the series that `set` gives, with the symbols of `like`.
fn write(like: &Block, set: &mut impl ChunkSet, segment_size: u64) -> WrittenBlock<Files> {
    let symbols: Vec<_> = like.index().symbols().map(|s| s.unwrap().to_vec()).collect();
    let mut writer =
        BlockWriter::new(Files::default(), BlockWriterOptions { segment_size }, symbols).unwrap();
    while let Some(series) = set.next().unwrap() {
        writer.add(series.labels.as_ref(), &series.chunks).unwrap();
    }
    writer.finish().unwrap()
}

#[test]
fn a_block_of_the_same_series_has_the_same_bytes() {
    for block in blocks() {
        let opened = open(&block);
        if !opened.tombstones().is_empty() {
            continue;
        }
        let sizes = match block.chunk_files().len() {
            1 => vec![BlockWriterOptions::default().segment_size],
            // The sizes that the README of the golden data names.
            _ => vec![4096, 3000],
        };
        let fits = sizes.into_iter().find_map(|size| {
            let written = write(&opened, &mut opened.select(&[], TimeRange::ALL).unwrap(), size);
            (written.segments as usize == block.chunk_files().len()
                && written.sink.0["chunks/000001"] == block.chunk_files()[0])
                .then_some(written)
        });
        let written = fits.unwrap_or_else(|| panic!("{}: no such segment size", block.dir.display()));
        same_files(&written.sink, &block.dir);
        let stats = opened.meta().stats;
        assert_eq!(written.stats, stats);
        assert_eq!(written.size, written.sink.0.values().map(|f| f.len() as u64).sum::<u64>());
        let range = written.range.unwrap();
        assert!(opened.meta().range().contains(range.min) && opened.meta().range().contains(range.max));
    }
}

#[test]
fn what_is_deleted_does_not_come_out_and_cleaning_gives_prometheus_bytes() {
    let all = blocks();
    let marked: Vec<_> = all.iter().filter(|b| !open(b).tombstones().is_empty()).collect();
    assert!(!marked.is_empty());
    for block in marked {
        let folder = block.dir.parent().unwrap().with_file_name("cleaned");
        let cleaned = all.iter().find(|b| b.dir.starts_with(&folder)).unwrap();
        let (marked, cleaned) = (open(block), open(cleaned));
        let mut wanted = BTreeMap::new();
        let mut set = cleaned.select(&[], TimeRange::ALL).unwrap();
        while let Some(series) = set.next().unwrap() {
            wanted.insert(series.labels, series.chunks);
        }
        let mut read = 0;
        for no in marked.postings(&[]).unwrap() {
            let series = marked.series(no).unwrap();
            let matchers: Vec<_> =
                series.labels.iter().map(|(name, value)| Matcher::equal(name, value)).collect();
            let mut set = marked.select(&matchers, TimeRange::ALL).unwrap();
            let mut found: Option<Vec<TimedChunk>> = None;
            while let Some(got) = set.next().unwrap() {
                if got.labels == series.labels {
                    found = Some(got.chunks);
                }
            }
            assert_eq!(found.as_ref(), wanted.get(&series.labels), "{:?}", series.labels);
            read += 1;
        }
        assert!(read > 3);
    }
}

#[test]
fn a_range_selects_the_chunks_that_overlap_it() {
    for block in blocks() {
        let (opened, Some(dump)) = (open(&block), &block.dump) else { continue };
        let (min, max) = (opened.meta().min_time, opened.meta().max_time);
        if !opened.tombstones().is_empty() {
            continue;
        }
        for range in
            [(min, min), (min + (max - min) / 3, min + (max - min) / 2), (max - 1, max - 1), (max, i64::MAX)]
        {
            let range = TimeRange::new(range.0, range.1);
            let mut set = opened.select(&[], range).unwrap();
            let mut wanted = dump.iter().filter_map(|line| {
                let chunks = line.chunks.iter().filter(|c| c.mint <= range.max && range.min <= c.maxt);
                let chunks: Vec<_> = chunks.map(|c| (c.mint, c.maxt)).collect();
                (!chunks.is_empty()).then(|| (labels_of(line), chunks))
            });
            while let Some(series) = set.next().unwrap() {
                let chunks: Vec<_> = series.chunks.iter().map(|c| (c.range.min, c.range.max)).collect();
                assert_eq!(Some((series.labels, chunks)), wanted.next());
            }
            assert_eq!(wanted.next(), None);
        }
    }
}

#[test]
fn nothing_is_wrong_with_blocks_of_prometheus() {
    for block in blocks() {
        let report = verify(&open(&block));
        assert_eq!(report.faults, [], "{}", block.dir.display());
        assert_eq!(report.stats, open(&block).meta().stats);
    }
}

#[test]
fn the_largest_entries_are_those_that_thanos_counted() {
    let mut seen = 0;
    for block in golden::blocks_in("compact") {
        let opened = open_without_tombstones(&block);
        let set = &mut opened.select(&[], TimeRange::ALL).unwrap();
        let written = write(&opened, set, BlockWriterOptions::default().segment_size);
        same_files(&written.sink, &block.dir);
        assert_eq!(Some(written.index_stats), opened.meta().thanos.as_ref().map(|thanos| thanos.index_stats));
        seen += 1;
    }
    assert!(seen > 0);
}
