//! Random queries over the golden data set, asked of a running Prometheus that has it as a block, and of the engine over the same block: both answer
//! alike, to the bit.
//!
//! The release that is asked puts one annotation elsewhere than the version that the engine follows: its place is not compared.
//!
//! `benches/peers/build.sh` builds the Prometheus. Without it the test says that it was skipped, and fails under `SARSEN_REQUIRE_PEERS=1`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]
#![expect(clippy::disallowed_methods, reason = "the test starts a foreign program and waits for it")]

mod data;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use data::DataSet;
use data::told::{Body, Told, ours, same, shortened, theirs};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use sarsen_block::{
    BlockId, BlockMeta, BlockWriter, BlockWriterOptions, Decode, EncodeOptions, Files, Sample,
    SampleSet as _, TimeRange, Tombstones, Value, encode_chunks,
};
use sarsen_promql::{ParseOptions, Question, Samples};

/// How many queries are asked.
const QUERIES: usize = 400;

/// What Prometheus is switched on to, so that it knows everything that [`ParseOptions::all`] does.
const FEATURES: &str =
    "promql-experimental-functions,promql-extended-range-selectors,promql-binop-fill-modifiers";

fn prometheus() -> Option<PathBuf> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../benches/peers/bin/prometheus");
    if program.is_file() {
        return Some(program);
    }
    let required = std::env::var("SARSEN_REQUIRE_PEERS").is_ok_and(|value| value == "1");
    assert!(!required, "no prometheus: benches/peers/build.sh builds it");
    // Written to the stream itself, because the test runner would keep what `eprintln!` says.
    let mut screen = std::io::stderr();
    writeln!(screen, "SKIPPED: no prometheus, benches/peers/build.sh builds it").unwrap();
    None
}

/// The samples of a series in order of time.
fn samples(of: &Samples) -> Vec<Sample> {
    let floats = of.times.iter().zip(&of.floats).map(|(t, value)| Sample::float(*t, *value));
    let histograms = of.histogram_times.iter().zip(&of.histograms);
    let mut all: Vec<_> =
        floats.chain(histograms.map(|(t, one)| Sample::histogram(*t, one.clone()))).collect();
    all.sort_by_key(|sample| sample.t);
    all
}

