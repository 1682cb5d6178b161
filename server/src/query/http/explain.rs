//! What a query took, as JSON for people: what was asked for, whom, what came, what was missing, and which replica counted.
//!
//! The shape stands in `server/DESIGN.md`. Lists are bounded; a field beside each says how many entries are not shown.

use std::time::Duration;

use sarsen_block::{Labels, Matcher};
use sarsen_promql::Selection;
use serde_json::{Map, Value, json};

use super::others::object;
use crate::query::assemble::{Found, Replicated};
use crate::query::exec::Outcome;
use crate::query::params::quoted;
use crate::store::{BlockHint, EndpointHints, Hints};
use crate::wire::json::seconds;

/// Endpoints of a selection, blocks of an endpoint and sets of replica labels that are shown.
const MOST: usize = 100;
/// Warnings of an endpoint that are shown.
const MOST_WARNINGS: usize = 10;
const RESOLUTIONS: [&str; 4] = ["raw", "5m", "1h", "downsampled"];

/// All of a query. `own` is what a store that asks no endpoints is.
pub(super) fn explanation(outcome: &Outcome, own: &'static str) -> Value {
    let (series, chunks, bytes) = outcome.told.sent();
    let seen = outcome.told.seen();
    let selections = outcome.selections.iter().enumerate().map(|(at, asked)| {
        let found = seen.get(at).map(|seen| seen.found()).unwrap_or_default();
        selection(asked, found, own)
    });
    let timings = &outcome.timings;
    json!({
        "selections": selections.collect::<Vec<_>>(),
        "series": series,
        "chunks": chunks,
        "bytes": bytes,
        "samples": outcome.stats.samples_read,
        "peakSamples": outcome.stats.peak_samples,
        "executionTime": format!("{:?}", timings.total),
        "timings": {
            "preparation": timings.preparation.as_secs_f64(),
            "queue": timings.queue.as_secs_f64(),
            "evaluation": timings.evaluation.as_secs_f64(),
            "total": timings.total.as_secs_f64(),
        },
        "missing": outcome.missing,
    })
}

fn selection(asked: &Selection, found: Found, own: &'static str) -> Value {
    let matchers = asked.matchers.iter().map(matcher).collect::<Vec<_>>();
    let (series, count, bytes) = found.sent;
    let chunks = RESOLUTIONS.into_iter().zip(found.resolutions).filter(|(_, count)| *count > 0);
    let chunks: Map<String, Value> = chunks.map(|(name, count)| (name.to_owned(), json!(count))).collect();
    let mut endpoints = endpoints(found.hints, found.sent, found.took, own);
    let hidden = cut(&mut endpoints, MOST);
    json!({
        "matchers": matchers,
        "start": time(asked.range.min),
        "end": time(asked.range.max),
        "function": asked.hint.function,
        "range": asked.hint.range_ms as f64 / 1000.0,
        "series": series,
        "chunks": count,
        "bytes": bytes,
        "chunksByResolution": chunks,
        "seconds": found.took.as_secs_f64(),
        "endpoints": endpoints,
        "endpointsNotShown": hidden,
        "replicas": found.replicas.map(replicas),
    })
}

fn matcher(matcher: &Matcher) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}{}", text(matcher.name()), matcher.op().as_str(), quoted(&text(matcher.value())))
}

/// Those that were asked, by what they sent, and behind them those that were not.
fn endpoints(hints: Vec<Hints>, sent: (u64, u64, u64), took: Duration, own: &'static str) -> Vec<Value> {
    let (mut told, mut blocks): (Vec<(EndpointHints, _)>, _) = (Vec::new(), None);
    for hint in hints {
        match hint.endpoint {
            Some(endpoint) => told.push((*endpoint, hint.blocks)),
            None => {
                if let Some(more) = hint.blocks {
                    blocks.get_or_insert_with(Vec::new).extend(more);
                }
            }
        }
    }
    if told.is_empty() && !own.is_empty() {
        let address = "this process".to_owned();
        let itself =
            EndpointHints { address, component: own, sent, took: (None, took), ..EndpointHints::default() };
        told.push((itself, blocks));
    }
    told.sort_by(|(a, _), (b, _)| {
        let key =
            |endpoint: &EndpointHints| (endpoint.left_out.is_some(), std::cmp::Reverse(endpoint.sent.2));
        key(a).cmp(&key(b)).then_with(|| a.address.cmp(&b.address))
    });
    told.into_iter().map(|(endpoint, blocks)| shown(endpoint, blocks)).collect()
}

