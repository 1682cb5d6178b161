//! Every store behind a bucket keeps the same promises: memory, a directory, S3; with and without a prefix.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod minio;
mod s3;
mod streams;
mod tls;
mod troubles;

use std::sync::Arc;

use object_store::memory::InMemory;
use sarsen_bucket::{Bucket, BucketSettings, FailingStore, ObjstoreConfig, Reloading, Retry, run_contract};

fn small_parts() -> BucketSettings {
    BucketSettings { part_size: Some(5 << 20), ..BucketSettings::default() }
}

fn open(text: &str) -> Bucket {
    Reloading::open(ObjstoreConfig::parse(text, |_| None).unwrap()).unwrap().bucket().build()
}

#[tokio::test]
async fn memory() {
    let scratch = tempfile::tempdir().unwrap();
    let store = Arc::new(InMemory::new());
    let bucket = Bucket::builder(store.clone(), "memory").settings(small_parts()).build();
    run_contract(&bucket, scratch.path()).await;
    let below = Bucket::builder(store.clone(), "memory").settings(small_parts()).prefix("/a/b/").build();
    run_contract(&below, scratch.path()).await;
    let other = Bucket::builder(store, "memory").settings(small_parts()).prefix("c").build();
    streams::run_streams(&below, &other).await;
}

#[tokio::test]
async fn a_store_that_may_fail_but_does_not() {
    let scratch = tempfile::tempdir().unwrap();
    let store = Arc::new(FailingStore::new(Arc::new(InMemory::new())));
    run_contract(&Bucket::builder(store, "failing").settings(small_parts()).build(), scratch.path()).await;
}

#[tokio::test]
async fn directory() {
    let scratch = tempfile::tempdir().unwrap();
    let place = scratch.path().join("not/yet/there");
    for prefix in ["", "prefix: team/one\n"] {
        let text = format!("type: FILESYSTEM\nconfig:\n  directory: '{}'\n{prefix}", place.display());
        run_contract(&open(&text), scratch.path()).await;
        let other = scratch.path().join("other");
        let other = format!("type: FILESYSTEM\nconfig:\n  directory: '{}'\n", other.display());
        streams::run_streams(&open(&text), &open(&other)).await;
    }
    // Nothing is left over, not even empty folders.
    assert_eq!(std::fs::read_dir(&place).unwrap().count(), 0);
}

#[tokio::test]
async fn s3() {
    let scratch = tempfile::tempdir().unwrap();
    let root = tempfile::tempdir().unwrap();
    let address = s3::serve(root.path(), s3::SECRET_KEY).await;
    for (more, prefix) in [
        ("", ""),
        ("", "prefix: team/one\n"),
        ("  disable_multipart: true\n", ""),
        ("  send_content_md5: false\n", ""),
    ] {
        let more = format!("  insecure: true\n{more}{prefix}");
        let bucket = open(&s3::config(&address.to_string(), s3::SECRET_KEY, &more));
        assert_eq!(bucket.name(), "blocks");
        run_contract(&bucket, scratch.path()).await;
        let more = more.replace("prefix: team/one\n", "");
        let other = s3::config(&address.to_string(), s3::SECRET_KEY, &format!("{more}prefix: other\n"));
        streams::run_streams(&bucket, &open(&other)).await;
    }
}

#[tokio::test]
async fn a_passing_failure_is_tried_again_and_a_lasting_one_is_not() {
    let store = Arc::new(FailingStore::new(Arc::new(InMemory::new())));
    let settings =
        |tries| BucketSettings { retry: Retry { tries, ..Retry::default() }, ..BucketSettings::default() };
    let bucket = Bucket::builder(store.clone(), "failing").settings(settings(3)).build();
    store.fail_at(1, false);
    bucket.put("a", "x".into()).await.unwrap();
    assert_eq!(store.calls(), 2);
    store.fail_at(1, true);
    assert!(bucket.get("a").await.is_err());
    assert_eq!(store.calls(), 3, "three tries and no more");
    store.fail_at(0, false);
    assert!(bucket.get("no such object").await.is_err());
    assert_eq!(store.calls(), 1, "a missing object does not come by asking again");
    let once = Bucket::builder(store.clone(), "failing").settings(settings(0)).build();
    store.fail_at(1, false);
    assert!(once.get("a").await.is_err());
}

/// Keys are picked up when the file changes; a file that cannot be used changes nothing.
#[tokio::test]
async fn new_keys_need_no_restart() {
    use sarsen_bucket::Reload;
    let scratch = tempfile::tempdir().unwrap();
    let root = tempfile::tempdir().unwrap();
    let address = s3::serve(root.path(), "the-new-key").await.to_string();
    let file = scratch.path().join("objstore.yml");
    let write = |secret: &str, more: &str| {
        std::fs::write(&file, s3::config(&address, secret, &format!("  insecure: true\n{more}"))).unwrap();
    };
    write("the-old-key", "");
    let text = std::fs::read_to_string(&file).unwrap();
    let store = Reloading::open(ObjstoreConfig::parse(&text, |_| None).unwrap()).unwrap();
    let bucket = store.bucket().build();
    assert!(bucket.put("a", "x".into()).await.is_err());
    assert_eq!(store.reload_if_changed(&file, |_| None).unwrap(), Reload::Unchanged);
    std::fs::write(&file, "type: S3\nconfig: {nonsense: 1}\n").unwrap();
    assert!(store.reload_if_changed(&file, |_| None).is_err());
    write("the-new-key", "prefix: elsewhere\n");
    assert_eq!(store.reload_if_changed(&file, |_| None).unwrap(), Reload::NeedsRestart);
    assert!(bucket.put("a", "x".into()).await.is_err());
    write("$(KEY)", "");
    let env = |name: &str| (name == "KEY").then(|| "the-new-key".to_owned());
    assert_eq!(store.reload_if_changed(&file, env).unwrap(), Reload::Reopened);
    bucket.put("a", "x".into()).await.unwrap();
    assert_eq!(bucket.get("a").await.unwrap(), "x");
}
