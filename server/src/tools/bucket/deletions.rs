//! `tools bucket delete` and `tools bucket deletions`: series deleted from a whole bucket, and which blocks still hold some of them.
//!
//! Both work on the one object that names what was deleted; no block is touched here. A compactor leaves out what is named when it
//! writes a block anew. The object is read, changed and written: of two tools at the same time one fails and says so.

use std::collections::BTreeMap;
use std::io::Write as _;

use comfy_table::{ContentArrangement, Table, presets};
use sarsen_block::{BlockMeta, TimeRange, Timestamp};
use sarsen_bucket::{Bucket, Deletion, Deletions, MarkKind, View};
use serde_json::{Value, json};

use super::{failed, open, run as in_runtime};
use crate::cli::Failure;
use crate::clock::now;
use crate::config::flags::{Flag, Given, Kind};
use crate::tools::print::{on_stdout, time};
use crate::tools::{no_arguments, usage};

/// Own flags of `delete`.
pub(in crate::tools) const DELETE_FLAGS: &[Flag] = &[
    Flag::new("match", Kind::Text, "", "Which series: a selector, such as {job=\"billing\"}."),
    Flag::new(
        "min-time",
        Kind::Moment,
        "",
        "From when on: a date, or a duration such as -1d; everything before --max-time otherwise.",
    ),
    Flag::new("max-time", Kind::Moment, "", "Until when, inclusive; until now otherwise, and at most."),
    Flag::new("label", Kind::Label, "", "External label that a block must have to be concerned.").repeat(),
    Flag::new("id", Kind::Text, "", "What the deletion is called; the time otherwise."),
    Flag::switch("dry-run", "Say what would be concerned, and change nothing."),
];

/// Own flags of `deletions`.
pub(in crate::tools) const LIST_FLAGS: &[Flag] = &[Flag::new(
    "forget",
    Kind::Text,
    "",
    "Take this deletion out of the list. Blocks that were not written anew show what it named again; in others it stays gone.",
)];

/// Deletes series from the bucket.
pub(in crate::tools) fn delete(given: Given) -> Result<(), Failure> {
    no_arguments(&given)?;
    let deletion = asked_for(&given)?;
    let dry = given.is_on("dry-run");
    let view = in_runtime(async {
        let bucket = open(&given, "objstore.config", None)?;
        let mut deletions = Deletions::fetch(&bucket).await.map_err(failed)?;
        deletions.add(deletion.clone()).map_err(failed)?;
        if !dry {
            replace(&bucket, &deletions).await?;
        }
        View::fetch(&bucket).await.map_err(failed)
    })?;
    let concerned: Vec<&BlockMeta> = unmarked(&view).filter(|meta| deletion.concerns(meta)).collect();
    on_stdout(|out| {
        let Deletion { id, selector, .. } = &deletion;
        let (what, range) = (if dry { "would be deleted" } else { "deleted" }, span(&deletion));
        writeln!(out, "{id}: {what}: {selector} {range}")?;
        for meta in &concerned {
            writeln!(out, "{}: may hold some of it, until it is written anew", meta.id)?;
        }
        Ok(writeln!(out, "{} of {} blocks are concerned", concerned.len(), unmarked(&view).count())?)
    })
}

/// Lists deletions, or takes one out of the list.
pub(in crate::tools) fn list(given: Given) -> Result<(), Failure> {
    no_arguments(&given)?;
    let (deletions, view) = in_runtime(async {
        let bucket = open(&given, "objstore.config", None)?;
        let mut deletions = Deletions::fetch(&bucket).await.map_err(failed)?;
        if let Some(id) = given.text_if_any("forget") {
            if !deletions.remove(&id) {
                return Err(Failure::Run(format!("there is no deletion {id:?}")));
            }
            replace(&bucket, &deletions).await?;
        }
        Ok((deletions, View::fetch(&bucket).await.map_err(failed)?))
    })?;
    let mut pending: BTreeMap<&str, Vec<&BlockMeta>> = BTreeMap::new();
    for meta in unmarked(&view) {
        for deletion in deletions.pending(meta) {
            pending.entry(&deletion.id).or_default().push(meta);
        }
    }
    let none = Vec::new();
    let rows =
        deletions.iter().map(|deletion| (deletion, pending.get(deletion.id.as_str()).unwrap_or(&none)));
    on_stdout(|out| {
        if given.text("output") == "json" {
            let values: Vec<Value> = rows.map(|(deletion, pending)| value(deletion, pending)).collect();
            serde_json::to_writer_pretty(&mut *out, &values).map_err(std::io::Error::from)?;
            return Ok(writeln!(out)?);
        }
        Ok(writeln!(out, "{}", table(rows))?)
    })
}

