//! `tools promql query`: an answer straight from the blocks of a directory or a bucket, no server.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use chrono::DateTime;
use sarsen_bucket::{View, download};
use sarsen_downsample::Resolution;
use sarsen_promql::{Answer, Budget, Error, ParseOptions, Prepared, Question, Severity, parse, prepare};

use super::blocks::Blocks;
use super::show::show;
use crate::cli::Failure;
use crate::clock;
use crate::config::flags::{Flag, Given, Kind};
use crate::tools::{bucket, usage};

/// Own flags.
pub(in crate::tools) const FLAGS: &[Flag] = &[
    Flag::new("data", Kind::Text, "", "Directory of blocks, of a database, or of standalone."),
    Flag::new("time", Kind::Text, "", "When, in seconds since 1970 or as in RFC 3339; now if not given."),
    Flag::new("start", Kind::Text, "", "Start of a range, as --time."),
    Flag::new("end", Kind::Text, "", "End of the range; now if not given."),
    Flag::new("step", Kind::Duration, "1m", "Step of the range."),
    Flag::new("lookback-delta", Kind::Duration, "5m", "How old a sample may be to be seen."),
    Flag::new(
        "max-source-resolution",
        Kind::Choice(&["0s", "5m", "1h"]),
        "0s",
        "The coarsest downsampled data that may answer where finer is there too.",
    ),
];

/// Answers the query in the argument.
pub(in crate::tools) fn run(given: Given) -> Result<(), Failure> {
    let [query] = given.arguments.as_slice() else {
        return Err(Failure::Usage("exactly one argument 'EXPR' is required".to_owned()));
    };
    let wrong = |why: Error| Failure::Usage(why.to_string());
    let expr = parse(query, &ParseOptions::all()).map_err(|why| wrong(why.into()))?;
    let prepared = prepare(query, expr, &question(&given)?).map_err(wrong)?;
    let answer = match given.text_if_any("data") {
        Some(dir) => answer(&given, &prepared, Path::new(&dir))?,
        None => {
            let copy = fetch(&given, &prepared)?;
            answer(&given, &prepared, &copy.0)?
        }
    };
    for annotation in answer.annotations.iter() {
        let kind = match annotation.note.severity() {
            Severity::Warning => "warning",
            Severity::Info => "info",
        };
        // A standard error that is closed is no reason to keep the answer.
        let _ = writeln!(std::io::stderr(), "{kind}: {}", annotation.text(query));
    }
    show(&answer.value)
}

/// Evaluates over the blocks in `dir`.
fn answer(given: &Given, prepared: &Prepared, dir: &Path) -> Result<Answer, Failure> {
    let coarsest = match given.text("max-source-resolution") {
        "5m" => Resolution::FiveMinutes,
        "1h" => Resolution::OneHour,
        _ => Resolution::Raw,
    };
    let blocks = Blocks::open(dir, coarsest)?;
    let found = prepared.selections().iter().map(|selection| blocks.select(selection));
    let found = found.collect::<Result<Vec<_>, _>>()?;
    let mut budget = Budget::default();
    budget.workers = std::thread::available_parallelism().map_or(1, usize::from);
    prepared.evaluate(found, &budget).map_err(|why| Failure::Run(why.to_string()))
}

/// A directory of blocks that goes when it is no longer needed.
struct Copy(PathBuf);

impl Drop for Copy {
    fn drop(&mut self) {
        // What cannot be removed is left to whoever cleans the directory of temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Copies the blocks of the bucket that the query may need into a temporary directory.
fn fetch(given: &Given, prepared: &Prepared) -> Result<Copy, Failure> {
    let copy = Copy(std::env::temp_dir().join(format!("sarsen-query-{}", std::process::id())));
    let dir = copy.0.clone();
    std::fs::create_dir_all(&dir).map_err(|why| Failure::Run(format!("{}: {why}", dir.display())))?;
    let wanted: Vec<_> = prepared.selections().iter().map(|selection| selection.range).collect();
    bucket::on(given, |bucket| async move {
        let view = View::fetch(&bucket).await?;
        for (id, meta) in &view.blocks {
            if wanted.iter().any(|range| range.overlaps(meta.range())) {
                download(&bucket, *id, &dir).await?;
            }
        }
        Ok(())
    })?;
    Ok(copy)
}

fn question(given: &Given) -> Result<Question, Failure> {
    let lookback_ms = given.millis("lookback-delta").map_err(usage)?;
    let at = |name: &str| given.text_if_any(name).map_or_else(|| Ok(clock::now()), |text| time(name, &text));
    let question = match given.text_if_any("start") {
        None => Question::instant(at("time")?),
        Some(_) => Question::range(at("start")?, at("end")?, given.millis("step").map_err(usage)?),
    };
    Ok(Question { lookback_ms, ..question })
}

/// Milliseconds of a time in seconds, or a date.
fn time(name: &str, text: &str) -> Result<i64, Failure> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| seconds.is_finite());
    let date = || DateTime::parse_from_rfc3339(text).ok().map(|date| date.timestamp_millis());
    let ms = seconds.map(|seconds| (seconds * 1000.0).round() as i64).or_else(date);
    ms.ok_or_else(|| usage(format!("--{name}: {text:?} is neither a number of seconds nor a date")))
}
