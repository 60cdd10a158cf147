//! What can be said on the command line, and its help: a file a command.
//!
//! Owns names, defaults and rules of arguments. What they do is in the module of each command.

mod admin;
mod bench;
mod channel;
mod cursor;
mod demo;
mod doctor;
mod kept;
mod program;
mod recv;
mod repair;
mod send;
mod serve;
mod top;
mod units;
mod verify;

use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand, ValueEnum};

pub(crate) use self::admin::{Info, Ls, Rm, Seal};
pub(crate) use self::bench::{Bench, Case, Mode, Runtime, Soak};
pub(crate) use self::channel::{Durability, Home, Keeping, Listen};
pub(crate) use self::cursor::{Cursor, CursorLs, CursorShow, Of as CursorOf, What as CursorWhat};
pub(crate) use self::demo::Demo;
pub(crate) use self::doctor::Doctor;
pub(crate) use self::kept::{Before, Create, Set, Truncate};
pub(crate) use self::program::{Completions, Config, Examples, Man};
pub(crate) use self::recv::{OnFailure, Recv, Start};
pub(crate) use self::repair::Repair;
pub(crate) use self::send::Send;
pub(crate) use self::serve::{Grant, Serve};
pub(crate) use self::top::Top;
pub(crate) use self::verify::Verify;

/// Where a node listens if nothing is said: on this machine alone.
pub(crate) const DEFAULT_LISTEN: &str = "127.0.0.1:4747";

const AFTER_HELP: &str = "\
Examples:
  tail -f app.log | netchan send app           # every line, durable before it is on the wire
  netchan recv app --from earliest             # on the same machine, whether or not the sender runs
  netchan recv build7:4747/app --since 10m     # on another one
  netchan demo --keep                          # see it killed, and nothing lost
  netchan ls --color never --quiet             # these flags are for all commands, as those below
  netchan send app app.log -vv --log netchan_store=debug,warn
  netchan --version

A channel is named NAME (on this machine), HOST:PORT/NAME, or @PLACE/NAME for a place of the configuration file \
(netchan config --example). Examples of everything: netchan examples.

Exit codes:
  0  done (recv: the channel is sealed, or what was asked for is complete)
  1  an error, told on stderr (also where a token does not give the right to it)
  2  the command line, a NETCHAN_ variable or the configuration file is not understood
  3  recv: done, but records were missing (a gap, told on stderr)
  4  recv: done, but the log was rolled back on the way (told on stderr)
  5  recv --exec: a command failed (told on stderr)
  130, 143  interrupted by Ctrl-C or SIGTERM, after a clean stop";

/// Durable channels between programs over a network, without a broker.
#[derive(Debug, Parser)]
#[command(name = "netchan", version, after_help = AFTER_HELP, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Say on stderr what happens, even if stderr is no terminal; -vv: the protocol too, -vvv: everything
    #[arg(short, long, global = true, action = ArgAction::Count, env = "NETCHAN_VERBOSE", conflicts_with = "quiet", display_order = 900)]
    pub(crate) verbose: u8,
    /// Say nothing on stderr but errors, gaps and roll-backs
    #[arg(short, long, global = true, env = "NETCHAN_QUIET", display_order = 901)]
    pub(crate) quiet: bool,
    /// What the log on stderr has beyond -v: LEVEL or MODULE=LEVEL, several with commas (as in
    /// `warn,netchan_store=debug`); levels are off, error, warn, info, debug, trace
    #[arg(long, global = true, value_name = "FILTER", env = "NETCHAN_LOG", display_order = 902)]
    pub(crate) log: Option<String>,
    /// Whether stderr has colours
    #[arg(long, global = true, value_name = "WHEN", value_enum, env = "NETCHAN_COLOR", default_value_t = Color::Auto, display_order = 903)]
    pub(crate) color: Color,
    /// The configuration file, or `none` [default: netchan/config.toml in the platform's configuration directory]
    #[arg(long, global = true, value_name = "FILE", env = "NETCHAN_CONFIG", display_order = 904)]
    pub(crate) config: Option<PathBuf>,
}