fn shown(endpoint: EndpointHints, blocks: Option<Vec<BlockHint>>) -> Value {
    let EndpointHints { address, component, left_out, sent, took, mut warnings } = endpoint;
    if let Some(why) = left_out {
        return json!({"address": address, "component": component, "asked": false, "leftOut": why});
    }
    let hidden = cut(&mut warnings, MOST_WARNINGS);
    let mut value = json!({
        "address": address,
        "component": component,
        "asked": true,
        "series": sent.0,
        "chunks": sent.1,
        "bytes": sent.2,
        "firstMessageSeconds": took.0.map(|took| took.as_secs_f64()),
        "seconds": took.1.as_secs_f64(),
        "warnings": warnings,
        "warningsNotShown": hidden,
        "blocks": "not told",
    });
    if let Some(mut blocks) = blocks {
        blocks.sort();
        blocks.dedup();
        value["blocksNotShown"] = json!(cut(&mut blocks, MOST));
        value["blocks"] = blocks.iter().map(block).collect();
    }
    value
}

fn block(block: &BlockHint) -> Value {
    let resolution = block.resolution_ms.map(|ms| match ms {
        0 => "raw".to_owned(),
        300_000 => "5m".to_owned(),
        3_600_000 => "1h".to_owned(),
        ms => format!("{ms}ms"),
    });
    let (min, max) = block.range.unzip();
    json!({"id": block.id, "resolution": resolution, "minTime": min, "maxTime": max})
}

fn replicas(replicas: Replicated) -> Value {
    let tally = match replicas {
        Replicated::Untold(why) => return json!({"notTold": why}),
        Replicated::By(tally) => tally,
    };
    let mut sets: Vec<_> = tally.sets.iter().collect();
    sets.sort_by_key(|(_, share)| std::cmp::Reverse(share.samples));
    let hidden = cut(&mut sets, MOST);
    let one = |(labels, share): (&Labels, &crate::query::assemble::Share)| json!({"labels": object(labels.as_ref()), "series": share.series, "won": share.won, "samples": share.samples});
    json!({
        "sets": sets.into_iter().map(one).collect::<Vec<_>>(),
        "setsNotShown": hidden,
        "seriesWithSeveral": tally.series,
        "switches": tally.switches,
    })
}

/// Leaves `most` of them; how many there were beyond.
fn cut<T>(list: &mut Vec<T>, most: usize) -> usize {
    let beyond = list.len().saturating_sub(most);
    list.truncate(most);
    beyond
}

/// A time in seconds, to the millisecond.
pub(super) fn time(ms: i64) -> Value {
    let mut out = Vec::new();
    let _ = seconds(&mut out, ms);
    serde_json::from_slice(&out).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_bounded_and_those_who_sent_most_come_first() {
        let hint = |n: u64| {
            let endpoint = EndpointHints {
                address: format!("10.0.0.{n}:10901"),
                component: "store",
                left_out: n.is_multiple_of(2).then(|| "time range".to_owned()),
                sent: (n, n, n),
                ..EndpointHints::default()
            };
            let block = |n: i64| BlockHint { id: format!("{n:03}"), resolution_ms: None, range: None };
            let blocks = Some((0..150).chain(0..150).map(block).collect());
            Hints { blocks, endpoint: Some(Box::new(endpoint)), ..Hints::default() }
        };
        let all = endpoints((0..150).map(hint).collect(), (0, 0, 0), Duration::ZERO, "query");
        assert_eq!(all.len(), 150);
        assert_eq!((&all[0]["address"], &all[0]["bytes"]), (&json!("10.0.0.149:10901"), &json!(149)));
        assert_eq!(
            (&all[0]["blocksNotShown"], all[0]["blocks"].as_array().unwrap().len()),
            (&json!(50), 100)
        );
        assert_eq!(all[149]["leftOut"], json!("time range"));
        let mut list: Vec<_> = (0..150).collect();
        assert_eq!((cut(&mut list, MOST), list.len()), (50, MOST));
        // A store that asks nobody is shown itself.
        let told = Hints {
            blocks: Some(vec![BlockHint {
                id: "b".to_owned(),
                resolution_ms: Some(300_000),
                range: Some((1, 2)),
            }]),
            ..Hints::default()
        };
        let all = endpoints(vec![told], (1, 2, 3), Duration::from_millis(5), "receive");
        let block = json!([{"id": "b", "resolution": "5m", "minTime": 1, "maxTime": 2}]);
        assert_eq!((&all[0]["address"], &all[0]["blocks"]), (&json!("this process"), &block));
    }
}