/// The deletion that the command line describes.
fn asked_for(given: &Given) -> Result<Deletion, Failure> {
    let now = now();
    let selector = given.text("match");
    if selector.is_empty() {
        return Err(usage("--match is required".to_owned()));
    }
    let at = |flag: &str, otherwise: Timestamp| match given.is_given(flag) {
        false => Ok(otherwise),
        true => given.moment(flag).map(|moment| moment.resolve(now)).map_err(usage),
    };
    let range = TimeRange::new(at("min-time", Timestamp::MIN)?, at("max-time", Timestamp::MAX)?);
    let id = given.text_if_any("id").unwrap_or_else(|| time(now));
    let mut deletion = Deletion::new(&id, now, selector, range).map_err(|why| usage(why.to_string()))?;
    deletion.labels.extend(given.labels("label").map_err(usage)?);
    Ok(deletion)
}

/// Writes the object, and looks whether it is there as it was written.
async fn replace(bucket: &Bucket, deletions: &Deletions) -> Result<(), Failure> {
    deletions.put(bucket).await.map_err(failed)?;
    match Deletions::fetch(bucket).await.map_err(failed)? == *deletions {
        true => Ok(()),
        false => Err(Failure::Run(
            "somebody else changed the deletions at the same time; look, and try again".to_owned(),
        )),
    }
}

/// Complete blocks that are not on their way out.
fn unmarked(view: &View) -> impl Iterator<Item = &BlockMeta> {
    view.blocks.values().map(AsRef::as_ref).filter(|meta| view.mark(meta.id, MarkKind::Deletion).is_none())
}

/// `from 2024-05-01T00:00:00Z until 2024-05-02T00:00:00Z`, the first part only where there is one.
fn span(deletion: &Deletion) -> String {
    let until = time(deletion.range.max);
    match deletion.range.min {
        Timestamp::MIN => format!("until {until}"),
        min => format!("from {} until {until}", time(min)),
    }
}

fn table<'a>(rows: impl Iterator<Item = (&'a Deletion, &'a Vec<&'a BlockMeta>)>) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::ASCII_BORDERS_ONLY_CONDENSED)
        .set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["ID", "CREATED", "MATCH", "LABELS", "RANGE", "#PENDING", "PENDING"]);
    for (deletion, pending) in rows {
        let labels = deletion.labels.iter().map(|(name, value)| format!("{name}={value}"));
        table.add_row([
            deletion.id.clone(),
            time(deletion.created_ms),
            deletion.selector.clone(),
            labels.collect::<Vec<_>>().join(","),
            span(deletion),
            pending.len().to_string(),
            pending.iter().map(|meta| meta.id.to_string()).collect::<Vec<_>>().join(" "),
        ]);
    }
    table
}

fn value(deletion: &Deletion, pending: &[&BlockMeta]) -> Value {
    let Deletion { id, created_ms, labels, selector, range, .. } = deletion;
    let min_time = (range.min != Timestamp::MIN).then_some(range.min);
    json!({
        "id": id,
        "created": created_ms,
        "match": selector,
        "labels": labels,
        "minTime": min_time,
        "maxTime": range.max,
        "pending": pending.iter().map(|meta| meta.id.to_string()).collect::<Vec<_>>(),
    })
}