/// Writes the data set as a block below `dir`, and reads it back from there: so both engines see the same counter reset hints.
fn as_block(data: &DataSet, dir: &Path) -> DataSet {
    let mut symbols: Vec<Vec<u8>> = Vec::new();
    let (mut first, mut last) = (i64::MAX, i64::MIN);
    for (labels, samples) in &data.series {
        symbols.extend(labels.iter().flat_map(|(name, value)| [name.to_vec(), value.to_vec()]));
        for t in samples.times.iter().chain(&samples.histogram_times) {
            (first, last) = (first.min(*t), last.max(*t));
        }
    }
    symbols.sort();
    symbols.dedup();
    let mut writer = BlockWriter::new(Files::default(), BlockWriterOptions::default(), symbols).unwrap();
    for (labels, of) in &data.series {
        writer.add(labels.as_ref(), &encode_chunks(&samples(of), EncodeOptions::default()).unwrap()).unwrap();
    }
    let written = writer.finish().unwrap();
    let meta = BlockMeta::fresh(BlockId::from_parts(1, 1), TimeRange::new(first, last), written.stats);
    let folder = dir.join(meta.id.to_string());
    for (path, bytes) in &written.sink.0 {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    fs::write(folder.join("meta.json"), meta.to_bytes()).unwrap();
    let block = written.sink.open(meta, Tombstones::default()).unwrap();
    let mut set = Decode::new(block.select(&[], TimeRange::ALL).unwrap(), TimeRange::ALL);
    let mut series = Vec::new();
    while let Some(one) = set.next().unwrap() {
        let mut read = Samples::default();
        for sample in one.samples {
            match sample.value {
                Value::Float(value) => {
                    read.times.push(sample.t);
                    read.floats.push(value);
                }
                Value::Histogram(histogram) => {
                    read.histogram_times.push(sample.t);
                    read.histograms.push(histogram.to_float());
                }
            }
        }
        series.push((one.labels, Arc::new(read)));
    }
    DataSet::new(series)
}

/// A running Prometheus, killed when dropped.
struct Running {
    child: Child,
    address: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    /// Starts it and waits until it is ready; one that ends instead, because somebody was faster at its port, is started again at another.
    fn start(program: &Path, dir: &Path) -> Self {
        for _ in 0..5 {
            let mut running = Self::spawn(program, dir);
            let begin = Instant::now();
            loop {
                let answer = running.ask("/-/ready", "");
                if running.child.try_wait().unwrap().is_some() {
                    break;
                }
                if answer.is_some_and(|answer| answer.contains("Ready")) {
                    return running;
                }
                assert!(begin.elapsed() < Duration::from_secs(60), "Prometheus does not get ready");
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        panic!("Prometheus ended five times before it was ready")
    }

    fn spawn(program: &Path, dir: &Path) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let config = dir.join("prometheus.yml");
        fs::write(&config, "global: {}\n").unwrap();
        let child = Command::new(program)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", dir.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg(format!("--enable-feature={FEATURES}"))
            .arg("--storage.tsdb.retention.time=100y")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, address }
    }

    /// Posts a form, or gets if there is none; the body of the answer, if there is one. HTTP/1.0, so that it ends where the connection ends.
    fn ask(&self, path: &str, form: &str) -> Option<String> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        let method = if form.is_empty() { "GET" } else { "POST" };
        let kind = "Content-Type: application/x-www-form-urlencoded";
        let length = form.len();
        write!(stream, "{method} {path} HTTP/1.0\r\n{kind}\r\nContent-Length: {length}\r\n\r\n{form}")
            .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer.split_once("\r\n\r\n")?.1.to_owned())
    }

    fn query(&self, query: &str, question: &Question) -> Told {
        let seconds = |ms: i64| ms as f64 / 1000.0;
        let escaped: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let (path, when) = if question.step == 0 {
            ("/api/v1/query", format!("time={}", seconds(question.start)))
        } else {
            let (start, end, step) = (seconds(question.start), seconds(question.end), seconds(question.step));
            ("/api/v1/query_range", format!("start={start}&end={end}&step={step}"))
        };
        let answer = self.ask(path, &format!("query={escaped}&{when}")).unwrap();
        let body: Body =
            serde_json::from_str(&answer).unwrap_or_else(|why| panic!("{query}: {why}: {answer}"));
        theirs(&body)
    }
}

fn one_of(words: &'static [&'static str]) -> impl Strategy<Value = String> + Clone {
    prop::sample::select(words).prop_map(str::to_owned)
}

fn selector() -> impl Strategy<Value = String> + Clone {
    let which = one_of(&[
        "http_requests_total",
        "temperature_celsius",
        "memory_bytes",
        "errors_total",
        "up",
        "saw",
        "special",
        "const_gauge",
        "lat_native",
        "gauge_native",
        "mixed_native",
        "nhcb_seconds",
        "float_native",
        "odd_native",
        "req_seconds_bucket",
        "bad_hist_bucket",
        "stale_total",
        "single_sample",
        "instance_weight",
        "{__name__=~\"memory_bytes|errors_total\"}",
        "http_requests_total{method!=\"GET\"}",
        "{instance=\"a:80\"}",
        "nothing",
    ]);
    which.prop_filter("too many series for one metric", |text| !text.is_empty())
}

fn shift() -> impl Strategy<Value = String> + Clone {
    prop_oneof![
        6 => Just(String::new()),
        1 => one_of(&[" offset 1m", " offset -2m", " offset 33s"]),
        1 => one_of(&[" @ 1700003000", " @ start()", " @ end()", " @ 1700002186.5"]),
    ]
}

