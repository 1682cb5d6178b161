//! Waiting without a thread: a commit leaves word, and whoever comes back from the disk passes it on.
//!
//! Notes lie behind the lock of the line, because a leader looks for them after it has told how far it came: a note is
//! either seen by that look, or sees the progress itself. They are called without any lock held. A [`Lead`] is the duty to
//! go to the disk for those who left notes; there is at most one for a log.

use std::sync::Arc;

use crate::error::Error;
use crate::writer::{Leader, Pending, Shared};

/// What is called when a commit is on disk, or will never be.
pub(crate) type Done = Box<dyn FnOnce(Result<(), Error>) + Send>;

/// Those who wait without a thread.
#[derive(Default)]
pub(crate) struct Notes {
    notes: Vec<Note>,
    /// Somebody has the duty to lead for them.
    led: bool,
}

struct Note {
    count: u64,
    done: Done,
}

impl std::fmt::Debug for Notes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notes").field("waiting", &self.notes.len()).field("led", &self.led).finish()
    }
}

impl Notes {
    /// Takes out what is settled when the log has come to `reached`, or all if it has failed; and whether each of them
    /// made it to the disk.
    pub(crate) fn settled(&mut self, reached: u64, failed: bool) -> Vec<(Done, bool)> {
        let settled = self.notes.extract_if(.., |note| failed || note.count <= reached);
        settled.map(|note| (note.done, note.count <= reached)).collect()
    }
}

/// The duty to bring a log to disk for those who wait without a thread: see [`Pending::on_done`].
///
/// A duty that is dropped is nobody's until the next commit: those who wait go on waiting.
#[derive(Debug)]
#[must_use = "somebody has to bring the log to disk"]
pub struct Lead {
    /// Not there once the duty has been passed on.
    shared: Option<Arc<Shared>>,
}

impl Pending {
    /// Calls `done` when [`wait`](Self::wait) would return, with what it would return. That may be at once; else it is on
    /// the thread of whoever brings the log to disk, so `done` must be quick and must not wait.
    ///
    /// If nobody has the duty to do that yet, it comes back and is the caller's: call [`Lead::run`] soon, on a thread that
    /// may block.
    pub fn on_done(self, done: impl FnOnce(Result<(), Error>) + Send + 'static) -> Option<Lead> {
        let Self { shared, count, .. } = self;
        let need = shared.need();
        let mut line = shared.line.lock();
        // Progress is told before a leader takes the lock to look for notes: what is not seen here will see this note.
        let outcome =
            if shared.reached(count, need) { Ok(true) } else { shared.latch.check().map(|()| false) };
        if let Ok(false) = outcome {
            line.notes.notes.push(Note { count, done: Box::new(done) });
            let is_led = std::mem::replace(&mut line.notes.led, true);
            drop(line);
            // Not `then_some`: a duty that is made and dropped would be given up.
            return (!is_led).then(|| Lead { shared: Some(shared) });
        }
        drop(line);
        done(outcome.map(drop).map_err(Error::from));
        None
    }
}

impl Lead {
    /// Writes and syncs what is buffered, once, and calls those whose commits are then on disk. Gives the duty back if by
    /// then others wait: run it again, now or after other logs have had their turn.
    pub fn run(mut self) -> Option<Self> {
        let shared = self.shared.take()?;
        let mut line = shared.line.lock();
        let output = loop {
            if line.notes.notes.is_empty() {
                line.notes.led = false;
                return None;
            }
            match line.output.take() {
                Some(output) => break output,
                None => shared.turn.wait(&mut line),
            }
        };
        drop(line);
        let mut leader = Leader::new(&shared, output);
        // A failure closes the latch, of which those who wait are told like everybody else.
        let _ = leader.lead(shared.need());
        drop(leader);
        let mut line = shared.line.lock();
        line.notes.led = !line.notes.notes.is_empty();
        let goes_on = line.notes.led;
        drop(line);
        goes_on.then(|| Self { shared: Some(shared) })
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        if let Some(shared) = &self.shared {
            shared.line.lock().notes.led = false;
        }
    }
}
