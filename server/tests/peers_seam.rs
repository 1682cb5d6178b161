//! A Prometheus scrapes, keeps what it scraped, and writes all of it to `sarsen receive`. What it answers is what `sarsen query` answers
//! over receiver and gateway: from memory, from the receiver's blocks, from those that only the bucket has, and from days before, raw and
//! downsampled, across every seam between them.
//!
//! It takes well below a minute; `SARSEN_SEAM_SECONDS=300` lets it scrape for five minutes instead.

#![cfg(all(feature = "standalone", feature = "tools"))]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod process;
mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use process::{Process, built, output, sarsen};
use sarsen_block::{Histogram, Labels, Sample, Value};
use sarsen_tsdb::Backfill;
use serde_json::Value as Json;
use support::blocks::{self, HOUR};
use support::questions::get;
use support::storeapi::copy_folder;
use support::{Node, target};

const DAY: i64 = 24 * HOUR;
/// Milliseconds between samples of the past.
const STEP: i64 = 100_000;
/// The least and the most by which a counter of the past grows from sample to sample.
const GROWTH: (i64, i64) = (7, 11);
/// What the receiver adds to every series.
const OWN: [&str; 3] = ["receive_replica", "region", "tenant_id"];

fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// The past as OpenMetrics: a counter that begins anew every five hours, and a gauge in eighths, whose sums are exact.
fn openmetrics(start: i64, end: i64) -> String {
    let times = || (start..end).step_by(STEP as usize).enumerate();
    let mut text = String::from("# TYPE app_requests counter\n");
    for (path, salt) in [("/", 31), ("/a", 17)] {
        let mut grown = 1000;
        for (n, t) in times() {
            let growth = GROWTH.0 + n as i64 * salt % (GROWTH.1 - GROWTH.0 + 1);
            // In the middle of an hour, so that no rate over full hours begins near zero.
            let anew = (t - start) % (5 * HOUR) == 2 * HOUR + HOUR / 2;
            grown = if anew { growth } else { grown + growth };
            let t = t / 1000;
            let _ = writeln!(
                text,
                "app_requests_total{{instance=\"app\",job=\"app\",path=\"{path}\"}} {grown} {t}"
            );
        }
    }
    text.push_str("# TYPE app_odd gauge\n");
    for (kind, salt) in [("third", 37), ("zero", 101)] {
        for (n, t) in times() {
            let (value, t) = ((n as i64 * salt % 1009 - 500) as f64 / 8.0, t / 1000);
            let _ = writeln!(text, "app_odd{{instance=\"app\",job=\"app\",kind=\"{kind}\"}} {value} {t}");
        }
    }
    text + "# EOF\n"
}

/// Blocks of the past: numbers from `start` to `end`, as promtool makes them, and native histograms two days before.
fn past(folder: &Path, promtool: &Path, start: i64, end: i64) -> PathBuf {
    let (text, made) = (folder.join("past.txt"), folder.join("past"));
    std::fs::write(&text, openmetrics(start, end)).unwrap();
    let paths = [text.to_str().unwrap(), made.to_str().unwrap()];
    output(promtool, &["tsdb", "create-blocks-from", "openmetrics", paths[0], paths[1]]);
    let mut backfill = Backfill::new(&made);
    // Remote write 1.0 has no custom buckets, so only blocks can bring them.
    for (name, histogram) in [
        ("app_native_seconds", target::histogram as fn(u64) -> Histogram),
        ("app_custom_seconds", target::custom_histogram),
    ] {
        let labels = [("__name__", name), ("instance", "native"), ("job", "native"), ("path", "/")];
        let sample = |n: i64| {
            let value = Value::Histogram(Box::new(histogram(n.unsigned_abs())));
            Sample { t: start - 2 * DAY + n * 60_000, start: 0, value }
        };
        backfill.add(Labels::from_pairs(labels).unwrap().as_ref(), (0..600).map(sample)).unwrap();
    }
    backfill.finish(now_ms()).unwrap();
    made
}

