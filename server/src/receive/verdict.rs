//! What became of a request: counts by reason, and the words in which Thanos says them.
//!
//! Good series of a request are stored whatever happens to the bad ones, so a verdict is a sum and not an error.

use std::fmt::{self, Write as _};

use sarsen_tsdb::{ExemplarReason, Reason};

/// What is wrong with a label set. The first fault of a series, in the order of its labels, counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LabelFault {
    /// No label, or one with an empty name or value.
    Empty,
    /// The same name twice in a row.
    Duplicate,
    /// A name below the one before it.
    Unsorted,
    /// No `__name__`. A fault for Prometheus only.
    Nameless,
    /// Bytes that are not UTF-8. A fault for Prometheus only.
    NotUtf8,
}

impl LabelFault {
    const ALL: [Self; 5] = [Self::Empty, Self::Duplicate, Self::Unsorted, Self::Nameless, Self::NotUtf8];

    const fn words(self) -> &'static str {
        match self {
            Self::Empty => "label set contains a label with empty name or value",
            Self::Duplicate => "label set contains duplicate label names",
            Self::Unsorted => "out of order labels",
            Self::Nameless => "label set has no metric name",
            Self::NotUtf8 => "label set contains bytes that are not UTF-8",
        }
    }
}

impl fmt::Display for LabelFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

/// Why samples were not stored, in the words of Prometheus' storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SampleFault {
    OutOfOrder,
    OutOfBounds,
    TooOld,
    Duplicate,
    /// A histogram that contradicts itself. Told to senders of Prometheus' door only.
    Broken,
}

impl SampleFault {
    const ALL: [Self; 5] = [Self::Duplicate, Self::OutOfBounds, Self::OutOfOrder, Self::TooOld, Self::Broken];

    const fn words(self) -> &'static str {
        match self {
            Self::OutOfOrder => "out of order sample",
            Self::OutOfBounds => "out of bounds",
            Self::TooOld => "too old sample",
            Self::Broken => "invalid histogram",
            Self::Duplicate => "duplicate sample for timestamp",
        }
    }
}

impl From<Reason> for SampleFault {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::OutOfOrder => Self::OutOfOrder,
            Reason::DuplicateValue => Self::Duplicate,
            Reason::TooOld => Self::TooOld,
            Reason::BrokenHistogram => Self::Broken,
            // Prometheus says the same of samples too old and too far ahead.
            _ => Self::OutOfBounds,
        }
    }
}

/// Why exemplars were not stored, in the words of Prometheus' storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ExemplarFault {
    OutOfOrder,
    LabelsTooLong,
}

impl ExemplarFault {
    const ALL: [Self; 2] = [Self::OutOfOrder, Self::LabelsTooLong];

    const fn words(self) -> &'static str {
        match self {
            Self::OutOfOrder => "out of order exemplar",
            Self::LabelsTooLong => "label length for exemplar exceeds maximum of 128 UTF-8 characters",
        }
    }
}

impl From<ExemplarReason> for ExemplarFault {
    fn from(reason: ExemplarReason) -> Self {
        match reason {
            ExemplarReason::LabelsTooLong => Self::LabelsTooLong,
            _ => Self::OutOfOrder,
        }
    }
}

/// Counts of what was refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    labels: [u64; LabelFault::ALL.len()],
    samples: [u64; SampleFault::ALL.len()],
    exemplars: [u64; ExemplarFault::ALL.len()],
    /// The first series that was refused, as text.
    first: Option<String>,
}

impl Verdict {
    pub(super) fn refuse_series(&mut self, fault: LabelFault) {
        self.labels[fault as usize] += 1;
    }

    pub(super) fn refuse_sample(&mut self, fault: SampleFault) {
        self.samples[fault as usize] += 1;
    }

    pub(super) fn refuse_exemplar(&mut self, fault: ExemplarFault) {
        self.exemplars[fault as usize] += 1;
    }

    /// Notes the first refused series; later calls change nothing.
    pub(super) fn offender(&mut self, text: impl FnOnce() -> String) {
        if self.first.is_none() {
            self.first = Some(text());
        }
    }

    pub(super) fn is_clean(&self) -> bool {
        self.labels.iter().chain(&self.samples).chain(&self.exemplars).all(|count| *count == 0)
    }

    pub(super) fn series_refused(&self) -> u64 {
        self.labels.iter().sum()
    }

    pub(super) fn exemplars_refused(&self) -> u64 {
        self.exemplars.iter().sum()
    }

    pub(super) fn samples_refused(&self, fault: SampleFault) -> u64 {
        self.samples[fault as usize]
    }
}

impl fmt::Display for Verdict {
    /// `2 errors: add 1 samples: out of bounds; add 3 series: out of order labels`, then the first offender.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        for fault in LabelFault::ALL {
            let count = self.labels[fault as usize];
            if count > 0 {
                parts.push(format!("add {count} series: {}", fault.words()));
            }
        }
        for fault in SampleFault::ALL {
            let count = self.samples[fault as usize];
            if count > 0 {
                parts.push(format!("add {count} samples: {}", fault.words()));
            }
        }
        for fault in ExemplarFault::ALL {
            let count = self.exemplars[fault as usize];
            if count > 0 {
                parts.push(format!("add {count} exemplars: {}", fault.words()));
            }
        }
        if parts.len() > 1 {
            write!(f, "{} errors: ", parts.len())?;
        }
        f.write_str(&parts.join("; "))?;
        if let Some(first) = &self.first {
            f.write_str(" (first: ")?;
            f.write_str(first)?;
            f.write_char(')')?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_thanos_says() {
        let mut verdict = Verdict::default();
        assert!(verdict.is_clean());
        verdict.refuse_sample(SampleFault::OutOfOrder);
        assert_eq!(verdict.to_string(), "add 1 samples: out of order sample");
        verdict.refuse_sample(Reason::TooFarInFuture.into());
        verdict.refuse_series(LabelFault::Unsorted);
        verdict.refuse_series(LabelFault::Unsorted);
        verdict.refuse_exemplar(ExemplarFault::LabelsTooLong);
        verdict.offender(|| "{a=\"b\"}".into());
        assert_eq!(
            verdict.to_string(),
            "4 errors: add 2 series: out of order labels; add 1 samples: out of bounds; add 1 samples: out of order \
             sample; add 1 exemplars: label length for exemplar exceeds maximum of 128 UTF-8 characters (first: {a=\"b\"})"
        );
        assert!(!verdict.is_clean());
    }
}
