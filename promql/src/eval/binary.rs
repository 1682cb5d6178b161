//! Operators between two vectors.
//!
//! Series of both sides get the number of their match group once, from the labels they are matched by. Then each pair of series is computed over
//! all steps at once: nothing is looked up per step. Where pairs collide, the earliest step decides which error Prometheus would have met first.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use sarsen_block::{Labels, LabelsRef, METRIC_NAME};

use super::bits::Bits;
use super::column::{Cell, Column, ColumnBuilder, Grid};
use super::evaluator::Evaluator;
use super::merge::{Clash, has_same_labels, same_labels};
use super::names::{filtered, put_filtered, with, without_name};
use super::operator::{Operator, arithmetic, compare};
use super::pipeline::same_labelset;
use crate::ast::{BinaryOp, Cardinality, Matching, SetOp};
use crate::plan::{BinaryNode, Node};
use crate::{Annotations, Error};

type FastMap<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// What an operator makes of two vectors.
pub(super) fn join(
    node: &Node,
    binary: &BinaryNode,
    (left, right): (Vec<Column>, Vec<Column>),
    grid: Grid,
    evaluator: &mut Evaluator<'_>,
) -> Result<Vec<Column>, Error> {
    let matching = binary.matching.clone().unwrap_or_default();
    let mut groups = MatchGroups::default();
    let left_groups = groups.numbers(&left, &matching);
    let right_groups = groups.numbers(&right, &matching);
    let (left, right) =
        (Side { columns: left, groups: left_groups }, Side { columns: right, groups: right_groups });
    let steps = grid.steps();
    let columns = if let BinaryOp::Set(op) = binary.op {
        set(op, left, right, groups.len(), steps)
    } else {
        let join = Join {
            operator: Operator { op: binary.op, place: node.place },
            matching: &matching,
            return_bool: binary.return_bool,
            delayed: evaluator.delayed(),
            steps,
        };
        join.run(left, right, groups.len(), evaluator)?
    };
    if !grid.is_instant() {
        return same_labels(columns, steps, Clash::Any);
    }
    if !evaluator.delayed() && has_same_labels(&columns) {
        return Err(same_labelset());
    }
    Ok(columns)
}

/// Numbers of match groups, by the labels that are matched.
#[derive(Debug, Default)]
struct MatchGroups {
    numbers: FastMap<Vec<u8>, usize>,
    key: Vec<u8>,
}

impl MatchGroups {
    fn numbers(&mut self, columns: &[Column], matching: &Matching) -> Vec<usize> {
        let mut numbers = Vec::with_capacity(columns.len());
        for column in columns {
            self.key.clear();
            put_filtered(&mut self.key, column.labels.as_ref().as_ref(), |name| is_matched(matching, name));
            let next = self.numbers.len();
            numbers.push(*self.numbers.entry_ref(self.key.as_slice()).or_insert(next));
        }
        numbers
    }

    fn len(&self) -> usize {
        self.numbers.len()
    }
}

fn is_matched(matching: &Matching, name: &[u8]) -> bool {
    let listed = matching.labels.iter().any(|other| other == name);
    if matching.on { listed } else { !listed && name != METRIC_NAME }
}

/// An operand with the match groups of its series.
struct Side {
    columns: Vec<Column>,
    groups: Vec<usize>,
}

impl Side {
    /// The steps at which each group has a series.
    fn present(&self, groups: usize, steps: usize) -> Vec<Option<Bits>> {
        let mut present: Vec<Option<Bits>> = vec![None; groups];
        for (column, group) in self.columns.iter().zip(&self.groups) {
            if let Some(bits) = present.get_mut(*group) {
                bits.get_or_insert_with(|| Bits::none(steps)).add(&Bits::of(column, steps));
            }
        }
        present
    }

