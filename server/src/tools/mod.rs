//! Look, check, dump, repair: what an operator does to blocks, buckets and databases by hand.
//!
//! Tools print what they found on standard output and end with 0; a tool that found something wrong lists it there and
//! ends with 1 and one line on standard error. Only `repair`, `flush`, `import`, `upload`, `copy`, `delete`, `deletions --forget`
//! and `undelete` change anything.

mod bucket;
mod database;
mod dump;
#[cfg(feature = "receive")]
mod flush;
mod histogram;
#[cfg(feature = "receive")]
mod import;
mod inspect;
mod open;
#[cfg(feature = "compact")]
mod plan;
mod print;
mod progress;
mod promql;
mod verify;

use crate::cli::{Command, Failure};
use crate::config::flags::{Fault, Flag, Given, Kind};

/// Flags of every tool.
const COMMON: &[Flag] = &[
    Flag::new("log.level", Kind::Choice(&["error", "warn", "info", "debug"]), "warn", "Log filtering level."),
    Flag::new("log.format", Kind::Choice(&["logfmt", "json"]), "logfmt", "Log format."),
];

const OUTPUT: Flag = Flag::new(
    "output",
    Kind::Choice(&["table", "json"]),
    "table",
    "A table for people or JSON for programs.",
);
const OBJSTORE: &[Flag] = &[
    Flag::new("objstore.config-file", Kind::Text, "", "File with the object store."),
    Flag::new("objstore.config", Kind::Text, "", "The same as text."),
];

/// Every tool.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: "tools block inspect",
        about: "What blocks are: range, series, samples, chunks, bytes, labels, resolution, level.",
        arguments: "DIR...",
        table: || with(&[OUTPUT]),
        run: inspect::run,
    },
    Command {
        name: "tools block dump",
        about: "A line a sample, as promtool tsdb dump prints them. DIR is a block, or holds blocks.",
        arguments: "DIR...",
        table: || with(dump::FLAGS),
        run: dump::run,
    },
    Command {
        name: "tools block verify",
        about: "Everything that is wrong with blocks, each with file and offset.",
        arguments: "DIR...",
        table: || with(&[]),
        run: verify::run,
    },
    Command {
        name: "tools bucket ls",
        about: "The blocks of a bucket.",
        arguments: "",
        table: || with(&[OBJSTORE, &[OUTPUT]].concat()),
        run: bucket::ls,
    },
    Command {
        name: "tools bucket inspect",
        about: "The blocks of a bucket as a table.",
        arguments: "",
        table: || with(&[OBJSTORE, &[OUTPUT]].concat()),
        run: bucket::inspect,
    },
    Command {
        name: "tools bucket verify",
        about: "What is wrong in a bucket: half blocks, metas and marks that cannot be read, missing files; with --fast or --deep, every block, or those in the arguments, read whole.",
        arguments: "[ULID...]",
        table: || with(&[OBJSTORE, bucket::VERIFY_FLAGS].concat()),
        run: bucket::verify,
    },
    #[cfg(feature = "compact")]
    Command {
        name: "tools bucket plan",
        about: "What a compactor with these flags, which are those of compact, would do next, and why. Changes nothing.",
        arguments: "",
        table: plan::table,
        run: plan::run,
    },
    Command {
        name: "tools bucket copy",
        about: "Copies all blocks of a bucket, or those in the arguments, into another one: a backup, or its way back. What is there already is not copied again.",
        arguments: "[ULID...]",
        table: || with(&[OBJSTORE, bucket::COPY_FLAGS].concat()),
        run: bucket::copy,
    },
    Command {
        name: "tools bucket undelete",
        about: "Takes the deletion mark off blocks, within the delete delay.",
        arguments: "[ULID...]",
        table: || with(&[OBJSTORE, bucket::UNDELETE_FLAGS].concat()),
        run: bucket::undelete,
    },
    Command {
        name: "tools bucket delete",
        about: "Deletes series from the whole bucket: they are named in an object of the bucket, and compactors leave them out of every block that they write anew.",
        arguments: "",
        table: || with(&[OBJSTORE, bucket::DELETE_FLAGS].concat()),
        run: bucket::delete,
    },
    Command {
        name: "tools bucket deletions",
        about: "What was deleted from the whole bucket, and which blocks are not free of it yet.",
        arguments: "",
        table: || with(&[OBJSTORE, &[OUTPUT], bucket::LIST_FLAGS].concat()),
        run: bucket::deletions,
    },
    Command {
        name: "tools bucket upload",
        about: "Brings blocks into a bucket, as the receiver does, or back from a backup. DIR is a block, or holds blocks.",
        arguments: "DIR...",
        table: || with(&[OBJSTORE, bucket::UPLOAD_FLAGS].concat()),
        run: bucket::upload,
    },
    Command {
        name: "tools promql test",
        about: "Runs test scripts in the language of Prometheus' own engine tests; closes with the numbers of passed and failed evaluations.",
        arguments: "FILE...",
        table: || with(promql::TEST_FLAGS),
        run: promql::test,
    },
    Command {
        name: "tools promql query",
        about: "Answers a query straight from the blocks of a directory, or of a bucket, which are fetched first; no server. EXPR is PromQL.",
        arguments: "EXPR",
        table: || with(&[OBJSTORE, promql::QUERY_FLAGS].concat()),
        run: promql::query,
    },
    Command {
        name: "tools tsdb verify",
        about: "What is damaged in a database directory, log included, and where. Changes nothing.",
        arguments: "DIR...",
        table: || with(&[]),
        run: database::verify,
    },
    Command {
        name: "tools tsdb repair",
        about: "Cuts the log of a stopped database off at its damage, saying what was lost.",
        arguments: "DIR...",
        table: || with(&[]),
        run: database::repair,
    },
    #[cfg(feature = "receive")]
    Command {
        name: "tools tsdb flush",
        about: "Cuts and ships the whole head of a stopped database. DIR is one tenant's directory.",
        arguments: "DIR...",
        table: || with(&[OBJSTORE, flush::FLAGS].concat()),
        run: flush::run,
    },
    #[cfg(feature = "receive")]
    Command {
        name: "tools tsdb import",
        about: "Takes over a stopped data directory of Prometheus or Thanos Receive, log included, for standalone. FROM stays as it is.",
        arguments: "FROM",
        table: || with(import::FLAGS),
        run: import::run,
    },
];

fn with(flags: &[Flag]) -> Vec<Flag> {
    COMMON.iter().chain(flags).copied().collect()
}

/// The arguments, at least one.
fn directories(given: &Given) -> Result<&[String], Failure> {
    if given.arguments.is_empty() {
        return Err(Failure::Usage("required argument 'DIR' not provided".to_owned()));
    }
    Ok(&given.arguments)
}

fn no_arguments(given: &Given) -> Result<(), Failure> {
    match given.arguments.first() {
        None => Ok(()),
        Some(argument) => Err(Failure::Usage(format!("unexpected {argument}"))),
    }
}

fn usage(fault: Fault) -> Failure {
    Failure::Usage(fault)
}
