//! Whose HTTP API is spoken: where Prometheus' and Thanos' differ, and nothing else.

use axum::http::StatusCode;

/// Whose envelope, texts of errors, defaults and counter adjustment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Dialect {
    /// Thanos Query's.
    #[default]
    Thanos,
    /// A Prometheus server's.
    Prometheus,
}

/// The kinds of errors that both know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The request makes no sense.
    BadData,
    /// It could not be evaluated.
    Execution,
    /// Its caller went.
    Canceled,
    /// It took too long.
    Timeout,
    /// Something is broken here.
    Internal,
}

impl Kind {
    /// As `errorType` has it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::BadData => "bad_data",
            Self::Execution => "execution",
            Self::Canceled => "canceled",
            Self::Timeout => "timeout",
            Self::Internal => "internal",
        }
    }
}

impl Dialect {
    /// As the flag has it.
    pub(crate) fn named(name: &str) -> Self {
        if name == "prometheus" { Self::Prometheus } else { Self::Thanos }
    }

    /// Whether it is Prometheus'.
    pub(crate) const fn is_prometheus(self) -> bool {
        matches!(self, Self::Prometheus)
    }

    /// The status of an answer that is an error.
    pub(crate) fn status(self, kind: Kind) -> StatusCode {
        let code = match (kind, self) {
            (Kind::BadData, _) => 400,
            (Kind::Execution, _) => 422,
            (Kind::Canceled, Self::Prometheus) => 499,
            (Kind::Canceled | Kind::Timeout, _) => 503,
            (Kind::Internal, _) => 500,
        };
        StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The text of a parameter that is wrong: Prometheus names the parameter, Thanos gives the reason alone.
    pub(crate) fn parameter(self, name: &str, why: &str) -> String {
        match self {
            Self::Prometheus => format!("invalid parameter \"{name}\": {why}"),
            Self::Thanos => why.to_owned(),
        }
    }

    /// The text of an optional time that cannot be read.
    pub(crate) fn time_value(self, name: &str, why: &str) -> String {
        match self {
            Self::Prometheus => {
                format!("invalid parameter \"{name}\": invalid time value for '{name}': {why}")
            }
            Self::Thanos => format!("Invalid time value for '{name}': {why}"),
        }
    }

    /// The text of a limit that cannot be read.
    pub(crate) fn limit(self, text: &str, fault: LimitFault) -> String {
        match (fault, self) {
            (LimitFault::Negative, _) => self.parameter("limit", "limit must be non-negative"),
            (LimitFault::Range, Self::Prometheus) => {
                self.parameter("limit", &format!("strconv.Atoi: parsing {text:?}: value out of range"))
            }
            (LimitFault::NoNumber, Self::Prometheus) => {
                self.parameter("limit", &format!("strconv.Atoi: parsing {text:?}: invalid syntax"))
            }
            (_, Self::Thanos) => format!("cannot parse {text:?} to a valid limit"),
        }
    }
}

/// What can be wrong with a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LimitFault {
    /// It is no whole number.
    NoNumber,
    /// It is too large for one.
    Range,
    /// It is below zero.
    Negative,
}
