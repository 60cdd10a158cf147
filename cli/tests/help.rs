//! Help that is true: every command and every flag has an example, and every example runs.
//!
//! Read from the help texts themselves, through the program's front door. Examples are the lines under `Examples:`; a flag
//! with the same help in several commands needs one of them.

#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

mod scene;
mod shell;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use scene::{Channels, Scene};
use shell::Place;

/// Examples with these words are not run here: they judge what they measure, and a busy machine fails. Their flags are
/// looked at, and `bench.rs` runs the like.
const JUDGES: &[&str] = &["netchan bench soak", "--check"];

fn judges(example: &str) -> bool {
    JUDGES.iter().any(|words| example.contains(words))
}

/// A command, by what its help says.
#[derive(Debug)]
struct Help {
    /// `recv`, `bench soak`; nothing for the program itself.
    command: String,
    flags: Vec<Flag>,
    examples: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flag {
    long: String,
    short: Option<char>,
    help: String,
}

/// The program, its commands, theirs.
fn everything() -> Vec<Help> {
    let place = Place::new();
    let mut all = Vec::new();
    let mut open = vec![String::new()];
    while let Some(command) = open.pop() {
        let text = String::from_utf8(place.run(&format!("{command} --help")).well().out).unwrap();
        for under in commands(&text) {
            open.push(format!("{command} {under}").trim().to_owned());
        }
        all.push(Help { flags: flags(&text), examples: examples(&text), command });
    }
    assert!(all.len() > 12, "commands were not found: {all:?}");
    all
}

fn commands(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = lines.take_while(|line| line.starts_with("  ")).filter(|line| !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

fn flags(help: &str) -> Vec<Flag> {
    let mut flags: Vec<Flag> = Vec::new();
    for line in help.lines() {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        if (2..=6).contains(&indent) && text.starts_with('-') {
            let (short, rest) = match text.split_once(", --") {
                Some((short, rest)) => (short.chars().nth(1), rest),
                None => (None, text.strip_prefix("--").unwrap_or_default()),
            };
            let long: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
            assert!(!long.is_empty(), "{line}");
            flags.push(Flag { long, short, help: text.to_owned() });
        } else if indent > 6
            && let Some(flag) = flags.last_mut()
        {
            flag.help.push_str(text);
        }
    }
    // that one shows all the others
    flags.retain(|flag| flag.long != "help");
    flags
}

fn examples(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Examples:").skip(1);
    lines.take_while(|line| !line.is_empty()).map(|line| line.trim().to_owned()).collect()
}

/// The words that an example gives to a command, each time that it has it.
fn given(example: &str, command: &str) -> Vec<String> {
    let words: Vec<_> =
        example.split_whitespace().map(|word| word.trim_matches(['\'', '"', '(', ')'])).collect();
    let mut given = Vec::new();
    for (at, _) in words.iter().enumerate().filter(|(_, word)| **word == "netchan") {
        let own =
            words[at + 1..].iter().take_while(|word| !matches!(**word, "|" | "&&" | ";" | "#" | "netchan"));
        let own: Vec<_> = own.map(|word| (*word).to_owned()).collect();
        let names: Vec<_> = own.iter().filter(|word| !word.starts_with('-')).collect();
        if command.split_whitespace().zip(names).filter(|(wanted, name)| wanted == *name).count()
            == command.split_whitespace().count()
        {
            given.extend(own);
        }
    }
    given
}

fn shows(words: &[String], flag: &Flag) -> bool {
    words.iter().any(|word| match word.strip_prefix("--") {
        Some(long) => long.split('=').next() == Some(&flag.long),
        None => word.strip_prefix('-').is_some_and(|short| flag.short.is_some_and(|own| short.contains(own))),
    })
}

#[test]
fn every_command_and_every_flag_has_an_example() {
    let all = everything();
    let mut missing = BTreeSet::new();
    let examples: Vec<&String> = all.iter().flat_map(|help| &help.examples).collect();
    let words_for = |command: &str| -> Vec<String> {
        examples.iter().flat_map(|example| given(example, command)).collect()
    };
    let mut shown: BTreeMap<Flag, bool> = BTreeMap::new();
    for help in &all {
        let words = words_for(&help.command);
        if words.is_empty() {
            missing.insert(format!("netchan {} has no example", help.command));
        }
        for flag in &help.flags {
            *shown.entry(flag.clone()).or_default() |= shows(&words, flag);
        }
    }
    for (flag, _) in shown.iter().filter(|(_, shown)| !**shown) {
        let with: Vec<_> =
            all.iter().filter(|help| help.flags.contains(flag)).map(|help| &*help.command).collect();
        missing.insert(format!("--{} of `{}` occurs in no example", flag.long, with.join(", ")));
    }
    assert!(missing.is_empty(), "{}", missing.into_iter().collect::<Vec<_>>().join("\n"));
}

#[test]
fn no_example_is_broken_by_a_narrow_screen() {
    for help in &everything() {
        for example in &help.examples {
            // 100 columns and an indentation, where nobody knows how wide the screen is
            assert!(example.contains("netchan"), "{}: this line was too long: ... {example}", help.command);
        }
    }
}

#[test]
fn every_example_runs() {
    let all = everything();
    let examples = all.iter().flat_map(|help| help.examples.clone()).filter(|example| !judges(example));
    let examples: BTreeSet<String> = examples.collect();
    assert!(examples.len() > 30, "examples were not found: {examples:?}");
    let left = Mutex::new(examples.into_iter().collect::<Vec<_>>());
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let Some(example) = left.lock().unwrap().pop() else { break };
                    let began = std::time::Instant::now();
                    let channels = match example.contains("netchan recv") {
                        true => Channels::Sealed,
                        false => Channels::Open,
                    };
                    if let Err(why) = Scene::new(channels).run(&example) {
                        failed.lock().unwrap().push(format!("{example}\n{why}"));
                    }
                    println!("{:>6} ms  {example}", began.elapsed().as_millis());
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} examples fail:\n\n{}", failed.len(), failed.join("\n\n"));
}

#[test]
fn the_help_shows_nothing_of_this_machine() {
    let place = Place::new();
    let mut command = place.netchan("recv --help");
    command.env("NETCHAN_TOKEN", "a-secret-token").env("NETCHAN_DATA_DIR", "/a/private/place");
    let help = String::from_utf8(place.start(command).end().well().out).unwrap();
    assert!(help.contains("[env: NETCHAN_TOKEN]") && help.contains("[env: NETCHAN_DATA_DIR]"), "{help}");
    assert!(!help.contains("a-secret-token") && !help.contains("/a/private/place"), "{help}");
}

#[test]
fn all_examples_are_printed_at_once() {
    let printed = Place::new().run("examples").well().lines();
    for help in everything() {
        // a command under another shows its own in its help
        if !help.command.contains(' ') {
            for example in &help.examples {
                assert!(printed.contains(example), "{example}");
            }
        }
    }
}
