//! Which functions of the handles give a future: read from the sources, so that none is forgotten.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Where they stand, from the root of the repository. Not here: what blocks.
const ROOMS: &[&str] = &[
    "node/src/handles",
    "node/src/sender",
    "node/src/publisher",
    "node/src/event.rs",
    "node/src/reply.rs",
    "adapter-tokio/src",
    "adapter-smol/src",
    "adapter-std/src",
];

/// A public function that gives a future.
#[derive(Debug)]
pub(crate) struct Listed {
    /// As `Type::function`.
    pub(crate) name: String,
    /// Whether its documentation says what happens when the future is dropped.
    pub(crate) says: bool,
}

/// All of them.
pub(crate) fn listed() -> Vec<Listed> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut texts = Vec::new();
    ROOMS.iter().for_each(|room| read(&root.join(room), &mut texts));
    // Futures with a name, with their `<` if they are generic.
    let futures: Vec<String> = texts
        .iter()
        .flat_map(|text| text.lines())
        .filter_map(|line| line.strip_prefix("impl")?.split_once("Future for ").map(|(_, to)| to))
        .map(|of| of[..=of.find(['<', ' ']).unwrap()].trim_end().to_owned())
        .collect();
    let gives = |signature: &str| {
        signature.contains("async fn ")
            || signature.split_once("->").is_some_and(|(_, given)| {
                given.contains("A::Given<")
                    || given.contains("impl Future<")
                    || given.contains("Task<")
                    || futures.iter().any(|future| names(given, future))
            })
    };
    texts.iter().flat_map(|text| functions(text)).filter(|(_, signature, _)| gives(signature)).fold(
        Vec::new(),
        |mut all, (name, _, docs)| {
            all.push(Listed { name, says: docs.contains("# Cancel safety") });
            all
        },
    )
}

fn read(path: &Path, into: &mut Vec<String>) {
    if path.is_dir() {
        let mut entries: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        entries.iter().for_each(|entry| read(entry, into));
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        into.push(fs::read_to_string(path).unwrap());
    }
}

/// Whether `given` has `future` in it as a whole word, which has its `<` if it is generic.
fn names(given: &str, future: &str) -> bool {
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    given.match_indices(future).any(|(at, _)| {
        let (before, after) = (&given[..at], &given[at + future.len()..]);
        !before.ends_with(is_word)
            && (future.ends_with('<') || !after.starts_with(|next| is_word(next) || next == '<'))
    })
}

/// The public functions of a file: name, signature, documentation.
fn functions(text: &str) -> Vec<(String, String, String)> {
    let (mut of, mut docs, mut found) = (String::new(), String::new(), Vec::new());
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("impl") {
            let header = line.split(" for ").last().unwrap();
            let header = if header.starts_with("impl") { after_generics(header) } else { header };
            of = header
                .trim()
                .chars()
                .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
                .collect();
        }
        if line == "}" {
            of.clear();
        }
        let line = line.trim_start();
        if line.starts_with("///") {
            docs.push_str(line);
            docs.push('\n');
        } else if line.starts_with("pub ") && line.contains("fn ") {
            let mut signature = line.to_owned();
            while !signature.contains(['{', ';']) {
                signature.push_str(lines.next().unwrap());
            }
            let name = signature.split_once("fn ").unwrap().1;
            let name = name.split(['(', '<']).next().unwrap();
            let name = if of.is_empty() { name.to_owned() } else { format!("{of}::{name}") };
            found.push((name, signature, std::mem::take(&mut docs)));
        } else if !line.starts_with("#[") {
            docs.clear();
        }
    }
    found
}

/// What an `impl` is for.
fn after_generics(header: &str) -> &str {
    let rest = &header["impl".len()..];
    let mut depth = 0;
    for (at, letter) in rest.char_indices() {
        match letter {
            '<' => depth += 1,
            '>' => depth -= 1,
            ' ' if depth == 0 => return &rest[at..],
            _ => {}
        }
    }
    rest
}

/// Fails for each that no schedule drops, and for each that does not say what happens then; and for each that is
/// dropped by a schedule, but isn't there.
pub(crate) fn hold_to(dropped: &[&str]) {
    let mut wrong = BTreeMap::new();
    let listed = listed();
    for Listed { name, says } in &listed {
        if !says {
            wrong.insert(name.clone(), "its documentation has no section `# Cancel safety`");
        }
        if !dropped.contains(&name.as_str()) {
            wrong.insert(name.clone(), "no schedule drops its future: add it to suite/tests/cancels");
        }
    }
    for name in dropped {
        if !listed.iter().any(|listed| listed.name == *name) {
            wrong.insert((*name).to_owned(), "a schedule drops its future, but it is not there");
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
