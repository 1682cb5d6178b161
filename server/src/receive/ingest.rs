//! A request's bytes into databases: decode, judge the labels, commit everywhere; then wait once for all logs.
//!
//! All but the wait runs on one blocking thread, so labels and samples are borrowed from the request's buffer the whole way. The
//! wait is a task: a request whose samples are on their way to the disk holds no thread. Series whose bytes already are a label set are staged as they lie; only the others are rebuilt, in one run of scratch bytes. Nothing is
//! committed before the whole request has been read and every tenant in it is known to be valid.

use std::iter::repeat_n;

use sarsen_block::{LabelsBuilder, LabelsRef, Sample, Timestamp, Value};
use sarsen_tsdb::{Committed, ExemplarRef, Lead, Pending, Reason};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::door::Door;
use super::intake::{Claim, Intake, Memory, Shortage};
use super::limits::TenantLimits;
use super::options::IntakeOptions;
use super::tenant;
use super::tenants::{Open, Tenants, Unavailable};
use super::verdict::{LabelFault, SampleFault, Verdict};
use crate::wire::remote_write::{self, Counts, DecodeError, Series, WireLabels, WriteRequest};
use crate::wire::snappy::{self, SnappyError};

/// Why a request is not answered with success. `handler` knows which status each of them is.
#[derive(Debug)]
pub(super) enum Failure {
    /// Larger than the tenant or this process takes.
    TooLarge,
    /// No snappy.
    Snappy(SnappyError),
    /// No remote write message.
    Proto(DecodeError),
    /// Headers that do not say which message this is, in words.
    Version(&'static str),
    /// A message of remote write 2.0.
    Version2,
    /// The replica header is no number.
    ReplicaHeader,
    /// The replica header is above the replication factor.
    ReplicaTooHigh,
    /// More series than the tenant may send at once.
    TooManySeries,
    /// More samples than the tenant may send at once.
    TooManySamples,
    /// The label that splits tenants holds a name that no tenant can have.
    InvalidTenant,
    /// No memory for it now.
    Busy,
    /// A database that is needed takes nothing now.
    Unavailable(Unavailable),
    /// Some of it was refused; the rest is stored.
    Refused(Verdict),
}

/// What the role knows, for every request the same.
pub(super) struct Ground<'a> {
    pub(super) tenants: &'a Tenants,
    pub(super) intake: &'a Intake,
    pub(super) bounds: &'a IntakeOptions,
    pub(super) split_label: Option<&'a str>,
    /// Samples after this are refused.
    pub(super) max_time: Timestamp,
    /// Whether databases store exemplars at all.
    pub(super) keeps_exemplars: bool,
}

/// One request, read from its socket.
pub(super) struct Job {
    pub(super) door: Door,
    pub(super) tenant: String,
    pub(super) limits: TenantLimits,
    /// What the headers say about the message.
    pub(super) version: Result<(), Failure>,
    /// The replica header, if there is one.
    pub(super) replica: Option<Vec<u8>>,
    pub(super) memory: Memory,
    pub(super) claim: Claim,
    /// Held while computing, given up before the wait for the disk.
    pub(super) turn: OwnedSemaphorePermit,
}

/// Takes a request in, up to where only the disk is to be waited for. The counts are what it held, as far as it was read.
pub(super) fn take(ground: &Ground<'_>, job: Job) -> (Counts, Result<InFlight, Failure>) {
    let mut counts = Counts::default();
    let Job { door, tenant, limits, version, replica, mut memory, mut claim, turn } = job;
    let read = Reading { ground, door, tenant: &tenant, limits, version, replica };
    let committed = read.commit(&mut memory, &mut claim, &mut counts);
    ground.intake.give_back(memory);
    drop((claim, turn));
    (counts, committed)
}

/// A request while it is in the buffer.
struct Reading<'g> {
    ground: &'g Ground<'g>,
    door: Door,
    tenant: &'g str,
    limits: TenantLimits,
    version: Result<(), Failure>,
    replica: Option<Vec<u8>>,
}

