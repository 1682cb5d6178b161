//! `tools bucket verify`: what is wrong in a bucket, by listing it or by reading every byte.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use sarsen_block::BlockMeta;
use sarsen_bucket::{Bucket, Depth, Partial, Reading, Verified, View, verify_block};

use super::{BANDWIDTH, bytes_of, chosen, failed, open, run as in_runtime};
use crate::cli::Failure;
use crate::config::flags::{Flag, Given, Kind};
use crate::tools::open::fail;
use crate::tools::print::{on_stdout, time};
use crate::tools::progress::Progress;
use crate::tools::verify::ended;

/// Own flags of the tool.
pub(in crate::tools) const FLAGS: &[Flag] = &[
    Flag::switch("fast", "Read every block whole and compare with its checksums, without decoding."),
    Flag::switch("deep", "Read every block whole and decode every sample."),
    Flag::new("after", Kind::Text, "", "Go on behind this block, which a run before has come to."),
    BANDWIDTH,
    Flag::new(
        "scratch-dir",
        Kind::Text,
        "",
        "Where indexes are put to be read, one at a time; a directory of the system otherwise.",
    ),
];

/// Prints what is wrong in the bucket.
pub(in crate::tools) fn run(given: Given) -> Result<(), Failure> {
    let depth = match (given.is_on("fast"), given.is_on("deep")) {
        (_, true) => Depth::Deep,
        (true, false) => Depth::Fast,
        (false, false) => Depth::Sizes,
    };
    let progress = Progress::new("verify");
    let scratch = Scratch::new(&given)?;
    let (faults, count) = in_runtime(async {
        let bucket = open(&given, "objstore.config", Some(&progress))?;
        let view = View::fetch(&bucket).await.map_err(failed)?;
        let metas = in_order(&given, &view)?;
        let lines = if given.arguments.is_empty() { of_view(&view) } else { Vec::new() };
        let mut faults = lines.len() as u64;
        on_stdout(|out| Ok(lines.iter().try_for_each(|line| writeln!(out, "{line}"))?))?;
        if depth > Depth::Sizes {
            progress.expect(metas.iter().map(|meta| bytes_of(meta)).sum());
        }
        for meta in &metas {
            faults += of_block(&bucket, meta, depth, &scratch.0, &progress).await?;
        }
        Ok((faults, metas.len()))
    })?;
    progress.end();
    if faults == 0 {
        on_stdout(|out| Ok(writeln!(out, "{count} blocks, nothing wrong")?))?;
    }
    ended(faults)
}

/// The blocks to look at, by id, so that a later run can go on behind one.
fn in_order(given: &Given, view: &View) -> Result<Vec<Arc<BlockMeta>>, Failure> {
    let mut metas = chosen(given, view)?;
    metas.sort_by_key(|meta| meta.id);
    if let Some(after) = given.text_if_any("after") {
        let after =
            after.parse().map_err(|_| Failure::Usage(format!("--after: {after:?} is no block id")))?;
        metas.retain(|meta| meta.id > after);
    }
    Ok(metas)
}

/// What a look at the bucket finds wrong, a line each.
pub(super) fn of_view(view: &View) -> Vec<String> {
    let partial = view.partial.iter().map(|(id, partial)| match partial {
        Partial::NoMeta { .. } => {
            format!(
                "{id}: half a block, without meta.json, untouched since {}",
                time(partial.touched_ms(*id))
            )
        }
        Partial::BadMeta { why, .. } => format!("{id}/meta.json: {why}"),
    });
    let marks = view.bad_marks.iter().map(|(object, why)| format!("{object}: {why}"));
    partial.chain(marks).collect()
}

async fn of_block(
    bucket: &Bucket,
    meta: &BlockMeta,
    depth: Depth,
    scratch: &std::path::Path,
    progress: &Progress,
) -> Result<u64, Failure> {
    progress.at(&meta.id.to_string());
    let found = verify_block(bucket, meta, depth, &Reading::new(scratch)).await.map_err(failed)?;
    let Verified { id, faults, more_faults, gone, .. } = &found;
    progress.clear();
    on_stdout(|out| {
        if *gone {
            writeln!(out, "{id}: was removed meanwhile")?;
        }
        for fault in faults {
            match fault.offset {
                0 => writeln!(out, "{id}/{}: {}", fault.file, fault.what)?,
                _ => writeln!(out, "{id}/{fault}")?,
            }
        }
        if *more_faults > 0 {
            writeln!(out, "{id}: {more_faults} more faults")?;
        }
        if depth > Depth::Sizes && !gone && found.is_sound() {
            writeln!(out, "{id}: sound")?;
        }
        Ok(())
    })?;
    Ok(faults.len() as u64 + more_faults)
}

/// A directory that goes with the run.
struct Scratch(PathBuf);

impl Scratch {
    fn new(given: &Given) -> Result<Self, Failure> {
        let parent = given.text_if_any("scratch-dir").map_or_else(std::env::temp_dir, PathBuf::from);
        let path = parent.join(format!("sarsen-verify-{}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(|why| fail(&path, why))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A directory that cannot be removed is no fault of the bucket.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
