//! `netchan repair`: what is damaged goes aside and is told, what is left says what to do, a dry run changes nothing.

#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

mod shell;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use shell::damage::{dir, flip, segment};
use shell::{Done, Place};

/// A thousand lines in `app`, in at least two batches, and ten in `other`.
fn some() -> Place {
    let place = Place::new();
    let lines: String = (0..1000).map(|number| format!("line {number}\n")).collect();
    let (front, back) = lines.split_at(lines.find("line 400").unwrap());
    place.feed("send app --listen none", front.as_bytes()).well();
    place.feed("send app --listen none --seal", back.as_bytes()).well();
    place.feed("send other --listen none", &lines.as_bytes()[..70]).well();
    place
}

/// Every file of the data directory.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => all.extend(files(&path)),
            false => drop(all.insert(path.clone(), fs::read(&path).unwrap_or_default())),
        }
    }
    all
}

fn json(done: &Done) -> Vec<Value> {
    done.lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_damaged_batch_goes_aside_and_everything_else_is_there_and_holds() {
    let place = some();
    let path = segment(&place, "app");
    flip(&path, 4096 + 70);
    place.run("verify").code(1);
    let before = files(&place.path("data"));
    let would = place.run("repair --dry-run").well();
    assert!(would.err.contains("nothing was changed"), "{}", would.err);
    assert_eq!(files(&place.path("data")), before, "a dry run changes nothing");
    let done = place.run("repair").well();
    assert_eq!(done.lines(), would.lines(), "and says the same");
    assert!(done.err.contains(".bad") && done.err.lines().count() == 1, "said twice: {}", done.err);
    let lines = done.lines();
    assert!(lines[0].starts_with("repair  app: ") && lines[0].ends_with(" lost"), "{lines:?}");
    assert!(
        lines[1].contains(".log: set aside as channels/") && lines[1].contains(".log.bad, "),
        "{lines:?}"
    );
    // How many records the damaged batch has, chance says: they are written in groups as they come.
    let is_lost =
        lines[2].contains(", offsets 0 to ") || lines[2].contains("the record with offset 0 is lost");
    assert!(lines[2].contains("a declared loss; ") && is_lost, "{lines:?}");
    assert!(lines[3].ends_with(" records that hold"), "{lines:?}");
    assert_eq!(lines[4..], ["ok      other: nothing to repair", "ok      (state): nothing to repair"]);
    assert_eq!(fs::read(path.with_extension("log.bad")).unwrap(), before[&path]);
    let verified = place.run("verify app").well().lines();
    assert!(verified[0].starts_with("ok ") && verified[1].contains("declared by a repair; "), "{verified:?}");
    // A receiver is told of the gap, and gets the rest.
    let told = json(&place.run("verify app --json").well());
    let lost = told[0]["declared"][0]["to"].as_u64().unwrap();
    assert_eq!(
        (&told[0]["declared"][0]["from"], told[0]["records"].as_u64()),
        (&0.into(), Some(1000 - lost))
    );
    let got = place.run("recv app --from earliest --no-follow");
    assert!(got.err.contains("damaged"), "{}", got.err);
    assert_eq!(got.lines().len() as u64, 1000 - lost);
    assert_eq!(got.lines()[0], format!("line {lost}"));
    // And there is nothing more to do.
    let again = place.run("repair").well();
    assert!(
        again.err.is_empty() && again.lines().iter().all(|line| line.starts_with("ok ")),
        "{:?}",
        again.lines()
    );
}

#[test]
fn small_files_are_made_again_and_told_with_what_follows_from_it() {
    let place = some();
    let meta = dir(&place, "other").join("meta");
    flip(&meta, 20);
    flip(&place.path("data/node"), 9);
    let refused = place.run("send other --listen none").code(1);
    assert!(
        refused.err.contains("node is damaged: ") && refused.err.contains("netchan repair sets it aside"),
        "{}",
        refused.err
    );
    let told = json(&place.run("repair ./data --json").well());
    assert_eq!(told.len(), 4);
    assert_eq!((&told[0]["directory"], &told[0]["steps"][0]["to"]), (&"".into(), &"node.bad".into()));
    let of_other = &told[2];
    assert_eq!((&of_other["name"], &of_other["steps"][1]["did"]), (&"other".into(), &"made-meta".into()));
    place.run("verify").well();
    assert_eq!(place.run("recv other --from earliest --no-follow").lines().len(), 10);
    flip(&meta, 20);
    let words = place.run("repair other").well().lines();
    assert!(words[2].contains("made again, with durability sync and no retention; netchan set"), "{words:?}");
}

#[test]
fn what_is_left_says_what_to_do_and_ends_with_an_error() {
    let place = some();
    for path in [segment(&place, "other"), dir(&place, "other").join("meta")] {
        flip(&path, 20);
    }
    let before = files(&place.path("data"));
    let done = place.run("repair").code(1);
    let lines = done.lines();
    assert!(
        lines.iter().any(|line| line.starts_with("  LEFT  channels/") && line.contains("put back its meta"))
    );
    assert!(lines.iter().any(|line| line.starts_with("LEFT    (channels/")), "{lines:?}");
    assert!(done.err.contains("LEFT say what to do"), "{}", done.err);
    assert_eq!(files(&place.path("data")), before);
    assert_eq!(
        json(&place.run("repair --json").code(1))
            .iter()
            .filter(|log| log["left"] != Value::Array(vec![]))
            .count(),
        1
    );
}

#[test]
fn what_cannot_be_repaired_from_here_is_an_error_that_helps() {
    let place = some();
    for (line, words) in [
        ("repair nobody", "there is no channel nobody in "),
        ("repair ./nowhere", "there is no data directory ./nowhere; --data-dir"),
        ("repair localhost:1/app", "repair it on the machine that has it"),
    ] {
        let done = place.run(line).code(1);
        assert!(done.err.contains(words) && done.out.is_empty(), "{line}: {}", done.err);
    }
    let mut node = place.go("serve --listen none");
    node.says("serving");
    let held = place.run("repair app --dry-run").code(1);
    assert!(held.err.contains("stop it first: nothing was changed"), "{}", held.err);
}

#[test]
fn info_tells_what_a_sealed_channel_comes_to_here_with_its_node_and_without() {
    let place = some();
    let digest = json(&place.run("verify app --json").well())[0]["digest"].clone();
    assert!(digest.is_string());
    let look = |with: &str| {
        let told = json(&place.run("info app --json").well());
        assert_eq!(told[0]["digest"], digest, "{with}");
        let row = format!("digest   {}", digest.as_str().unwrap());
        assert!(place.run("info app").well().lines().contains(&row), "{with}");
        assert_eq!(
            json(&place.run("info other --json").well())[0]["digest"],
            Value::Null,
            "{with}: not sealed"
        );
    };
    look("without");
    let mut node = place.go("serve --listen none");
    node.says("serving");
    look("with");
}