fn window() -> impl Strategy<Value = String> + Clone {
    one_of(&["5m", "10m", "33m", "1m", "4m1s", "20m"])
}

fn number() -> impl Strategy<Value = String> + Clone {
    one_of(&[
        "1",
        "0.5",
        "2",
        "-1",
        "0",
        "NaN",
        "Inf",
        "time()",
        "scalar(const_gauge)",
        "scalar(up)",
        "1e3",
        "pi()",
    ])
}

fn range_of(inner: BoxedStrategy<String>) -> impl Strategy<Value = String> {
    let extension = prop_oneof![8 => Just(""), 1 => Just(" anchored"), 1 => Just(" smoothed")];
    let plain = (selector(), window(), extension, shift())
        .prop_map(|(series, window, extension, shift)| format!("{series}[{window}]{extension}{shift}"));
    let sub = (inner, window(), one_of(&["", "1m", "30s", "2m"]), shift())
        .prop_map(|(inner, window, step, shift)| format!("({inner})[{window}:{step}]{shift}"));
    prop_oneof![3 => plain, 1 => sub]
}

fn vector() -> impl Strategy<Value = String> {
    let leaf = (selector(), shift()).prop_map(|(series, shift)| series + &shift);
    leaf.prop_recursive(3, 12, 2, |inner| {
        let inner = inner.boxed();
        let over = one_of(&[
            "rate", "increase", "delta", "irate", "idelta", "deriv", "changes", "resets", "avg_over_time", "sum_over_time",
            "min_over_time", "max_over_time", "count_over_time", "last_over_time", "first_over_time", "present_over_time",
            "stddev_over_time", "stdvar_over_time", "absent_over_time", "mad_over_time", "ts_of_max_over_time",
            "ts_of_last_over_time",
        ]);
        let map = one_of(&[
            "abs", "ceil", "floor", "exp", "sqrt", "ln", "log2", "log10", "sgn", "round", "sin", "cos", "tan", "asin", "acosh",
            "tanh", "deg", "rad", "absent", "timestamp", "histogram_count", "histogram_sum", "histogram_avg",
            "histogram_stddev", "histogram_stdvar", "hour", "day_of_week", "-", "+", "days_in_month",
        ]);
        let fold = one_of(&["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"]);
        let by = one_of(&["", " by (instance)", " by (job)", " without (instance)", " by (__name__)", " without (method, code)"]);
        let compare = one_of(&[" == ", " > ", " <= bool ", " != ", " < bool "]);
        let operator = one_of(&[" + ", " - ", " * ", " / ", " % ", " ^ ", " atan2 ", " </ ", " >/ "]);
        let matching = one_of(&[
            "", "on (instance) ", "ignoring (job) ", "on (instance) group_left ", "on (instance) group_right ",
            "ignoring (method, code) group_left ", "on () ", "on (instance) fill (1) ",
        ]);
        let set = one_of(&[" and ", " or ", " unless ", " and on (instance) ", " or on (instance) ", " unless on (job) "]);
        let quantile = one_of(&["0.5", "0.99", "0", "-1", "NaN", "2"]);
        prop_oneof![
            4 => (over, range_of(inner.clone())).prop_map(|(function, range)| format!("{function}({range})")),
            1 => (number(), range_of(inner.clone())).prop_map(|(q, range)| format!("quantile_over_time({q}, {range})")),
            1 => (range_of(inner.clone()), number()).prop_map(|(range, by)| format!("predict_linear({range}, {by})")),
            3 => (map, inner.clone()).prop_map(|(function, vector)| format!("{function}({vector})")),
            3 => (fold, by.clone(), inner.clone()).prop_map(|(fold, by, vector)| format!("{fold}{by}({vector})")),
            1 => (quantile.clone(), by, inner.clone()).prop_map(|(q, by, vector)| format!("quantile{by}({q}, {vector})")),
            1 => (quantile, inner.clone()).prop_map(|(q, vector)| format!("histogram_quantile({q}, {vector})")),
            1 => inner.clone().prop_map(|vector| format!("histogram_fraction(0, 0.3, {vector})")),
            1 => (inner.clone(), number(), number()).prop_map(|(vector, a, b)| format!("clamp({vector}, {a}, {b})")),
            1 => inner.clone().prop_map(|vector| format!("label_replace({vector}, \"job\", \"$1\", \"instance\", \"(.).*\")")),
            2 => (inner.clone(), operator.clone(), number()).prop_map(|(a, op, b)| format!("({a}{op}{b})")),
            1 => (number(), operator.clone(), inner.clone()).prop_map(|(a, op, b)| format!("({a}{op}{b})")),
            1 => (inner.clone(), compare, number()).prop_map(|(a, op, b)| format!("({a}{op}{b})")),
            2 => (inner.clone(), operator, matching, inner.clone()).prop_map(|(a, op, on, b)| format!("({a}{op}{on}{b})")),
            2 => (inner.clone(), set, inner).prop_map(|(a, op, b)| format!("({a}{op}{b})")),
        ]
    })
}

