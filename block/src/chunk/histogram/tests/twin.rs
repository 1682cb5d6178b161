//! The slow twin of a histogram chunk: buckets in maps, bits as text, everything written anew after every sample; and the histograms
//! that it is tried with.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::super::ResetHeader;
use crate::histogram::{CUSTOM_BUCKETS, Counts, Histogram, ResetHint, Span};
use crate::sample::{STALE_NAN_BITS, Sample};

/// What happens to a series of histograms between two samples.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) later: i64,
    pub(super) start: bool,
    /// The chunk is cut before.
    pub(super) cut: bool,
    what: What,
    /// How the layout is cut into spans.
    style: u8,
    sum: u64,
}

#[derive(Debug, Clone)]
enum What {
    Observe(Vec<(bool, i64, u64)>),
    Drop(bool, i64),
    /// From one bucket into another, so that the whole does not fall: all of it, and the bucket goes; or half.
    Move(bool, i64, i64, bool),
    Zero(u64),
    /// From the zero bucket into another.
    LoseZero(i64),
    Restart,
    Scale(i32, u8, Vec<f64>),
    Stale,
    Gauge(bool),
    Hint(ResetHint),
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bucket = (any::<bool>(), -4..8i64, 0..30u64);
    let observe = || proptest::collection::vec(bucket.clone(), 0..4).prop_map(What::Observe);
    let bounds = prop_oneof![Just(vec![]), Just(vec![0.005, 1.0]), Just(vec![-1.5, 0.1234567, 40_000.0])];
    let threshold = 0..5u8;
    let what = prop_oneof![
        12 => observe(),
        2 => (any::<bool>(), -4..8i64).prop_map(|(side, number)| What::Drop(side, number)),
        2 => (0..9u64).prop_map(What::Zero),
        2 => (any::<bool>(), -4..8i64, -4..8i64, any::<bool>())
            .prop_map(|(side, from, to, all)| What::Move(side, from, to, all)),
        1 => (-4..8i64).prop_map(What::LoseZero),
        1 => Just(What::Restart),
        1 => (prop_oneof![Just(0), Just(3), Just(CUSTOM_BUCKETS)], threshold, bounds)
            .prop_map(|(schema, threshold, bounds)| What::Scale(schema, threshold, bounds)),
        1 => Just(What::Stale),
        1 => any::<bool>().prop_map(What::Gauge),
        1 => prop_oneof![Just(ResetHint::Reset), Just(ResetHint::NotReset)].prop_map(What::Hint),
    ];
    let later = prop_oneof![4 => Just(15_000i64), 1 => 1..100_000i64, 1 => 1..1i64 << 40];
    let sum = prop_oneof![Just(0u64), any::<u64>(), (0..99u64).prop_map(|sum| (sum as f64).to_bits())];
    let step = (later, any::<bool>(), prop::bool::weighted(0.1), what, 0..4u8, sum);
    let step =
        step.prop_map(|(later, start, cut, what, style, sum)| Step { later, start, cut, what, style, sum });
    proptest::collection::vec(step, 0..40)
}

type Buckets = BTreeMap<i64, u64>;

/// A histogram without a layout.
#[derive(Debug, Clone, Default)]
pub(super) struct Plain {
    hint: ResetHint,
    gauge: bool,
    stale: bool,
    schema: i32,
    threshold: f64,
    bounds: Vec<f64>,
    zero: u64,
    sides: [Buckets; 2],
    sum: u64,
}

