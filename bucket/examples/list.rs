//! Lists the blocks of a bucket: `cargo run -p sarsen-bucket --example list -- objstore.yml`.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a program reads its environment and prints"
)]

use sarsen_bucket::{ObjstoreConfig, Reloading, View};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args().nth(1).ok_or("usage: list objstore.yml")?;
    let text = std::fs::read_to_string(file)?;
    let store = Reloading::open(ObjstoreConfig::parse(&text, |name| std::env::var(name).ok())?)?;
    let view = View::fetch(&store.bucket().build()).await?;
    for (id, meta) in &view.blocks {
        let labels = meta.thanos.as_ref().map(|thanos| &thanos.labels);
        println!("{id} {}..{} {} samples {labels:?}", meta.min_time, meta.max_time, meta.stats.num_samples);
    }
    for (id, partial) in &view.partial {
        println!("{id} {partial:?}");
    }
    Ok(())
}
