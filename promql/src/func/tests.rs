//! Functions over windows against plain models that say what they mean and do not care about the last bits.

use proptest::prelude::*;

use super::*;
use crate::ast::{Extension, Place};
use crate::func::notes::Places;

/// A window from 0 to 100 s (in ms), and what the functions see of it.
#[derive(Debug, Clone)]
struct Case {
    times: Vec<i64>,
    floats: Vec<f64>,
}

const FROM: i64 = 0;
const TO: i64 = 100_000;

impl Case {
    fn call(&self, id: FunctionId, arguments: &[f64], extension: Option<Extension>) -> Option<f64> {
        let window = Window {
            times: &self.times,
            floats: &self.floats,
            starts: &[],
            histogram_times: &[],
            histograms: &[],
            histogram_starts: &[],
            from: FROM,
            to: TO,
            at: TO + 5000,
            extension,
        };
        let places = Places::plain(Place::default(), 2);
        let mut notes = Notes::new(&places);
        match range_function(id).unwrap()(&window, arguments, &mut notes) {
            Some(Point::Float(x)) => Some(x),
            Some(Point::Histogram(_)) => panic!("a histogram of numbers"),
            None => None,
        }
    }

    fn seconds(&self) -> Vec<f64> {
        self.times.iter().map(|t| *t as f64 / 1000.0).collect()
    }

    /// The counter as if it had never begun anew.
    fn unbroken(&self) -> Vec<f64> {
        let mut offset = 0.0;
        let mut before = 0.0;
        let whole = self.floats.iter().map(|x| {
            if *x < before {
                offset += before;
            }
            before = *x;
            x + offset
        });
        whole.collect()
    }

    /// The value of the unbroken counter at a time on the line between its samples, or of the nearest sample at the ends. A counter that began anew
    /// began at 0 right behind the sample before.
    fn on_line(&self, t: i64) -> f64 {
        let values = self.unbroken();
        let behind = self.times.partition_point(|time| *time <= t);
        match (behind.checked_sub(1), self.times.get(behind)) {
            (None, _) => values[0],
            (Some(at), None) => values[at],
            (Some(at), Some(next)) => {
                let part = (t - self.times[at]) as f64 / (next - self.times[at]) as f64;
                values[at] + (values[behind] - values[at]) * part
            }
        }
    }
}

fn cases(from: i64, to: i64, least: usize) -> impl Strategy<Value = Case> {
    prop::collection::btree_map(
        from + 1..=to,
        prop_oneof![4 => 0.0..50.0, 1 => Just(0.0), 1 => Just(7.0)],
        least..12,
    )
    .prop_map(|samples| Case {
        times: samples.keys().copied().collect(),
        floats: samples.into_values().collect(),
    })
}

fn near(a: Option<f64>, b: f64) -> bool {
    a.is_some_and(|a| (a - b).abs() <= 1e-9 * (1.0 + a.abs().max(b.abs())))
}

