//! Asking panels, and what it cost.

#![expect(clippy::print_stdout, reason = "a bench tells what it measured")]

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};
use sarsen_benches::{Client, PANELS, Pod, View, ask_range};

use crate::Pair;

/// A panel that was asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) panel: &'static str,
    pub(crate) milliseconds: f64,
    pub(crate) bytes: u64,
}

/// What asking some dashboards has cost.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    asked: Vec<Asked>,
    querier_ms: u64,
    gateway_ms: u64,
    /// Requests of the gateway to the bucket, and bytes of the chunks that it sent.
    requests: u64,
    sent: u64,
    /// The most of the querier and of the gateway: as their control groups count it if there are any, else what was resident.
    peaks: [u64; 2],
}

pub(crate) fn print_head() {
    println!(
        "| range | | panels | p50, ms | p99, ms | most, ms | querier, CPU-ms each | gateway, CPU-ms each | requests each | KiB of chunks each | KiB answered each | querier, peak MiB | gateway, peak MiB |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|");
}

impl Row {
    /// Asks all panels of the dashboards with these numbers, `at_once` at a time.
    pub(crate) fn of(pair: &Pair, view: &View<'_>, numbers: Range<u64>, at_once: usize) -> Result<Self> {
        let requests = || -> Result<u64> {
            let counts = pair.gateway.requests()?;
            Ok(counts.iter().filter(|(name, _)| *name != "bytes").map(|(_, count)| count).sum())
        };
        let asked_before = requests()?;
        let before = (pair.querier.usage()?, pair.gateway.usage()?, pair.gateway.sent()?);
        let panels = numbers.flat_map(|number| PANELS.map(|panel| (panel.name, view.form(panel, number))));
        let asked = ask_all(&pair.querier.http, panels.collect(), at_once)?;
        let after = (pair.querier.usage()?, pair.gateway.usage()?, pair.gateway.sent()?);
        let peaks = match &pair.pods {
            Some([querier, gateway]) => [Pod::peak(querier)?, Pod::peak(gateway)?],
            None => [after.0.peak, after.1.peak],
        };
        Ok(Self {
            asked,
            querier_ms: after.0.cpu_ms - before.0.cpu_ms,
            gateway_ms: after.1.cpu_ms - before.1.cpu_ms,
            requests: requests()? - asked_before,
            sent: after.2 - before.2,
            peaks,
        })
    }

    /// Several runs as one.
    pub(crate) fn together(rows: Vec<Self>) -> Option<Self> {
        rows.into_iter().reduce(|mut all, row| {
            all.asked.extend(row.asked);
            all.querier_ms += row.querier_ms;
            all.gateway_ms += row.gateway_ms;
            all.requests += row.requests;
            all.sent += row.sent;
            let [querier, gateway] = row.peaks;
            all.peaks = [all.peaks[0].max(querier), all.peaks[1].max(gateway)];
            all
        })
    }

    pub(crate) fn print(&self, range: &str, phase: &str, each_panel: bool) {
        let times = |panel: Option<&str>| {
            let some = self.asked.iter().filter(|asked| panel.is_none_or(|panel| panel == asked.panel));
            let mut times: Vec<f64> = some.map(|asked| asked.milliseconds).collect();
            times.sort_by(f64::total_cmp);
            let last = times.len().saturating_sub(1);
            let at = |share: f64| times.get((last as f64 * share).round() as usize).copied().unwrap_or(0.0);
            (times.len(), at(0.5), at(0.99), at(1.0))
        };
        let (count, half, most, all) = times(None);
        let each = |number: u64| number as f64 / count.max(1) as f64;
        let answered: u64 = self.asked.iter().map(|asked| asked.bytes).sum();
        let [querier, gateway] = self.peaks;
        println!(
            "| {range} | {phase} | {count} | {half:.0} | {most:.0} | {all:.0} | {:.1} | {:.1} | {:.0} | {:.0} | {:.0} | {} | {} |",
            each(self.querier_ms),
            each(self.gateway_ms),
            each(self.requests),
            each(self.sent) / 1024.0,
            each(answered) / 1024.0,
            querier >> 20,
            gateway >> 20
        );
        for panel in PANELS.iter().filter(|_| each_panel) {
            let (count, half, most, all) = times(Some(panel.name));
            println!("| {range} | {}, {phase} | {count} | {half:.0} | {most:.0} | {all:.0} |", panel.name);
        }
    }
}

/// Asks all, so many at a time over as many connections.
fn ask_all(querier: &str, panels: VecDeque<(&'static str, String)>, at_once: usize) -> Result<Vec<Asked>> {
    let waiting = Mutex::new(panels);
    let work = || -> Result<Vec<Asked>> {
        let mut client = Client::new(querier);
        client.open();
        let mut asked = Vec::new();
        while let Some((panel, form)) = waiting.lock().ok().and_then(|mut waiting| waiting.pop_front()) {
            let begin = Instant::now();
            let bytes = ask_range(&mut client, &form)?;
            asked.push(Asked { panel, milliseconds: begin.elapsed().as_secs_f64() * 1e3, bytes });
        }
        Ok(asked)
    };
    let parts: Vec<Result<Vec<Asked>>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..at_once.max(1)).map(|_| scope.spawn(work)).collect();
        let joined =
            workers.into_iter().map(|worker| worker.join().ok().context("a thread that asks has died")?);
        joined.collect()
    });
    Ok(parts.into_iter().collect::<Result<Vec<_>>>()?.concat())
}

/// Asks all at the same time; the milliseconds until the last answer was there, and what came of each.
pub(crate) fn wall(querier: &str, panels: Vec<(&'static str, String)>) -> Result<(f64, Vec<Asked>)> {
    let at_once = panels.len();
    let begin = Instant::now();
    let asked = ask_all(querier, panels.into(), at_once)?;
    Ok((begin.elapsed().as_secs_f64() * 1e3, asked))
}