    /// The series of each group.
    fn members(&self, groups: usize) -> Vec<Vec<usize>> {
        let mut members = vec![Vec::new(); groups];
        for (at, group) in self.groups.iter().enumerate() {
            if let Some(list) = members.get_mut(*group) {
                list.push(at);
            }
        }
        members
    }
}

/// `and`, `or`, `unless`.
fn set(op: SetOp, left: Side, right: Side, groups: usize, steps: usize) -> Vec<Column> {
    let (masked, others, wanted) = match op {
        SetOp::And => (left, right.present(groups, steps), true),
        SetOp::Unless => (left, right.present(groups, steps), false),
        SetOp::Or => {
            let there = left.present(groups, steps);
            let mut columns = left.columns;
            columns.extend(mask(right, &there, false, steps));
            return columns;
        }
    };
    mask(masked, &others, wanted, steps)
}

/// What is left of series at the steps at which their group is, or is not, on the other side.
fn mask(side: Side, others: &[Option<Bits>], wanted: bool, steps: usize) -> Vec<Column> {
    let kept = side.columns.into_iter().zip(side.groups).filter_map(|(column, group)| {
        let own = Bits::of(&column, steps);
        let bits = match others.get(group).and_then(Option::as_ref) {
            Some(other) if wanted => own.clone().and(other),
            Some(other) => own.clone().without(other),
            None if wanted => return None,
            None => return Some(column),
        };
        if bits == own { Some(column) } else { masked(column, bits, steps) }
    });
    kept.collect()
}

fn masked(mut column: Column, bits: Bits, steps: usize) -> Option<Column> {
    column.histograms.retain(|(step, _)| bits.has(*step as usize));
    let mut floats = bits;
    if column.floats.is_empty() || !floats.iter().any(|step| column.has_float(step)) {
        column.floats = Vec::new();
    } else {
        if !column.histograms.is_empty() {
            let numbers = Bits::of(&Column { histograms: Vec::new(), ..column.clone() }, steps);
            floats = floats.and(&numbers);
        }
        column.present = floats.presence(steps);
    }
    (!column.is_empty()).then_some(column)
}

/// An operator between series that find each other.
struct Join<'a> {
    operator: Operator,
    matching: &'a Matching,
    return_bool: bool,
    delayed: bool,
    steps: usize,
}

/// What one pair of series makes: the steps at which both were there, and what came of it.
struct Piece {
    /// Its place in the order of results.
    order: usize,
    column: Column,
}

/// An error that Prometheus meets at a step: the earliest counts, and of these that which it looks for first.
#[derive(Default)]
struct FirstError {
    found: Option<((usize, usize, usize), Error)>,
}

impl FirstError {
    fn meet(&mut self, at: (usize, usize, usize), error: impl FnOnce() -> Error) {
        if self.found.as_ref().is_none_or(|(first, _)| at < *first) {
            self.found = Some((at, error()));
        }
    }
}

