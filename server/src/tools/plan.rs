//! `tools bucket plan`: what the compactor would do next in a bucket, and why. Changes nothing.
//!
//! Takes the flags of `compact`, all of them, so that a command line of the one serves the other. What is known only to a running
//! compactor, that a block waits after a failure, is not known here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;

use comfy_table::{ContentArrangement, Table, presets};
use sarsen_block::BlockId;
use sarsen_bucket::{Deletions, View};
use sarsen_compactor::{
    Backlog, Job, Later, Options, Outdated, Plan, SetAside, Situation, Stage, Work, plan, unusable,
};
use serde_json::{Value, json};

use super::bucket::on;
use super::print::{length, on_stdout, time};
use super::{OUTPUT, no_arguments};
use crate::cli::Failure;
use crate::config::compact::{self, Settings};
use crate::config::flags::{Flag, Given};

/// Those of `compact`, and the form of the answer.
pub(super) fn table() -> Vec<Flag> {
    compact::table().into_iter().chain([OUTPUT]).collect()
}

/// What is due, and what is left out of it.
struct Found {
    plan: Plan,
    set_aside: Vec<SetAside>,
}

/// Prints the plan.
pub(super) fn run(given: Given) -> Result<(), Failure> {
    no_arguments(&given)?;
    let now_ms = crate::clock::now();
    let options =
        Settings::read(&given).and_then(|settings| settings.options(now_ms)).map_err(Failure::Usage)?;
    let (view, deletions) =
        on(
            &given,
            |bucket| async move { Ok((View::fetch(&bucket).await?, Deletions::fetch(&bucket).await?)) },
        )?;
    let found = of(&view, &deletions, now_ms, &options);
    on_stdout(|out| {
        if given.text("output") == "json" {
            serde_json::to_writer_pretty(&mut *out, &value(&found)).map_err(std::io::Error::from)?;
            return Ok(writeln!(out)?);
        }
        Ok(write!(out, "{}", text(&found))?)
    })
}

fn of(view: &View, deletions: &Deletions, now_ms: i64, options: &Options) -> Found {
    let set_aside = unusable(view, options.unlabelled);
    let damaged: BTreeSet<BlockId> = set_aside.iter().map(|block| block.id).collect();
    let resting = BTreeSet::new();
    let situation = Situation { view, now_ms, resting: &resting, damaged: &damaged, deletions };
    Found { plan: plan(&situation, options), set_aside }
}

/// What is done, in a word or two.
fn work(job: &Job) -> String {
    match &job.work {
        Work::Merge { overlapping: true } => "merge what overlaps".to_owned(),
        Work::Merge { overlapping: false } => "merge".to_owned(),
        Work::Bar { .. } => "mark as not to be compacted".to_owned(),
        Work::Coarsen { to } => {
            let to: Vec<String> = to.iter().map(|resolution| length(resolution.ms())).collect();
            format!("downsample to {}", to.join(" and "))
        }
        Work::Delete { .. } => "mark for deletion".to_owned(),
        Work::Rewrite => "write anew".to_owned(),
    }
}

fn group(labels: &BTreeMap<String, String>, resolution: i64) -> String {
    let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!(
        "{{{}}} {}",
        labels.join(","),
        if resolution == 0 { "raw".to_owned() } else { length(resolution) }
    )
}

fn lines(head: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::ASCII_BORDERS_ONLY_CONDENSED)
        .set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(head.iter().copied());
    table
}

fn row(what: String, labels: String, span: (i64, i64), blocks: usize, bytes: u64, why: &str) -> [String; 7] {
    let (from, until) = span;
    [what, labels, time(from), time(until), blocks.to_string(), bytes.to_string(), why.to_owned()]
}