impl Plain {
    pub(super) fn step(&mut self, step: &Step) {
        self.stale = false;
        self.hint = ResetHint::Unknown;
        self.sum = if step.sum == STALE_NAN_BITS { 0 } else { step.sum };
        match &step.what {
            What::Observe(buckets) => {
                for &(negative, number, observations) in buckets {
                    *self.sides[usize::from(negative)].entry(number).or_default() += observations;
                }
            }
            What::Drop(negative, number) => {
                self.sides[usize::from(*negative)].remove(number);
            }
            What::Zero(more) => self.zero += more,
            &What::Move(negative, from, to, all) => {
                let side = &mut self.sides[usize::from(negative)];
                let moved = side.get(&from).map_or(0, |&bucket| if all { bucket } else { bucket / 2 });
                if all {
                    side.remove(&from);
                } else if let Some(bucket) = side.get_mut(&from) {
                    *bucket -= moved;
                }
                *side.entry(to).or_default() += moved;
            }
            What::LoseZero(to) => *self.sides[0].entry(*to).or_default() += std::mem::take(&mut self.zero),
            What::Restart => {
                self.sides.iter_mut().flat_map(BTreeMap::values_mut).for_each(|bucket| *bucket /= 2);
            }
            What::Scale(schema, threshold, bounds) => {
                self.schema = *schema;
                self.threshold =
                    [0.0, 0.001, 1024.0, 2f64.powi(-128), 2f64.powi(-300)][usize::from(*threshold)];
                self.bounds = if *schema == CUSTOM_BUCKETS { bounds.clone() } else { Vec::new() };
            }
            What::Stale => self.stale = true,
            What::Gauge(gauge) => self.gauge = *gauge,
            What::Hint(hint) => self.hint = *hint,
        }
        if self.gauge {
            self.hint = ResetHint::Gauge;
        }
    }

    fn count(&self) -> u64 {
        self.zero + self.sides.iter().flat_map(BTreeMap::values).sum::<u64>()
    }

    pub(super) fn histogram(&self, step: &Step, is_float: bool) -> Histogram {
        if self.stale {
            return Histogram { hint: self.hint, ..Histogram::stale(is_float) };
        }
        let [positive, negative] = &self.sides;
        Histogram {
            hint: self.hint,
            schema: self.schema,
            zero_threshold: self.threshold,
            sum: f64::from_bits(self.sum),
            positive_spans: styled(positive.keys().copied(), step.style),
            negative_spans: styled(negative.keys().copied(), step.style / 2),
            custom_values: self.bounds.clone(),
            counts: counts(self.count(), self.zero, [positive, negative], is_float),
        }
    }
}

/// Floats are not whole, so that no integer form can hide.
fn float(number: u64) -> f64 {
    number as f64 * 0.375
}

fn deltas(side: &Buckets) -> Vec<i64> {
    let before = std::iter::once(&0).chain(side.values());
    side.values().zip(before).map(|(&now, &before)| now as i64 - before as i64).collect()
}

fn counts(count: u64, zero: u64, [positive, negative]: [&Buckets; 2], is_float: bool) -> Counts {
    let floats = |side: &Buckets| side.values().map(|&number| float(number)).collect();
    if is_float {
        Counts::Float {
            count: float(count),
            zero: float(zero),
            positive: floats(positive),
            negative: floats(negative),
        }
    } else {
        Counts::Integer { count, zero, positive: deltas(positive), negative: deltas(negative) }
    }
}

/// Spans of these buckets: as few as there can be, one each, or with empty ones between.
fn styled(numbers: impl Iterator<Item = i64>, style: u8) -> Vec<Span> {
    let (mut spans, mut next): (Vec<Span>, i64) = (Vec::new(), 0);
    for number in numbers {
        let offset = (number - next) as i32;
        next = number + 1;
        match spans.last_mut() {
            Some(last) if offset == 0 && style != 1 => last.length += 1,
            Some(_) if offset > 0 && style == 2 => {
                spans.extend([Span { offset: offset - 1, length: 0 }, Span { offset: 1, length: 1 }]);
            }
            _ => spans.push(Span { offset, length: 1 }),
        }
    }
    spans
}

/// What became of a sample: `a`ppended, `r`ecoded, `n`ew chunk; and whether it would go in as the chunk is.
pub(super) struct Wanted {
    pub(super) went: char,
    pub(super) alone: bool,
}

#[derive(Debug, Clone)]
struct Row {
    t: i64,
    start: i64,
    plain: Plain,
}

pub(super) struct Twin {
    starts: bool,
    is_float: bool,
    header: ResetHeader,
    rows: Vec<Row>,
    spans: [Vec<Span>; 2],
    /// The chunk before an empty one.
    previous: Option<(ResetHeader, Vec<Row>)>,
}

fn numbers(plain: &Plain, side: usize) -> BTreeSet<i64> {
    plain.sides[side].keys().copied().collect()
}

