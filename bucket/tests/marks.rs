//! Marks are read and written to the byte as Thanos does; the first mark of a kind holds.

use std::path::Path;
use std::sync::Arc;

use object_store::memory::InMemory;
use sarsen_block::BlockId;
use sarsen_bucket::{Bucket, Error, MarkKind, Marker, Reason};

#[test]
fn every_mark_is_written_back_to_the_same_bytes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/meta/marks");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let kind = MarkKind::of_file_name(name.split_once('.').unwrap().1).unwrap();
        let text = std::fs::read(&path).unwrap();
        let mark = Marker::parse(kind, &text).unwrap();
        assert_eq!(mark.kind, kind);
        assert_eq!(String::from_utf8(mark.to_bytes()).unwrap(), String::from_utf8(text).unwrap(), "{name}");
        count += 1;
    }
    assert!(count >= 8, "{count}");
}

#[test]
fn what_is_no_mark_is_refused() {
    let good = r#"{"id":"01HFAP7VW5QWBP2CJZJVGFHQ96","version":1,"deletion_time":5}"#;
    assert_eq!(Marker::parse(MarkKind::Deletion, good.as_bytes()).unwrap().time, 5);
    for (from, to) in
        [("\"version\":1", "\"version\":2"), ("01HF", "!!HF"), ("}", ""), ("5", "\"x\""), ("{", "[")]
    {
        let bad = good.replacen(from, to, 1);
        assert!(
            matches!(Marker::parse(MarkKind::Deletion, bad.as_bytes()), Err(Error::Corrupt { .. })),
            "{bad}"
        );
    }
}

#[tokio::test]
async fn an_existing_mark_stays() {
    let bucket = Bucket::builder(Arc::new(InMemory::new()), "memory").build();
    let id: BlockId = "01HFAP7VW5QWBP2CJZJVGFHQ96".parse().unwrap();
    assert_eq!(Marker::get(&bucket, id, MarkKind::Deletion).await.unwrap(), None);
    assert!(Marker::deletion(id, 5, "first").put(&bucket).await.unwrap());
    assert!(!Marker::deletion(id, 6, "second").put(&bucket).await.unwrap());
    assert_eq!(Marker::get(&bucket, id, MarkKind::Deletion).await.unwrap().unwrap().details, "first");
    assert_eq!(Marker::get(&bucket, id, MarkKind::NoCompact).await.unwrap(), None);
    Marker::remove(&bucket, id, MarkKind::Deletion).await.unwrap();
    assert_eq!(Marker::get(&bucket, id, MarkKind::Deletion).await.unwrap(), None);
    assert_eq!(Reason::from("else"), Reason::Other("else".into()));
}