fn text(Found { plan, set_aside }: &Found) -> String {
    let mut out = String::new();
    if plan.jobs.is_empty() {
        out.push_str("nothing to do\n");
    } else {
        let mut jobs = lines(&["WORK", "GROUP", "FROM", "UNTIL", "#BLOCKS", "BYTES", "WHY", "BLOCKS"]);
        for job in &plan.jobs {
            let ids: Vec<String> = job.ids().map(|id| id.to_string()).collect();
            let group = group(&job.labels, job.group.resolution);
            let row = row(work(job), group, job.span(), job.blocks.len(), job.bytes, &job.why);
            jobs.add_row(row.into_iter().chain([ids.join(" ")]));
        }
        let _ = writeln!(out, "{jobs}");
    }
    if !plan.later.is_empty() {
        let mut later = lines(&["THEN", "GROUP", "FROM", "UNTIL", "#BLOCKS", "BYTES", "WHY"]);
        for Later { group: key, labels, blocks, span, bytes, why } in &plan.later {
            later.add_row(row(
                "merge".to_owned(),
                group(labels, key.resolution),
                *span,
                *blocks,
                *bytes,
                why,
            ));
        }
        let _ = writeln!(out, "{later}");
    }
    for SetAside { id, why, .. } in set_aside {
        let _ = writeln!(out, "{id}: set aside: {why}");
    }
    for (id, why) in &plan.kept {
        let _ = writeln!(out, "{id}: older than its retention and kept: {}", why.as_str());
    }
    for (id, why) in &plan.excluded {
        let _ = writeln!(out, "{id}: not planned with: {}", why.as_str());
    }
    for stage in Stage::ALL {
        let Backlog { jobs, blocks, bytes } = plan.backlog(stage);
        let _ = writeln!(out, "{stage}: {jobs} to do, {blocks} blocks, {bytes} bytes");
    }
    out
}

fn value(Found { plan, set_aside }: &Found) -> Value {
    let backlog = |stage: &Stage| {
        let Backlog { jobs, blocks, bytes } = plan.backlog(*stage);
        (stage.to_string(), json!({ "jobs": jobs, "blocks": blocks, "bytes": bytes }))
    };
    let job = |job: &Job| {
        let (from, until) = job.span();
        let mut value = json!({
            "stage": job.stage().as_str(),
            "work": work(job),
            "group": job.group.to_string(),
            "labels": job.labels,
            "resolution": job.group.resolution,
            "minTime": from,
            "maxTime": until,
            "bytes": job.bytes,
            "why": job.why,
            "blocks": job.ids().map(|id| id.to_string()).collect::<Vec<_>>(),
        });
        match &job.work {
            Work::Coarsen { to } => {
                value["to"] = to.iter().map(|resolution| resolution.ms()).collect();
            }
            Work::Bar { reason } => value["reason"] = reason.as_str().into(),
            Work::Delete { reason, covered_by } => {
                value["reason"] = if *reason == Outdated::Age { "age" } else { "duplicate" }.into();
                value["coveredBy"] = covered_by.iter().map(ToString::to_string).collect();
            }
            _ => {}
        }
        value
    };
    let later = |later: &Later| {
        json!({
            "group": later.group.to_string(), "labels": later.labels, "resolution": later.group.resolution,
            "minTime": later.span.0, "maxTime": later.span.1, "blocks": later.blocks, "bytes": later.bytes, "why": later.why,
        })
    };
    json!({
        "jobs": plan.jobs.iter().map(job).collect::<Vec<_>>(),
        "later": plan.later.iter().map(later).collect::<Vec<_>>(),
        "kept": plan.kept.iter().map(|(id, why)| json!({ "ulid": id.to_string(), "why": why.as_str() })).collect::<Vec<_>>(),
        "excluded": plan.excluded.iter().map(|(id, why)| json!({ "ulid": id.to_string(), "why": why.as_str() })).collect::<Vec<_>>(),
        "setAside": set_aside.iter().map(|block| json!({ "ulid": block.id.to_string(), "why": block.why })).collect::<Vec<_>>(),
        "backlog": Stage::ALL.iter().map(backlog).collect::<serde_json::Map<_, _>>(),
    })
}
