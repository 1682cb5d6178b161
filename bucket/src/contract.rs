//! What every store behind a bucket must do, as one suite.
//!
//! The suite runs against the directory, memory, and S3 (feature `contract`). It panics at the first promise that is broken, because it
//! is a test.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use bytes::Bytes;

use crate::bucket::Bucket;
use crate::error::Error;

/// Runs the suite on an empty bucket. `scratch` is a local directory for files on their way.
///
/// # Panics
/// At the first promise that the store does not keep.
pub async fn run_contract(bucket: &Bucket, scratch: &std::path::Path) {
    empty_bucket(bucket).await;
    objects(bucket).await;
    create_only(bucket).await;
    listings(bucket).await;
    large_object(bucket, scratch).await;
    for object in bucket.list("").await.unwrap() {
        bucket.delete(&object.name).await.unwrap();
    }
    assert!(bucket.list("").await.unwrap().is_empty());
}

async fn empty_bucket(bucket: &Bucket) {
    assert!(bucket.list("").await.unwrap().is_empty());
    assert!(bucket.list("no/such/folder").await.unwrap().is_empty());
    assert_eq!(bucket.level("").await.unwrap().folders, Vec::<String>::new());
    assert!(bucket.level("nothing").await.unwrap().objects.is_empty());
    assert!(matches!(bucket.get("nothing").await, Err(Error::NotFound { .. })));
    assert!(matches!(bucket.get_range("nothing", 0..1).await, Err(Error::NotFound { .. })));
    assert_eq!(bucket.get_if_exists("nothing").await.unwrap(), None);
    assert_eq!(bucket.attributes("nothing").await.unwrap(), None);
    assert!(!bucket.exists("nothing").await.unwrap());
    bucket.delete("nothing").await.unwrap();
}

async fn objects(bucket: &Bucket) {
    bucket.put("a/one", Bytes::from_static(b"0123456789")).await.unwrap();
    bucket.put("a/empty", Bytes::new()).await.unwrap();
    assert_eq!(bucket.get("a/one").await.unwrap(), "0123456789");
    assert_eq!(bucket.get("a/empty").await.unwrap(), "");
    assert_eq!(bucket.get_range("a/one", 3..7).await.unwrap(), "3456");
    assert_eq!(bucket.get_range("a/one", 9..10).await.unwrap(), "9");
    assert!(bucket.get_range("a/one", 8..12).await.is_err(), "a range past the end is no short answer");
    let seen = bucket.attributes("a/one").await.unwrap().unwrap();
    assert_eq!((seen.name.as_str(), seen.size), ("a/one", 10));
    assert!(seen.modified_ms > 1_500_000_000_000);
    bucket.put("a/one", Bytes::from_static(b"new")).await.unwrap();
    assert_eq!(bucket.get("a/one").await.unwrap(), "new");
    bucket.delete("a/one").await.unwrap();
    assert!(!bucket.exists("a/one").await.unwrap());
    bucket.delete("a/empty").await.unwrap();
}

async fn create_only(bucket: &Bucket) {
    assert!(bucket.put_new("mark", Bytes::from_static(b"first")).await.unwrap());
    assert!(!bucket.put_new("mark", Bytes::from_static(b"second")).await.unwrap());
    assert_eq!(bucket.get("mark").await.unwrap(), "first");
    bucket.delete("mark").await.unwrap();
}

async fn listings(bucket: &Bucket) {
    for name in ["x/chunks/000001", "x/index", "xy/index", "y/z/deep", "top"] {
        bucket.put(name, Bytes::from(name)).await.unwrap();
    }
    let names =
        |objects: Vec<crate::Object>| objects.into_iter().map(|object| object.name).collect::<Vec<_>>();
    assert_eq!(names(bucket.list("x").await.unwrap()), ["x/chunks/000001", "x/index"]);
    assert_eq!(names(bucket.list("x/").await.unwrap()), ["x/chunks/000001", "x/index"]);
    assert_eq!(bucket.list("").await.unwrap().len(), 5);
    let top = bucket.level("").await.unwrap();
    assert_eq!(top.folders, ["x", "xy", "y"]);
    assert_eq!(names(top.objects), ["top"]);
    let x = bucket.level("x").await.unwrap();
    assert_eq!(x.folders, ["chunks"]);
    assert_eq!(names(x.objects), ["x/index"]);
    for object in bucket.list("").await.unwrap() {
        assert_eq!(object.size, object.name.len() as u64);
        bucket.delete(&object.name).await.unwrap();
    }
    assert!(bucket.level("").await.unwrap().objects.is_empty());
}

/// More than two parts of the smallest size, and one byte.
async fn large_object(bucket: &Bucket, scratch: &std::path::Path) {
    let body: Vec<u8> = (0..(10u32 << 20) + 1).map(|i| (i % 251) as u8 ^ (i >> 16) as u8).collect();
    let file = scratch.join("large");
    tokio::fs::write(&file, &body).await.unwrap();
    assert_eq!(bucket.put_file("large/object", &file).await.unwrap(), body.len() as u64);
    let whole = bucket.get("large/object").await.unwrap();
    assert!(whole == body, "the object is not the file");
    let ranges = [0..10, 5_242_870..5_242_890, 10_485_750..10_485_761, 3..3];
    let parts =
        crate::get_ranges(bucket, "large/object", &ranges, crate::DEFAULT_GAP, 1 << 20).await.unwrap();
    for (range, part) in ranges.iter().zip(parts) {
        let expected = body.get(range.start as usize..range.end as usize).unwrap();
        assert!(part == expected, "bytes {range:?}");
    }
    bucket.delete("large/object").await.unwrap();
}
