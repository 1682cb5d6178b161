//! The roles of Sarsen.
//!
//! A library behind thin programs: one door per program, built from features so that each links only what its roles
//! need. [`run_sarsen`] is every role behind one name, [`run_receive`] the receiver alone,
//! [`run_store`] the store gateway alone, [`run_compact`] the compactor alone, [`run_query`] the querier alone.
//!
//! | room | its one sentence |
//! |---|---|
//! | `cli` | which role, what it prints about itself, what the process ends with |
//! | `config/` | text and flags to checked settings |
//! | `resources` | what a server asks of the system before it begins |
//! | `logging` | log lines as Thanos' programs write them |
//! | `metrics/` | what the outside sees of our doings |
//! | `wire/` | foreign bytes to our nouns and back |
//! | `blocks/` | the page of blocks and its API |
//! | `compact/` | merges, coarsens and ages the blocks of a bucket, again and again, and shows what it does |
//! | `receive/` | a request becomes commits, commits become a verdict |
//! | `query/` | PromQL over stores: ask who knows, gather, merge, evaluate, answer |
//! | `store/` | what a store is asked and what it answers, over gRPC |
//! | `standalone/` | what only the one-process mode has |
//! | `html` | the look of pages |
//! | `net/` | listeners, TLS, graceful stop, probes |
//! | `objstore` | the object store as configured, kept in step with its file |
//! | `app/` | the only rooms that build and join things |
//! | `tools/` | look, check, dump, repair |

#![forbid(unsafe_code)]

#[cfg(feature = "serve")]
mod app;
#[cfg(any(feature = "compact", feature = "store"))]
mod blocks;
mod cli;
#[cfg(any(feature = "serve", feature = "tools"))]
mod clock;
#[cfg(feature = "compact")]
mod compact;
mod config;
mod go_float;
#[cfg(any(feature = "compact", feature = "query", feature = "store"))]
mod html;
mod logging;
#[cfg(feature = "serve")]
mod metrics;
#[cfg(feature = "serve")]
mod net;
#[cfg(feature = "objstore")]
mod objstore;
#[cfg(feature = "query")]
mod query;
#[cfg(feature = "receive")]
pub mod receive;
#[cfg(feature = "serve")]
mod resources;
#[cfg(feature = "standalone")]
mod standalone;
#[cfg(feature = "grpc")]
#[allow(dead_code, unused_imports, reason = "the roles that serve it come next")]
mod store;
#[cfg(feature = "grpc")]
pub mod wire;

#[cfg(feature = "tools")]
mod tools;

use std::ffi::OsString;
use std::process::ExitCode;

#[cfg(feature = "receive")]
const RECEIVE: cli::Command = cli::Command {
    name: "receive",
    about: "Takes remote write, keeps it safe on disk and brings two-hour blocks to the object store.",
    arguments: "",
    table: config::receive::table,
    run: app::run_receive,
};

#[cfg(feature = "compact")]
const COMPACT: cli::Command = cli::Command {
    name: "compact",
    about: "Merges, downsamples and ages the blocks of an object store.",
    arguments: "",
    table: config::compact::table,
    run: app::run_compact,
};

#[cfg(feature = "store")]
const STORE: cli::Command = cli::Command {
    name: "store",
    about: "Serves the blocks of an object store over the StoreAPI.",
    arguments: "",
    table: config::store::table,
    run: app::run_store,
};

#[cfg(feature = "query")]
const QUERY: cli::Command = cli::Command {
    name: "query",
    about: "Answers PromQL over any number of stores, with the HTTP API of Thanos or Prometheus.",
    arguments: "",
    table: config::query::table,
    run: app::run_query,
};

/// Every role and tool of this build behind one name; without a command, `standalone`. Arguments begin with the
/// program's name.
#[cfg(any(feature = "standalone", feature = "tools"))]
pub fn run_sarsen(args: impl Iterator<Item = OsString>) -> ExitCode {
    let roles = [
        #[cfg(feature = "standalone")]
        cli::Command {
            name: "standalone",
            about: "Every role in one process on one directory.",
            arguments: "",
            table: config::standalone::table,
            run: app::run_standalone,
        },
        #[cfg(feature = "receive")]
        RECEIVE,
        #[cfg(feature = "store")]
        STORE,
        #[cfg(feature = "compact")]
        COMPACT,
        #[cfg(feature = "query")]
        QUERY,
    ];
    #[cfg(feature = "tools")]
    let commands: Vec<cli::Command> = roles.into_iter().chain(tools::COMMANDS.iter().copied()).collect();
    #[cfg(not(feature = "tools"))]
    let commands = roles;
    cli::run("sarsen", &commands, "standalone", args)
}

/// The receiver alone; the word `receive` may lead the arguments. Arguments begin with the program's name.
#[cfg(feature = "receive")]
pub fn run_receive(args: impl Iterator<Item = OsString>) -> ExitCode {
    cli::run("sarsen-receive", &[RECEIVE], "receive", args)
}

/// The store gateway alone; the word `store` may lead the arguments. Arguments begin with the program's name.
#[cfg(feature = "store")]
pub fn run_store(args: impl Iterator<Item = OsString>) -> ExitCode {
    cli::run("sarsen-store", &[STORE], "store", args)
}

/// The compactor alone; the word `compact` may lead the arguments. Arguments begin with the program's name.
#[cfg(feature = "compact")]
pub fn run_compact(args: impl Iterator<Item = OsString>) -> ExitCode {
    cli::run("sarsen-compact", &[COMPACT], "compact", args)
}

/// The querier alone; the word `query` may lead the arguments. Arguments begin with the program's name.
#[cfg(feature = "query")]
pub fn run_query(args: impl Iterator<Item = OsString>) -> ExitCode {
    cli::run("sarsen-query", &[QUERY], "query", args)
}
