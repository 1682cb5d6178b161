//! `tools bucket`: what lies in an object store, what is wrong with it, and bringing blocks there and back.
//!
//! Long work shows a bar on a terminal ([`Progress`]) and waits between tries, as a role does.

mod copy;
mod deletions;
mod undelete;
mod upload;
mod verify;

use std::future::Future;
use std::io::Write as _;
use std::sync::Arc;

use sarsen_block::{BlockId, BlockMeta};
use sarsen_bucket::{Bucket, BucketObserver, Marker, View};

use super::inspect::{Row, show};
use super::print::on_stdout;
use super::progress::Progress;
use super::{no_arguments, usage};
use crate::cli::Failure;
use crate::clock::Clock;
use crate::config::content::Content;
use crate::config::flags::{Flag, Given, Kind};
use crate::objstore::Objstore;

pub(super) use copy::{FLAGS as COPY_FLAGS, run as copy};
pub(super) use deletions::{DELETE_FLAGS, LIST_FLAGS, delete, list as deletions};
pub(super) use undelete::{FLAGS as UNDELETE_FLAGS, run as undelete};
pub(super) use upload::{FLAGS as UPLOAD_FLAGS, run as upload};
pub(super) use verify::{FLAGS as VERIFY_FLAGS, run as verify};

/// A flag of every tool that moves many bytes.
const BANDWIDTH: Flag = Flag::new(
    "bandwidth",
    Kind::Bytes,
    "",
    "Move no more than this many bytes in a second, such as 50MB; no bound otherwise.",
);

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

/// Prints the complete blocks as a table, and below it what is no complete block.
pub(super) fn inspect(given: Given) -> Result<(), Failure> {
    no_arguments(&given)?;
    let view = on(&given, |bucket| async move { View::fetch(&bucket).await })?;
    show(&rows(&view), given.text("output"))?;
    let lines = if given.text("output") == "table" { verify::of_view(&view) } else { Vec::new() };
    on_stdout(|out| Ok(lines.iter().try_for_each(|line| writeln!(out, "{line}"))?))
}

/// A mark as a remark: `no-compact-mark (manual: because of this)`.
fn note(mark: &Marker) -> String {
    let name = mark.kind.file_name().trim_end_matches(".json");
    let reason = mark.reason.as_ref().map_or("", sarsen_bucket::Reason::as_str);
    let why = [reason, &mark.details].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>();
    if why.is_empty() { name.to_owned() } else { format!("{name} ({})", why.join(": ")) }
}

fn rows(view: &View) -> Vec<Row> {
    let row = |(id, meta): (&BlockId, &std::sync::Arc<BlockMeta>)| {
        let files = meta.thanos.as_ref().map(|thanos| &thanos.files).filter(|files| !files.is_empty());
        let marks = view.marks.get(id).map(Vec::as_slice).unwrap_or_default();
        Row {
            meta: BlockMeta::clone(meta),
            bytes: files.map(|files| files.iter().map(|file| file.size_bytes).sum()),
            notes: marks.iter().map(note).collect::<Vec<_>>().join(", "),
        }
    };
    view.blocks.iter().map(row).collect()
}

/// Opens the bucket that the flags describe and does something with it.
pub(super) fn on<T, F>(given: &Given, work: impl FnOnce(Bucket) -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, sarsen_bucket::Error>>,
{
    run(async {
        let bucket = open(given, "objstore.config", None)?;
        work(bucket).await.map_err(failed)
    })
}

/// Runs the work of a tool.
fn run<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.map_err(|why| Failure::Run(format!("start threads: {why}")))?.block_on(work)
}

/// The bucket that `--<flag>-file` or `--<flag>` describes, within the bandwidth that the flags allow.
fn open(given: &Given, flag: &str, progress: Option<&Arc<Progress>>) -> Result<Bucket, Failure> {
    let content = Content::of(given, flag).map_err(usage)?;
    let content = content.ok_or_else(|| usage(format!("--{flag}-file or --{flag} is required")))?;
    let mut bucket = Objstore::open(content).map_err(usage)?.bucket().timer(Arc::new(Clock::start()));
    if let Some(progress) = progress {
        bucket = bucket.observer(Arc::clone(progress) as Arc<dyn BucketObserver>);
    }
    let bucket = bucket.build();
    match given.text_if_any(BANDWIDTH.name) {
        None => Ok(bucket),
        Some(_) => Ok(bucket.capped(given.bytes(BANDWIDTH.name).map_err(usage)?)),
    }
}

/// The blocks that the arguments name.
fn named(given: &Given) -> Result<Vec<BlockId>, Failure> {
    let parse = |text: &String| text.parse().map_err(|_| usage(format!("{text:?} is no block id")));
    given.arguments.iter().map(parse).collect()
}

/// The blocks of a view that the arguments name, or all of them, oldest data first. One that is not there is a failure.
fn chosen(given: &Given, view: &View) -> Result<Vec<Arc<BlockMeta>>, Failure> {
    let named = named(given)?;
    if let Some(id) = named.iter().find(|id| !view.blocks.contains_key(id)) {
        return Err(Failure::Run(format!("{id}: no complete block of this name is in the bucket")));
    }
    let metas = view.blocks.values().filter(|meta| named.is_empty() || named.contains(&meta.id));
    let mut metas: Vec<_> = metas.cloned().collect();
    metas.sort_by_key(|meta| (meta.min_time, meta.id));
    Ok(metas)
}

/// Bytes of a block's files, as far as its meta lists them.
fn bytes_of(meta: &BlockMeta) -> u64 {
    meta.thanos.iter().flat_map(|thanos| &thanos.files).map(|file| file.size_bytes).sum()
}

fn failed(why: sarsen_bucket::Error) -> Failure {
    Failure::Run(why.to_string())
}