impl Join<'_> {
    fn run(
        &self,
        left: Side,
        right: Side,
        groups: usize,
        evaluator: &mut Evaluator<'_>,
    ) -> Result<Vec<Column>, Error> {
        let (many, one) = match self.matching.cardinality {
            Cardinality::OneToMany => (right, left),
            _ => (left, right),
        };
        let (manys, ones) = (many.members(groups), one.members(groups));
        let mut error = FirstError::default();
        self.refuse_duplicates(&many, &one, &ones, &mut error);
        let mut pieces = Vec::new();
        let mut notes = LastNotes::default();
        for (at, (manys, ones)) in manys.iter().zip(&ones).enumerate() {
            if at % 1024 == 0 {
                evaluator.budget.check()?;
            }
            let group = Group { many: &many.columns, one: &one.columns, manys, ones };
            self.group(&group, &mut pieces, (&mut error, &mut notes));
        }
        if let Some((_, error)) = error.found {
            return Err(error);
        }
        evaluator.note(notes.finish());
        pieces.sort_by_key(|piece: &Piece| piece.order);
        Ok(pieces.into_iter().map(|piece| piece.column).collect())
    }

    const fn fills(&self) -> bool {
        self.matching.fill_left.is_some() || self.matching.fill_right.is_some()
    }

    /// Two series of the side of which there may be one, in one group at one step.
    fn refuse_duplicates(&self, many: &Side, one: &Side, ones: &[Vec<usize>], error: &mut FirstError) {
        let mut live = None;
        for list in ones.iter().filter(|list| list.len() > 1) {
            // Without a series on the other side nothing is looked at.
            let live = live.get_or_insert_with(|| {
                let mut live = Bits::none(self.steps);
                many.columns.iter().for_each(|column| live.add(&Bits::of(column, self.steps)));
                live
            });
            let mut seen = Bits::none(self.steps);
            for &at in list {
                let Some(column) = one.columns.get(at) else { continue };
                let own = Bits::of(column, self.steps);
                let mut both = own.clone().and(&seen);
                if !self.fills() {
                    both = both.and(live);
                }
                if let Some(step) = both.first() {
                    error.meet((step, 0, at), || self.duplicate(one, list, (step, at)));
                }
                seen.add(&own);
            }
        }
    }

    fn duplicate(&self, one: &Side, list: &[usize], (step, at): (usize, usize)) -> Error {
        let text = |at: usize| {
            one.columns.get(at).map(|column| column.labels.as_ref().as_ref().to_string()).unwrap_or_default()
        };
        let there =
            |other: &&usize| one.columns.get(**other).is_some_and(|column| column.cell(step).is_some());
        let first = list.iter().filter(|other| **other < at).find(there).copied().unwrap_or(at);
        let mut texts = [text(at), text(first)];
        texts.sort();
        let group = one.columns.get(at).map(|column| self.match_labels(column)).unwrap_or_default();
        let side = if self.matching.cardinality == Cardinality::OneToMany { "left" } else { "right" };
        Error::Execution(format!(
            "found duplicate series for the match group {} on the {side} hand-side of the operation: [{}];many-to-many matching not \
             allowed: matching labels must be unique on one side",
            group.as_ref(),
            texts.join(", ")
        ))
    }

    /// The labels by which a series is matched.
    fn match_labels(&self, column: &Column) -> Labels {
        filtered(column.labels.as_ref().as_ref(), |name| is_matched(self.matching, name))
    }

    /// All pairs of a match group.
    fn group(
        &self,
        group: &Group<'_>,
        pieces: &mut Vec<Piece>,
        (error, notes): (&mut FirstError, &mut LastNotes),
    ) {
        let mut matched = Matched::new(self.matching.cardinality == Cardinality::OneToOne);
        let mut one_there = Bits::none(self.steps);
        for &at in group.ones {
            if let Some(column) = group.one.get(at) {
                one_there.add(&Bits::of(column, self.steps));
            }
        }
        for &at in group.manys {
            let Some(many) = group.many.get(at) else { continue };
            let there = Bits::of(many, self.steps);
            for &other in group.ones {
                let Some(one) = group.one.get(other) else { continue };
                let steps = there.clone().and(&Bits::of(one, self.steps));
                let pair = Pair { many: Operand::Column(many), one: Operand::Column(one) };
                self.pair(&pair, steps, at, (&mut matched, pieces), (error, notes));
            }
            if let Some(fill) = self.matching.fill_right {
                let labels = Arc::new(self.match_labels(many));
                let pair = Pair { many: Operand::Column(many), one: Operand::Fill(fill, labels) };
                let steps = there.without(&one_there);
                self.pair(&pair, steps, at, (&mut matched, pieces), (error, notes));
            }
        }
        if let Some(fill) = self.matching.fill_left {
            for &at in group.ones {
                let Some(one) = group.one.get(at) else { continue };
                let labels = Arc::new(self.match_labels(one));
                let steps = Bits::of(one, self.steps).without(&matched.any(self.steps));
                let pair = Pair { many: Operand::Fill(fill, labels), one: Operand::Column(one) };
                let order = group.many.len() + at;
                self.pair(&pair, steps, order, (&mut matched, pieces), (error, notes));
            }
        }
    }

    /// One pair over the steps at which both are there.
    fn pair(
        &self,
        pair: &Pair<'_>,
        mut steps: Bits,
        order: usize,
        (matched, pieces): (&mut Matched, &mut Vec<Piece>),
        (error, notes): (&mut FirstError, &mut LastNotes),
    ) {
        if steps.is_empty() {
            return;
        }
        let labels = self.result_labels(pair);
        let column = match self.numbers(pair, &steps) {
            Some(column) => column,
            None => self.cells(pair, &mut steps, (order, notes)),
        };
        if let Some(step) = matched.take(&labels, &steps) {
            let what = if self.matching.cardinality == Cardinality::OneToOne {
                "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
            } else {
                "multiple matches for labels: grouping labels must ensure unique matches"
            };
            error.meet((step, 1, order), || Error::Execution(what.into()));
        }
        if !column.is_empty() {
            let column = Column { labels, drop_name: self.return_bool, ..column };
            pieces.push(Piece { order, column });
        }
    }

    /// The labels of the result of a pair.
    fn result_labels(&self, pair: &Pair<'_>) -> Arc<Labels> {
        let labels = pair.many.labels();
        let drops = self.operator.changes_schema() || (self.return_bool && !self.delayed);
        let mut result = if drops { without_name(labels) } else { labels.to_owned() };
        if self.matching.cardinality == Cardinality::OneToOne {
            let listed = |name: &[u8]| self.matching.labels.iter().any(|other| other == name);
            result = filtered(result.as_ref(), |name| listed(name) == self.matching.on);
        }
        for name in &self.matching.include {
            result = with(result.as_ref(), name, pair.one.labels().get(name).unwrap_or_default());
        }
        Arc::new(result)
    }

    /// Left and right as they stand in the query.
    fn sides<'p>(&self, pair: &'p Pair<'_>) -> (&'p Operand<'p>, &'p Operand<'p>) {
        match self.matching.cardinality {
            Cardinality::OneToMany => (&pair.one, &pair.many),
            _ => (&pair.many, &pair.one),
        }
    }

    /// The result if there are only numbers.
    fn numbers(&self, pair: &Pair<'_>, steps: &Bits) -> Option<Column> {
        let (left, right) = self.sides(pair);
        let (mut floats, right) = (left.floats(self.steps)?, right.floats(self.steps)?);
        let mut present = steps.clone();
        match self.operator.op {
            BinaryOp::Arithmetic(op) => {
                let function = arithmetic(op);
                for (value, other) in floats.iter_mut().zip(right.iter()) {
                    *value = function(*value, *other);
                }
            }
            BinaryOp::Compare(op) => {
                let function = compare(op);
                if self.return_bool {
                    for (value, other) in floats.iter_mut().zip(right.iter()) {
                        *value = f64::from(u8::from(function(*value, *other)));
                    }
                } else {
                    let mut kept = Bits::none(self.steps);
                    for (step, (value, other)) in floats.iter().zip(right.iter()).enumerate() {
                        if function(*value, *other) {
                            kept.set(step);
                        }
                    }
                    present = present.and(&kept);
                }
            }
            _ => return None,
        }
        if present.is_empty() {
            floats.clear();
        }
        Some(Column {
            labels: Arc::default(),
            drop_name: false,
            floats,
            present: present.presence(self.steps),
            histograms: Vec::new(),
        })
    }

    /// The result step by step; steps at which the two do not go together are taken out of `steps`.
    fn cells(&self, pair: &Pair<'_>, steps: &mut Bits, (order, notes): (usize, &mut LastNotes)) -> Column {
        let (left, right) = self.sides(pair);
        let mut column = ColumnBuilder::new(self.steps);
        let mut done = Bits::none(self.steps);
        for step in steps.iter() {
            let (Some(a), Some(b)) = (left.cell(step), right.cell(step)) else { continue };
            let mut told = Annotations::default();
            let outcome = self.operator.apply(a, b, &mut told);
            notes.tell((step, order), told);
            let Some(outcome) = outcome else { continue };
            done.set(step);
            if self.return_bool {
                column.float(step, f64::from(u8::from(outcome.holds)));
            } else if outcome.holds {
                column.cell(step, outcome.value.cell());
            }
        }
        *steps = done;
        column.finish(Arc::default(), false)
    }
}