impl Reading<'_> {
    fn commit(
        self,
        memory: &mut Memory,
        claim: &mut Claim,
        counts: &mut Counts,
    ) -> Result<InFlight, Failure> {
        let Memory { body, decoded, scratch, labels } = memory;
        let bytes = decompress(body, decoded, self.byte_limit(), claim)?;
        self.version?;
        let request = match remote_write::decode(bytes, self.ground.bounds.decoded_bytes, scratch) {
            Ok(request) => request,
            Err(DecodeError::TooLarge) => return Err(Failure::TooLarge),
            Err(fault) => return Err(Failure::Proto(fault)),
        };
        *counts = request.counts();
        let replica = match self.replica.as_deref().map(parse_replica) {
            Some(None) => return Err(Failure::ReplicaHeader),
            Some(Some(number)) => number,
            None => 0,
        };
        if counts.series == 0 {
            return Ok(InFlight::default());
        }
        let over = |limit: u64, count: u64| limit > 0 && count > limit;
        if over(self.limits.series, counts.series) {
            return Err(Failure::TooManySeries);
        }
        if over(self.limits.samples, counts.samples) {
            return Err(Failure::TooManySamples);
        }
        if replica > 1 {
            return Err(Failure::ReplicaTooHigh);
        }
        let mut plan = Plan::new(self.door, self.tenant, self.ground);
        plan.make(request, labels)?;
        plan.commit(request)
    }

    fn byte_limit(&self) -> usize {
        byte_limit(self.limits, self.ground.bounds.decoded_bytes)
    }
}

/// The smaller of the tenant's limit and the process' own.
pub(super) fn byte_limit(limits: TenantLimits, own: usize) -> usize {
    match usize::try_from(limits.body_bytes) {
        Ok(limit) if limit > 0 => limit.min(own),
        _ => own,
    }
}

fn decompress<'b>(
    body: &[u8],
    decoded: &'b mut Vec<u8>,
    limit: usize,
    claim: &mut Claim,
) -> Result<&'b [u8], Failure> {
    // What a block claims to become is claimed from the budget; a block that lies has only cost itself its turn.
    let expected = snappy::claimed_length(body).unwrap_or(0).min(limit).min(body.len().saturating_mul(64));
    match claim.raise(body.len().saturating_add(expected)) {
        Ok(()) => {}
        Err(Shortage::Now(_)) => return Err(Failure::Busy),
        Err(Shortage::Always) => return Err(Failure::TooLarge),
    }
    snappy::decompress(body, limit, decoded).map_err(|fault| match fault {
        SnappyError::TooLarge => Failure::TooLarge,
        SnappyError::Corrupt(_) => Failure::Snappy(fault),
    })
}

/// As Go parses an unsigned number: decimal digits and nothing else.
fn parse_replica(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()
}

/// What is to be done with a series that is not simply staged for the request's own tenant.
enum Exception {
    /// Stage these bytes of `rebuilt` for this tenant.
    Rebuilt { tenant: usize, start: usize, end: usize },
    /// Store nothing of it.
    Left,
}

/// An exemplar of a series: its labels are in `rebuilt`.
struct PlannedExemplar {
    series: usize,
    start: usize,
    end: usize,
    t: Timestamp,
    value: f64,
}

/// Which series goes where, and under which labels.
struct Plan<'g> {
    door: Door,
    ground: &'g Ground<'g>,
    tenants: Vec<String>,
    /// Label sets that do not lie in the request as they are stored, one behind the other.
    rebuilt: Vec<u8>,
    /// By index of the series, rising.
    exemplars: Vec<PlannedExemplar>,
    /// By index of the series, rising.
    exceptions: Vec<(usize, Exception)>,
    verdict: Verdict,
}

impl<'g> Plan<'g> {
    fn new(door: Door, tenant: &str, ground: &'g Ground<'g>) -> Self {
        let tenants = vec![tenant.to_owned()];
        Self {
            door,
            ground,
            tenants,
            rebuilt: Vec::new(),
            exemplars: Vec::new(),
            exceptions: Vec::new(),
            verdict: Verdict::default(),
        }
    }

    fn make(&mut self, request: WriteRequest<'_>, builder: &mut LabelsBuilder) -> Result<(), Failure> {
        let plain = self.ground.split_label.is_none();
        for (index, series) in request.series().enumerate() {
            if let WireLabels::Canonical(labels) = series.labels
                && plain
            {
                if let Some(fault) = self.door.fault_of_sorted(labels) {
                    self.refuse(index, fault, series.labels);
                }
                continue;
            }
            self.rebuild(index, series.labels, builder)?;
        }
        if request.counts().exemplars > 0 && self.ground.keeps_exemplars {
            self.plan_exemplars(request, builder);
        }
        Ok(())
    }

    /// Brings the labels of exemplars into order. One whose labels are no set is left out, as it could never be found.
    fn plan_exemplars(&mut self, request: WriteRequest<'_>, builder: &mut LabelsBuilder) {
        for (series, exemplar) in
            request.series().enumerate().flat_map(|(i, s)| s.exemplars().map(move |e| (i, e)))
        {
            builder.clear();
            exemplar.labels.for_each(|(name, value)| builder.push(name, value));
            let Ok(labels) = builder.finish() else { continue };
            let start = self.rebuilt.len();
            self.rebuilt.extend_from_slice(labels.as_bytes());
            let (end, t, value) = (self.rebuilt.len(), exemplar.t, exemplar.value);
            self.exemplars.push(PlannedExemplar { series, start, end, t, value });
        }
    }