fn question() -> impl Strategy<Value = Question> {
    let times = prop::sample::select(
        &[1_700_004_600_000_i64, 1_700_002_000_000, 1_700_006_400_000, 1_700_003_099_000][..],
    );
    let ranges = prop::sample::select(
        &[
            (1_700_000_400_000_i64, 1_700_004_000_000, 300_000),
            (1_699_998_900_000, 1_699_999_800_000, 100_000),
            (1_700_002_200_000, 1_700_003_400_000, 60_000),
        ][..],
    );
    let range = |(start, end, step)| Question::range(start, end, step);
    prop_oneof![times.prop_map(Question::instant), ranges.prop_map(range)]
}

/// Without the place of the annotation that releases place differently.
fn placeless(told: Told) -> Told {
    let Told::Answered { kind, series, warnings, mut infos } = told else { return told };
    for info in &mut infos {
        if info.starts_with("PromQL info: input to histogram_fraction has NaN observations") {
            info.truncate(info.rfind(" (").unwrap());
        }
    }
    Told::Answered { kind, series, warnings, infos }
}

/// Which of several faults an error names depends on the order in which a map is walked.
fn same_fault(ours: &Told, theirs: &Told) -> bool {
    match (ours, theirs) {
        (Told::Failed { kind, text }, Told::Failed { kind: their_kind, text: their_text }) => {
            let many = ["found duplicate series", "multiple matches for labels", "vector cannot contain"];
            let is_of_many = |text: &str| many.iter().any(|start| text.starts_with(start));
            kind == their_kind && (text == their_text || (is_of_many(text) && is_of_many(their_text)))
        }
        _ => false,
    }
}

#[test]
fn a_running_prometheus_answers_alike() {
    let Some(program) = prometheus() else { return };
    let dir = tempfile::tempdir().unwrap();
    let data = as_block(&DataSet::golden(), &dir.path().join("data"));
    let running = Running::start(&program, dir.path());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let strategy = (vector(), question());
    let (mut wrong, mut answered) = (Vec::new(), 0);
    for _ in 0..QUERIES {
        let (query, question) = strategy.new_tree(&mut runner).unwrap().current();
        let theirs = placeless(running.query(&query, &question));
        let ours = placeless(ours(&query, &data, &question, &ParseOptions::all()));
        answered += usize::from(matches!(theirs, Told::Answered { .. }));
        if !same(false, &ours, &theirs) && !same_fault(&ours, &theirs) {
            let (theirs, ours) = (shortened(&theirs), shortened(&ours));
            wrong.push(format!("{query} {question:?}\n  expected {theirs}\n  got      {ours}\n"));
        }
    }
    assert!(answered > QUERIES / 2, "only {answered} of {QUERIES} queries have an answer");
    assert!(wrong.is_empty(), "{}{} of {QUERIES} are answered otherwise", wrong.concat(), wrong.len());
}