impl Twin {
    pub(super) fn begin(starts: bool, is_float: bool) -> Self {
        let header = ResetHeader::Unknown;
        Self { starts, is_float, header, rows: Vec::new(), spans: Default::default(), previous: None }
    }

    pub(super) fn cut(&mut self) {
        self.previous = Some((self.header, std::mem::take(&mut self.rows)));
        self.header = ResetHeader::Unknown;
    }

    /// The table of the format: `Ok` if it goes in.
    fn follows(header: ResetHeader, last: &Plain, next: &Plain) -> Result<(), ResetHeader> {
        let scale = |plain: &Plain| (plain.schema, plain.threshold.to_bits());
        if next.gauge {
            let fits = header == ResetHeader::Gauge
                && (next.stale || (!last.stale && scale(last) == scale(next) && last.bounds == next.bounds));
            return if fits { Ok(()) } else { Err(ResetHeader::Gauge) };
        }
        let lost = |side: usize| {
            last.sides[side].iter().any(|(number, &before)| match next.sides[side].get(number) {
                Some(&now) => now < before,
                None => before > 0,
            })
        };
        if header == ResetHeader::Gauge {
            Err(ResetHeader::NotReset)
        } else if next.hint == ResetHint::Reset {
            Err(ResetHeader::Reset)
        } else if next.stale {
            Ok(())
        } else if last.stale {
            Err(ResetHeader::Unknown)
        } else if next.count() < last.count() {
            Err(ResetHeader::Reset)
        } else if scale(last) != scale(next) {
            Err(ResetHeader::Unknown)
        } else if last.bounds != next.bounds || next.zero < last.zero || lost(0) || lost(1) {
            Err(ResetHeader::Reset)
        } else {
            Ok(())
        }
    }

    fn open(&mut self, row: Row, histogram: &Histogram, header: ResetHeader) {
        self.header = header;
        self.spans = if row.plain.stale {
            Default::default()
        } else {
            [histogram.positive_spans.clone(), histogram.negative_spans.clone()]
        };
        self.rows = vec![row];
    }

    pub(super) fn append(&mut self, t: i64, start: i64, plain: &Plain, histogram: &Histogram) -> Wanted {
        let mut row = Row { t, start, plain: plain.clone() };
        let Some(last) = self.rows.last() else {
            let before = self.previous.as_ref().and_then(|(header, rows)| Some((*header, rows.last()?)));
            let found = before.map(|(header, last)| Self::follows(header, &last.plain, plain));
            let header = match (plain.hint, found) {
                (ResetHint::Gauge, _) => ResetHeader::Gauge,
                (ResetHint::Reset, _) => ResetHeader::Reset,
                (_, None) => ResetHeader::Unknown,
                (_, Some(Ok(()))) => ResetHeader::NotReset,
                (_, Some(Err(ResetHeader::Reset))) => ResetHeader::Reset,
                (_, Some(Err(header))) => {
                    if self.is_float {
                        ResetHeader::NotReset
                    } else {
                        header
                    }
                }
            };
            self.open(row, histogram, header);
            return Wanted { went: 'a', alone: true };
        };
        if let Err(header) = Self::follows(self.header, &last.plain, plain) {
            let none = self.is_float && header == ResetHeader::NotReset;
            self.open(row, histogram, if none { ResetHeader::Unknown } else { header });
            return Wanted { went: 'n', alone: false };
        }
        if plain.stale {
            self.rows.push(row);
            return Wanted { went: 'a', alone: true };
        }
        let differences = [0, 1].map(|side| {
            let (chunk, sample) = (numbers(&last.plain, side), numbers(plain, side));
            (chunk.difference(&sample).count() > 0, sample.difference(&chunk).count() > 0)
        });
        let pad = differences.iter().any(|side| side.0);
        let recode = differences.iter().any(|side| side.1);
        let all = [0, 1].map(|side| &numbers(&last.plain, side) | &numbers(plain, side));
        let widen = |plain: &mut Plain| {
            for (side, all) in plain.sides.iter_mut().zip(&all) {
                all.iter().for_each(|&number| _ = side.entry(number).or_default());
            }
        };
        widen(&mut row.plain);
        if recode {
            self.rows.iter_mut().for_each(|row| widen(&mut row.plain));
            let own = [&histogram.positive_spans, &histogram.negative_spans];
            self.spans = [0, 1].map(|side| {
                let joint = differences[side].0 || plain.gauge && pad;
                if joint { styled(all[side].iter().copied(), 0) } else { own[side].clone() }
            });
        }
        self.rows.push(row);
        Wanted { went: if recode { 'r' } else { 'a' }, alone: !(recode || plain.gauge && pad) }
    }

