//! Any text as a query: nothing panics; what parses is printed so that it parses again and prints the same; and it is evaluated over a few
//! series, at one time and over a few, without a panic and within its budget.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sarsen_block::{Counts, Histogram, Labels, STALE_NAN_BITS, Span};
use sarsen_promql::{
    Budget, Error, EvalOptions, InputSeries, ParseOptions, Prepared, Question, Samples, Selection, SeriesData, SeriesSet,
    parse, prepare,
};

static SERIES: LazyLock<Vec<(Labels, Samples)>> = LazyLock::new(series);

fn series() -> Vec<(Labels, Samples)> {
    let times: Vec<i64> = (0..20).map(|at| at * 30_000).collect();
    let labels = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied()).expect("labels");
    let floats = |value: &dyn Fn(usize) -> f64| Samples {
        floats: (0..times.len()).map(value).collect(),
        times: times.clone(),
        ..Samples::default()
    };
    let histograms = |schema: i32| Samples {
        histograms: (0..times.len()).map(|at| histogram(schema, at as f64)).collect(),
        histogram_times: times.clone(),
        ..Samples::default()
    };
    let odd = |at: usize| match at % 7 {
        2 => f64::NAN,
        4 => f64::from_bits(STALE_NAN_BITS),
        5 => f64::INFINITY,
        6 => -1e308,
        at => at as f64,
    };
    let mut all = vec![
        (labels(&[("__name__", "m"), ("i", "1"), ("g", "a")]), floats(&|at| at as f64)),
        (labels(&[("__name__", "m"), ("i", "2"), ("g", "a")]), floats(&|at| (at % 5) as f64)),
        (labels(&[("__name__", "m"), ("i", "3")]), floats(&odd)),
        (labels(&[("__name__", "b"), ("le", "1")]), floats(&|at| at as f64)),
        (labels(&[("__name__", "b"), ("le", "+Inf")]), floats(&|at| 2.0 * at as f64)),
        (labels(&[("__name__", "h"), ("i", "1")]), histograms(0)),
        (labels(&[("__name__", "h"), ("i", "2")]), histograms(3)),
        (labels(&[("__name__", "h"), ("i", "3")]), histograms(-53)),
        (labels(&[("__name__", "target_info"), ("instance", "x"), ("job", "y")]), floats(&|_| 1.0)),
    ];
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

fn histogram(schema: i32, at: f64) -> Histogram {
    let custom = schema == -53;
    Histogram {
        schema,
        zero_threshold: if custom { 0.0 } else { 0.01 },
        sum: 3.0 * at,
        positive_spans: vec![Span { offset: 0, length: 2 }, Span { offset: 1, length: 1 }],
        custom_values: if custom { vec![1.0, 2.0, 5.0] } else { Vec::new() },
        counts: Counts::Float {
            count: if custom { 4.0 * at } else { 5.0 * at },
            zero: if custom { 0.0 } else { at },
            positive: vec![at, 2.0 * at, at],
            negative: Vec::new(),
        },
        ..Histogram::default()
    }
}

struct Found(std::vec::IntoIter<&'static (Labels, Samples)>);

impl SeriesSet for Found {
    fn next(&mut self) -> Result<Option<InputSeries>, Error> {
        Ok(self.0.next().map(|(labels, samples)| InputSeries { labels: labels.clone(), data: Box::new(Whole(samples)) }))
    }
}

#[derive(Debug)]
struct Whole(&'static Samples);

impl SeriesData for Whole {
    fn read(&self, samples: &mut Samples) -> Result<(), Error> {
        samples.clone_from(self.0);
        Ok(())
    }
}

fn select(selection: &Selection) -> Box<dyn SeriesSet> {
    let accepts = |labels: &Labels| {
        let value = |name| labels.get(name).unwrap_or_default();
        selection.matchers.iter().all(|matcher| matcher.matches(value(matcher.name())))
    };
    let found: Vec<_> = SERIES.iter().filter(|(labels, _)| accepts(labels)).collect();
    Box::new(Found(found.into_iter()))
}

fn evaluate(prepared: &Prepared) {
    let found = prepared.selections().iter().map(select).collect();
    let mut budget = Budget::default();
    budget.max_samples = 20_000;
    if let Ok(answer) = prepared.evaluate(found, &budget) {
        for annotation in answer.annotations.iter() {
            assert!(!annotation.text(prepared.text()).is_empty());
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _stock = parse(text, &ParseOptions::default());
    let Ok(expr) = parse(text, &ParseOptions::all()) else { return };
    let printed = expr.to_string();
    let again = parse(&printed, &ParseOptions::all());
    let again = again.unwrap_or_else(|why| panic!("{text:?} is printed as {printed:?}: {why}"));
    assert_eq!(again.to_string(), printed, "printing what was printed changes nothing");
    let options = EvalOptions { delayed_name_removal: text.len() % 2 == 0, start_timestamps: true, ..EvalOptions::default() };
    for question in [Question::instant(420_000), Question::range(0, 600_000, 75_000)] {
        let question = Question { options, ..question };
        if let Ok(expr) = parse(text, &ParseOptions::all()) {
            if let Ok(prepared) = prepare(text, expr, &question) {
                evaluate(&prepared);
            }
        }
    }
});