/// Brings the blocks into the bucket and lets a compactor merge and downsample them.
fn age(folder: &Path, blocks: &Path, config: &str) {
    let config = format!("--objstore.config={config}");
    let mut arguments = vec!["tools", "bucket", "upload", &config];
    let labels = ["r0", "eu", "default-tenant"];
    let labels: Vec<String> =
        OWN.iter().zip(labels).map(|(name, value)| format!("--label={name}=\"{value}\"")).collect();
    arguments.extend(labels.iter().map(String::as_str));
    let each = process::blocks(blocks);
    arguments.extend(each.iter().map(|block| block.to_str().unwrap()));
    output(sarsen(), &arguments);
    let work = format!("--data-dir={}", folder.join("compact").display());
    let further = ["--consistency-delay=0s", "--http-address=127.0.0.1:0", "--log.level=warn"];
    output(sarsen(), &[&["compact", &config, &work], &further[..]].concat());
}

/// A Prometheus over the same past that scrapes every second and writes all of it to `write`.
fn scrape(folder: &Path, program: &Path, write: &str, ours: &[&str]) -> (Process, String) {
    let mut config = String::from(
        "global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\n  scrape_native_histograms: true\n\
         scrape_configs:\n",
    );
    let (text, native) = (target::start(target::text), target::start(target::native));
    for (job, address) in [("app", text.as_str()), ("native", &native), ("prometheus", "OWN-ADDRESS")] {
        let _ = write!(
            config,
            "  - job_name: {job}\n    static_configs:\n      - targets: ['{address}']\n        labels: {{instance: {job}}}\n"
        );
    }
    let ours = ours.join("','");
    let _ = write!(config, "  - job_name: sarsen\n    static_configs:\n      - targets: ['{ours}']\n");
    let _ = write!(
        config,
        "remote_write:\n  - url: {write}\n    send_native_histograms: true\n    send_exemplars: true\n\
         \x20   queue_config: {{max_shards: 1, batch_send_deadline: 100ms}}\n"
    );
    let further = ["--storage.tsdb.retention.time=60d", "--enable-feature=exemplar-storage"];
    process::prometheus(program, folder, "prometheus", &config, &further)
}

fn seconds(ms: i64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

/// Two who are asked the same, and what differs.
struct Both<'a> {
    prometheus: &'a str,
    ours: &'a str,
    /// Of each question, at whatever times and with whatever parameters, whether an answer was not empty.
    asked: BTreeMap<String, bool>,
    faults: Vec<String>,
}

/// Vectors in one order, and no labels that only the receiver knows.
fn settled(mut answer: Json) -> Json {
    if let Some(rows) = answer.pointer_mut("/data/result").and_then(Json::as_array_mut) {
        for row in rows.iter_mut() {
            if let Some(labels) = row["metric"].as_object_mut() {
                labels.retain(|name, _| !OWN.contains(&name.as_str()));
            }
        }
        rows.sort_by_cached_key(|row| row["metric"].to_string());
    }
    // Names of labels.
    if let Some(names) = answer["data"].as_array_mut() {
        names.retain(|name| name.as_str().is_none_or(|name| !OWN.contains(&name)));
    }
    answer
}

/// The first part of two answers that differs, with what leads to it.
fn difference(ours: &Json, theirs: &Json, path: &str) -> Option<String> {
    match (ours, theirs) {
        (Json::Array(a), Json::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().find_map(|(n, (a, b))| difference(a, b, &format!("{path}[{n}]")))
        }
        (Json::Object(a), Json::Object(b)) if a.keys().eq(b.keys()) => {
            let path = if a.contains_key("metric") { &a["metric"].to_string() } else { path };
            a.iter().find_map(|(name, value)| difference(value, &b[name], &format!("{path}.{name}")))
        }
        _ if ours == theirs => None,
        _ => {
            let show = |json: &Json| json.to_string().chars().take(900).collect::<String>();
            Some(format!("{path}\n  ours   {}\n  theirs {}", show(ours), show(theirs)))
        }
    }
}

