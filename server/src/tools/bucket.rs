//! `tools bucket ls|inspect|verify|upload`: what lies in an object store, what is wrong with it, and bringing blocks there.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use sarsen_block::{BlockId, BlockMeta, ThanosMeta};
use sarsen_bucket::{
    Bucket, Layout, Partial, UploadOptions, Uploaded, View, download, upload as upload_block,
};

use super::inspect::{Row, show};
use super::open::{fail, open_block, some_blocks_in};
use super::print::{on_stdout, time};
use super::{directories, no_arguments, usage, verify as verify_blocks};
use crate::cli::Failure;
use crate::config::content::Content;
use crate::config::flags::{Flag, Given, Kind};
use crate::objstore::Objstore;

/// Own flags of `verify`.
pub(super) const VERIFY_FLAGS: &[Flag] = &[
    Flag::switch("data", "Fetch every block and read it whole."),
    Flag::new(
        "scratch-dir",
        Kind::Text,
        "",
        "Where blocks are put to be read, one at a time; a directory of the system otherwise.",
    ),
];

/// Own flags of `upload`.
pub(super) const UPLOAD_FLAGS: &[Flag] = &[
    Flag::new("label", Kind::Label, "", "External label for blocks whose meta has none.").repeat(),
    Flag::new("hash-func", Kind::Choice(&["SHA256", ""]), "", "Hashes of files in meta.json."),
];

/// Prints the ids of the complete blocks, or the table as JSON.
pub(super) fn ls(given: Given) -> Result<(), Failure> {
    no_arguments(&given)?;
    let view = on(&given, |bucket| async move { View::fetch(&bucket).await })?;
    if given.text("output") == "json" {
        return show(&rows(&view), "json");
    }
    on_stdout(|out| {
        for id in view.blocks.keys() {
            writeln!(out, "{id}")?;
        }
        Ok(())
    })
}

/// Prints the complete blocks as a table.
pub(super) fn inspect(given: Given) -> Result<(), Failure> {
    no_arguments(&given)?;
    let view = on(&given, |bucket| async move { View::fetch(&bucket).await })?;
    show(&rows(&view), given.text("output"))
}

/// Prints what is wrong in the bucket.
pub(super) fn verify(given: Given) -> Result<(), Failure> {
    no_arguments(&given)?;
    let (view, missing) = on(&given, |bucket| async move {
        let view = View::fetch(&bucket).await?;
        let missing = missing_files(&bucket, &view).await?;
        Ok((view, missing))
    })?;
    let mut faults = 0;
    on_stdout(|out| {
        for (id, partial) in &view.partial {
            let since = time(partial.touched_ms(*id));
            match partial {
                Partial::NoMeta { .. } => {
                    writeln!(out, "{id}: half a block, without meta.json, untouched since {since}")?;
                }
                Partial::BadMeta { why, .. } => writeln!(out, "{id}/meta.json: {why}")?,
            }
        }
        for (object, why) in view.bad_marks.iter().chain(&missing) {
            writeln!(out, "{object}: {why}")?;
        }
        faults = (view.partial.len() + view.bad_marks.len() + missing.len()) as u64;
        Ok(())
    })?;
    if given.is_on("data") {
        faults += read_whole(&given, &view)?;
    }
    if faults == 0 {
        on_stdout(|out| Ok(writeln!(out, "{} blocks, nothing wrong", view.blocks.len())?))?;
    }
    verify_blocks::ended(faults)
}

/// Brings blocks into the bucket.
pub(super) fn upload(given: Given) -> Result<(), Failure> {
    let mut blocks = Vec::new();
    for directory in directories(&given)? {
        blocks.extend(some_blocks_in(Path::new(directory))?);
    }
    let labels: BTreeMap<String, String> = given.labels("label").map_err(usage)?.into_iter().collect();
    let hashes = given.text("hash-func") == "SHA256";
    let prepared = blocks.into_iter().map(|path| Ok((prepare(&path, &labels)?, path)));
    let prepared = prepared.collect::<Result<Vec<(BlockMeta, PathBuf)>, Failure>>()?;
    let done = on(&given, |bucket| async move {
        let mut done = Vec::new();
        for (meta, path) in prepared {
            let uploaded =
                upload_block(&bucket, &path, &meta, UploadOptions { now_ms: now_ms(), hashes }).await?;
            done.push((meta.id, uploaded));
        }
        Ok(done)
    })?;
    on_stdout(|out| {
        for (id, uploaded) in done {
            match uploaded {
                Uploaded::Complete { bytes, .. } => writeln!(out, "{id}: uploaded, {bytes} bytes")?,
                Uploaded::Present => writeln!(out, "{id}: is there already")?,
            }
        }
        Ok(())
    })
}

