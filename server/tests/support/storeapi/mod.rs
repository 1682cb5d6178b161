//! What tests of the StoreAPI share: recorded requests and their answers, a plain model of blocks, and how two answers are compared.
//!
//! Answers are compared as text, a line a thing, so that a difference shows itself.

pub(crate) mod contract;
pub(crate) mod golden;
pub(crate) mod model;
pub(crate) mod random;
pub(crate) mod text;

use std::path::Path;

use prost::Message as _;
use sarsen_benches::storeapi::{
    Frame, LabelMatcher, LabelNamesRequest, LabelNamesResponse, LabelValuesRequest, LabelValuesResponse,
    SeriesRequest, SeriesResponse, StoreClient,
};
use sarsen_block::TimeRange;

use text::Look;

/// Copies a folder with what is below it.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Copies a folder into a bucket.
#[cfg(feature = "compact")]
pub(crate) async fn bring(from: &Path, to: &sarsen_bucket::Bucket, prefix: &str) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            Box::pin(bring(&entry.path(), to, &format!("{name}/"))).await;
        } else {
            to.put(&name, std::fs::read(entry.path()).unwrap().into()).await.unwrap();
        }
    }
}

/// A matcher; kinds are `=`, `!=`, `=~`, `!~`.
pub(crate) fn matcher(name: &str, kind: &str, value: &str) -> LabelMatcher {
    let kind = ["=", "!=", "=~", "!~"].iter().position(|known| *known == kind).unwrap();
    LabelMatcher { kind: kind as i32, name: name.into(), value: value.into() }
}

/// A request over a closed range of time.
pub(crate) fn request(min_time: i64, max_time: i64, matchers: Vec<LabelMatcher>) -> SeriesRequest {
    SeriesRequest { min_time, max_time, matchers, ..SeriesRequest::default() }
}

/// Asks what a seed comes up with, and compares each answer with that of the model; what differs. Each request is made twice, so that the
/// second time finds what the first has left in caches.
pub(crate) async fn compare(
    client: &StoreClient,
    model: &model::Model,
    seed: u64,
    requests: usize,
) -> Vec<String> {
    let mut chance = random::Chance::new(seed);
    let mut faults = Vec::new();
    for number in 0..requests {
        let wanted = random::any_request(&mut chance);
        let mut expected = Vec::new();
        model.series(&wanted).iter().for_each(|series| text::series(series, Look::Bytes, &mut expected));
        for time in ["first", "second"] {
            let answer = client.series(&wanted).await;
            let mut frames = answer.series().unwrap();
            frames.iter_mut().for_each(forget_hashes);
            let mut found = Vec::new();
            text::frames(&frames, Look::Bytes, &mut found);
            found.extend(answer.failure.map(|status| format!("error {status:?}")));
            if let Some(difference) = text::difference(&expected, &found) {
                faults.push(format!("{time} time of request {number}, {wanted:?}: {difference}"));
            }
        }
        if number % 4 == 0 {
            faults.extend(compare_labels(client, model, &wanted).await);
        }
    }
    faults
}

/// Names of labels, and values of some, under the matchers of a request.
async fn compare_labels(client: &StoreClient, model: &model::Model, like: &SeriesRequest) -> Vec<String> {
    let range = TimeRange::new(like.min_time, like.max_time);
    let (start, end, matchers) = (like.min_time, like.max_time, like.matchers.clone());
    let names = LabelNamesRequest { start, end, matchers: matchers.clone(), ..LabelNamesRequest::default() };
    let answer = client.unary("/thanos.Store/LabelNames", names.encode_to_vec().into()).await;
    let found = answer.map(|answer| LabelNamesResponse::decode(answer).unwrap().names);
    let mut faults = Vec::new();
    let expected: Vec<Vec<u8>> = model.names(&matchers, range).into_iter().collect();
    if !found.as_ref().is_ok_and(|found| *found == expected) {
        faults.push(format!("names under {like:?}: {found:?} instead of {expected:?}"));
    }
    for label in ["__name__", "job", "tenant_id", "nosuch"] {
        let matchers = matchers.clone();
        let expected: Vec<Vec<u8>> = model.values(label, &matchers, range).into_iter().collect();
        let values =
            LabelValuesRequest { label: label.into(), start, end, matchers, ..LabelValuesRequest::default() };
        let answer = client.unary("/thanos.Store/LabelValues", values.encode_to_vec().into()).await;
        let found = answer.map(|answer| LabelValuesResponse::decode(answer).unwrap().values);
        if !found.as_ref().is_ok_and(|found| *found == expected) {
            faults.push(format!("values of {label} under {like:?}: {found:?} instead of {expected:?}"));
        }
    }
    faults
}

pub(crate) fn forget_hashes(frame: &mut SeriesResponse) {
    let Some(Frame::Series(series)) = &mut frame.frame else { return };
    // One of which nothing is wanted may be there or not.
    series.chunks.retain(|chunk| !text::parts(chunk).is_empty());
    for chunk in &mut series.chunks {
        let parts = [
            &mut chunk.raw,
            &mut chunk.count,
            &mut chunk.sum,
            &mut chunk.min,
            &mut chunk.max,
            &mut chunk.counter,
        ];
        parts.into_iter().flatten().for_each(|part| part.hash = 0);
    }
}