/// What was noted: of each step only what the last pair of series gave rise to, as Prometheus has it.
#[derive(Default)]
struct LastNotes {
    steps: BTreeMap<usize, (usize, Annotations)>,
}

impl LastNotes {
    /// What a pair gave rise to; pairs of a step come one after the other by `order`.
    fn tell(&mut self, (step, order): (usize, usize), told: Annotations) {
        if !told.is_empty() && self.steps.get(&step).is_none_or(|(other, _)| *other <= order) {
            self.steps.insert(step, (order, told));
        }
    }

    fn finish(self) -> Annotations {
        let mut all = Annotations::default();
        self.steps.into_values().for_each(|(_, told)| all.merge(told));
        all
    }
}

/// The series of one match group on both sides.
struct Group<'a> {
    many: &'a [Column],
    one: &'a [Column],
    manys: &'a [usize],
    ones: &'a [usize],
}

/// Two operands that met.
struct Pair<'a> {
    many: Operand<'a>,
    one: Operand<'a>,
}

enum Operand<'a> {
    Column(&'a Column),
    /// A number in place of a series that is missing, with the labels of the match.
    Fill(f64, Arc<Labels>),
}

impl Operand<'_> {
    fn labels(&self) -> LabelsRef<'_> {
        match self {
            Self::Column(column) => column.labels.as_ref().as_ref(),
            Self::Fill(_, labels) => labels.as_ref().as_ref(),
        }
    }

    fn cell(&self, step: usize) -> Option<Cell<'_>> {
        match self {
            Self::Column(column) => column.cell(step),
            Self::Fill(value, _) => Some(Cell::Float(*value)),
        }
    }

    /// A number for each step, if there is no histogram.
    fn floats(&self, steps: usize) -> Option<Vec<f64>> {
        match self {
            Self::Column(column) => column.histograms.is_empty().then(|| column.floats.clone()),
            Self::Fill(value, _) => Some(vec![*value; steps]),
        }
    }
}