/// The meta that a block goes up with. A block with deletions must be rewritten first: tombstones do not go up.
fn prepare(path: &Path, labels: &BTreeMap<String, String>) -> Result<BlockMeta, Failure> {
    let opened = open_block(path)?;
    let mut meta = opened.block.meta().clone();
    if !opened.block.tombstones().is_empty() {
        return Err(fail(path, "the block has deletions, which would come back in the bucket"));
    }
    let thanos = meta
        .thanos
        .get_or_insert_with(|| ThanosMeta { source: "receive".to_owned(), ..ThanosMeta::default() });
    if thanos.labels.is_empty() {
        thanos.labels.clone_from(labels);
    }
    if thanos.labels.is_empty() {
        return Err(usage(format!(
            "{}: the block has no external labels, give some with --label",
            path.display()
        )));
    }
    Ok(meta)
}

/// Files that a meta lists and that are not there, or have another size.
async fn missing_files(bucket: &Bucket, view: &View) -> Result<Vec<(String, String)>, sarsen_bucket::Error> {
    let mut missing = Vec::new();
    for (id, meta) in &view.blocks {
        let listed = meta.thanos.iter().flat_map(|thanos| &thanos.files);
        for file in listed.filter(|file| file.rel_path != Layout::META) {
            let name = Layout::file(*id, &file.rel_path);
            match bucket.attributes(&name).await? {
                Some(object) if object.size == file.size_bytes => {}
                Some(object) => {
                    missing.push((
                        name,
                        format!("has {} bytes, its meta says {}", object.size, file.size_bytes),
                    ));
                }
                None => missing.push((name, "is missing".to_owned())),
            }
        }
        if meta.thanos.as_ref().is_none_or(|thanos| thanos.files.is_empty()) {
            let name = Layout::index(*id);
            if !bucket.exists(&name).await? {
                missing.push((name, "is missing".to_owned()));
            }
        }
    }
    Ok(missing)
}

/// Fetches block after block and reads each whole.
fn read_whole(given: &Given, view: &View) -> Result<u64, Failure> {
    let scratch = match given.text_if_any("scratch-dir") {
        Some(path) => PathBuf::from(path),
        None => std::env::temp_dir(),
    };
    let scratch = scratch.join(format!("sarsen-verify-{}", std::process::id()));
    std::fs::create_dir_all(&scratch).map_err(|why| fail(&scratch, why))?;
    let mut faults = 0;
    let outcome = view.blocks.keys().try_for_each(|id| {
        faults += read_one(given, *id, &scratch)?;
        Ok(())
    });
    let _ = std::fs::remove_dir_all(&scratch);
    outcome.map(|()| faults)
}

fn read_one(given: &Given, id: BlockId, scratch: &Path) -> Result<u64, Failure> {
    let parent = scratch.to_owned();
    let path = on(given, |bucket| async move { download(&bucket, id, &parent).await })?;
    let mut faults = 0;
    on_stdout(|out| {
        faults = verify_blocks::blocks(std::slice::from_ref(&path), out)?;
        Ok(())
    })?;
    std::fs::remove_dir_all(&path).map_err(|why| fail(&path, why))?;
    Ok(faults)
}

fn rows(view: &View) -> Vec<Row> {
    let row = |(id, meta): (&BlockId, &std::sync::Arc<BlockMeta>)| {
        let files = meta.thanos.as_ref().map(|thanos| &thanos.files).filter(|files| !files.is_empty());
        let marks = view.marks.get(id).map(Vec::as_slice).unwrap_or_default();
        Row {
            meta: BlockMeta::clone(meta),
            bytes: files.map(|files| files.iter().map(|file| file.size_bytes).sum()),
            notes: marks
                .iter()
                .map(|mark| mark.kind.file_name().trim_end_matches(".json"))
                .collect::<Vec<_>>()
                .join(","),
        }
    };
    view.blocks.iter().map(row).collect()
}

/// Opens the bucket that the flags describe and does something with it.
fn on<T, F>(given: &Given, work: impl FnOnce(Bucket) -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, sarsen_bucket::Error>>,
{
    let content = Content::of(given, "objstore.config").map_err(usage)?;
    let content =
        content.ok_or_else(|| usage("--objstore.config-file or --objstore.config is required".to_owned()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|why| Failure::Run(format!("start threads: {why}")))?;
    runtime.block_on(async {
        let bucket = Objstore::open(content).map_err(usage)?.bucket().build();
        work(bucket).await.map_err(|why| Failure::Run(why.to_string()))
    })
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