    fn refuse(&mut self, index: usize, fault: LabelFault, labels: WireLabels<'_>) {
        self.exceptions.push((index, Exception::Left));
        self.verdict.refuse_series(fault);
        if self.door == Door::Prometheus {
            self.verdict.offender(|| describe(labels));
        }
    }

    /// The slow way: tenant from a label, then order.
    fn rebuild(
        &mut self,
        index: usize,
        labels: WireLabels<'_>,
        builder: &mut LabelsBuilder,
    ) -> Result<(), Failure> {
        let mut pairs: Vec<(&[u8], &[u8])> = pairs(labels).collect();
        let tenant = self.tenant_of(&mut pairs)?;
        if let Some(fault) = self.door.fault(&pairs) {
            self.refuse(index, fault, labels);
            return Ok(());
        }
        builder.clear();
        for (name, value) in pairs {
            builder.push(name, value);
        }
        // The door has found no fault, so a set that cannot be built has only names twice.
        let Ok(set) = builder.finish() else {
            self.refuse(index, LabelFault::Duplicate, labels);
            return Ok(());
        };
        let start = self.rebuilt.len();
        self.rebuilt.extend_from_slice(set.as_bytes());
        self.exceptions.push((index, Exception::Rebuilt { tenant, start, end: self.rebuilt.len() }));
        Ok(())
    }

    /// The tenant that the splitting label names, which is then removed; or that of the request.
    fn tenant_of(&mut self, pairs: &mut Vec<(&[u8], &[u8])>) -> Result<usize, Failure> {
        let Some(split) = self.ground.split_label else { return Ok(0) };
        let found = pairs.iter().find(|(name, _)| *name == split.as_bytes()).map(|(_, value)| *value);
        let Some(value) = found.filter(|value| !value.is_empty()) else { return Ok(0) };
        let name = str::from_utf8(value).ok().filter(|name| tenant::is_valid(name));
        let name = name.ok_or(Failure::InvalidTenant)?;
        pairs.retain(|(name, _)| *name != split.as_bytes());
        if let Some(known) = self.tenants.iter().position(|tenant| tenant == name) {
            return Ok(known);
        }
        self.tenants.push(name.to_owned());
        Ok(self.tenants.len() - 1)
    }

    /// Stages everything and commits tenant by tenant. A tenant that fails keeps no other from committing.
    fn commit(mut self, request: WriteRequest<'_>) -> Result<InFlight, Failure> {
        let verdict = std::mem::take(&mut self.verdict);
        let mut in_flight = InFlight { verdict, ..InFlight::default() };
        for (number, name) in self.tenants.iter().enumerate() {
            let staged = Staged { number, request, plan: &self };
            if staged.is_empty() {
                continue;
            }
            match self.ground.tenants.open_for_write(name) {
                Ok(open) => staged.commit(open, &mut in_flight),
                Err(unavailable) => in_flight.fail(unavailable),
            }
        }
        Ok(in_flight)
    }
}

/// The series of a request that go to one tenant.
struct Staged<'a> {
    number: usize,
    request: WriteRequest<'a>,
    plan: &'a Plan<'a>,
}

impl<'a> Staged<'a> {
    fn is_empty(&self) -> bool {
        let no_exemplars = self.plan.exemplars.is_empty();
        self.series().all(|(_, _, series)| {
            series.samples.is_empty()
                && series.num_histograms == 0
                && (no_exemplars || series.num_exemplars == 0)
        })
    }

    /// Index in the request, labels, and the rest.
    fn series(&self) -> impl Iterator<Item = (usize, LabelsRef<'a>, Series<'a>)> {
        let mut exceptions = self.plan.exceptions.iter().peekable();
        self.request.series().enumerate().filter_map(move |(index, series)| {
            match (exceptions.next_if(|(exception, _)| *exception == index), series.labels) {
                (Some((_, Exception::Rebuilt { tenant, start, end })), _) if *tenant == self.number => {
                    Some((index, self.rebuilt(*start, *end), series))
                }
                (None, WireLabels::Canonical(labels)) if self.number == 0 => Some((index, labels, series)),
                _ => None,
            }
        })
    }