/// The steps at which results of a match group were made.
struct Matched {
    one_to_one: bool,
    /// All of them, if there may be one only.
    all: Option<Bits>,
    /// By the labels of the result, if these must be unique.
    by_labels: FastMap<Arc<Labels>, Bits>,
}

impl Matched {
    fn new(one_to_one: bool) -> Self {
        Self { one_to_one, all: None, by_labels: FastMap::default() }
    }

    /// Adds steps; gives the first that was there before.
    fn take(&mut self, labels: &Arc<Labels>, steps: &Bits) -> Option<usize> {
        if self.one_to_one {
            return match &mut self.all {
                Some(all) => {
                    let twice = steps.clone().and(all).first();
                    all.add(steps);
                    twice
                }
                none => {
                    *none = Some(steps.clone());
                    None
                }
            };
        }
        match self.by_labels.entry(Arc::clone(labels)) {
            Entry::Vacant(entry) => {
                entry.insert(steps.clone());
                None
            }
            Entry::Occupied(mut entry) => {
                let twice = steps.clone().and(entry.get()).first();
                entry.get_mut().add(steps);
                twice
            }
        }
    }

    fn any(&self, steps: usize) -> Bits {
        let mut any = self.all.clone().unwrap_or_else(|| Bits::none(steps));
        self.by_labels.values().for_each(|bits| any.add(bits));
        any
    }
}
