//! Sends a fleet in waves and reports what was acknowledged, and how long that took.
//!
//! A wave is built in memory first and then sent, so that while the clock runs the generator only copies bytes into
//! sockets. A group of series always travels on the same connection, round after round, so its samples arrive in order.

use std::io;
use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use crate::fleet::Fleet;
use crate::http::{Client, Response};
use crate::request::RequestWriter;

/// What to send, and how.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The series.
    pub fleet: Fleet,
    /// Which rounds of it.
    pub rounds: Range<u64>,
    /// Where to: `host:port`.
    pub address: String,
    /// The path, such as `/api/v1/receive`.
    pub path: String,
    /// The tenant header; the server's default tenant if empty.
    pub tenant: String,
    /// Series a request.
    pub per_request: u64,
    /// Consecutive samples of a series in one request.
    pub rounds_per_request: u64,
    /// Connections, each driven by a thread that waits for one answer at a time.
    pub connections: usize,
    /// Bytes of prepared bodies held at a time, about.
    pub wave_bytes: u64,
    /// How long to send a request again that found no server or was answered 5xx or 429.
    pub patience: Duration,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Samples in requests that were answered 2xx.
    pub acknowledged: u64,
    /// Samples in requests that were answered otherwise, for good.
    pub refused: u64,
    /// Requests answered 2xx.
    pub requests: u64,
    /// Requests sent again.
    pub repeated: u64,
    /// Bytes of compressed bodies acknowledged.
    pub bytes: u64,
    /// Time during which requests were on their way; building the bodies is not counted.
    pub sending: Duration,
    /// The first answer that was no 2xx.
    pub complaint: Option<String>,
    /// How long each acknowledgement took, in microseconds, rising.
    pub latencies: Vec<u32>,
}

impl Report {
    /// The latency below which `share` (0 to 1) of the acknowledgements stayed.
    pub fn quantile(&self, share: f64) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        let index = ((last as f64) * share).ceil() as usize;
        Duration::from_micros(self.latencies.get(index.min(last)).copied().unwrap_or(0).into())
    }

    /// Acknowledged samples a second of sending.
    pub fn rate(&self) -> f64 {
        self.acknowledged as f64 / self.sending.as_secs_f64().max(1e-9)
    }

    fn add(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        self.requests += other.requests;
        self.repeated += other.repeated;
        self.bytes += other.bytes;
        self.complaint = self.complaint.take().or(other.complaint);
        self.latencies.extend(other.latencies);
    }
}

/// A body, ready to be sent.
struct Prepared {
    body: Vec<u8>,
    samples: u64,
}

/// Sends everything the plan names.
///
/// # Errors
/// If a body cannot be built, or the server cannot be reached for longer than the plan's patience.
pub fn run(plan: &Plan) -> io::Result<Report> {
    let mut report = Report::default();
    let mut clients: Vec<Client> =
        (0..plan.connections.max(1)).map(|_| Client::new(plan.address.as_str())).collect();
    clients.iter_mut().for_each(Client::open);
    let mut from = plan.rounds.start;
    while from < plan.rounds.end {
        let rounds = from..wave_end(plan, from)?;
        let prepared = prepare(plan, &rounds)?;
        let begin = Instant::now();
        let parts: Vec<io::Result<Report>> = thread::scope(|scope| {
            let pairs = clients.iter_mut().zip(prepared);
            let workers: Vec<_> =
                pairs.map(|(client, bodies)| scope.spawn(move || send(plan, client, &bodies))).collect();
            workers.into_iter().map(|worker| worker.join().unwrap_or_else(|_| Err(died()))).collect()
        });
        report.sending += begin.elapsed();
        for part in parts {
            report.add(part?);
        }
        from = rounds.end;
    }
    report.latencies.sort_unstable();
    Ok(report)
}

fn died() -> io::Error {
    io::Error::other("a sending thread died")
}

/// So many rounds that their bodies fill a wave: judged by the first body.
fn wave_end(plan: &Plan, from: u64) -> io::Result<u64> {
    let step = plan.rounds_per_request.max(1);
    let first = 0..plan.per_request.min(plan.fleet.series);
    let groups = plan.fleet.series.div_ceil(plan.per_request.max(1));
    let (body, _) =
        RequestWriter::default().body(&plan.fleet, first, from..from + step).map_err(io::Error::other)?;
    let steps = (plan.wave_bytes / (body.len() as u64 * groups).max(1)).max(1);
    Ok((from + steps * step).min(plan.rounds.end))
}

/// The bodies of a wave, for each connection in the order of sending.
fn prepare(plan: &Plan, rounds: &Range<u64>) -> io::Result<Vec<Vec<Prepared>>> {
    let connections = plan.connections.max(1) as u64;
    thread::scope(|scope| {
        let builders: Vec<_> = (0..connections)
            .map(|own| scope.spawn(move || prepare_one(plan, rounds, own, connections)))
            .collect();
        builders.into_iter().map(|builder| builder.join().unwrap_or_else(|_| Err(died()))).collect()
    })
}

fn prepare_one(plan: &Plan, rounds: &Range<u64>, own: u64, connections: u64) -> io::Result<Vec<Prepared>> {
    let mut writer = RequestWriter::default();
    let mut bodies = Vec::new();
    let groups = plan.fleet.series.div_ceil(plan.per_request.max(1));
    let mut round = rounds.start;
    while round < rounds.end {
        let until = (round + plan.rounds_per_request.max(1)).min(rounds.end);
        for group in (own..groups).step_by(connections as usize) {
            let first = group * plan.per_request;
            let series = first..(first + plan.per_request).min(plan.fleet.series);
            let (body, samples) = writer.body(&plan.fleet, series, round..until).map_err(io::Error::other)?;
            if samples > 0 {
                bodies.push(Prepared { body, samples });
            }
        }
        round = until;
    }
    Ok(bodies)
}

fn send(plan: &Plan, client: &mut Client, bodies: &[Prepared]) -> io::Result<Report> {
    let mut headers = "Content-Encoding: snappy\r\nContent-Type: application/x-protobuf\r\n\
                       X-Prometheus-Remote-Write-Version: 0.1.0\r\nUser-Agent: sarsen-load\r\n"
        .to_owned();
    if !plan.tenant.is_empty() {
        headers.push_str(&format!("THANOS-TENANT: {}\r\n", plan.tenant));
    }
    let mut report = Report::default();
    for prepared in bodies {
        let begin = Instant::now();
        let response = loop {
            let answer = client.post(&plan.path, &headers, &prepared.body);
            match answer {
                Ok(Response { status, .. }) if status == 429 || status >= 500 => {
                    if begin.elapsed() > plan.patience {
                        break answer?;
                    }
                }
                Ok(response) => break response,
                Err(error) if begin.elapsed() > plan.patience => return Err(error),
                Err(_) => {}
            }
            report.repeated += 1;
            thread::sleep(Duration::from_millis(50));
        };
        if (200..300).contains(&response.status) {
            report.acknowledged += prepared.samples;
            report.requests += 1;
            report.bytes += prepared.body.len() as u64;
            report.latencies.push(u32::try_from(begin.elapsed().as_micros()).unwrap_or(u32::MAX));
        } else {
            report.refused += prepared.samples;
            let text = String::from_utf8_lossy(&response.body);
            report.complaint.get_or_insert_with(|| format!("{}: {}", response.status, text.trim()));
        }
    }
    Ok(report)
}
