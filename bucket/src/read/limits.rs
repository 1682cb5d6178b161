//! How much a request may take, and how much all of them may take together.
//!
//! A [`Budget`] belongs to one request: it counts series, chunks and downloaded bytes against [`Limits`] and says no with the words
//! of Thanos. The bytes that a request has in memory come out of the [`Ceiling`] of the process, which is never exceeded:
//! [`Budget::hold`] waits until there is room, or refuses.
//!
//! Waiting ends. Room goes first to requests that hold some already, the oldest first, and then to new ones in the order in which
//! they asked, so nobody is overtaken for ever. If every request that holds room waits for more, none of them would give any back:
//! then the youngest of them is refused. Bytes that only wait for the client to take them ([`Held::on_its_way`]) come
//! back without more room, so their request does not count as stuck. A request may also wait with one hand while the other is about
//! to give room back: a patient ceiling ([`Ceiling::patient`]) refuses only when nothing at all has moved for a while.
//!
//! The state of a ceiling is behind one lock that is held for no longer than a walk over those who wait.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::sync::oneshot;

use super::{ReadCount, Reads};
use crate::observer::Timer;

/// The most samples in a chunk, as Thanos reckons: a limit of samples is one of chunks.
const SAMPLES_PER_CHUNK: u64 = 120;

/// What one request may take; 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Series that its matchers find.
    pub series: u64,
    /// Samples; counted as chunks of 120.
    pub samples: u64,
    /// Bytes read from the store.
    pub bytes: u64,
}

/// What bytes are downloaded for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Lists of series.
    Postings,
    /// Entries of series.
    Series,
    /// Chunks.
    Chunks,
}

impl Purpose {
    /// The word in messages and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Postings => "postings",
            Self::Series => "series",
            Self::Chunks => "chunks",
        }
    }
}

/// A limit that a request has reached. Its text is Thanos'.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exceeded {
    /// Too many series.
    Series {
        /// How many are allowed.
        limit: u64,
        /// How many there were when it was noticed.
        found: u64,
    },
    /// Too many chunks.
    Chunks {
        /// How many are allowed.
        limit: u64,
        /// How many there were when it was noticed.
        found: u64,
    },
    /// Too many bytes downloaded.
    Bytes {
        /// For what.
        purpose: Purpose,
        /// How many are allowed.
        limit: u64,
        /// How many there were when it was noticed.
        found: u64,
    },
    /// No room under the ceiling of the process.
    Memory {
        /// Bytes that were asked for.
        asked: u64,
        /// The ceiling, in bytes.
        ceiling: u64,
    },
}

impl Exceeded {
    /// The value of the label `reason` in `thanos_bucket_store_queries_dropped_total`; `memory` is ours.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Series { .. } => "series",
            Self::Chunks { .. } => "chunks",
            Self::Bytes { .. } => "bytes",
            Self::Memory { .. } => "memory",
        }
    }
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Series { limit, found } => {
                write!(f, "exceeded series limit: limit {limit} violated (got {found})")
            }
            Self::Chunks { limit, found } => {
                write!(f, "exceeded chunks limit: limit {limit} violated (got {found})")
            }
            Self::Bytes { purpose, limit, found } => {
                let purpose = purpose.as_str();
                write!(
                    f,
                    "exceeded bytes limit while fetching {purpose}: limit {limit} violated (got {found})"
                )
            }
            Self::Memory { asked, ceiling } => {
                write!(
                    f,
                    "allocate chunk bytes: pool exhausted: {asked} bytes beside what other requests hold of {ceiling}"
                )
            }
        }
    }
}

impl std::error::Error for Exceeded {}

/// What one request has taken and may still take. Clones are the same budget.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Shares>);

#[derive(Debug)]
struct Shares {
    limits: Limits,
    series: AtomicU64,
    chunks: AtomicU64,
    bytes: AtomicU64,
    reads: Mutex<Reads>,
    ceiling: Ceiling,
    /// Its place among the requests of the ceiling: older ones have lower numbers.
    number: u64,
}

impl Budget {
    /// A request that may take everything.
    pub fn unlimited() -> Self {
        Self::new(Limits::default(), &Ceiling::new(0))
    }

