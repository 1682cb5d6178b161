//! The table: what was measured, multiplied by the deployment, beside the estimate of the target platform.

use crate::compactor::Compacted;
use crate::gateway::Served;
use crate::querier::{Answered, Dashboard};
use crate::{Arguments, Measured};

/// What the target platform wrote down for itself: bytes in the bucket for each resolution.
const ESTIMATE_RAW: f64 = 350e9;
const ESTIMATE_5M: f64 = 75e9;
const ESTIMATE_1H: f64 = 36e9;
/// Clusters that the platform means to grow to.
const GROWN: u64 = 10;
/// How much of a limit may be planned for: cores for the worst minute, memory and volume for what is not foreseen.
const USABLE_CORES: f64 = 0.7;
const USABLE_REST: f64 = 0.8;

/// Dashboards over hours among those that are open.
const RECENT: f64 = 0.8;

/// A deployment, and what was measured for it.
pub(crate) struct Sizing<'a> {
    pub(crate) arguments: &'a Arguments,
    pub(crate) received: Measured,
    pub(crate) compacted: Compacted,
    pub(crate) served: Served,
    pub(crate) asked: Answered,
}

impl Sizing<'_> {
    fn interval(&self) -> f64 {
        self.arguments.interval.max(1) as f64
    }

    fn cpu_per_sample(&self) -> f64 {
        self.received.cpu_seconds / self.received.samples as f64
    }

    fn memory_per_series(&self) -> f64 {
        let used = self.received.resident_peak.saturating_sub(self.received.resident_empty);
        used as f64 / self.arguments.measured as f64
    }

    fn block_per_sample(&self) -> f64 {
        (self.received.block_index + self.received.block_chunks) as f64 / self.received.block_samples as f64
    }

    /// Bytes of the volume that an active series takes: what belongs to the head, and its blocks until they may go.
    fn volume_per_series(&self) -> f64 {
        let head = self.received.head_bytes as f64 / self.arguments.measured as f64;
        let hours = self.arguments.local_retention as f64 + 2.0;
        head + self.block_per_sample() * hours * 3600.0 / self.interval()
    }

    /// Largest numbers of series that a receiver has cores, memory and volume for.
    fn fits(&self) -> [(&'static str, f64); 3] {
        let given = self.arguments;
        let cores = given.receiver_millicores as f64 / 1000.0 * USABLE_CORES;
        let memory = given.receiver_memory as f64 * f64::from(1 << 20) * USABLE_REST;
        let volume = given.receiver_volume as f64 * f64::from(1 << 30) * USABLE_REST;
        [
            ("cores", cores / self.cpu_per_sample() * self.interval()),
            ("memory", (memory - self.received.resident_empty as f64).max(0.0) / self.memory_per_series()),
            ("volume", volume / self.volume_per_series()),
        ]
    }

    fn raw_bucket(&self, clusters: u64) -> f64 {
        let series = (clusters * self.arguments.series) as f64;
        series * self.arguments.retention_raw as f64 * self.compacted.raw
    }

    /// What has been merged and is not removed yet: copies of 2 h, blocks of 8 h and 2 d, and 5 m of 2 d.
    fn replaced(&self, series: f64) -> f64 {
        let days = self.arguments.delete_delay as f64 / 24.0;
        series * days * (self.compacted.brought + 2.0 * self.compacted.raw + self.compacted.five_minutes)
    }
}

fn row(what: &str, value: &str) {
    println!("| {what} | {value} |");
}

fn gigabytes(bytes: f64) -> String {
    format!("{:.1} GB", bytes / 1e9)
}

pub(crate) fn print(sizing: &Sizing<'_>) {
    measured_rows(sizing);
    for clusters in [sizing.arguments.clusters, GROWN] {
        deployment(sizing, clusters);
    }
    verdict(sizing);
}