impl Both<'_> {
    async fn ask(&mut self, path: &str, parameters: &[(&str, &str)]) -> (Json, Json) {
        // What is ours alone is not for Prometheus.
        let theirs: Vec<_> = parameters
            .iter()
            .copied()
            .filter(|(name, _)| !["dedup", "max_source_resolution"].contains(name))
            .collect();
        let (ours, theirs) =
            (get(self.ours, path, parameters).await, get(self.prometheus, path, &theirs).await);
        let data = theirs.pointer("/data/result").unwrap_or(&theirs["data"]);
        let is_filled = data.as_array().is_some_and(|rows| !rows.is_empty());
        let what = parameters.iter().find(|(name, _)| *name == "query").map_or(path, |(_, query)| query);
        *self.asked.entry(what.to_owned()).or_default() |= is_filled;
        (settled(ours), settled(theirs))
    }

    /// Both must say the same to the last digit.
    async fn same(&mut self, path: &str, parameters: &[(&str, &str)]) {
        let (ours, theirs) = self.ask(path, parameters).await;
        if let Some(fault) = difference(&ours, &theirs, "") {
            self.faults.push(format!("{path} {parameters:?}: {fault}"));
        }
    }

    async fn at(&mut self, expression: &str, time: i64, more: &[(&str, &str)]) {
        let parameters = [("query", expression), ("time", &seconds(time))];
        self.same("/api/v1/query", &[&parameters[..], more].concat()).await;
    }

    async fn over(&mut self, expression: &str, (start, end, step): (i64, i64, &str), more: &[(&str, &str)]) {
        let (start, end) = (seconds(start), seconds(end));
        let parameters = [("query", expression), ("start", &start), ("end", &end), ("step", step)];
        self.same("/api/v1/query_range", &[&parameters[..], more].concat()).await;
    }
}

const RAW: (&str, &str) = ("max_source_resolution", "0s");
const COARSE: (&str, &str) = ("max_source_resolution", "5m");
const EACH: (&str, &str) = ("dedup", "false");

/// Asked with windows of seconds, over what has just been scraped.
const LIVE: [&str; 29] = [
    "up",
    "timestamp(up)",
    "app_requests_total",
    "rate(app_requests_total[10s])",
    "increase(app_requests_total[7s])",
    "irate(app_requests_total[5s])",
    "resets(app_requests_total[25s])",
    "changes(app_odd[25s])",
    "app_odd",
    "delta(app_odd[9s])",
    "deriv(app_odd{kind=\"third\"}[9s])",
    "predict_linear(app_odd{kind=\"third\"}[9s], 60)",
    "quantile_over_time(0.3, app_odd{kind=~\"third|zero\"}[20s])",
    "stddev_over_time(app_odd{kind=\"third\"}[20s])",
    "app_comes_and_goes or absent(app_comes_and_goes)",
    "count_over_time(app_comes_and_goes[10s])",
    "{\"app_größe\"} * on (job) group_left app_restarts_total",
    "app_native_seconds",
    "rate(app_native_seconds[10s])",
    "histogram_quantile(0.9, rate(app_native_seconds[15s]))",
    "avg_over_time(app_native_now[10s])",
    "histogram_quantile(0.9, sum by (le, job) (rate(app_latency_seconds_bucket[15s])))",
    "sum by (job) (last_over_time({__name__=~\".+_total\"}[10s]))",
    "avg without (path) (app_requests_total)",
    "topk(2, app_requests_total)",
    "max_over_time(rate(app_requests_total[5s])[20s:2s])",
    "app_requests_total - app_requests_total offset 10s",
    "sum(app_requests_total @ end()) - sum(app_requests_total)",
    "count by (__name__) ({job=\"prometheus\"})",
];

/// Asked with windows of hours, over days.
const DAYS: [&str; 9] = [
    "app_requests_total",
    "rate(app_requests_total[1h])",
    "sum(increase(app_requests_total[37m]))",
    "avg_over_time(app_odd{kind=~\"third|zero\"}[3h])",
    "resets(app_requests_total[12h])",
    "histogram_quantile(0.5, rate(app_native_seconds[20m]))",
    "histogram_sum(increase(app_native_seconds[2h]))",
    "histogram_quantile(0.7, increase(app_custom_seconds[2h]))",
    "max_over_time(sum(rate(app_requests_total[30m]))[6h:1h])",
];

/// Where the parts of all that can be asked for begin and end, in milliseconds.
struct Times {
    /// The first number of the past; histograms are two days before.
    start: i64,
    /// The last number of the past.
    past: i64,
    /// The first scrape.
    live: i64,
    /// The last time at which both have everything.
    end: i64,
}

