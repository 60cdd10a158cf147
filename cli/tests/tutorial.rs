//! README's tour and docs/tutorial.md: each of their lines runs, one after the other in one shell, and gives what stands below it.

#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

mod shell;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::process::Command;

use shell::Place;

/// The section of README that is run.
const SECTION: &str = "## A tour";
/// Stands before the output of each step.
const MARK: &str = "@@ step";
/// The port that the tour has.
const PORT: &str = "127.0.0.1:4747";

/// A command, and what it is to give.
#[derive(Debug)]
struct Step {
    command: String,
    output: Vec<String>,
}

/// The steps in the console blocks of README's section.
fn tour(readme: &str) -> Vec<Step> {
    let section = readme.lines().skip_while(|line| *line != SECTION).skip(1);
    steps(section.take_while(|line| !line.starts_with("## ")))
}

/// The steps in console blocks.
fn steps<'a>(section: impl Iterator<Item = &'a str>) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut is_inside = false;
    for line in section {
        match line {
            "```console" => is_inside = true,
            "```" => is_inside = false,
            _ if !is_inside => {}
            _ => match (line.strip_prefix("$ "), steps.last_mut()) {
                (Some(command), _) => steps.push(Step { command: command.to_owned(), output: Vec::new() }),
                (None, Some(step)) => step.output.push(line.to_owned()),
                (None, None) => panic!("{line:?} stands before any command"),
            },
        }
    }
    steps
}

#[test]
fn every_line_of_the_tour_runs_and_gives_what_stands_below_it() {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    run(&tour(&readme));
}

#[test]
fn every_line_of_the_tutorial_runs_and_gives_what_stands_below_it() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/tutorial.md")).unwrap();
    run(&steps(page.lines()));
}

/// Runs the steps, one after the other in one shell and an empty directory.
fn run(steps: &[Step]) {
    assert!(steps.len() >= 10, "the steps were not found: {steps:?}");
    assert!(steps.iter().filter(|step| !step.output.is_empty()).count() >= 5, "{steps:?}");

    let place = Place::new();
    let bin = place.path("bin");
    fs::create_dir(&bin).unwrap();
    symlink(env!("CARGO_BIN_EXE_netchan"), bin.join("netchan")).unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut script = String::from("set -o pipefail\ntrap 'kill $(jobs -p) 2>/dev/null' EXIT\n");
    for step in steps {
        let command = step.command.replace(PORT, &free);
        script += &format!("echo '{MARK}'\n{command}\ncode=$?; [ $code = 0 ] || echo \"ended with $code\"\n");
    }
    let mut command = Command::new("bash");
    command.args(["-c", &script]).current_dir(place.path("."));
    command.envs(place.netchan("").get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()));
    let done = place.start(command).end().well();

    let out = String::from_utf8(done.out.clone()).unwrap();
    let outputs: Vec<Vec<&str>> =
        out.split(&format!("{MARK}\n")).skip(1).map(|output| output.lines().collect()).collect();
    assert_eq!(outputs.len(), steps.len(), "{out}");
    for (step, output) in steps.iter().zip(outputs) {
        assert_eq!(output, step.output, "$ {}\nstderr: {}", step.command, done.err);
    }
}