fn measured_rows(sizing: &Sizing<'_>) {
    let (given, measured) = (sizing.arguments, &sizing.received);
    println!("\n| measured with {} series every {} s | value |\n|---|---|", given.measured, given.interval);
    row("samples", &format!("{}", measured.samples));
    row("CPU a sample, births and cut included", &format!("{:.0} ns", sizing.cpu_per_sample() * 1e9));
    row("resident memory, no series", &format!("{} MiB", measured.resident_empty >> 20));
    row("peak resident memory an active series", &format!("{:.0} B", sizing.memory_per_series()));
    row("log a sample", &format!("{:.2} B", measured.log_per_sample));
    let written = measured.written as f64 / measured.samples as f64;
    row("written to disk a sample, everything", &format!("{written:.2} B"));
    row(
        "wire a sample (remote write 1.0)",
        &format!("{:.2} B", measured.wire_bytes as f64 / measured.samples as f64),
    );
    row("block a sample, index included", &format!("{:.2} B", sizing.block_per_sample()));
    let names = measured.block_series as f64 / given.measured as f64;
    row("series of a block for an active one", &format!("{names:.2}"));
    let compacted = &sizing.compacted;
    row("compactor: series of a block of 14 d for an active one", &format!("{:.1}", compacted.names));
    let day = format!("{:.0} B", compacted.brought);
    row(&format!("bytes a series and day, as brought ({} copies)", given.replication), &day);
    let days =
        [compacted.raw, compacted.five_minutes, compacted.one_hour].map(|bytes| format!("{bytes:.0} B"));
    row("the same in blocks of 14 d: raw, 5 m, 1 h", &days.join(", "));
    row("compactor: CPU a GB brought", &format!("{:.1} s", compacted.cpu_seconds / compacted.brought * 1e9));
    row(
        "compactor: resident, however few series",
        &format!("{:.0} MiB", compacted.resident_empty / f64::from(1 << 20)),
    );
    row(
        "compactor: resident a series of the largest block",
        &format!("{:.0} B", compacted.resident_a_series),
    );
    served_rows(&sizing.served);
    asked_rows(&sizing.asked);
}

/// What a gateway was seen to need.
fn served_rows(served: &Served) {
    for (span, milliseconds) in served.panels {
        row(
            &format!("store gateway: CPU for a panel of one series over {span}"),
            &format!("{milliseconds:.2} ms"),
        );
    }
    row("store gateway: resident, hardly any block", &format!("{} MiB", served.resident_empty >> 20));
    let peak = format!("{} MiB", served.resident_peak >> 20);
    row(&format!("store gateway: resident after the panels, {} series in blocks", served.series), &peak);
    row("store gateway: disk a series of a block", &format!("{:.1} B", served.disk_a_series));
}

/// What a querier was seen to need.
fn asked_rows(asked: &Answered) {
    for Dashboard { range, recent, querier, store } in &asked.dashboards {
        let other = if *recent { "the receiver" } else { "the store gateway" };
        row(
            &format!("query: CPU for a dashboard of ten panels over {range}"),
            &format!("{querier:.0} ms, and {store:.0} ms of {other}"),
        );
    }
    row("query: resident, nothing asked", &format!("{} MiB", asked.resident_empty >> 20));
    row("query: peak resident, one panel at a time", &format!("{} MiB", asked.resident_peak >> 20));
}

fn deployment(sizing: &Sizing<'_>, clusters: u64) {
    let (given, measured) = (sizing.arguments, &sizing.received);
    let receivers = given.receivers.max(1) as f64;
    let series = (clusters * given.series) as f64;
    let copies = series * given.replication as f64;
    let rate = copies / sizing.interval();
    let tenants = given.tenants.unwrap_or(clusters);
    let wire = rate * measured.wire_bytes as f64 / measured.samples as f64;
    println!(
        "\n| {clusters} clusters, {tenants} tenants, {:.2} M series, {} copies | needed | the platform's estimate |\n|---|---|---|",
        series / 1e6,
        given.replication
    );
    let line = |what: &str, needed: String, estimate: String| println!("| {what} | {needed} | {estimate} |");
    let cores = rate * sizing.cpu_per_sample() / receivers;
    let (had, memory_had) =
        (given.receiver_millicores as f64 / 1000.0, given.receiver_memory as f64 / 1024.0);
    line("a receiver: cores", format!("{cores:.3}"), format!("{had:.1}"));
    let memory = measured.resident_empty as f64 + copies / receivers * sizing.memory_per_series();
    line(
        "a receiver: memory",
        format!("{:.2} GiB", memory / f64::from(1 << 30)),
        format!("{memory_had:.1} GiB"),
    );
    let volume = copies / receivers * sizing.volume_per_series();
    let volume_had = format!("{} GiB", given.receiver_volume);
    line("a receiver: volume", format!("{:.1} GiB", volume / f64::from(1 << 30)), volume_had);
    line("all receivers: wire in", format!("{:.2} MB/s", wire / 1e6), "-".to_owned());
    let log = rate * measured.log_per_sample;
    line("all receivers: log written", format!("{:.2} MB/s", log / 1e6), "-".to_owned());
    bucket_lines(sizing, series, clusters);
    let compacted = &sizing.compacted;
    let cores = series * compacted.cpu_seconds / 86_400.0;
    line("compactor: cores, all day long", format!("{cores:.3}"), "0.5".to_owned());
    let tenant = series / tenants.max(1) as f64 * compacted.names;
    let memory = compacted.resident_empty + tenant * compacted.resident_a_series;
    line(
        "compactor: memory, a tenant's block of 14 d",
        format!("{:.2} GiB", memory / f64::from(1 << 30)),
        "1.0 GiB".to_owned(),
    );
    let served = &sizing.served;
    let slowest = served.panels.iter().map(|(_, milliseconds)| *milliseconds).fold(0.0, f64::max);
    let cores = given.queries as f64 * slowest / 1e3;
    line(
        &format!("store gateway: cores, {} such panels a second", given.queries),
        format!("{cores:.3}"),
        "0.5".to_owned(),
    );
    let mebibytes = format!("{} MiB + caches", served.resident_peak >> 20);
    line("store gateway: memory, as measured", mebibytes, "2.0 GiB".to_owned());
    dashboard_lines(sizing);
}