    fn rebuilt(&self, start: usize, end: usize) -> LabelsRef<'a> {
        LabelsRef::trusted(self.plan.rebuilt.get(start..end).unwrap_or_default())
    }

    /// Floats, then histograms, then exemplars of a series: the order in which Thanos appends them.
    fn commit(&self, open: Open, in_flight: &mut InFlight) {
        let mut appender = open.db().appender();
        appender.max_time(self.plan.ground.max_time);
        appender.reserve(self.request.series().len());
        let mut exemplars = self.plan.exemplars.iter().peekable();
        for (index, labels, series) in self.series() {
            for &(t, v) in series.samples {
                appender.append(labels, t, v);
            }
            for (t, histogram) in series.histograms() {
                let value = Value::Histogram(Box::new(histogram));
                appender.append_sample(labels, Sample { t, start: 0, value });
            }
            if series.num_exemplars == 0 {
                continue;
            }
            while let Some(exemplar) = exemplars.next_if(|exemplar| exemplar.series <= index) {
                if exemplar.series == index {
                    let of_exemplar = self.rebuilt(exemplar.start, exemplar.end);
                    let exemplar = ExemplarRef { labels: of_exemplar, t: exemplar.t, value: exemplar.value };
                    appender.append_exemplar(labels, exemplar);
                }
            }
        }
        match appender.commit() {
            Ok(commit) => {
                in_flight.judge(&commit.committed, self);
                if commit.committed.refused_for(Reason::HeadFull) > 0 {
                    in_flight.fail(open.unavailable("its head is full"));
                }
                in_flight.wait_for(open, commit.pending);
            }
            Err(error) => in_flight.fail(self.plan.ground.tenants.failed(&open, &error)),
        }
    }
}

/// What a commit is told when it is on disk.
type Wait = oneshot::Receiver<Result<(), sarsen_tsdb::Error>>;

/// What is committed and not yet known to be on disk.
#[derive(Default)]
pub(super) struct InFlight {
    commits: Vec<(Open, Wait)>,
    /// Logs that nobody else brings to disk.
    leads: Vec<Lead>,
    verdict: Verdict,
    failed: Option<Unavailable>,
}

impl InFlight {
    fn fail(&mut self, unavailable: Unavailable) {
        self.failed.get_or_insert(unavailable);
    }

    fn judge(&mut self, committed: &Committed, staged: &Staged<'_>) {
        let door = staged.plan.door;
        // Thanos drops broken histograms without a word to the sender.
        let is_told = |reason| reason != Reason::BrokenHistogram || door == Door::Prometheus;
        for refusal in committed.refused.iter().filter(|refusal| is_told(refusal.reason)) {
            self.verdict.refuse_sample(SampleFault::from(refusal.reason));
        }
        // Prometheus takes a request whose exemplars it cannot take.
        if door == Door::Thanos {
            for refusal in &committed.exemplars.refused {
                self.verdict.refuse_exemplar(refusal.reason.into());
            }
        }
        if let Some(first) = committed.refused.first()
            && door == Door::Prometheus
        {
            let mut samples =
                staged.series().flat_map(|(_, labels, series)| repeat_n(labels, series.num_samples()));
            self.verdict.offender(|| match samples.nth(first.sample as usize) {
                Some(labels) => describe(WireLabels::Canonical(labels)),
                None => String::new(),
            });
        }
    }

    fn wait_for(&mut self, open: Open, pending: Pending) {
        let (told, wait) = oneshot::channel();
        // Who waited may be gone; then nobody has to be told.
        let lead = pending.on_done(move |outcome| drop(told.send(outcome)));
        self.leads.extend(lead);
        self.commits.push((open, wait));
    }

    /// The logs that are this request's to bring to disk.
    pub(super) fn take_leads(&mut self) -> Vec<Lead> {
        std::mem::take(&mut self.leads)
    }

    /// Waits for the disk, once for all databases.
    pub(super) async fn settle(self, tenants: &Tenants) -> Result<(), Failure> {
        let mut failed = self.failed;
        for (open, wait) in self.commits {
            match wait.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    failed.get_or_insert(tenants.failed(&open, &error));
                }
                Err(_) => {
                    failed.get_or_insert(open.unavailable("nobody knows whether the disk has it"));
                }
            }
        }
        match failed {
            Some(unavailable) => Err(Failure::Unavailable(unavailable)),
            None if self.verdict.is_clean() => Ok(()),
            None => Err(Failure::Refused(self.verdict)),
        }
    }
}

fn pairs<'a>(labels: WireLabels<'a>) -> Box<dyn Iterator<Item = (&'a [u8], &'a [u8])> + 'a> {
    match labels {
        WireLabels::Canonical(labels) => Box::new(labels.iter()),
        WireLabels::Loose(pairs) => Box::new(pairs),
    }
}

/// A series for people, shortened.
fn describe(labels: WireLabels<'_>) -> String {
    const LONGEST: usize = 200;
    let mut text = String::from("{");
    for (name, value) in pairs(labels) {
        if text.len() > 1 {
            text.push_str(", ");
        }
        let shown = value.get(..LONGEST).unwrap_or(value);
        text.push_str(&format!("{}=\"{}\"", name.escape_ascii(), shown.escape_ascii()));
        if text.len() > LONGEST {
            text.push_str(", ...");
            break;
        }
    }
    text.push('}');
    text
}
