//! Sets of steps as words of bits.

use super::column::{Column, Presence};

/// A set of steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    /// None of so many steps.
    pub(super) fn none(steps: usize) -> Self {
        Self(vec![0; steps.div_ceil(64)])
    }

    /// The steps at which a column holds something.
    pub(super) fn of(column: &Column, steps: usize) -> Self {
        let mut bits = match &column.present {
            _ if column.floats.is_empty() => Self::none(steps),
            Presence::All => Self::all(steps),
            Presence::Some(words) => Self(words.to_vec()),
        };
        for (step, _) in &column.histograms {
            bits.set(*step as usize);
        }
        bits
    }

    fn all(steps: usize) -> Self {
        let mut words = vec![u64::MAX; steps.div_ceil(64)];
        if let Some(last) = words.last_mut()
            && !steps.is_multiple_of(64)
        {
            *last = (1 << (steps % 64)) - 1;
        }
        Self(words)
    }

    pub(super) fn has(&self, step: usize) -> bool {
        self.0.get(step / 64).is_some_and(|word| word >> (step % 64) & 1 == 1)
    }

    pub(super) fn set(&mut self, step: usize) {
        if let Some(word) = self.0.get_mut(step / 64) {
            *word |= 1 << (step % 64);
        }
    }

    /// Steps of either.
    pub(super) fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(mine, theirs)| *mine |= theirs);
    }

    /// Steps of both.
    pub(super) fn and(mut self, other: &Self) -> Self {
        self.0.iter_mut().zip(&other.0).for_each(|(mine, theirs)| *mine &= theirs);
        self
    }

    /// Steps of this one that are not in the other.
    pub(super) fn without(mut self, other: &Self) -> Self {
        self.0.iter_mut().zip(&other.0).for_each(|(mine, theirs)| *mine &= !theirs);
        self
    }

    /// The first step.
    pub(super) fn first(&self) -> Option<usize> {
        let at = self.0.iter().position(|word| *word != 0)?;
        self.0.get(at).map(|word| at * 64 + word.trailing_zeros() as usize)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// The steps.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(at, &word)| {
            let mut rest = word;
            std::iter::from_fn(move || {
                let bit = rest.trailing_zeros() as usize;
                rest &= rest.checked_sub(1)?;
                Some(at * 64 + bit)
            })
        })
    }

    /// As the presence of a column's numbers.
    pub(super) fn presence(self, steps: usize) -> Presence {
        if self == Self::all(steps) { Presence::All } else { Presence::Some(self.0.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_hold_what_was_put_in() {
        for steps in [1usize, 63, 64, 65, 200] {
            let mut bits = Bits::none(steps);
            let wanted: Vec<usize> = (0..steps).filter(|step| step % 7 == 0).collect();
            wanted.iter().for_each(|step| bits.set(*step));
            assert_eq!(bits.iter().collect::<Vec<_>>(), wanted);
            assert_eq!(bits.first(), Some(0));
            let rest = Bits::all(steps).without(&bits);
            assert!((0..steps).all(|step| rest.has(step) != bits.has(step)));
            assert!(rest.clone().and(&bits).is_empty());
            assert_eq!(bits.clone().presence(steps) == Presence::All, steps == 1);
            bits.add(&rest);
            assert_eq!(bits.presence(steps), Presence::All);
        }
    }
}
