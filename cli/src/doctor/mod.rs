//! `netchan doctor`: whether all is well around the program, and what to do where it is not.
//!
//! Owns what a finding is, and the order of things. It changes nothing, and never becomes the node of a directory.
//!
//! | room | looks at |
//! |---|---|
//! | [`machine`] | the clock, the limits of a process |
//! | [`disk`] | the data directory: who has it, what it stands on, how fast it syncs |
//! | [`doors`] | addresses to listen on |
//! | [`nodes`] | this machine's node and others, by asking them |

mod disk;
mod doors;
mod machine;
mod nodes;

use anyhow::{Result, bail};
use serde_json::json;

use crate::admin::print;
use crate::amounts::counted;
use crate::args;
use crate::exit::Exit;
use crate::settings::Settled;
use crate::status::{self, Plain};

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Ok,
    /// It works, but somebody should look at it.
    Warning,
    /// It does not work.
    Problem,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Problem => "problem",
        }
    }

    fn colour(self) -> &'static str {
        match self {
            Verdict::Ok => "\x1b[32m",
            Verdict::Warning => "\x1b[33m",
            Verdict::Problem => "\x1b[1;31m",
        }
    }
}

/// What was found by one look.
#[derive(Clone, Debug)]
struct Finding {
    check: &'static str,
    verdict: Verdict,
    what: String,
    /// What a person can do; nothing where all is well.
    help: String,
}

impl Finding {
    fn ok(check: &'static str, what: impl Into<String>) -> Finding {
        Finding { check, verdict: Verdict::Ok, what: what.into(), help: String::new() }
    }

    fn warning(check: &'static str, what: impl Into<String>, help: impl Into<String>) -> Finding {
        Finding { check, verdict: Verdict::Warning, what: what.into(), help: help.into() }
    }

    fn problem(check: &'static str, what: impl Into<String>, help: impl Into<String>) -> Finding {
        Finding { check, verdict: Verdict::Problem, what: what.into(), help: help.into() }
    }

    fn line(&self, has_colour: bool) -> String {
        let (on, off) = if has_colour { (self.verdict.colour(), "\x1b[0m") } else { ("", "") };
        let help = if self.help.is_empty() { String::new() } else { format!(": {}", self.help) };
        let told = format!("{}{help}", self.what);
        format!("{on}{:7}{off}  {:6}  {}", self.verdict.word(), self.check, Plain(told))
    }

    fn json(&self) -> String {
        json!({"check": self.check, "verdict": self.verdict.word(), "what": self.what, "help": self.help})
            .to_string()
    }
}

pub(crate) async fn run(args: args::Doctor, settled: &Settled) -> Result<Exit> {
    let mut all = vec![config(settled)];
    let own = match args.home.data_dir() {
        Ok(dir) => {
            let held = disk::look(&dir, &mut all);
            nodes::own(&args.home, &dir, held, &mut all).await
        }
        Err(error) => {
            all.push(Finding::problem("data", format!("{error:#}"), "set HOME, or NETCHAN_DATA_DIR"));
            None
        }
    };
    all.push(machine::clock());
    all.push(machine::limits());
    all.extend(doors::look(&args, own));
    let asked = nodes::meant(&args, settled, &mut all);
    for node in asked {
        all.push(node.look().await);
    }
    let lines: Vec<_> = match args.json {
        true => all.iter().map(Finding::json).collect(),
        false => all.iter().map(|finding| finding.line(status::has_colour())).collect(),
    };
    print(&lines)?;
    match all.iter().filter(|finding| finding.verdict == Verdict::Problem).count() {
        0 => Ok(Exit::Done),
        count => bail!("{}, as told on stdout", counted(count as u64, "problem")),
    }
}

fn config(settled: &Settled) -> Finding {
    let places = settled.config.places.len() as u64;
    match (&settled.trouble, &settled.config.path) {
        (Some(trouble), _) => Finding::problem(
            "config",
            format!("{trouble:#}"),
            "until it is mended only the command line is heeded, and other commands refuse",
        ),
        (None, Some(path)) => Finding::ok(
            "config",
            format!("{} is understood, with {}", path.display(), counted(places, "place")),
        ),
        (None, None) => Finding::ok("config", "no configuration file: what is not said has its default"),
    }
}
