//! This machine's node and others, by asking them: there, willing, and of the same time.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use netchan::{ErrorKind, Node, NodeStatus};
use tokio::time::timeout;

use super::Finding;
use super::disk::{Held, Program};
use crate::args::{self, Home};
use crate::settings::Settled;
use crate::via::Door;
use crate::when;

/// Within this an answer must come.
const PATIENCE: Duration = Duration::from_secs(5);
/// Clocks that are further apart than this, beyond what the way takes, are told.
const APART: Duration = Duration::from_secs(1);

/// This machine's node, which answers.
#[derive(Clone, Debug)]
pub(super) struct Own {
    pub(super) program: Option<Program>,
}

/// Asks who holds the directory, if anybody does.
pub(super) async fn own(home: &Home, dir: &Path, held: Held, all: &mut Vec<Finding>) -> Option<Own> {
    let Held::By(program) = held else { return None };
    let name = program.as_ref().map_or_else(|| "a program".to_owned(), ToString::to_string);
    let asked = async {
        // no token is wanted in this directory; one that cannot be read is told elsewhere
        let home = Home { token: None, token_file: None, ..home.clone() };
        ask(home.here(true)?.guest(true).start().await?, "").await
    };
    match timeout(PATIENCE, asked).await {
        Ok(Ok(answer)) => {
            let what = format!("{name} answers for {} in {:.1?}", dir.display(), answer.took);
            all.push(Finding::ok("node", what));
            Some(Own { program })
        }
        other => {
            let why = other.map_or_else(|_| format!("no answer within {PATIENCE:?}"), said);
            let what = format!("{name} holds {} and does not answer ({why})", dir.display());
            all.push(Finding::problem("node", what, "end it, or say another --data-dir"));
            None
        }
    }
}

fn said(answer: Result<Answer>) -> String {
    answer.map_or_else(|error| format!("{error:#}"), |_| String::new())
}

/// A node to be asked.
#[derive(Debug)]
pub(super) struct Meant {
    /// As it was said.
    name: String,
    way: Way,
}

#[derive(Debug)]
enum Way {
    Address(String, Home),
    Command(String),
}

/// The nodes that are to be asked: those that were said, or all places.
pub(super) fn meant(args: &args::Doctor, settled: &Settled, all: &mut Vec<Finding>) -> Vec<Meant> {
    let names: Vec<String> = match &args.nodes[..] {
        [] => settled.config.places.keys().map(|name| format!("@{name}")).collect(),
        nodes => nodes.to_vec(),
    };
    let mut meant = Vec::new();
    for name in names {
        let place = match settled.config.place(&name) {
            Ok(place) => place.map(|named| named.place),
            Err(error) => {
                all.push(Finding::problem("place", format!("{error:#}"), "say one of those, or HOST:PORT"));
                continue;
            }
        };
        let way = match place {
            None if name.contains(':') => Way::Address(name.clone(), args.home.clone()),
            None => {
                all.push(Finding::problem("place", format!("{name} is no node"), "say HOST:PORT, or @PLACE"));
                continue;
            }
            Some(place) => match (&place.address, &place.via) {
                (_, Some(via)) => Way::Command(via.clone()),
                (address, None) => {
                    let text = |key: &str| place.value(key);
                    let mut home = args.home.clone();
                    if let Some(token) = text("token") {
                        (home.token, home.token_file) = (Some(token.to_string_lossy().into_owned()), None);
                    } else if let Some(file) = text("token_file") {
                        (home.token, home.token_file) = (None, Some(file.into()));
                    }
                    Way::Address(address.clone().unwrap_or_default(), home)
                }
            },
        };
        meant.push(Meant { name, way });
    }
    meant
}

impl Meant {
    fn address(&self) -> &str {
        match &self.way {
            Way::Address(address, _) => address,
            Way::Command(_) => "",
        }
    }

    pub(super) async fn look(self) -> Finding {
        let asked = async {
            match &self.way {
                Way::Address(address, home) => ask(home.away()?.start().await?, address).await,
                Way::Command(command) => {
                    let door = Door::open(command.clone())?;
                    ask(door.node().await?, "").await
                }
            }
        };
        let name = match &self.way {
            Way::Address(address, _) if *address != self.name => format!("{} ({address})", self.name),
            Way::Address(..) => self.name.clone(),
            Way::Command(command) => format!("{} (via {command})", self.name),
        };
        match timeout(PATIENCE, asked).await {
            Err(_) => {
                let help = "is it the right address, and nothing between that swallows packets?";
                Finding::problem("place", format!("{name}: no answer within {PATIENCE:?}"), help)
            }
            Ok(Err(error)) => {
                let kind = error.downcast_ref::<netchan::Error>().map(netchan::Error::kind);
                let help = match (&self.way, kind) {
                    (Way::Command(_), _) => {
                        "try the command by hand: it must run `netchan serve --stdio` there"
                    }
                    (_, Some(ErrorKind::Auth)) => {
                        "give the token it was started with (--token-file, or in its place)"
                    }
                    (_, Some(ErrorKind::Unreachable)) => {
                        "does `netchan serve` run there, with a --listen that is reached from here?"
                    }
                    _ => "look at its log",
                };
                let why = format!("{error:#}");
                let why = ["this machine: ", &format!("{}: ", self.address())]
                    .iter()
                    .fold(&*why, |why, who| why.strip_prefix(who).unwrap_or(why));
                Finding::problem("place", format!("{name}: {why}"), help)
            }
            Ok(Ok(answer)) => answer.told(&name),
        }
    }
}

struct Answer {
    status: NodeStatus,
    /// How far its clock is ahead of ours, in nanoseconds, and how long the way took.
    ahead: i128,
    took: Duration,
}

async fn ask(node: Node, address: &str) -> Result<Answer> {
    // the second question finds everything warm
    node.status(address).await?;
    let (began, before) = (Instant::now(), when::now());
    let status = node.status(address).await.context("it answered once, and then no more")?;
    let took = began.elapsed();
    let middle = i128::from(before.0) + i128::try_from(took.as_nanos() / 2)?;
    Ok(Answer { ahead: i128::from(status.now.0) - middle, took, status })
}

impl Answer {
    fn told(&self, name: &str) -> Finding {
        let apart = Duration::from_nanos(u64::try_from(self.ahead.unsigned_abs()).unwrap_or(u64::MAX));
        let way = if self.ahead < 0 { "behind" } else { "ahead" };
        let what = format!("{name} answers in {:.1?}, {}", self.took, self.status.version);
        if apart > APART + self.took {
            let help = "its records have that time, and --since is by its clock: set both by NTP";
            return Finding::warning("place", format!("{what}; its clock is {apart:.1?} {way}"), help);
        }
        Finding::ok("place", format!("{what}; its clock is {apart:.1?} {way}, as far as can be told"))
    }
}
