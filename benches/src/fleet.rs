//! Which series exist, what they are called, and what each reads at a round.
//!
//! A fleet is a number of targets that expose [`METRICS_PER_TARGET`] metrics each, as pods do: eleven labels, about
//! 271 bytes of names and values, five shapes of values in equal parts. If asked for, the last ten metrics of a target are
//! the buckets of a classic histogram instead. Everything is computed from (seed, series, round), nothing is stored, so a
//! fleet of any size costs nothing.

use std::ops::Range;

use sarsen_block::codec::{put_uvarint, uvarint_len};
use sarsen_block::{Labels, LabelsRef, Timestamp};

/// How many series one target exposes.
pub const METRICS_PER_TARGET: u64 = 50;

/// How the values of a series move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Whole numbers that rise at every scrape by an uneven step.
    Counter,
    /// A level with two decimals that swings.
    Gauge,
    /// Rises by one every seventeen scrapes.
    SlowCounter,
    /// All 52 bits of the mantissa differ.
    Random,
    /// Never changes.
    Constant,
}

/// A set of series and the times at which they are scraped.
#[derive(Clone, Debug)]
pub struct Fleet {
    /// How many series are active at any round.
    pub series: u64,
    /// Time of round 0, in milliseconds; a target scrapes at its own offset within the interval.
    pub start: Timestamp,
    /// Milliseconds between two rounds.
    pub interval: i64,
    /// Another seed gives other names and values.
    pub seed: u64,
    /// Of a thousand scrapes of a target, how many are missed.
    pub gaps_per_mille: u64,
    /// A target restarts under a new pod name every so many rounds; 0 means never. Targets take turns.
    pub churn_rounds: u64,
    /// Whether each target has a classic histogram, [`BUCKETS`], in the place of its last metrics.
    pub buckets: bool,
}

/// A series while it keeps its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    /// What it is called.
    pub labels: Labels,
    /// Its number in the fleet.
    pub series: u64,
    /// When it is called so.
    pub rounds: Range<u64>,
}

/// The histogram that targets have if asked for.
pub const BUCKETS: &str = "http_request_duration_seconds_bucket";
/// The upper bounds of its buckets, one series each.
const BOUNDS: [&str; 10] = ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "+Inf"];

const SUBJECTS: [&str; 10] = [
    "container_network_receive",
    "http_server_requests",
    "process_resident_memory",
    "kubelet_volume_stats",
    "grpc_server_handling",
    "database_pool_connections",
    "node_filesystem_device",
    "cache_lookup_entries",
    "workqueue_longest_running",
    "message_broker_partition",
];
const MEASURES: [&str; 5] =
    ["packets_total", "duration_seconds", "restarts_total", "temperature_ratio", "limit_bytes"];
const SERVICES: [&str; 8] = [
    "payments-api",
    "order-ledger",
    "user-profile",
    "search-index",
    "mail-gateway",
    "price-engine",
    "stock-watch",
    "audit-trail",
];

impl Fleet {
    /// So many series at 15 s from `start` on, without gaps and churn.
    pub const fn steady(series: u64, start: Timestamp) -> Self {
        Self { series, start, interval: 15_000, seed: 1, gaps_per_mille: 0, churn_rounds: 0, buckets: false }
    }

    /// How the values of `series` move.
    pub fn shape(&self, series: u64) -> Shape {
        match series % 5 {
            _ if self.bucket(series).is_some() => Shape::Counter,
            0 => Shape::Counter,
            1 => Shape::Gauge,
            2 => Shape::SlowCounter,
            3 => Shape::Random,
            _ => Shape::Constant,
        }
    }

    /// Which bucket of its target's histogram `series` is, if it is one.
    fn bucket(&self, series: u64) -> Option<usize> {
        let first = METRICS_PER_TARGET - BOUNDS.len() as u64;
        let number = (series % METRICS_PER_TARGET).checked_sub(first).filter(|_| self.buckets)?;
        usize::try_from(number).ok()
    }

    /// The labels of `series` as they are at `round`.
    pub fn labels(&self, series: u64, round: u64) -> Labels {
        let mut bytes = Vec::with_capacity(384);
        self.put_labels(series, round, &mut bytes);
        LabelsRef::trusted(&bytes).to_owned()
    }

