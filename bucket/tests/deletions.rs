//! What was deleted from a bucket is found in each block that it concerns, until the block's meta says that it is gone.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use object_store::memory::InMemory;
use sarsen_block::{
    Block, BlockId, BlockMeta, BlockSink, BlockWriter, BlockWriterOptions, Chunk, Labels, Matcher, Source,
    ThanosMeta, TimeRange, TimedChunk, Tombstones, XorAppender,
};
use sarsen_bucket::{Bucket, Deletion, Deletions, Error, Layout};

#[derive(Default)]
struct Files(Vec<Vec<u8>>);

impl BlockSink for Files {
    type File = Vec<u8>;

    fn create(&mut self, _rel_path: &str) -> std::io::Result<Vec<u8>> {
        Ok(Vec::new())
    }

    fn finish(&mut self, file: Vec<u8>) -> std::io::Result<()> {
        self.0.push(file);
        Ok(())
    }
}

/// A block of three series, each with samples at 1000 and 2000.
fn block(tenant: &str) -> Block {
    let mut symbols = vec!["job", "__name__", "a", "b", "c", "up"];
    symbols.sort_unstable();
    let mut writer = BlockWriter::new(Files::default(), BlockWriterOptions::default(), symbols).unwrap();
    for job in ["a", "b", "c"] {
        let (mut appender, mut bytes) = (XorAppender::new(), Vec::new());
        appender.append(&mut bytes, 1000, 1.0);
        appender.append(&mut bytes, 2000, 2.0);
        let chunk =
            TimedChunk { range: TimeRange::new(1000, 2000), chunk: Chunk::xor(appender.finish(&bytes)) };
        let labels = Labels::from_pairs([("__name__", "up"), ("job", job)]).unwrap();
        writer.add(labels.as_ref(), &[chunk]).unwrap();
    }
    let written = writer.finish().unwrap();
    let mut meta = BlockMeta::fresh(BlockId::from_parts(1, 2), TimeRange::new(1000, 2000), written.stats);
    let labels = BTreeMap::from([("tenant_id".to_owned(), tenant.to_owned())]);
    meta.thanos = Some(ThanosMeta { labels, ..ThanosMeta::default() });
    let [chunks, index] = written.sink.0.try_into().unwrap();
    let segments = vec![Arc::new(Bytes::from(chunks)) as Arc<dyn Source>];
    Block::open(Arc::new(Bytes::from(index)), segments, meta, Tombstones::default()).unwrap()
}

fn deletion(id: &str, selector: &str, range: TimeRange) -> Deletion {
    let mut deletion = Deletion::new(id, 1500, selector, range).unwrap();
    deletion.labels.insert("tenant_id".to_owned(), "one".to_owned());
    deletion
}

#[test]
fn a_deletion_is_pending_until_it_is_noted() {
    let mut deletions = Deletions::default();
    deletions.add(deletion("leak", "{job=~\"a|b\"}", TimeRange::ALL)).unwrap();
    deletions.add(deletion("early", "up", TimeRange::new(0, 999))).unwrap();
    assert!(deletions.add(deletion("leak", "up", TimeRange::ALL)).is_err(), "the id is taken");

    let (block, other) = (block("one"), block("two"));
    assert_eq!(deletions.pending(other.meta()).count(), 0, "another tenant's");
    let names: Vec<&str> = deletions.pending(block.meta()).map(|deletion| deletion.id.as_str()).collect();
    assert_eq!(names, ["leak"], "the other one lies before the block");

    let tombstones = deletions.tombstones(&block).unwrap();
    let series =
        block.postings(&[Matcher::new(sarsen_block::MatchOp::Regex, "job", "a|b").unwrap()]).unwrap();
    assert_eq!(tombstones.count(), 2);
    for no in series {
        assert_eq!(
            tombstones.of(no),
            [TimeRange::new(i64::MIN, 1500)],
            "nothing from after it was asked for"
        );
    }
    let found = block.clone().with_tombstones(tombstones.clone());
    assert_eq!((found.tombstones(), found.meta()), (&tombstones, block.meta()));

    let mut meta = block.meta().clone();
    deletions.note(&mut meta);
    assert_eq!(deletions.pending(&meta).count(), 0);
    let read = BlockMeta::parse(&meta.to_bytes()).unwrap();
    assert_eq!(deletions.pending(&read).count(), 0, "the file says so too");
    let noted = read.clone();
    deletions.note(&mut meta);
    assert_eq!(meta, noted, "noted once");
}

#[tokio::test]
async fn the_object_comes_back_as_it_went() {
    let bucket = Bucket::builder(Arc::new(InMemory::new()), "test").build();
    assert_eq!(Deletions::fetch(&bucket).await.unwrap(), Deletions::default());
    let mut deletions = Deletions::default();
    deletions.add(deletion("one", "{job=\"a\",\"\\xff\"!=\"<x>\"}", TimeRange::new(-5, 7))).unwrap();
    deletions.add(deletion("two", "up", TimeRange::ALL)).unwrap();
    deletions.put(&bucket).await.unwrap();
    assert_eq!(Deletions::fetch(&bucket).await.unwrap(), deletions);
    assert!(bucket.exists(Layout::DELETIONS).await.unwrap());
    assert_eq!(sarsen_bucket::View::fetch(&bucket).await.unwrap(), sarsen_bucket::View::default());
    assert!(deletions.remove("one") && !deletions.remove("one"));
    assert_eq!(deletions.iter().map(|left| left.id.as_str()).collect::<Vec<_>>(), ["two"]);
}

#[test]
fn what_is_written_by_hand_is_read() {
    let text = br#"{"version":1,"deletions":[{"id":"x","created":10,"match":"{job=\"a\"}"}]}"#;
    let deletions = Deletions::parse(text).unwrap();
    let deletion = deletions.iter().next().unwrap();
    assert_eq!(deletion.range, TimeRange::new(i64::MIN, 10));
    assert!(deletion.labels.is_empty() && deletion.matchers().len() == 1);
    for (text, part) in [
        ("", "sarsen-deletions.json"),
        ("{}", "version 0"),
        (r#"{"version":2}"#, "version 2"),
        (r#"{"version":1,"deletions":[{"id":"x","match":"{job=\"a\""}]}"#, "position"),
        (r#"{"version":1,"deletions":[{"id":"x","match":"{job=~\".*\"}"}]}"#, "every series"),
        (r#"{"version":1,"deletions":[{"match":"up"}]}"#, "no id"),
        (
            r#"{"version":1,"deletions":[{"id":"x","match":"up","min_time":5,"max_time":4}]}"#,
            "before it begins",
        ),
        (r#"{"version":1,"deletions":[{"id":"x","match":"up","labels":{"a":1}}]}"#, "label a"),
        (r#"{"version":1,"deletions":[{"id":"x","match":"up"},{"id":"x","match":"up"}]}"#, "taken"),
    ] {
        let fault = Deletions::parse(text.as_bytes()).unwrap_err();
        assert!(matches!(&fault, Error::Corrupt { .. }), "{text}");
        assert!(fault.to_string().contains(part), "{text}: {fault}");
    }
}