    /// A new request, under the ceiling of its process.
    pub fn new(limits: Limits, ceiling: &Ceiling) -> Self {
        let number = ceiling.state().new_number();
        let (series, chunks, bytes) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        let (reads, ceiling) = (Mutex::default(), ceiling.clone());
        Self(Arc::new(Shares { limits, series, chunks, bytes, reads, ceiling, number }))
    }

    /// Counts `count` series that matchers have found.
    ///
    /// # Errors
    /// If they are too many.
    pub fn take_series(&self, count: u64) -> Result<(), Exceeded> {
        let limit = self.0.limits.series;
        take(&self.0.series, count, limit).map_err(|found| Exceeded::Series { limit, found })
    }

    /// Counts `count` chunks that are going to be read.
    ///
    /// # Errors
    /// If they are too many.
    pub fn take_chunks(&self, count: u64) -> Result<(), Exceeded> {
        let samples = self.0.limits.samples;
        // Fewer samples than a chunk has are no limit, as in Thanos.
        let limit = samples / SAMPLES_PER_CHUNK;
        take(&self.0.chunks, count, limit).map_err(|found| Exceeded::Chunks { limit, found })
    }

    /// Counts `count` bytes that are going to be downloaded.
    ///
    /// # Errors
    /// If they are too many.
    pub fn take_bytes(&self, count: u64, purpose: Purpose) -> Result<(), Exceeded> {
        let limit = self.0.limits.bytes;
        take(&self.0.bytes, count, limit).map_err(|found| Exceeded::Bytes { purpose, limit, found })
    }

    /// Series, chunks and downloaded bytes that were counted so far.
    pub fn taken(&self) -> (u64, u64, u64) {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (count(&self.0.series), count(&self.0.chunks), count(&self.0.bytes))
    }

    /// What the request has read so far.
    pub fn reads(&self) -> Reads {
        *self.0.reads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what a step has read.
    pub(super) fn note(&self, purpose: Purpose, step: &ReadCount) {
        self.note_all(|reads| reads.of_mut(purpose).add(step));
    }

    /// Counts what is of no single purpose.
    pub(super) fn note_all(&self, add: impl FnOnce(&mut Reads)) {
        add(&mut self.0.reads.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Room for `bytes` bytes, to be given back by dropping what is returned. Waits for others to give theirs back. Giving up
    /// (dropping the future) is safe at any time.
    ///
    /// # Errors
    /// `Memory` if that much can never be had, or if this request would wait for ever.
    pub async fn hold(&self, bytes: u64) -> Result<Held, Exceeded> {
        let ceiling = &self.0.ceiling;
        let asked = ceiling.state().ask(self, bytes);
        let held = match asked {
            Asked::Granted => Some(self.held(bytes)),
            Asked::Refused => None,
            Asked::Waits(ticket, answer) => {
                let waiting = Waiting { budget: self, ticket };
                let answer = ceiling.wait_for(answer).await;
                drop(waiting);
                answer
            }
        };
        held.ok_or(Exceeded::Memory { asked: bytes, ceiling: ceiling.0.total })
    }

    fn held(&self, bytes: u64) -> Held {
        Held { budget: self.clone(), bytes, on_its_way: false }
    }
}

fn take(counter: &AtomicU64, count: u64, limit: u64) -> Result<(), u64> {
    let found = counter.fetch_add(count, Ordering::Relaxed).saturating_add(count);
    if limit != 0 && found > limit { Err(found) } else { Ok(()) }
}

/// A call that waits; when it ends without having been answered, its place in the queue goes.
struct Waiting<'a> {
    budget: &'a Budget,
    ticket: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let shares = &self.budget.0;
        shares.ceiling.state().leave(self.ticket);
    }
}

/// Room that a request holds. Dropping it gives it back.
#[derive(Debug)]
pub struct Held {
    budget: Budget,
    bytes: u64,
    on_its_way: bool,
}

impl Held {
    /// How much it is.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Gives back all but `bytes`.
    pub fn shrink(&mut self, bytes: u64) {
        let back = self.bytes.saturating_sub(bytes);
        self.give_back(back);
    }

    /// Takes `bytes` of it, or all there is, as room of its own.
    #[must_use]
    pub fn split(&mut self, bytes: u64) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self { budget: self.budget.clone(), bytes, on_its_way: self.on_its_way }
    }