    /// Appends the byte form of the labels of `series` at `round`.
    pub fn put_labels(&self, series: u64, round: u64, out: &mut Vec<u8>) {
        let target = series / METRICS_PER_TARGET;
        let metric = (series % METRICS_PER_TARGET) as usize;
        let bound = self.bucket(series).and_then(|bucket| BOUNDS.get(bucket));
        let name = match bound {
            Some(_) => BUCKETS.to_owned(),
            None => format!("{}_{}", SUBJECTS[metric / MEASURES.len()], MEASURES[metric % MEASURES.len()]),
        };
        let id = hash(self.seed, target, 0x1d);
        let service = SERVICES[(id % 8) as usize];
        let generation = self.generation(target, round);
        let birth = hash(self.seed, target, 0xb1 + generation);
        let host = id / 8 % (self.series / METRICS_PER_TARGET / 20 + 1);
        let (a, b, c) = (target >> 16 & 0xff, target >> 8 & 0xff, target & 0xff);
        put_label(out, "__name__", &name);
        put_label(out, "cluster", "prod-central-1");
        put_label(out, "container", service);
        put_label(out, "endpoint", "http-metrics");
        put_label(out, "instance", &format!("10.{a}.{b}.{c}:9102"));
        put_label(out, "job", &format!("monitoring/{service}"));
        if let Some(bound) = bound {
            put_label(out, "le", bound);
        }
        put_label(out, "namespace", &format!("team-{:02}-services", id / 64 % 40));
        put_label(out, "node", &format!("worker-{host:04}.internal"));
        put_label(out, "pod", &format!("{service}-{:08x}-{target:06x}", birth as u32));
        put_label(out, "region", "eu-central-1");
        put_label(out, "service", service);
    }

    /// What `series` reads at `round`; nothing if its target missed that scrape.
    pub fn sample(&self, series: u64, round: u64) -> Option<(Timestamp, f64)> {
        let target = series / METRICS_PER_TARGET;
        if self.gaps_per_mille > 0 && hash(self.seed, target, round << 8 | 0x6a) % 1000 < self.gaps_per_mille
        {
            return None;
        }
        Some((self.time(target, round), self.value(series, round)))
    }

    /// When `target` is scraped in `round`: at its own offset, late by up to 3 ms now and then.
    fn time(&self, target: u64, round: u64) -> Timestamp {
        let offset = (hash(self.seed, target, 0x0f) % self.interval.max(1).cast_unsigned()).cast_signed();
        let late = hash(self.seed, target, round << 8 | 0x7e);
        let late = if late.is_multiple_of(8) { (late >> 8) % 4 } else { 0 };
        let round = i64::try_from(round).unwrap_or(i64::MAX);
        self.start + round * self.interval + (offset + late.cast_signed()).min(self.interval - 1)
    }

    fn value(&self, series: u64, round: u64) -> f64 {
        // A bucket counts what falls into those below as well.
        let below = self.bucket(series).unwrap_or(0) as u64;
        (series - below..series).map(|below| self.own_value(below, round)).sum::<f64>()
            + self.own_value(series, round)
    }

    /// What it reads, without the buckets below.
    fn own_value(&self, series: u64, round: u64) -> f64 {
        let own = hash(self.seed, series, 0x5e);
        let noise = hash(self.seed, series, round << 8 | 0x4a);
        let whole = |number: u64| number as f64;
        match self.shape(series) {
            Shape::Counter => {
                let step = own % 1000 + 1;
                whole(own % 1_000_000 + round * step + noise % step)
            }
            Shape::Gauge => {
                let swing = (whole(round) / 40.0 + whole(own % 628) / 100.0).sin();
                ((50.0 + 30.0 * swing + whole(noise % 500) / 100.0) * 100.0).round() / 100.0
            }
            Shape::SlowCounter => whole((round + own % 17) / 17 + own % 40),
            Shape::Random => whole(noise >> 11) / whole(1 << 53),
            Shape::Constant => whole(own % 100_000 * 1024),
        }
    }

    /// The beginning of `rounds` during which `series` keeps its labels.
    pub(crate) fn same_labels(&self, series: u64, rounds: Range<u64>) -> Range<u64> {
        let target = series / METRICS_PER_TARGET;
        match self.churn_rounds {
            0 => rounds,
            every => {
                let next = (self.generation(target, rounds.start) + 1) * every - turn(target, every);
                rounds.start..next.min(rounds.end)
            }
        }
    }

    /// Every series that has a name within `rounds`, by its labels, rising, with the rounds during which it has that name.
    pub fn lives(&self, rounds: Range<u64>) -> Vec<Life> {
        let mut lives = Vec::new();
        for series in 0..self.series {
            let mut round = rounds.start;
            while round < rounds.end {
                let life = self.same_labels(series, round..rounds.end);
                let labels = self.labels(series, life.start);
                round = life.end;
                lives.push(Life { labels, series, rounds: life });
            }
        }
        lives.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        lives
    }

    /// The rounds whose samples may lie within `range`, the end of which is open: a round never leaves its interval.
    pub fn rounds_within(&self, range: &Range<Timestamp>) -> Range<u64> {
        let number = |t: Timestamp| u64::try_from((t - self.start).div_euclid(self.interval)).unwrap_or(0);
        if range.end <= self.start || range.is_empty() {
            0..0
        } else {
            number(range.start)..number(range.end - 1) + 1
        }
    }

