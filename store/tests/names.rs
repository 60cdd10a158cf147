//! Names that mean something to a file system or look alike: none leaves the data directory, no two share a file, and each is found
//! again as it was.
#![allow(clippy::unwrap_used)] // a panic is a failed test

mod rig;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use netchan_proto::{AsRecord, ChannelName};
use netchan_store::disk::{Disk, RealDisk};
use netchan_store::{LogOptions, Store, StoreOptions};
use rig::{name, texts};

/// What a name can be, and a file's name had better not.
fn hostile() -> Vec<String> {
    let longest = "x".repeat(255);
    let deepest = "a/".repeat(127) + "a";
    let wide = "é".repeat(127);
    let fixed = [
        // Paths, and what programs make of them.
        "a",
        "a/b",
        "a/b/c",
        "...",
        ".a",
        "a.",
        "a/...",
        "..a/..b",
        "~",
        "~root",
        "-rf",
        "--",
        "$HOME",
        "`id`",
        "%2e%2e%2f",
        "..%2f..",
        "\\",
        "..\\..\\etc\\passwd",
        "C\\x",
        "a\\b",
        "a;b",
        "a|b",
        "a>b",
        "a'b",
        "a\"b",
        "a?b",
        "a[b]",
        "{a,b}",
        "a&b",
        "!a",
        // What stands in the data directory itself.
        "LOCK",
        "node",
        "state",
        "channels",
        "meta",
        "meta.tmp",
        "00000000000000000000.log",
        "x.trash",
        "x.bad",
        "sock",
        "00000000000000000000000000000000",
        "channels/00000000000000000000000000000000/meta",
        // Case, and what only looks the same: Latin and Cyrillic, composed and not, full width, ligature, no width, right to left.
        "log",
        "Log",
        "LOG",
        "l\u{043e}g",
        "caf\u{e9}",
        "cafe\u{301}",
        "\u{ff4c}og",
        "\u{fb01}x",
        "fix",
        "lo\u{200b}g",
        "\u{202e}gol",
        "stra\u{df}e",
        "strasse",
        "\u{130}",
        "i\u{307}",
        "\u{212a}",
        "K",
        "k",
        "a\u{2215}b",
        "a\u{2044}b",
        "\u{2025}",
        "\u{2024}\u{2024}",
        // Names that Windows keeps for itself, and what it cuts off or splits.
        "CON",
        "con",
        "PRN",
        "AUX",
        "NUL",
        "nul.txt",
        "COM1",
        "COM\u{b9}",
        "LPT9",
        "CONIN$",
        "a/CON/b",
        "a.",
        "a...",
        "a~1",
        "$MFT",
    ];
    let mut names: Vec<String> = fixed.map(str::to_owned).into();
    names.extend([longest, deepest, wide, "X".repeat(255)]);
    names.sort();
    names.dedup();
    names
}

fn open(dir: &Path) -> Store {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(dir).unwrap());
    Store::open(disk, StoreOptions { min_free_percent: 0, ..StoreOptions::default() }).unwrap()
}

/// Every file below, and no link is followed.
fn files(dir: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let entry = entry.unwrap();
            match entry.file_type().unwrap() {
                kind if kind.is_dir() => dirs.push(entry.path()),
                kind => {
                    assert!(kind.is_file());
                    found.insert(entry.path());
                }
            }
        }
    }
    found
}

/// NC-DSK-003, NC-DSK-004, NC-TYP-010
#[test]
fn no_name_leaves_the_data_directory_no_two_share_a_file_and_each_is_found_again() {
    let outer = tempfile::tempdir().unwrap();
    let dir = outer.path().join("deep/er/data");
    fs::create_dir_all(&dir).unwrap();
    let names = hostile();
    let mut of: BTreeMap<String, BTreeSet<PathBuf>> = BTreeMap::new();
    let store = open(&dir);
    let mut before = files(outer.path());
    for text in &names {
        let log = store.create_or_open(&name(text), &LogOptions::default()).unwrap();
        log.append(&text.as_str().as_record()).unwrap();
        log.sync().unwrap();
        let after = files(outer.path());
        let made: BTreeSet<_> = after.difference(&before).cloned().collect();
        let own = dir.join("channels").join(log.id().to_string());
        assert!(!made.is_empty() && made.iter().all(|path| path.parent() == Some(&own)), "{text}: {made:?}");
        assert!(of.insert(text.clone(), made).is_none());
        before = after;
    }
    let all: usize = of.values().map(BTreeSet::len).sum();
    assert_eq!(of.values().flatten().collect::<BTreeSet<_>>().len(), all, "no file is two channels'");
    for path in files(outer.path()) {
        assert!(path.starts_with(&dir));
        let path = path.strip_prefix(&dir).unwrap().to_str().unwrap();
        assert!(path.is_ascii() && path.len() < 80, "{path} was not made of a name");
    }
    store.close();
    drop(store);

    let store = open(&dir);
    let listed: Vec<String> =
        store.list(None, "", usize::MAX).iter().map(|info| info.name.to_string()).collect();
    assert_eq!(listed, names, "in the order of their bytes, and as they were");
    for text in &names {
        let log = store.open_existing(&name(text)).unwrap().unwrap();
        assert_eq!(texts(&log), [text.as_str()]);
    }
    // What goes takes nothing of the others with it.
    for (at, text) in names.iter().enumerate() {
        if at % 2 == 0 {
            store.delete(&name(text)).unwrap();
        }
    }
    for (at, text) in names.iter().enumerate() {
        let log = store.open_existing(&name(text)).unwrap();
        assert_eq!(log.map(|log| texts(&log)), (at % 2 == 1).then(|| vec![text.clone()]), "{text}");
    }
    store.close();
}

/// NC-TYP-006, NC-TYP-007, NC-TYP-008: these never come as far as a store.
#[test]
fn what_could_leave_a_directory_is_no_name() {
    let too_long = "x".repeat(256);
    let wide = "é".repeat(128);
    for text in [
        "",
        ".",
        "..",
        "/",
        "//",
        "/etc/passwd",
        "../x",
        "a/..",
        "a/../b",
        "a/./b",
        "a//b",
        "a/",
        "a\0b",
        "\0",
        "a\nb",
        "a b",
        "a\u{a0}b",
        "a\u{85}",
        "a\u{7f}",
        "C:",
        "C:\\x",
        "CON:",
        "a:b",
        "a*",
        "@a",
        "a#1",
        &too_long,
        &wide,
    ] {
        assert!(ChannelName::new(text).is_err(), "{text:?}");
    }
}