    /// Says that what lies in it goes out as soon as the client takes it, and needs no more room for that.
    #[must_use]
    pub fn on_its_way(mut self) -> Self {
        if !self.on_its_way {
            self.on_its_way = true;
            let shares = &self.budget.0;
            shares.ceiling.state().send(shares.number, self.bytes);
        }
        self
    }

    fn give_back(&mut self, bytes: u64) {
        if bytes == 0 {
            return;
        }
        self.bytes -= bytes;
        let shares = &self.budget.0;
        shares.ceiling.state().give_back(shares.number, bytes, self.on_its_way);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.give_back(self.bytes);
    }
}

/// The bytes that all requests of a process may have in memory. Clones are the same ceiling.
#[derive(Clone)]
pub struct Ceiling(Arc<Room>);

struct Room {
    /// 0: no ceiling.
    total: u64,
    /// How long nothing must move before somebody is refused; `None`: not at all.
    patience: Option<(Arc<dyn Timer>, Duration)>,
    state: Mutex<State>,
}

impl fmt::Debug for Ceiling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ceiling({} of {} bytes)", self.used(), self.0.total)
    }
}

/// How full a ceiling is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Filling {
    /// Bytes that requests hold.
    pub used: u64,
    /// The most they ever held.
    pub peak: u64,
    /// Calls that wait for room.
    pub waiting: u64,
    /// Calls that were refused.
    pub refused: u64,
}

impl Ceiling {
    /// At most `total` bytes; 0 is no ceiling.
    pub fn new(total: u64) -> Self {
        Self::with(total, None)
    }

    /// As [`new`](Self::new), but when all wait for each other the youngest is refused only after nothing has moved for `patience`,
    /// twice as long at most.
    pub fn patient(total: u64, timer: Arc<dyn Timer>, patience: Duration) -> Self {
        Self::with(total, Some((timer, patience)))
    }

    fn with(total: u64, patience: Option<(Arc<dyn Timer>, Duration)>) -> Self {
        let state = State { total, is_patient: patience.is_some(), ..State::default() };
        Self(Arc::new(Room { total, patience, state: Mutex::new(state) }))
    }

    /// What a call that waits is told in the end. Now and then it looks whether anything moves.
    async fn wait_for(&self, mut answer: oneshot::Receiver<Option<Held>>) -> Option<Held> {
        let Some((timer, patience)) = &self.0.patience else { return answer.await.unwrap_or(None) };
        let mut seen = self.state().moves;
        loop {
            match select(answer, timer.wait(*patience)).await {
                Either::Left((told, _)) => return told.unwrap_or(None),
                Either::Right(((), still)) => answer = still,
            }
            let mut state = self.state();
            if std::mem::replace(&mut seen, state.moves) == state.moves {
                state.refuse_one();
            }
        }
    }

    /// The bound, in bytes; 0 is none.
    pub fn total(&self) -> u64 {
        self.0.total
    }

    /// Bytes that requests hold now.
    pub fn used(&self) -> u64 {
        self.state().used
    }