    pub(super) fn samples(&self) -> Vec<Sample> {
        let row = |(i, row): (usize, &Row)| {
            let plain = &row.plain;
            let mut histogram = Histogram::stale(self.is_float);
            if !plain.stale {
                histogram = Histogram {
                    hint: match (self.header, i) {
                        (ResetHeader::Gauge, _) => ResetHint::Gauge,
                        (_, 0) => ResetHint::Unknown,
                        _ => ResetHint::NotReset,
                    },
                    schema: plain.schema,
                    zero_threshold: plain.threshold,
                    sum: f64::from_bits(plain.sum),
                    positive_spans: self.spans[0].clone(),
                    negative_spans: self.spans[1].clone(),
                    custom_values: plain.bounds.clone(),
                    counts: counts(
                        row.plain_count(),
                        plain.zero,
                        [&plain.sides[0], &plain.sides[1]],
                        self.is_float,
                    ),
                };
            }
            let start = if self.starts { row.start } else { 0 };
            Sample { start, ..Sample::histogram(row.t, histogram) }
        };
        self.rows.iter().enumerate().map(row).collect()
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let (mut bits, change) = self.bits();
        while !bits.len().is_multiple_of(8) {
            bits.push('0');
        }
        let first_known = self.rows.first().is_some_and(|row| row.start != 0);
        let count = self.rows.len() as u16;
        let mut bytes = if self.starts {
            let starts = u8::from(first_known) << 7 | change;
            let [high, low] = (count | (self.header as u16) << 14).to_be_bytes();
            vec![high, low, starts]
        } else {
            let [high, low] = count.to_be_bytes();
            vec![high, low, (self.header as u8) << 6]
        };
        let byte = |at: usize| u8::from_str_radix(&bits[at..at + 8], 2).unwrap();
        bytes.extend((0..bits.len()).step_by(8).map(byte));
        bytes
    }

    /// The bits behind the header, and the first sample whose start differs.
    fn bits(&self) -> (String, u8) {
        let mut bits = String::new();
        let Some(first) = self.rows.first() else { return (bits, 0) };
        self.layout(&first.plain, &mut bits);
        let mut numbers: Vec<Number> = Vec::new();
        let (mut change, mut distance) = (0, 0);
        for (i, row) in self.rows.iter().enumerate() {
            let before = i.checked_sub(1).map(|at| &self.rows[at]);
            let step = before.map_or(row.t, |before| row.t - before.t);
            let last_step = if i < 2 { 0 } else { self.rows[i - 1].t - self.rows[i - 2].t };
            bits += &int(if i == 0 { row.t } else { step - last_step });
            let values = row.values(self.is_float);
            for (place, &value) in values.iter().enumerate() {
                // Sum stands third, and is always a float; count and zero count before it are never negative.
                let is_float = self.is_float || place == 2;
                if i == 0 {
                    bits += &match (is_float, place) {
                        (true, _) => format!("{value:064b}"),
                        (false, 0 | 1) => uint(value),
                        (false, _) => int(value.cast_signed()),
                    };
                    numbers.push(Number { value, delta: 0, window: None });
                } else if row.plain.stale && !is_float {
                    bits.push('0');
                } else if is_float {
                    numbers[place].xor(value, &mut bits);
                } else {
                    numbers[place].dod(value, &mut bits);
                }
            }
            if self.starts {
                let away = before.map_or(row.t, |before| before.t) - row.start;
                let differs = before.is_some_and(|before| before.start != row.start);
                if i == 0 && row.start != 0 {
                    bits += &varint(away);
                } else if change != 0 {
                    bits += &int(away - distance);
                } else if differs {
                    change = i as u8;
                    bits += &int(away);
                }
                distance = away;
            }
        }
        (bits, change)
    }

