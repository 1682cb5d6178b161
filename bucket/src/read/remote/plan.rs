//! Which postings lists are worth fetching, and which matchers are cheaper asked of the series that the others find.
//!
//! A list has four bytes for each of its series. Where it would take few series away from those that are left, or is huge beside them, it is
//! cheaper to read the entries of these, which have to be read anyway, and look at their labels. How many series each matcher passes is known
//! from the header. Pure.

use sarsen_block::{IndexHeader, Listed, Lists, METRIC_NAME, Matcher};

use crate::ranges::DEFAULT_GAP;

/// What is to be fetched for a set of matchers.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// No series passes.
    Nothing,
    /// These lists; what they leave is asked the rest.
    Fetch {
        /// By matcher. The series wanted are in one list of each; none: all series.
        wanted: Vec<(usize, Lists)>,
        /// By matcher. The series wanted are in none of them.
        unwanted: Vec<(usize, Lists)>,
        /// The matchers that series have to be asked.
        ask: Vec<usize>,
        /// Bytes of the lists that are not fetched for that.
        spared: u64,
    },
}

/// How the entries of series lie.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spread {
    pub(super) num_series: u64,
    /// Bytes of all entries together.
    pub(super) bytes: u64,
}

impl Spread {
    pub(super) fn of(header: &IndexHeader) -> Self {
        let bytes = header.series_end().saturating_sub(header.toc().series);
        Self { num_series: header.num_series().max(1), bytes }
    }

    /// What reading `count` entries costs, in bytes; a request counts like the gap that is read over to save one. Series of one metric stand
    /// together, others anywhere.
    fn cost(self, count: u64, together: bool) -> u64 {
        let content = u128::from(self.bytes) * u128::from(count) / u128::from(self.num_series);
        let content = u64::try_from(content).unwrap_or(u64::MAX);
        if together {
            return content;
        }
        count.saturating_sub(1).saturating_mul(DEFAULT_GAP).min(self.bytes).max(content)
    }

    /// How much of `cost` is saved if only `left` in all series are left.
    fn saved(self, cost: u64, left: u64) -> u64 {
        let gone = u128::from(self.num_series.saturating_sub(left));
        u64::try_from(u128::from(cost) * gone / u128::from(self.num_series)).unwrap_or(u64::MAX)
    }
}

/// Decides for `matchers`, of which the header said what is in `listed`.
pub(super) fn plan(matchers: &[Matcher], listed: Vec<Listed>, spread: Spread) -> Plan {
    let (mut unions, mut withouts) = (Vec::new(), Vec::new());
    for (number, listed) in listed.into_iter().enumerate() {
        match listed {
            Listed::Every => {}
            Listed::None => return Plan::Nothing,
            Listed::Union(lists) => unions.push((number, lists)),
            Listed::Without(lists) => withouts.push((number, lists)),
        }
    }
    let is_metric = |number: usize| matchers.get(number).is_some_and(|matcher| matcher.name() == METRIC_NAME);
    unions.sort_by_key(|(_, lists)| lists.numbers);
    // Behind the smallest comes the metric: with it what is left stands together, which no other label can say.
    if let Some(rest) = unions.get_mut(1..) {
        rest.sort_by_key(|(number, _)| !is_metric(*number));
    }
    let (mut wanted, mut unwanted, mut ask): (Vec<(usize, Lists)>, Vec<_>, Vec<usize>) = Default::default();
    let (mut left, mut together, mut spared) = (spread.num_series, true, 0);
    for (number, lists) in unions {
        let is_metric = is_metric(number);
        let cost = spread.cost(left, together);
        if wanted.is_empty() || lists.size() < spread.saved(cost, lists.numbers) {
            let share = u128::from(left) * u128::from(lists.numbers) / u128::from(spread.num_series);
            together = if wanted.is_empty() { is_metric } else { together || is_metric };
            left =
                if wanted.is_empty() { lists.numbers } else { u64::try_from(share).unwrap_or(left).max(1) };
            wanted.push((number, lists));
        } else {
            spared += lists.size();
            ask.push(number);
        }
    }
    for (number, lists) in withouts {
        let rest = spread.num_series.saturating_sub(lists.numbers);
        if lists.size() < spread.saved(spread.cost(left, together), rest) {
            unwanted.push((number, lists));
        } else {
            spared += lists.size();
            ask.push(number);
        }
    }
    ask.sort_unstable();
    Plan::Fetch { wanted, unwanted, ask, spared }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sarsen_block::ListRun;

    /// 2 M series of 150 bytes.
    const SPREAD: Spread = Spread { num_series: 2_000_000, bytes: 300_000_000 };

    fn lists(numbers: u64) -> Lists {
        Lists { runs: Vec::from([ListRun { range: 0..12 + 4 * numbers, lists: 1 }]), numbers }
    }

    fn planned(asked: &[(&str, Listed)]) -> (Vec<usize>, Vec<usize>, Vec<usize>) {
        let matchers: Vec<Matcher> = asked.iter().map(|(name, _)| Matcher::equal(name, "x")).collect();
        let listed = asked.iter().map(|(_, listed)| listed.clone()).collect();
        let numbers = |lists: Vec<(usize, Lists)>| lists.into_iter().map(|(number, _)| number).collect();
        match plan(&matchers, listed, SPREAD) {
            Plan::Nothing => panic!("something is wanted"),
            Plan::Fetch { wanted, unwanted, ask, .. } => (numbers(wanted), numbers(unwanted), ask),
        }
    }

    #[test]
    fn the_smallest_list_and_what_is_worth_it() {
        let union = |numbers| Listed::Union(lists(numbers));
        let without = |numbers| Listed::Without(lists(numbers));
        // One pod's series lie anywhere; with the metric there is about one. The job says nothing more.
        let pod = [("__name__", union(5000)), ("job", union(200_000)), ("pod", union(50))];
        assert_eq!(planned(&pod), (vec![2, 0], vec![], vec![1]));
        // Nor does the job if its list is the shorter one.
        let pod = [("__name__", union(700_000)), ("job", union(200_000)), ("pod", union(50))];
        assert_eq!(planned(&pod), (vec![2, 0], vec![], vec![1]));
        // A metric's series lie together: a list that hardly thins them out is not worth its bytes.
        let metric = [("__name__", union(5000)), ("pod", union(1_800_000)), ("job", without(200_000))];
        assert_eq!(planned(&metric), (vec![0], vec![], vec![1, 2]));
        // Taking a tenth from all series is.
        assert_eq!(planned(&[("job", without(200_000))]), (vec![], vec![0], vec![]));
        assert_eq!(planned(&[("job", Listed::Every)]), (vec![], vec![], vec![]));
        let none = plan(&[Matcher::equal("a", "x")], Vec::from([Listed::None]), SPREAD);
        assert_eq!(none, Plan::Nothing);
    }
}
