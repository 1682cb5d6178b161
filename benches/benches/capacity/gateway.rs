//! What a store gateway needs for the questions of panels over half a year, and what it keeps for the blocks that it serves.

use std::path::Path;

use anyhow::{Result, ensure};
use sarsen_benches::storeapi::StoreClient;
use sarsen_benches::{
    ArchivePlan, Gateway, GatewayProgram, Question, Usage, build_gateway, folder_bytes, small_blocks,
};

use crate::Arguments;

/// Questions of each kind, each another one.
const QUESTIONS: u64 = 40;
/// How often they are asked: the kernel counts CPU time in ticks of 10 ms, and an answer takes less.
const TIMES: u64 = 20;

/// What a gateway used.
#[derive(Debug)]
pub(crate) struct Served {
    /// Milliseconds of CPU for a panel over 7, 30 and 180 days of one series, asked before.
    pub(crate) panels: [(&'static str, f64); 3],
    /// Bytes on its disk for a series of a block.
    pub(crate) disk_a_series: f64,
    /// Resident with hardly any block, and after all questions.
    pub(crate) resident_empty: u64,
    pub(crate) resident_peak: u64,
    /// Series of all blocks.
    pub(crate) series: u64,
}

/// A gateway, and the bucket that it serves.
pub(crate) struct Archived {
    pub(crate) gateway: Gateway,
    pub(crate) plan: ArchivePlan,
}

/// Fills two buckets, one with a few small blocks, and asks a gateway on each.
pub(crate) fn serve(arguments: &Arguments, folder: &Path) -> Result<(Archived, Served)> {
    let path = arguments.gateway.clone().map_or_else(build_gateway, Ok)?;
    let program = GatewayProgram { name: "Sarsen", path, role: Some("store") };
    let start = |name: &str, bucket: &Path| {
        let config = format!("type: FILESYSTEM\nconfig:\n  directory: '{}'\n", bucket.display());
        program.start(&folder.join(name), &config, &[])
    };
    let few = folder.join("few");
    small_blocks(&few, 4)?;
    let resident_empty = start("gateway-few", &few)?.usage()?.peak;
    let plan =
        ArchivePlan { tenants: 1, series: arguments.compacted, raw: 7, fine: 30, coarse: 180, buckets: true };
    let bucket = folder.join("archive");
    let made = plan.make(&bucket)?;
    let gateway = start("gateway", &bucket)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let client = runtime.block_on(StoreClient::connect(&gateway.grpc))?;
    let mut panels = [("7 d", 7, 0.0), ("30 d", 30, 0.0), ("180 d", 180, 0.0)];
    for (_, days, cpu) in &mut panels {
        let asked = |times: u64| -> Result<Usage> {
            for number in (0..times).flat_map(|_| 0..QUESTIONS) {
                let question = Question::Selective(*days);
                let answer =
                    runtime.block_on(client.gather(question.path(), question.message(&plan, number)));
                ensure!(answer.failure.is_none() && !answer.frames.is_empty(), "{:?}", answer.failure);
            }
            gateway.usage()
        };
        // The first time makes headers where there are none.
        let before = asked(1)?;
        *cpu = (asked(TIMES)?.cpu_ms - before.cpu_ms) as f64 / (TIMES * QUESTIONS) as f64;
    }
    let disk = folder_bytes(&folder.join("gateway/data"));
    let served = Served {
        panels: panels.map(|(name, _, cpu)| (name, cpu)),
        disk_a_series: disk as f64 / made.series as f64,
        resident_empty,
        resident_peak: gateway.usage()?.peak,
        series: made.series,
    };
    Ok((Archived { gateway, plan }, served))
}
