//! What every role that runs on has in common: flags of the process and of its HTTP listener, and their values.

use std::time::Duration;

use super::flags::{Fault, Flag, Given, Kind};
use super::values;
use super::web::WebConfig;

const NO_TRACING: &str = "traces are not exported";
const GO_ONLY: &str = "it tunes the Go runtime";

/// Flags that every role has.
pub(crate) const PROCESS: &[Flag] = &[
    Flag::new("log.level", Kind::Choice(&["error", "warn", "info", "debug"]), "info", "Log filtering level."),
    Flag::new("log.format", Kind::Choice(&["logfmt", "json", "journald"]), "logfmt", "Log format."),
    Flag::new("debug.name", Kind::Text, "", "Name to add to every log line.").hidden(),
    Flag::new("tracing.config-file", Kind::Text, "", "Tracing configuration.").inert(NO_TRACING),
    Flag::new("tracing.config", Kind::Text, "", "Tracing configuration.").inert(NO_TRACING),
    Flag::switch("enable-auto-gomemlimit", "Memory limit of the Go runtime.").inert(GO_ONLY),
    Flag::new("auto-gomemlimit.ratio", Kind::Float, "0.9", "Ratio of that limit.").inert(GO_ONLY),
    Flag::new("http-address", Kind::Text, "0.0.0.0:10902", "Address of probes and metrics."),
    Flag::new(
        "http-grace-period",
        Kind::Duration,
        "2m",
        "Time for open HTTP requests to end after a stop signal.",
    ),
    Flag::new("http.config", Kind::Text, "", "File with TLS and authentication of every HTTP endpoint."),
];

/// The listener for probes, metrics and pages.
#[derive(Debug, Clone)]
pub(crate) struct HttpConfig {
    /// Where it listens.
    pub(crate) address: String,
    /// Time for open requests to end after a stop signal.
    pub(crate) grace: Duration,
    /// TLS, headers and passwords.
    pub(crate) web: WebConfig,
}

impl HttpConfig {
    /// From `--http-address`, `--http-grace-period` and `--http.config`.
    pub(crate) fn read(given: &Given) -> Result<Self, Fault> {
        Ok(Self {
            address: address(given, "http-address")?,
            grace: given.duration("http-grace-period")?,
            web: WebConfig::read(given.text_if_any("http.config").as_deref())?,
        })
    }
}

/// `host:port`, `:port`, or nothing.
pub(crate) fn address(given: &Given, name: &str) -> Result<String, Fault> {
    let text = given.text(name);
    let port = text.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
    match port {
        Some(Ok(_)) => Ok(text.to_owned()),
        None if text.is_empty() => Ok(String::new()),
        _ => Err(format!("--{name}: {text:?} is no address, which is host:port or :port")),
    }
}

/// The value of a flag that takes a Go duration; a negative one counts as zero.
pub(crate) fn go_duration(given: &Given, name: &str) -> Result<Duration, Fault> {
    let nanos = values::go_duration(given.text(name)).map_err(|why| format!("--{name}: {why}"))?;
    Ok(Duration::from_nanos(nanos.max(0).unsigned_abs()))
}
