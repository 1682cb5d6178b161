//! Standard output for tools, and times as people read them.
//!
//! A reader that goes away (`| head`) ends a tool without a complaint.

use std::io::{self, BufWriter, StdoutLock, Write};

use chrono::{DateTime, SecondsFormat};
use sarsen_block::Timestamp;

use crate::cli::Failure;

/// Runs `write` on a buffered standard output.
pub(super) fn on_stdout(
    write: impl FnOnce(&mut BufWriter<StdoutLock<'static>>) -> Result<(), Stopped>,
) -> Result<(), Failure> {
    let mut out = BufWriter::with_capacity(256 << 10, io::stdout().lock());
    let outcome = write(&mut out).and_then(|()| out.flush().map_err(Stopped::Output));
    match outcome {
        Ok(()) => Ok(()),
        Err(Stopped::Output(err)) if err.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(Stopped::Output(err)) => Err(Failure::Run(format!("write to standard output: {err}"))),
        Err(Stopped::Failed(failure)) => Err(failure),
    }
}

/// Why printing ended early.
#[derive(Debug)]
pub(super) enum Stopped {
    /// The output took no more.
    Output(io::Error),
    /// What was to be printed could not be had.
    Failed(Failure),
}

impl From<io::Error> for Stopped {
    fn from(err: io::Error) -> Self {
        Self::Output(err)
    }
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// `2026-11-20T17:44:19.123Z`, or the number if no calendar reaches there.
pub(super) fn time(ms: Timestamp) -> String {
    DateTime::from_timestamp_millis(ms)
        .map_or_else(|| ms.to_string(), |time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}

/// A length of time as Go prints it, milliseconds included: `2h0m0s`, `40m0.5s`.
pub(super) fn length(ms: i64) -> String {
    let (sign, ms) = if ms < 0 { ("-", ms.unsigned_abs()) } else { ("", ms.unsigned_abs()) };
    let (hours, minutes, rest) = (ms / 3_600_000, ms / 60_000 % 60, ms % 60_000);
    let fraction = match rest % 1000 {
        0 => String::new(),
        part => format!(".{part:03}").trim_end_matches('0').to_owned(),
    };
    let seconds = format!("{}{fraction}s", rest / 1000);
    match (hours, minutes) {
        (0, 0) => format!("{sign}{seconds}"),
        (0, minutes) => format!("{sign}{minutes}m{seconds}"),
        (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(time(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
        assert_eq!(time(0), "1970-01-01T00:00:00Z");
        assert_eq!(time(i64::MAX), i64::MAX.to_string());
        assert_eq!(length(7_200_000), "2h0m0s");
        assert_eq!(length(61_500), "1m1.5s");
        assert_eq!(length(0), "0s");
        assert_eq!(length(-5), "-0.005s");
    }
}
