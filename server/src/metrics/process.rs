//! The process itself: memory, processor time, descriptors, start, and which build it is.
//!
//! Read from `/proc` when somebody asks; where that is missing, only the build is shown. The names are those of
//! Prometheus' client libraries. `thanos_build_info` is there because dashboards join on it.

use std::fs;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::family::Shown;
use super::text::{Page, Type};

/// Ticks of the kernel's accounting a second; a fixed part of Linux' interface on the platforms we build for.
const TICKS: f64 = 100.0;
const PAGE_SIZE: f64 = 4096.0;

/// The revision this was built from, if the build was told.
pub(crate) const REVISION: &str = match option_env!("SARSEN_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// Describes this process.
pub(super) struct Process {
    started: f64,
}

impl Process {
    pub(super) fn start() -> Self {
        Self {
            started: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64()),
        }
    }
}

impl Shown for Process {
    fn show(&self, page: &mut Page, _: Instant) {
        build(page);
        one(
            page,
            "process_start_time_seconds",
            Type::Gauge,
            "Start time of the process since unix epoch in seconds.",
            self.started,
        );
        let Some(stat) = Stat::read() else { return };
        one(
            page,
            "process_cpu_seconds_total",
            Type::Counter,
            "Total user and system CPU time spent in seconds.",
            stat.cpu,
        );
        one(
            page,
            "process_resident_memory_bytes",
            Type::Gauge,
            "Resident memory size in bytes.",
            stat.resident,
        );
        one(
            page,
            "process_virtual_memory_bytes",
            Type::Gauge,
            "Virtual memory size in bytes.",
            stat.virtual_size,
        );
        one(page, "process_threads", Type::Gauge, "Number of threads of the process.", stat.threads);
        if let Some(peak) = peak_resident() {
            one(
                page,
                "sarsen_process_peak_resident_memory_bytes",
                Type::Gauge,
                "Most resident memory so far in bytes.",
                peak,
            );
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            one(
                page,
                "process_open_fds",
                Type::Gauge,
                "Number of open file descriptors.",
                open.count() as f64,
            );
        }
        if let Some(max) = max_descriptors() {
            one(page, "process_max_fds", Type::Gauge, "Maximum number of open file descriptors.", max);
        }
    }
}

fn one(page: &mut Page, name: &str, kind: Type, help: &str, value: f64) {
    page.family(name, kind, help);
    page.sample(name, "", &[], value);
}

fn build(page: &mut Page) {
    let version = env!("CARGO_PKG_VERSION");
    page.family("sarsen_build_info", Type::Gauge, "What this program was built from.");
    page.sample("sarsen_build_info", "", &[("revision", REVISION), ("version", version)], 1.0);
    page.family("thanos_build_info", Type::Gauge, "The same under the name that dashboards join on.");
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let labels = [
        ("branch", ""),
        ("goarch", arch),
        ("goos", std::env::consts::OS),
        ("goversion", ""),
        ("revision", REVISION),
        ("tags", "sarsen"),
        ("version", version),
    ];
    page.sample("thanos_build_info", "", &labels, 1.0);
}

struct Stat {
    cpu: f64,
    resident: f64,
    virtual_size: f64,
    threads: f64,
}

impl Stat {
    fn read() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/self/stat").ok()?)
    }

    /// Fields are counted behind the program's name, which may contain blanks: field 3 of proc(5) is the first here.
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        Some(Self {
            cpu: (field(14)? + field(15)?) / TICKS,
            threads: field(20)?,
            virtual_size: field(23)?,
            resident: field(24)? * PAGE_SIZE,
        })
    }
}

fn peak_resident() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? * 1024.0)
}

fn max_descriptors() -> Option<f64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_blanks_do_not_shift_fields() {
        let text = "42 (a) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 7 0 100 8192 3 x";
        let stat = Stat::parse(text).unwrap();
        assert_eq!(
            (stat.cpu, stat.threads, stat.virtual_size, stat.resident),
            (3.0, 7.0, 8192.0, 3.0 * 4096.0)
        );
    }
}
