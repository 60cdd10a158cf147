//! `netchan examples`, `completions` and `man`: what the command line's own description gives.
//!
//! Owns nothing that is said there: examples, flags and exit codes stand in `args`, once.

use anyhow::{Context, Result, bail};

use crate::admin::print;
use crate::args;
use crate::exit::Exit;
use crate::settings::command;

/// What stands above the examples in a command's help.
const HEAD: &str = "Examples:";

pub(crate) fn examples(args: &args::Examples) -> Result<Exit> {
    let mut all = vec![command()];
    all.extend(command().get_subcommands().flat_map(with_those_under));
    if let Some(wanted) = &args.command {
        all.retain(|command| command.get_name() == wanted);
        if all.is_empty() {
            bail!("{wanted} is no command: netchan help tells which there are");
        }
    }
    let mut lines = Vec::new();
    for command in &all {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.push(format!("# {}: {}", command.get_name(), command.get_about().cloned().unwrap_or_default()));
        lines.extend(of(command));
    }
    print(&lines)
}

fn with_those_under(command: &clap::Command) -> Vec<clap::Command> {
    let under = command.get_subcommands().flat_map(with_those_under);
    std::iter::once(command.clone()).chain(under).collect()
}

/// The examples in a command's help.
fn of(command: &clap::Command) -> Vec<String> {
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let lines = help.lines().skip_while(|line| *line != HEAD).skip(1);
    lines.take_while(|line| line.starts_with("  ")).map(|line| line.trim_start().to_owned()).collect()
}

pub(crate) fn completions(args: &args::Completions) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command(), "netchan", &mut script);
    print(&[String::from_utf8(script)?.trim_end().to_owned()])
}

pub(crate) fn man(args: &args::Man) -> Result<Exit> {
    let Some(dir) = &args.dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command()).render(&mut page)?;
        return print(&[String::from_utf8(page)?.trim_end().to_owned()]);
    };
    let what = || format!("the man pages cannot be written to {}", dir.display());
    std::fs::create_dir_all(dir)
        .and_then(|()| clap_mangen::generate_to(command(), dir))
        .with_context(what)?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_examples() {
        for command in command().get_subcommands() {
            let name = command.get_name();
            assert!(!of(command).is_empty(), "{name} has none");
            assert!(of(command).iter().all(|line| line.contains(&format!("netchan {name}"))), "{name}");
        }
    }
}