/// What was scraped, at times and over ranges in and across head, local blocks and bucket.
async fn ask_live(both: &mut Both<'_>, times: &Times) {
    let Times { live, end, .. } = *times;
    for expression in LIVE {
        for range in [(live - 2_000, end, "1s"), (live + 3_300, end - 700, "3.7s")] {
            both.over(expression, range, &[]).await;
        }
        for time in [end, end - 7_500, (live + end) / 2] {
            both.at(expression, time, &[]).await;
        }
    }
    let length = (end - live) / 1000 + 5;
    for everything in
        [format!("{{job=~\".+\"}}[{length}s]"), "{job!~\"prometheus|sarsen\",__name__!=\"\"}[5s]".to_owned()]
    {
        both.at(&everything, end, &[]).await;
        both.at(&everything, end, &[EACH]).await;
        both.at(&everything, (live + end) / 2, &[EACH]).await;
    }
    both.over("last_over_time({__name__=~\".+_total|app_native_.+\"}[10s])", (live, end, "1s"), &[EACH])
        .await;
    let (from, to) = (seconds(live), seconds(end));
    let exemplars = [("query", "rate(app_traced_total[5s])"), ("start", from.as_str()), ("end", &to)];
    both.same("/api/v1/query_exemplars", &exemplars).await;
}

/// The days before, and everything at once.
async fn ask_days(both: &mut Both<'_>, times: &Times) {
    let Times { start, past, live, end } = *times;
    for expression in DAYS {
        both.over(expression, (start - 2 * DAY, end, "30m"), &[RAW]).await;
        both.over(expression, (start - 2 * DAY + 12_345, end, "1h"), &[]).await;
        both.over(expression, (past - HOUR, end, "13s"), &[RAW]).await;
        both.at(expression, end, &[RAW]).await;
        both.at(expression, start + 2 * DAY + 1, &[RAW]).await;
    }
    let everything = format!("{{__name__=~\"app_.+\"}}[{}s]", (end - start) / 1000 + 3 * 86_400);
    both.at(&everything, end, &[RAW, EACH]).await;
    both.at(&everything, end, &[RAW]).await;
    let (from, to) = (seconds(start - 2 * DAY), seconds(end));
    let range = [("start", from.as_str()), ("end", to.as_str())];
    for path in ["/api/v1/labels", "/api/v1/label/__name__/values", "/api/v1/label/path/values"] {
        both.same(path, &range).await;
    }
    let series = [range[0], range[1], ("match[]", "{__name__=~\"app_.+\"}")];
    both.same("/api/v1/series", &series).await;
    let live = [("start", &*seconds(live)), range[1], ("match[]", "{job!=\"sarsen\"}")];
    both.same("/api/v1/series", &live).await;
}

/// Downsampled data holds sums, counts, least and most of every five minutes: windows that end where these end are exact, over all seams.
async fn ask_coarse(both: &mut Both<'_>, times: &Times) {
    let Times { start, end, .. } = *times;
    for function in ["sum", "count", "min", "max"] {
        for (window, step) in [("1h", "1h"), ("30m", "15m"), ("1d", "2h")] {
            let expression = format!("{function}_over_time(app_odd{{kind=~\"third|zero\"}}[{window}])");
            // The last millisecond of a window.
            both.over(&expression, (start + 4 * HOUR - 1, end, step), &[COARSE]).await;
        }
    }
}

/// Rates over full hours of downsampled counters. Of a counter, the last value of each five minutes is known, but not when it was there:
/// at either end of an hour that is a scrape at most, so one growth; and what was before the first of these values, two growths of
/// 36, is extrapolated from the others, which are as large as these but for the most difference of growths.
async fn ask_coarse_rates(both: &mut Both<'_>, times: &Times) {
    let (least, most) = (GROWTH.0 as f64, GROWTH.1 as f64);
    let bound = 2.0 * most + 36.0 / 35.0 * 2.0 * (most - least);
    let (from, to) = (seconds(times.start + 2 * HOUR - 1), seconds(times.start + 2 * DAY - 1));
    let parameters = [
        ("query", "increase(app_requests_total[1h])"),
        ("start", from.as_str()),
        ("end", &to),
        ("step", "1h"),
        COARSE,
    ];
    let (ours, theirs) = both.ask("/api/v1/query_range", &parameters).await;
    let rows = |answer: &Json| -> Vec<Vec<(f64, f64)>> {
        let value = |pair: &Json| (pair[0].as_f64().unwrap(), pair[1].as_str().unwrap().parse().unwrap());
        let values = |row: &Json| row["values"].as_array().unwrap().iter().map(value).collect();
        answer["data"]["result"].as_array().unwrap().iter().map(values).collect()
    };
    let (ours, theirs) = (rows(&ours), rows(&theirs));
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().flatten().zip(theirs.iter().flatten()) {
        if ours.0 != theirs.0 || (ours.1 - theirs.1).abs() > bound {
            both.faults.push(format!("increase: ours {ours:?}, theirs {theirs:?}, bound {bound}"));
        }
    }
}

