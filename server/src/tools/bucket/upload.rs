//! `tools bucket upload`: brings blocks from directories into a bucket, as the receiver does, or back from a backup.
//!
//! Labels, resolution, ancestry and the marks that keep a compactor away come from the directory. A block that is marked for deletion
//! there stays behind unless asked for, and then comes without that mark. What is damaged does not go up.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use sarsen_block::{Block, BlockMeta, Checks, ThanosMeta, verify_quick};
use sarsen_bucket::{Bucket, Layout, MarkKind, Marker, UploadOptions, Uploaded, upload};
use sarsen_wal::{FileSource, RealDisk};

use super::{BANDWIDTH, failed, open, run as in_runtime};
use crate::cli::Failure;
use crate::clock::now;
use crate::config::flags::{Flag, Given, Kind};
use crate::tools::open::{fail, open_block, some_blocks_in};
use crate::tools::print::on_stdout;
use crate::tools::progress::Progress;
use crate::tools::{directories, usage};

/// Own flags of the tool.
pub(in crate::tools) const FLAGS: &[Flag] = &[
    Flag::new("label", Kind::Label, "", "External label for blocks whose meta has none.").repeat(),
    Flag::new("hash-func", Kind::Choice(&["SHA256", ""]), "", "Hashes of files in meta.json."),
    Flag::switch("deleted", "Bring blocks that are marked for deletion too, without that mark."),
    BANDWIDTH,
];

/// A block that can go up.
struct Prepared {
    path: PathBuf,
    meta: BlockMeta,
    bytes: u64,
    marks: Vec<Marker>,
    deleted: bool,
}

/// Brings blocks into the bucket.
pub(in crate::tools) fn run(given: Given) -> Result<(), Failure> {
    let mut paths = Vec::new();
    for directory in directories(&given)? {
        paths.extend(some_blocks_in(Path::new(directory))?);
    }
    let labels: BTreeMap<String, String> = given.labels("label").map_err(usage)?.into_iter().collect();
    let prepared = paths.iter().map(|path| prepare(path, &labels)).collect::<Result<Vec<_>, _>>()?;
    let progress = Progress::new("upload");
    in_runtime(async {
        let bucket = open(&given, "objstore.config", Some(&progress))?;
        progress.expect(prepared.iter().map(|block| block.bytes).sum());
        for block in prepared {
            let id = block.meta.id;
            progress.at(&id.to_string());
            let line = match block.deleted && !given.is_on("deleted") {
                true => "left out, it is marked for deletion".to_owned(),
                false => bring(&bucket, &block, given.text("hash-func") == "SHA256").await?,
            };
            progress.clear();
            on_stdout(|out| Ok(writeln!(out, "{id}: {line}")?))?;
        }
        progress.end();
        Ok(())
    })
}

/// Uploads one block; what is to be said of it.
async fn bring(bucket: &Bucket, block: &Prepared, hashes: bool) -> Result<String, Failure> {
    for mark in &block.marks {
        mark.put(bucket).await.map_err(failed)?;
    }
    let options = UploadOptions { now_ms: now(), hashes };
    Ok(match upload(bucket, &block.path, &block.meta, options).await.map_err(failed)? {
        Uploaded::Complete { bytes, .. } => format!("uploaded, {bytes} bytes"),
        Uploaded::Present => "is there already".to_owned(),
    })
}

/// The meta that a block goes up with. A block with deletions must be rewritten first: tombstones do not go up.
fn prepare(path: &Path, labels: &BTreeMap<String, String>) -> Result<Prepared, Failure> {
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
    check(path, &opened.block)?;
    let marks = read_marks(path, &meta)?;
    let deleted = marks.iter().any(|mark| mark.kind == MarkKind::Deletion);
    let marks = marks.into_iter().filter(|mark| mark.kind != MarkKind::Deletion).collect();
    Ok(Prepared { path: path.to_owned(), meta, bytes: opened.bytes, marks, deleted })
}

/// Refuses a block that is damaged: against its checksums, if it has brought some, else by reading it.
fn check(path: &Path, block: &Block) -> Result<(), Failure> {
    let file = path.join(Layout::CHECKS);
    let faults = match std::fs::read(&file) {
        Ok(text) => {
            let checks = Checks::parse(&text).map_err(|why| fail(&file, why))?;
            let index = path.join(Layout::INDEX);
            let index = FileSource::open(&RealDisk, &index).map_err(|why| fail(&index, why))?;
            checks.verify(&index, block.segments()).map_err(|why| fail(path, why))?
        }
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => verify_quick(block).faults,
        Err(why) => return Err(fail(&file, why)),
    };
    match faults.first() {
        None => Ok(()),
        Some(fault) => Err(fail(path, format!("is damaged: {fault}"))),
    }
}

fn read_marks(path: &Path, meta: &BlockMeta) -> Result<Vec<Marker>, Failure> {
    let mut marks = Vec::new();
    for kind in MarkKind::ALL {
        let file = path.join(kind.file_name());
        match std::fs::read(&file) {
            Ok(text) => {
                let mark = Marker::parse(kind, &text).map_err(|why| fail(&file, why))?;
                marks.extend((mark.id == meta.id).then_some(mark));
            }
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => {}
            Err(why) => return Err(fail(&file, why)),
        }
    }
    Ok(marks)
}
