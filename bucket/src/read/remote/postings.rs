//! The numbers of the series that a set of matchers finds, and what is still to be asked of them.

use std::ops::Range;

use bytes::Bytes;
use sarsen_block::{EncodedWalk, Lists, Matcher, SeriesNo, join_postings};

use super::super::ReadCount;
use super::plan::{Plan, Spread, plan};
use super::{Budget, Purpose, RemoteBlock};
use crate::error::Error;

/// Series that may be the wanted ones.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) series: Vec<SeriesNo>,
    /// The matchers that each of them has to be asked.
    pub(super) ask: Vec<usize>,
}

/// The lists of one matcher that are fetched together.
struct Wanted<'a> {
    lists: &'a Lists,
    /// Name and value, if it is the list of a single value.
    label: Option<(&'a [u8], &'a [u8])>,
}

impl<'a> Wanted<'a> {
    fn new(matchers: &'a [Matcher], (number, lists): &'a (usize, Lists)) -> Self {
        let only = lists.runs.len() == 1 && lists.runs.iter().all(|run| run.lists == 1);
        let literals = matchers.get(*number).and_then(|m| Some((m.name(), m.literals()?)));
        let label = match literals {
            Some((name, [value])) if only => Some((name, &**value)),
            _ => None,
        };
        Self { lists, label }
    }

    fn num_lists(&self) -> u64 {
        self.lists.runs.iter().map(|run| run.lists as u64).sum()
    }
}

impl RemoteBlock {
    /// Finds the series that `matchers` accept, or a few more that are to be asked some of them.
    pub(super) async fn find(&self, matchers: &[Matcher], budget: &Budget) -> Result<Found, Error> {
        // What was found before says more than any list, and no value has to be looked at again.
        if let Some(cache) = self.0.shared.cache.as_ref().filter(|_| !matchers.is_empty())
            && let Some(kept) = cache.expanded(self.id(), matchers).await
            && let Some(series) = decode(&kept)
        {
            let (touched, touched_bytes) = (1, kept.len() as u64);
            budget.note(Purpose::Postings, &ReadCount { touched, touched_bytes, ..ReadCount::default() });
            return Ok(Found { series, ask: Vec::new() });
        }
        let header = self.header();
        let listed = matchers.iter().map(|matcher| header.lists_of(matcher));
        let listed = listed.collect::<Result<Vec<_>, _>>().map_err(self.damage())?;
        let Plan::Fetch { mut wanted, unwanted, ask, spared } = plan(matchers, listed, Spread::of(header))
        else {
            return Ok(Found::default());
        };
        if wanted.is_empty() {
            // No matcher has this number, so this list has no label.
            wanted.push((usize::MAX, header.all_series()));
        }
        let all: Vec<Wanted<'_>> =
            wanted.iter().chain(&unwanted).map(|own| Wanted::new(matchers, own)).collect();
        let (mut walks, _held) = self.walks(&all, budget).await?;
        let unwanted_walks = walks.split_off(wanted.len()).into_iter().flatten().collect();
        let series = join_postings(walks, unwanted_walks);
        let found = Found { series, ask };
        if found.ask.is_empty() {
            self.keep_found(matchers, &found.series);
        } else {
            budget.note_all(|reads| {
                reads.spared += 1;
                reads.spared_bytes += spared;
            });
        }
        Ok(found)
    }

    /// Keeps what a set of matchers was found to select.
    pub(super) fn keep_found(&self, matchers: &[Matcher], series: &[SeriesNo]) {
        if let Some(cache) = &self.0.shared.cache
            && !matchers.is_empty()
        {
            let bytes: Vec<u8> = series.iter().flat_map(|no| no.0.to_be_bytes()).collect();
            cache.put_expanded(self.id(), matchers, &bytes);
        }
    }

    /// Fetches lists, each checked, and the room that they take.
    async fn walks(
        &self,
        wanted: &[Wanted<'_>],
        budget: &Budget,
    ) -> Result<(Vec<Vec<EncodedWalk>>, super::super::Held), Error> {
        let began = self.0.shared.bucket.elapsed();
        let mut kept: Vec<Option<Bytes>> = vec![None; wanted.len()];
        if let Some(cache) = &self.0.shared.cache {
            let (places, labels): (Vec<usize>, Vec<_>) =
                wanted.iter().enumerate().filter_map(|(at, own)| Some((at, own.label?))).unzip();
            for (at, found) in places.into_iter().zip(cache.postings(self.id(), &labels).await) {
                if let Some(slot) = kept.get_mut(at) {
                    *slot = found;
                }
            }
        }
        let missing = wanted.iter().zip(&kept).filter(|(_, kept)| kept.is_none());
        let ranges: Vec<Range<u64>> =
            missing.flat_map(|(own, _)| own.lists.runs.iter().map(|run| run.range.clone())).collect();
        let (fetched, held) = self.index_stretches(&ranges, Purpose::Postings, budget).await?;
        let touched: u64 = wanted.iter().map(Wanted::num_lists).sum();
        // What is kept is one list each.
        let fetched_lists = kept.iter().flatten().fold(touched, |left, _| left.saturating_sub(1));
        let step = ReadCount {
            touched,
            touched_bytes: wanted.iter().map(|own| own.lists.size()).sum(),
            fetched: fetched_lists,
            fetched_bytes: fetched.size(),
            took: self.0.shared.bucket.elapsed().saturating_sub(began),
            ..ReadCount::default()
        };
        budget.note(Purpose::Postings, &step);
        let mut walks = Vec::with_capacity(wanted.len());
        for (own, kept) in wanted.iter().zip(kept) {
            let mut lists = Vec::new();
            for run in &own.lists.runs {
                let bytes = match &kept {
                    Some(kept) => kept.clone(),
                    None => self.cut(&fetched, &run.range)?,
                };
                let read =
                    EncodedWalk::read_run(&bytes, run.range.start, run.lists).map_err(self.damage())?;
                if let (Some(cache), Some(label), None) = (&self.0.shared.cache, own.label, &kept) {
                    cache.put_postings(self.id(), label, &bytes);
                }
                lists.extend(read);
            }
            walks.push(lists);
        }
        Ok((walks, held))
    }
}

/// Series numbers as they are kept.
fn decode(bytes: &[u8]) -> Option<Vec<SeriesNo>> {
    let (numbers, rest) = bytes.as_chunks::<4>();
    rest.is_empty().then(|| numbers.iter().map(|number| SeriesNo(u32::from_be_bytes(*number))).collect())
}