/// Who needs what for the dashboards that are open.
fn dashboard_lines(sizing: &Sizing<'_>) {
    let (given, asked) = (sizing.arguments, &sizing.asked);
    let rate = given.dashboards as f64 / given.refresh.max(1) as f64;
    // Milliseconds of the querier and of the store for one of these.
    let mean = |recent: bool| {
        let some = asked.dashboards.iter().filter(|dashboard| dashboard.recent == recent);
        let count = some.clone().count().max(1) as f64;
        let sum = |of: fn(&Dashboard) -> f64| some.clone().map(of).sum::<f64>() / count;
        (sum(|dashboard| dashboard.querier), sum(|dashboard| dashboard.store))
    };
    let ((recent, receiver), (older, gateway)) = (mean(true), mean(false));
    let cores = |milliseconds: f64| format!("{:.3}", rate * milliseconds / 1e3);
    let line = |what: &str, needed: String, estimate: &str| println!("| {what} | {needed} | {estimate} |");
    let open = format!("{} dashboards, every {} s", given.dashboards, given.refresh);
    line(&format!("query: cores, {open}"), cores(RECENT * recent + (1.0 - RECENT) * older), "0.5");
    line("query: memory, as measured", format!("{} MiB", asked.resident_peak >> 20), "1.0 GiB");
    line("all receivers: cores for these", cores(RECENT * receiver), "-");
    line("store gateway: cores for these", cores((1.0 - RECENT) * gateway), "0.5");
}

fn bucket_lines(sizing: &Sizing<'_>, series: f64, clusters: u64) {
    let (given, compacted) = (sizing.arguments, &sizing.compacted);
    let line = |what: &str, bytes: f64, estimate: Option<f64>| {
        println!("| {what} | {} | {} |", gigabytes(bytes), estimate.map_or("-".to_owned(), gigabytes));
    };
    line(&format!("bucket: raw, {} d", given.retention_raw), sizing.raw_bucket(clusters), Some(ESTIMATE_RAW));
    let five_minutes = series * given.retention_5m as f64 * compacted.five_minutes;
    line(&format!("bucket: 5 m, {} d", given.retention_5m), five_minutes, Some(ESTIMATE_5M));
    let one_hour = series * given.retention_1h as f64 * compacted.one_hour;
    line(&format!("bucket: 1 h, {} d", given.retention_1h), one_hour, Some(ESTIMATE_1H));
    line(&format!("bucket: replaced blocks, {} h", given.delete_delay), sizing.replaced(series), None);
}

fn verdict(sizing: &Sizing<'_>) {
    let given = sizing.arguments;
    println!();
    for (what, series) in sizing.fits() {
        println!("{what}: a receiver has room for {:.0} k series", series / 1e3);
    }
    let least = sizing.fits().into_iter().min_by(|a, b| a.1.total_cmp(&b.1));
    let Some((what, fits)) = least else { return };
    println!(
        "So at most {:.0} k active series fit a receiver of {} millicores, {} MiB and {} GiB ({what} end first; planned up to {:.0} % of the \
         cores and {:.0} % of the rest).",
        fits / 1e3,
        given.receiver_millicores,
        given.receiver_memory,
        given.receiver_volume,
        USABLE_CORES * 100.0,
        USABLE_REST * 100.0
    );
    for clusters in [given.clusters, GROWN] {
        let each = (clusters * given.series * given.replication) as f64 / given.receivers.max(1) as f64;
        if each > fits {
            println!(
                "CANNOT BE MET with {clusters} clusters: {:.0} k series for each of {} receivers.",
                each / 1e3,
                given.receivers
            );
        }
        if sizing.raw_bucket(clusters) > ESTIMATE_RAW {
            println!("CANNOT BE MET with {clusters} clusters: raw blocks take more than the estimate.");
        }
    }
}
