//! The program `netchan`: durable channels at a shell.
//!
//! | room | holds |
//! |---|---|
//! | `args` | what can be said on the command line |
//! | `send`, `input`, `making`, `resume` | an input into a channel: the order of things; cutting; key and headers; going on with a file |
//! | `recv`, `output`, `files`, `exec`, `position` | a channel's records out: the order of things; one stream, a file each, a command each; going on later |
//! | `json`, `shown` | a record as JSON, both ways; what a terminal may be shown of it |
//! | `patience`, `progress` | how long nobody may be there; how far long work is |
//! | `serve`, `admin`, `kept`, `partitions` | being the node; looking at channels and ending them; how they are kept; all partitions of one |
//! | `verify`, `repair` | what of a data directory holds; mending what does not |
//! | `top` | a node, live, on a terminal |
//! | `bench` | how fast all of it is, beside the limits of the machine |
//! | `doctor` | whether all is well around the program |
//! | `demo` | all of it under SIGKILL, before your eyes |
//! | `settings`, `config` | what stands behind flags: variables, the configuration file, places with names |
//! | `manual` | examples, completions and man pages, out of `args` |
//! | `home`, `via`, `when`, `amounts` | nodes, commands as byte streams, and times, as the command line says them; sizes and counts, as it tells them |
//! | `allocator` | that memory which was held for peers goes back to the system |
//! | `advice` | what helps against what went wrong |
//! | `exit`, `status`, `repeats`, `news`, `stop` | exit codes; what is said on stderr, how often one thing, and what of connections; signals |
//! | `log`, `metrics` | what the library logs, as lines; what a node counts, over HTTP |
#![deny(unsafe_code)]

use std::process::ExitCode;

use crate::args::Command;
use crate::exit::Exit;
use crate::log::Filter;
use crate::settings::Settled;
use crate::status::Status;
use anyhow::Result;

mod admin;
mod advice;
mod allocator;
mod amounts;
mod args;
mod bench;
mod commits;
mod config;
mod cursor;
mod demo;
mod doctor;
mod exec;
mod exit;
mod files;
mod folder;
mod home;
mod input;
mod json;
mod kept;
mod log;
mod making;
mod manual;
mod many;
mod metrics;
mod news;
mod output;
mod partitions;
mod patience;
mod position;
mod progress;
mod recv;
mod repair;
mod repeats;
mod resume;
mod send;
mod serve;
mod settings;
mod shown;
mod sink;
mod status;
mod stop;
mod top;
mod verify;
mod via;
mod when;

/// Threads that may block at a time: the disk for peers, the disk for this process, and its stdin.
const BLOCKING_THREADS: usize = 16;

fn main() -> ExitCode {
    allocator::gives_back_large_blocks();
    let words: Vec<_> = std::env::args_os().collect();
    let settled = match settings::settle(&words, |name| std::env::var_os(name)) {
        Ok(settled) => settled,
        // help that was asked for, or what is wrong with the command line
        Err(error) => error.exit(),
    };
    let cli = &settled.cli;
    status::color(cli.color);
    if let Some(trouble) = settled.trouble.as_ref().filter(|_| !cli.command.is_about_the_program()) {
        status::fail(format_args!("{trouble:#}"));
        return Exit::Usage.into();
    }
    let exit = Filter::new(cli.verbose, cli.quiet, cli.log.as_deref()).and_then(|filter| {
        log::begin(filter);
        let status = Status::new(cli.verbose > 0, cli.quiet);
        run(cli.command.clone(), &settled, status)
    });
    status::settle();
    let exit = exit.unwrap_or_else(|error| {
        status::fail(advice::told(&error, cli.command.clone().target().map(|target| &**target)));
        Exit::Error
    });
    exit.into()
}

fn run(command: Command, settled: &Settled, status: Status) -> Result<Exit> {
    // The command itself runs on this thread, where it may block; connections of others on those two. What waits for
    // the disk runs on few: each thread keeps memory of what it has read.
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).max_blocking_threads(BLOCKING_THREADS).enable_all().build()?;
    let exit = runtime.block_on(async {
        match command {
            Command::Send(args) => send::run(args, status).await,
            Command::Recv(args) => recv::run(args, status).await,
            Command::Serve(args) => serve::run(args, status).await,
            Command::Ls(args) => admin::ls(args).await,
            Command::Info(args) => admin::info(args).await,
            Command::Seal(args) => admin::seal(args, status).await,
            Command::Rm(args) => admin::rm(args, status).await,
            Command::Cursor(args) => cursor::run(args, status).await,
            Command::Create(args) => kept::create(args, status).await,
            Command::Set(args) => kept::set(args, status).await,
            Command::Truncate(args) => kept::truncate(args, status).await,
            Command::Verify(args) => verify::run(args, status).await,
            Command::Repair(args) => repair::run(&args, status),
            Command::Top(args) => top::run(args).await,
            Command::Demo(args) => demo::run(args).await,
            Command::Bench(args) => bench::run(args, status).await,
            Command::Doctor(args) => doctor::run(args, settled).await,
            Command::Config(args) => settings::show(&args, settled),
            Command::Examples(args) => manual::examples(&args),
            Command::Completions(args) => manual::completions(&args),
            Command::Man(args) => manual::man(&args),
        }
    });
    // a thread may still be in a read of stdin
    runtime.shutdown_background();
    exit
}