proptest! {
    #[test]
    fn sums_and_moments(case in cases(FROM, TO, 1)) {
        use FunctionId as Id;
        let x = &case.floats;
        let n = x.len() as f64;
        let mean = x.iter().sum::<f64>() / n;
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
        let call = |id| case.call(id, &[], None);
        prop_assert!(near(call(Id::SumOverTime), x.iter().sum()));
        prop_assert!(near(call(Id::AvgOverTime), mean));
        prop_assert!(near(call(Id::StdvarOverTime), variance));
        prop_assert!(near(call(Id::StddevOverTime), variance.sqrt()));
        prop_assert_eq!(call(Id::CountOverTime), Some(n));
        prop_assert_eq!(call(Id::PresentOverTime), Some(1.0));
        prop_assert_eq!((call(Id::FirstOverTime), call(Id::LastOverTime)), (x.first().copied(), x.last().copied()));
    }

    #[test]
    fn extremes_and_quantiles(case in cases(FROM, TO, 1), q in 0.0..1.0) {
        use FunctionId as Id;
        let mut sorted = case.floats.clone();
        sorted.sort_by(f64::total_cmp);
        let (least, most) = (sorted[0], sorted[sorted.len() - 1]);
        let call = |id| case.call(id, &[], None);
        prop_assert_eq!((call(Id::MinOverTime), call(Id::MaxOverTime)), (Some(least), Some(most)));
        let last_at = |value: f64| case.floats.iter().rposition(|x| *x == value).map(|at| case.seconds()[at]);
        prop_assert_eq!((call(Id::TsOfMinOverTime), call(Id::TsOfMaxOverTime)), (last_at(least), last_at(most)));
        let at = |q: f64, values: &[f64]| {
            let rank = q * (values.len() - 1) as f64;
            let (low, high) = (values[rank.floor() as usize], values[rank.ceil() as usize]);
            low + (high - low) * rank.fract()
        };
        prop_assert!(near(case.call(Id::QuantileOverTime, &[q], None), at(q, &sorted)));
        let median = at(0.5, &sorted);
        let mut distances: Vec<_> = sorted.iter().map(|x| (x - median).abs()).collect();
        distances.sort_by(f64::total_cmp);
        prop_assert!(near(call(Id::MadOverTime), at(0.5, &distances)));
    }

    #[test]
    fn differences_and_new_beginnings(case in cases(FROM, TO, 2)) {
        use FunctionId as Id;
        let falls = case.floats.windows(2).filter(|pair| pair[1] < pair[0]).count();
        let changes = case.floats.windows(2).filter(|pair| pair[1] != pair[0]).count();
        prop_assert_eq!(case.call(Id::Resets, &[], None), Some(falls as f64));
        prop_assert_eq!(case.call(Id::Changes, &[], None), Some(changes as f64));
        let (x, t) = (&case.floats, case.seconds());
        let last = x.len() - 1;
        let step = if x[last] < x[last - 1] { x[last] } else { x[last] - x[last - 1] };
        prop_assert!(near(case.call(Id::Irate, &[], None), step / (t[last] - t[last - 1])));
        prop_assert!(near(case.call(Id::Idelta, &[], None), x[last] - x[last - 1]));
    }

    #[test]
    fn rates_are_extrapolated(case in cases(FROM, TO, 2)) {
        use FunctionId as Id;
        let t = case.seconds();
        let (first, last) = (t[0], t[t.len() - 1]);
        let gap = (last - first) / (t.len() - 1) as f64;
        let whole = case.unbroken();
        let gain = whole[whole.len() - 1] - whole[0];
        let ahead = if 100.0 - last >= 1.1 * gap { gap / 2.0 } else { 100.0 - last };
        let behind = if first >= 1.1 * gap { gap / 2.0 } else { first };
        let to_zero = if gain > 0.0 { (last - first) * case.floats[0] / gain } else { behind };
        let scale = |behind: f64| (last - first + behind + ahead) / (last - first);
        prop_assert!(near(case.call(Id::Increase, &[], None), gain * scale(behind.min(to_zero))));
        prop_assert!(near(case.call(Id::Rate, &[], None), gain * scale(behind.min(to_zero)) / 100.0));
        let difference = case.floats[t.len() - 1] - case.floats[0];
        prop_assert!(near(case.call(Id::Delta, &[], None), difference * scale(behind)));
    }

    #[test]
    fn anchored_ones_take_the_sample_before(case in cases(FROM - 50_000, TO, 1)) {
        use FunctionId as Id;
        let within = case.times.partition_point(|t| *t <= FROM);
        let anchor = within.saturating_sub(1);
        let call = |id| case.call(id, &[], Some(Extension::Anchored));
        if within == case.times.len() {
            prop_assert_eq!([call(Id::Increase), call(Id::Delta), call(Id::Changes), call(Id::Resets)], [None; 4]);
            return Ok(());
        }
        let seen = Case { times: case.times[anchor..].to_vec(), floats: case.floats[anchor..].to_vec() };
        let whole = seen.unbroken();
        prop_assert!(near(call(Id::Increase), whole[whole.len() - 1] - whole[0]));
        prop_assert!(near(call(Id::Rate), (whole[whole.len() - 1] - whole[0]) / 100.0));
        prop_assert!(near(call(Id::Delta), seen.floats[whole.len() - 1] - seen.floats[0]));
        prop_assert_eq!(call(Id::Changes), seen.call(Id::Changes, &[], None));
        prop_assert_eq!(call(Id::Resets), seen.call(Id::Resets, &[], None));
    }

    #[test]
    fn smoothed_ones_take_the_line_between(case in cases(FROM - 50_000, TO + 50_000, 1)) {
        use FunctionId as Id;
        let nothing = case.times[case.times.len() - 1] <= FROM || case.times[0] > TO;
        let call = |id| case.call(id, &[], Some(Extension::Smoothed));
        if nothing {
            prop_assert_eq!([call(Id::Increase), call(Id::Delta)], [None; 2]);
            return Ok(());
        }
        prop_assert!(near(call(Id::Increase), case.on_line(TO) - case.on_line(FROM)));
    }

    #[test]
    fn lines_have_the_least_squares(case in cases(FROM, TO, 2), ahead in -50.0..50.0) {
        let (x, y) = (case.seconds(), &case.floats);
        let n = x.len() as f64;
        let (mean_x, mean_y) = (x.iter().sum::<f64>() / n, y.iter().sum::<f64>() / n);
        let spread = x.iter().map(|x| (x - mean_x).powi(2)).sum::<f64>();
        let slope = x.iter().zip(y).map(|(x, y)| (x - mean_x) * (y - mean_y)).sum::<f64>() / spread;
        prop_assume!(spread > 1e-3);
        let close = |a: Option<f64>, b: f64| a.is_some_and(|a| (a - b).abs() <= 1e-6 * (1.0 + b.abs()));
        prop_assert!(close(case.call(FunctionId::Deriv, &[], None), slope));
        let expected = mean_y + slope * (105.0 + ahead - mean_x);
        prop_assert!(close(case.call(FunctionId::PredictLinear, &[ahead], None), expected));
    }
}