    fn layout(&self, plain: &Plain, bits: &mut String) {
        let empty = Plain::default();
        let plain = if plain.stale { &empty } else { plain };
        let exponent = plain.threshold.log2();
        let short = exponent.fract() == 0.0 && (-243.0..=10.0).contains(&exponent);
        *bits += &match plain.threshold {
            0.0 => "00000000".into(),
            _ if short => format!("{:08b}", exponent as i32 + 244),
            other => format!("11111111{:064b}", other.to_bits()),
        };
        *bits += &int(plain.schema.into());
        for spans in &self.spans {
            *bits += &uint(spans.len() as u64);
            for span in spans {
                *bits += &(uint(span.length.into()) + &int(span.offset.into()));
            }
        }
        if plain.schema == CUSTOM_BUCKETS {
            *bits += &uint(plain.bounds.len() as u64);
            for &bound in &plain.bounds {
                *bits += &match bound {
                    0.005 => uint(6),
                    1.0 => uint(1001),
                    other => format!("0{:064b}", other.to_bits()),
                };
            }
        }
    }
}

impl Row {
    /// A chunk keeps the count as it was, whatever buckets were added.
    fn plain_count(&self) -> u64 {
        self.plain.count()
    }

    /// Count, zero count, sum and buckets as they are stored.
    fn values(&self, is_float: bool) -> Vec<u64> {
        let plain = &self.plain;
        if plain.stale {
            return vec![0, 0, STALE_NAN_BITS];
        }
        let one = |number| if is_float { float(number).to_bits() } else { number };
        let mut values = vec![one(plain.count()), one(plain.zero), plain.sum];
        for side in &plain.sides {
            match is_float {
                true => values.extend(side.values().map(|&number| one(number))),
                false => values.extend(deltas(side).into_iter().map(i64::cast_unsigned)),
            }
        }
        values
    }
}

struct Number {
    value: u64,
    delta: i64,
    window: Option<(u32, u32)>,
}

impl Number {
    fn dod(&mut self, value: u64, bits: &mut String) {
        let delta = value.wrapping_sub(self.value).cast_signed();
        *bits += &int(delta - self.delta);
        (self.value, self.delta) = (value, delta);
    }

    fn xor(&mut self, value: u64, bits: &mut String) {
        let xor = value ^ self.value;
        self.value = value;
        if xor == 0 {
            return bits.push('0');
        }
        let (leading, trailing) = (xor.leading_zeros().min(31), xor.trailing_zeros());
        let (from, to) = match self.window {
            Some((l, t)) if leading >= l && trailing >= t => {
                *bits += "10";
                (l, t)
            }
            _ => {
                self.window = Some((leading, trailing));
                *bits += &format!("11{leading:05b}{:06b}", (64 - leading - trailing) % 64);
                (leading, trailing)
            }
        };
        *bits += &format!("{xor:064b}")[from as usize..64 - to as usize];
    }
}

const CLASSES: [u32; 9] = [0, 3, 6, 9, 12, 18, 25, 56, 64];

fn class(fits: impl Fn(u32) -> bool, number: u64) -> String {
    let class = CLASSES.iter().position(|&bits| fits(bits)).unwrap_or(8);
    let zero = if class < 8 { "0" } else { "" };
    let digits = &format!("{number:064b}")[64 - CLASSES[class] as usize..];
    "1".repeat(class) + zero + digits
}

fn int(number: i64) -> String {
    let wide = i128::from(number);
    let fits = |bits: u32| match bits {
        0 => number == 0,
        bits => wide > -(1 << (bits - 1)) && wide <= 1 << (bits - 1),
    };
    class(fits, number.cast_unsigned())
}

fn uint(number: u64) -> String {
    class(|bits| u128::from(number) < 1 << bits, number)
}

fn varint(number: i64) -> String {
    let mut bytes = Vec::new();
    crate::codec::put_varint(&mut bytes, number);
    bytes.iter().map(|byte| format!("{byte:08b}")).collect()
}