    /// How often the target of `series` gets a new name within `rounds`, the first of which does not count.
    pub fn renamed(&self, series: u64, rounds: Range<u64>) -> u64 {
        let target = series / METRICS_PER_TARGET;
        self.generation(target, rounds.end.saturating_sub(1)) - self.generation(target, rounds.start)
    }

    /// How often `target` has restarted by `round`.
    const fn generation(&self, target: u64, round: u64) -> u64 {
        match self.churn_rounds {
            0 => 0,
            every => (round + turn(target, every)) / every,
        }
    }
}

/// How many rounds before the others a target restarts: spread evenly, however few targets there are.
const fn turn(target: u64, every: u64) -> u64 {
    target.wrapping_mul(0x9E37_79B1) % every
}

fn put_label(out: &mut Vec<u8>, name: &str, value: &str) {
    let (name, value) = (name.as_bytes(), value.as_bytes());
    let size =
        2 + uvarint_len(name.len() as u64) + name.len() + uvarint_len(value.len() as u64) + value.len();
    out.push(0x0A);
    put_uvarint(out, size as u64);
    for (tag, text) in [(0x0A, name), (0x12, value)] {
        out.push(tag);
        put_uvarint(out, text.len() as u64);
        out.extend_from_slice(text);
    }
}

/// Three numbers stirred into one, evenly enough for names and noise (the finaliser of splitmix64, twice).
pub(crate) const fn hash(seed: u64, a: u64, b: u64) -> u64 {
    const fn stir(mut z: u64) -> u64 {
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    stir(
        stir(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ a)
            .wrapping_add(b.wrapping_mul(0xd6e8_feb8_6659_fd93)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_in_byte_form_and_of_the_stated_size() {
        let fleet = Fleet { churn_rounds: 10, ..Fleet::steady(100_000, 0) };
        let mut text = 0;
        for series in (0..100_000).step_by(97) {
            let labels = fleet.labels(series, 3);
            assert_eq!(LabelsRef::decode(labels.as_ref().as_bytes()).unwrap(), labels.as_ref());
            assert_eq!(labels.iter().count(), 11);
            text += labels.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        }
        let mean = text / (100_000_usize).div_ceil(97);
        assert!((266..=276).contains(&mean), "{mean} bytes of label text");
    }

    #[test]
    fn series_are_distinct_and_times_rise() {
        let fleet = Fleet::steady(20_000, 1_000_000);
        let names: std::collections::HashSet<_> = (0..20_000).map(|series| fleet.labels(series, 0)).collect();
        assert_eq!(names.len(), 20_000);
        for series in [0, 1, 2, 3, 4, 12_345] {
            let times: Vec<_> = (0..200).map(|round| fleet.sample(series, round).unwrap().0).collect();
            assert!(times.is_sorted_by(|a, b| a < b));
        }
    }

    #[test]
    fn counters_never_fall() {
        let fleet = Fleet::steady(1_000, 0);
        for series in (0..1_000).filter(|series| series % 5 == 0 || series % 5 == 2) {
            let values: Vec<_> = (0..300).map(|round| fleet.sample(series, round).unwrap().1).collect();
            assert!(values.is_sorted(), "series {series}");
        }
    }

    #[test]
    fn buckets_are_cumulative_and_never_fall() {
        let fleet = Fleet { buckets: true, ..Fleet::steady(100, 0) };
        let name = |series| fleet.labels(series, 0).get(b"__name__").map(<[u8]>::to_vec);
        let buckets: Vec<_> = (0..100).filter(|s| name(*s).as_deref() == Some(BUCKETS.as_bytes())).collect();
        assert_eq!(buckets.len(), 20);
        assert_eq!(fleet.labels(49, 0).get(b"le"), Some(&b"+Inf"[..]));
        for round in 0..50 {
            let values: Vec<_> = (40..50).map(|series| fleet.sample(series, round).unwrap().1).collect();
            assert!(values.is_sorted(), "{values:?}");
        }
        for series in buckets {
            let values: Vec<_> = (0..50).map(|round| fleet.sample(series, round).unwrap().1).collect();
            assert!(values.is_sorted(), "series {series}");
        }
    }

    #[test]
    fn churn_gives_a_target_a_new_name_and_gaps_leave_scrapes_out() {
        let fleet = Fleet { churn_rounds: 10, gaps_per_mille: 100, ..Fleet::steady(1_000, 0) };
        assert_ne!(fleet.labels(0, 9), fleet.labels(0, 10));
        assert_eq!(fleet.labels(0, 10), fleet.labels(0, 19));
        let missed = (0..1_000).filter(|round| fleet.sample(0, *round).is_none()).count();
        assert!((50..200).contains(&missed), "{missed}");
    }
}
