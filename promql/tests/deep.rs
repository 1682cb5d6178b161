//! Trees as high as they may be are evaluated on a thread with the stack that a test has, in a build without optimisation: whoever
//! asks cannot end the process by nesting.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use sarsen_block::Labels;
use sarsen_promql::{
    Budget, Error, InputSeries, MAX_DEPTH, ParseOptions, Point, Question, Samples, SeriesData, SeriesSet,
    Value, parse, prepare,
};

/// One series `m` with the value 1 at every second up to 600.
#[derive(Debug)]
struct One;

impl SeriesData for One {
    fn read(&self, samples: &mut Samples) -> Result<(), Error> {
        samples.times.extend((0..=600).map(|second| second * 1000));
        samples.floats.extend((0..=600).map(|_| 1.0));
        Ok(())
    }
}

struct Found(bool);

impl SeriesSet for Found {
    fn next(&mut self) -> Result<Option<InputSeries>, Error> {
        let labels = Labels::from_pairs([("__name__", "m")]).unwrap();
        Ok(std::mem::take(&mut self.0).then(|| InputSeries { labels, data: Box::new(One) }))
    }
}

/// The one number that comes out.
fn answer(text: &str, question: &Question, workers: usize) -> f64 {
    let tree = parse(text, &ParseOptions::all()).unwrap_or_else(|error| panic!("{error}"));
    let prepared = prepare(text, tree, question).unwrap();
    let found = prepared.selections().iter().map(|_| Box::new(Found(true)) as Box<dyn SeriesSet>).collect();
    let mut budget = Budget::default();
    budget.workers = workers;
    match prepared.evaluate(found, &budget).unwrap().value {
        Value::Scalar(_, value) => value,
        Value::Vector(samples) => {
            assert_eq!(samples.len(), 1);
            match samples[0].point {
                Point::Float(value) => value,
                Point::Histogram(_) => panic!("a histogram"),
            }
        }
        Value::Matrix(series) => {
            assert_eq!(series.len(), 1);
            series[0].floats.last().unwrap().1
        }
        Value::String(..) => panic!("a text"),
    }
}

#[test]
fn the_highest_trees_are_evaluated() {
    // As many as may be open at once.
    const OPEN: usize = 64;
    let most = f64::from(MAX_DEPTH);
    let highest = usize::try_from(MAX_DEPTH).unwrap() - 1;
    let forms = [
        ("", " + m", highest, most),
        ("", " or m", highest, 1.0),
        ("", " + 1", highest, most),
        ("1 + ", "", OPEN, 65.0),
        ("(", ")", OPEN, 1.0),
        ("-(-", ")", 21, 1.0),
        ("abs(", ")", OPEN, 1.0),
        ("sum(", ")", OPEN, 1.0),
        ("max_over_time(", "[5s:1s])", 40, 1.0),
        ("label_replace(", ", \"a\", \"b\", \"c\", \"\")", OPEN, 1.0),
    ];
    for (open, close, count, expected) in forms {
        let text = format!("{}m{}", open.repeat(count), close.repeat(count));
        for workers in [1, 2] {
            let instant = Question::instant(600_000);
            let range = Question::range(590_000, 600_000, 5000);
            for question in [instant, range] {
                assert_eq!(answer(&text, &question, workers), expected, "{open}m{close} {workers}");
            }
        }
    }
    let numbers = format!("1{}", " + 1".repeat(highest));
    assert_eq!(answer(&numbers, &Question::instant(0), 1), most);
}