/// When text for people has colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal that has them, unless NO_COLOR says otherwise
    Auto,
    /// Also in a pipe
    Always,
    /// Nowhere
    Never,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    Send(Send),
    Recv(Recv),
    Serve(Serve),
    Ls(Ls),
    Info(Info),
    Seal(Seal),
    Rm(Rm),
    Cursor(Cursor),
    Create(Create),
    Set(Set),
    Truncate(Truncate),
    Verify(Verify),
    Repair(Repair),
    Top(Top),
    Demo(Demo),
    Bench(Bench),
    Doctor(Doctor),
    Config(Config),
    Examples(Examples),
    Completions(Completions),
    Man(Man),
}

impl Command {
    /// Whether it is of use where a variable or the configuration file is wrong.
    pub(crate) fn is_about_the_program(&self) -> bool {
        matches!(self, Command::Doctor(_) | Command::Examples(_) | Command::Completions(_) | Command::Man(_))
    }

    /// The channel or the node that the command is about: `@prod/my_log` until it is replaced by what it stands for.
    pub(crate) fn target(&mut self) -> Option<&mut String> {
        Some(match self {
            Command::Send(args) => &mut args.target,
            Command::Recv(args) => &mut args.target,
            Command::Ls(args) => &mut args.place,
            Command::Info(args) => &mut args.target,
            Command::Seal(args) => &mut args.target,
            Command::Rm(args) => &mut args.target,
            Command::Cursor(args) => args.what.target(),
            Command::Create(args) => &mut args.target,
            Command::Set(args) => &mut args.target,
            Command::Truncate(args) => &mut args.target,
            Command::Top(args) => &mut args.place,
            Command::Verify(args) => return args.targets.first_mut(),
            Command::Bench(args) => return args.connect.as_mut(),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::CommandFactory;

    use super::channel::delimiter;
    use super::recv::From;
    use super::units::{length_of_time, size};
    use super::*;
    use crate::input::Split;
    use crate::when::When;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Cli::try_parse_from(line.split(' ')).map(|cli| cli.command)
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for line in [
            "netchan",
            "netchan send",
            "netchan send x --resume",
            "netchan send x -0 --whole",
            "netchan send x -0 -d a",
            "netchan recv x --from 3 --last 2",
            "netchan recv x --from earliest --since 10m",
            "netchan recv x --from newest",
            "netchan recv x --since yesterday",
            "netchan recv x --json -0",
            "netchan recv x --cursor a --position f",
            "netchan recv x --commit-every 1s",
            "netchan recv x --cursor a/b",
            "netchan cursor",
            "netchan cursor rm x",
            "netchan serve --stdio --listen 127.0.0.1:1",
            "netchan send x --rate 0",
            "netchan -q -v ls",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn sends_cut_at_newlines_if_nothing_is_said() {
        for (line, split) in [
            ("netchan send x", Split::At(b"\n".to_vec())),
            ("netchan send x -0", Split::At(vec![0])),
            ("netchan send x --null", Split::At(vec![0])),
            (r"netchan send x -d \r\n", Split::At(b"\r\n".to_vec())),
            (r"netchan send x --delimiter \x00\\é", Split::At(vec![0, b'\\', 0xc3, 0xa9])),
            ("netchan send x file --whole", Split::Whole),
        ] {
            let Ok(Command::Send(send)) = parse(line) else { panic!("{line}") };
            assert_eq!(send.split(), split, "{line}");
        }
        for bad in ["", "\\", "\\q", "\\x", "\\x1", "\\x+1", "\\xzz"] {
            assert!(delimiter(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn recv_takes_one_start() {
        let start = |line: &str| match parse(line) {
            Ok(Command::Recv(recv)) => recv.start,
            other => panic!("{line}: {other:?}"),
        };
        assert_eq!(start("netchan recv x --from 7").from, Some(From::Offset(7)));
        assert_eq!(start("netchan recv x --from earliest").from, Some(From::Earliest));
        assert_eq!(start("netchan recv x --last 100").last, Some(100));
        assert_eq!(start("netchan recv x --since 10m").since, Some(When::Ago(Duration::from_secs(600))));
    }

    #[test]
    fn sizes_and_ages_have_units() {
        assert_eq!(size("12"), Ok(12));
        assert_eq!(size("3K"), Ok(3072));
        assert_eq!(size("20GiB"), Ok(20 << 30));
        assert!(
            size("G").is_err() && size("1.5G").is_err() && size("99999999T").is_err() && size("1x").is_err()
        );
        assert_eq!(length_of_time("7d"), Ok(Duration::from_secs(7 * 86_400)));
        assert!(length_of_time("0s").is_err() && length_of_time("2026-01-01").is_err());
    }
}
