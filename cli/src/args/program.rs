//! The command lines of what is about the program itself: `netchan config`, `examples`, `completions`, `man`.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

const CONFIG_HELP: &str = "\
A setting is a flag that has a variable as well (help shows it in brackets). The flag is stronger than the variable, \
and that is stronger than the configuration file. What the file can say: netchan config --example.

Examples:
  netchan config
  NETCHAN_DURABILITY=os netchan config --json
  netchan config --example > config.toml && netchan config --config config.toml";

/// Show the settings that hold here, and where they come from
#[derive(Clone, Debug, Args)]
#[command(after_help = CONFIG_HELP)]
pub(crate) struct Config {
    /// Print a configuration file that shows all there is to say
    #[arg(long, conflicts_with = "json")]
    pub(crate) example: bool,
    /// As one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

const EXAMPLES_HELP: &str = "\
Examples:
  netchan examples
  netchan examples recv";

/// Print the examples of all commands, or of one
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES_HELP)]
pub(crate) struct Examples {
    /// Of this command
    pub(crate) command: Option<String>,
}

const COMPLETIONS_HELP: &str = "\
Examples:
  netchan completions bash > netchan.bash && . ./netchan.bash
  netchan completions fish > netchan.fish
  netchan completions zsh > _netchan";

/// Print what makes a shell complete netchan's words
#[derive(Clone, Debug, Args)]
#[command(after_help = COMPLETIONS_HELP)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

const MAN_HELP: &str = "\
Examples:
  netchan man | head -20
  netchan man man1 && ls man1";

/// Print the man page, or write those of all commands into a directory
#[derive(Clone, Debug, Args)]
#[command(after_help = MAN_HELP)]
pub(crate) struct Man {
    /// The directory; it is made if it is not there
    pub(crate) dir: Option<PathBuf>,
}