/// The time of the last scrape of all that both know of.
async fn last(http: &str) -> Option<f64> {
    let answer = get(http, "/api/v1/query", &[("query", "min(timestamp(up))")]).await;
    answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()
}

#[tokio::test]
async fn answers_are_those_of_the_prometheus_that_scraped() {
    let (Some(prometheus), Some(promtool)) = (built("prometheus"), built("promtool")) else { return };
    let length = std::env::var("SARSEN_SEAM_SECONDS").map_or(36, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let bucket = folder.join("bucket");
    let config = blocks::directory(&bucket);
    let start = (now_ms() / (2 * DAY) - 2) * 2 * DAY;
    let end = now_ms() - 2 * STEP;
    let made = past(folder, &promtool, start, end);
    copy_folder(&made, &folder.join("prometheus"));

    let place = |name: &str| {
        std::fs::create_dir_all(folder.join(name)).unwrap();
        folder.join(name)
    };
    let objstore = format!("--objstore.config={config}");
    // A block is cut when half of another one waits, and is in the bucket, known to the gateway, and that to the querier before the
    // receiver drops it.
    let receiver = Node::receive_with_store(
        &place("receiver"),
        &[
            &objstore,
            "--tsdb.min-block-duration=8s",
            "--tsdb.max-block-duration=8s",
            "--tsdb.retention=16s",
            "--tsdb.max-exemplars=1000",
        ],
    )
    .await;
    let gateway = Node::store(&place("gateway"), &config, &["--sync-block-duration=1s"]).await;
    let mut arguments =
        vec!["--query.dialect=prometheus".to_owned(), "--query.metadata.default-time-range=0s".to_owned()];
    arguments.extend(OWN.map(|label| format!("--query.replica-label={label}")));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let querier = Node::query(&place("querier"), &[&receiver.grpc, &gateway.grpc], &arguments).await;
    let http = |node: &Node| node.admin.strip_prefix("http://").unwrap().to_owned();
    let ours = http(&querier);

    let live = now_ms();
    let write = format!("{}/api/v1/receive", receiver.write);
    let (scraping, theirs) = scrape(folder, &prometheus, &write, &[&http(&receiver), &http(&gateway), &ours]);
    let scraped = Instant::now() + Duration::from_secs(length);
    age(folder, &made, &config);
    tokio::time::sleep_until(scraped.into()).await;
    // A scrape is written after those before it but for the time that a scrape takes: a second at most.
    let until = last(&theirs).await.unwrap();
    let patience = Instant::now() + Duration::from_secs(60);
    while last(&ours).await.is_none_or(|ours| ours < until) {
        assert!(Instant::now() < patience, "{}\n{}\n{}", scraping.log(), receiver.log(), querier.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let times = Times { start, past: end, live, end: (until * 1000.0) as i64 - 2_000 };

    // All kinds of places there are to look at.
    let (fresh, old): (Vec<_>, Vec<_>) =
        blocks::blocks(&bucket).into_iter().partition(|(_, meta)| meta.min_time > end);
    assert!(old.iter().any(|(_, meta)| blocks::resolution(meta) == 300_000), "nothing is downsampled");
    let shipped = fresh.len();
    let local = process::blocks(&receiver.root.join("default-tenant")).len();
    assert!(
        shipped > local && local > 0,
        "{shipped} blocks in the bucket, {local} local: {}",
        receiver.log()
    );

    let mut both = Both { prometheus: &theirs, ours: &ours, asked: BTreeMap::new(), faults: Vec::new() };
    ask_live(&mut both, &times).await;
    ask_days(&mut both, &times).await;
    ask_coarse(&mut both, &times).await;
    ask_coarse_rates(&mut both, &times).await;
    let Both { asked, faults, .. } = both;
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
    let empty: Vec<_> = asked.iter().filter(|(_, is_filled)| !**is_filled).collect();
    assert!(asked.len() > 50 && empty.is_empty(), "{} questions, without an answer: {empty:?}", asked.len());
}