    /// How full it is.
    pub fn filling(&self) -> Filling {
        let state = self.state();
        let waiting = state.queue.len() as u64;
        Filling { used: state.used, peak: state.peak, waiting, refused: state.refused }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
struct State {
    total: u64,
    used: u64,
    peak: u64,
    refused: u64,
    next: u64,
    is_patient: bool,
    /// Rises whenever room is taken or given back, or somebody is refused.
    moves: u64,
    /// Requests that hold room, by age.
    holders: BTreeMap<u64, Share>,
    /// Calls that wait, by ticket: in the order in which they asked.
    queue: BTreeMap<u64, Call>,
}

#[derive(Default)]
struct Share {
    held: u64,
    on_its_way: u64,
}

struct Call {
    budget: Budget,
    bytes: u64,
    /// What is granted comes as what is held, so that it goes back by itself when the caller has given up meanwhile.
    answer: oneshot::Sender<Option<Held>>,
}

enum Asked {
    Granted,
    Refused,
    Waits(u64, oneshot::Receiver<Option<Held>>),
}

impl State {
    fn new_number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn fits(&self, bytes: u64) -> bool {
        self.total == 0 || bytes <= self.total.saturating_sub(self.used)
    }

    fn grant(&mut self, request: u64, bytes: u64) {
        self.moves += 1;
        self.used = self.used.saturating_add(bytes);
        self.peak = self.peak.max(self.used);
        if bytes > 0 {
            self.holders.entry(request).or_default().held += bytes;
        }
    }

    fn ask(&mut self, budget: &Budget, bytes: u64) -> Asked {
        if self.total != 0 && bytes > self.total {
            self.refused += 1;
            return Asked::Refused;
        }
        // Whoever holds nothing stands behind those who wait already.
        let request = budget.0.number;
        let ahead = self.queue.is_empty() || self.holders.contains_key(&request);
        if bytes == 0 || (ahead && self.fits(bytes)) {
            self.grant(request, bytes);
            return Asked::Granted;
        }
        let ticket = self.new_number();
        let (answer, waits) = oneshot::channel();
        self.queue.insert(ticket, Call { budget: budget.clone(), bytes, answer });
        self.settle();
        Asked::Waits(ticket, waits)
    }

    fn leave(&mut self, ticket: u64) {
        if self.queue.remove(&ticket).is_some() {
            self.settle();
        }
    }

    fn send(&mut self, request: u64, bytes: u64) {
        if let Some(share) = self.holders.get_mut(&request) {
            share.on_its_way += bytes;
        }
    }

    fn give_back(&mut self, request: u64, bytes: u64, on_its_way: bool) {
        if bytes > 0 {
            self.moves += 1;
            self.take_back(request, bytes, on_its_way);
            self.settle();
        }
    }

    fn take_back(&mut self, request: u64, bytes: u64, on_its_way: bool) {
        self.used = self.used.saturating_sub(bytes);
        let Some(share) = self.holders.get_mut(&request) else { return };
        share.held = share.held.saturating_sub(bytes);
        if on_its_way {
            share.on_its_way = share.on_its_way.saturating_sub(bytes);
        }
        if share.held == 0 {
            self.holders.remove(&request);
        }
    }

    /// Answers every call that can be answered now.
    fn settle(&mut self) {
        while let Some((ticket, fits)) = self.first() {
            if fits {
                self.answer(ticket, true);
            } else if self.is_patient || !self.refuse_one() {
                // Somebody will give room back, or whoever waits will look again.
                return;
            }
        }
    }

    /// If all who hold room wait for more, refuses the call of the youngest of them.
    fn refuse_one(&mut self) -> bool {
        let youngest = self.stuck();
        if let Some(youngest) = youngest {
            self.moves += 1;
            self.answer(youngest, false);
        }
        youngest.is_some()
    }

    /// The call whose turn it is, and whether there is room for it. New requests wait in line; of those that hold room already,
    /// one whose call fits is not kept waiting by another whose call does not.
    fn first(&self) -> Option<(u64, bool)> {
        let turn = |(ticket, call): &(&u64, &Call)| {
            let request = call.budget.0.number;
            if self.holders.contains_key(&request) {
                (false, !self.fits(call.bytes), request, **ticket)
            } else {
                (true, false, 0, **ticket)
            }
        };
        let (ticket, call) = self.queue.iter().min_by_key(turn)?;
        Some((*ticket, self.fits(call.bytes)))
    }

    /// If all who hold room wait for more, the call of the youngest of them.
    fn stuck(&self) -> Option<u64> {
        let mut youngest = None;
        for (request, share) in &self.holders {
            if share.on_its_way > 0 {
                return None;
            }
            let (ticket, _) = self.queue.iter().find(|(_, call)| call.budget.0.number == *request)?;
            youngest = Some(*ticket);
        }
        youngest
    }

    fn answer(&mut self, ticket: u64, granted: bool) {
        let Some(Call { budget, bytes, answer }) = self.queue.remove(&ticket) else { return };
        if !granted {
            self.refused += 1;
            // Whoever does not wait any more needs no answer.
            let _ = answer.send(None);
            return;
        }
        let request = budget.0.number;
        self.grant(request, bytes);
        if let Err(Some(mut unwanted)) = answer.send(Some(budget.held(bytes))) {
            // Not by dropping it: that would ask for the lock that is held here.
            unwanted.bytes = 0;
            self.take_back(request, bytes, false);
        }
    }
}
