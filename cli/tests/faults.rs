//! What goes wrong around the program, for real: full disks, read-only directories, closed streams. Each gives one clear
//! message (what, where, what to do) and the right exit code, and takes nothing that was told durable.

#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

mod shell;

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use shell::{Done, Place, until};

/// The user that is nobody, for whom permissions hold.
const NOBODY: &str = "65534";

/// The program in a shell, which can close its streams and limit it.
fn shell(place: &Place, line: &str) -> Done {
    let program = place.netchan("");
    let mut command = Command::new("bash");
    command.args(["-c", line]).env("N", env!("CARGO_BIN_EXE_netchan")).current_dir(place.path("."));
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.stdin(Stdio::null());
    place.start(command).end()
}

/// What the program itself said: the last of it is why it ended. Log lines come before.
#[track_caller]
fn one_message(done: &Done, words: &[&str]) {
    let own: Vec<_> =
        done.err.lines().filter(|line| !line.contains(" WARN ") && !line.contains(" ERROR ")).collect();
    assert_eq!(own.len(), 1, "one message: {}", done.err);
    for word in words {
        assert!(own[0].contains(word), "{word:?} is missing: {}", own[0]);
    }
    assert!(!done.err.contains("panicked"), "{}", done.err);
}

/// How many records `--acks` said are durable.
fn acknowledged(done: &Done) -> usize {
    done.lines().last().map_or(0, |line| line.parse().unwrap())
}

/// The first so many lines of `numbers` can be read back from `x`.
#[track_caller]
fn holds(place: &Place, durable: usize) {
    let lines = place.run("recv x --from earliest --no-follow").well().lines();
    assert!(lines.len() >= durable, "{} lines, but {durable} were told durable", lines.len());
    for (number, line) in lines.iter().enumerate().take(durable) {
        assert_eq!(*line, format!("line {number}"));
    }
}

fn numbers(count: usize) -> Vec<u8> {
    (0..count).flat_map(|number| format!("line {number}\n").into_bytes()).collect()
}

/// A volume of its own, of 8 MiB.
struct Volume(PathBuf);

impl Volume {
    /// Mounts it where `place` has its data. `None` where this machine lets nobody mount: then the test has to take
    /// another way, or fail.
    fn mount(place: &Place) -> Option<Volume> {
        let dir = place.path("data");
        fs::create_dir(&dir).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "none"]).arg(&dir).output();
        match mounted {
            Ok(done) if done.status.success() => Some(Volume(dir)),
            other => {
                eprintln!("no volume can be mounted here: {other:?}");
                None
            }
        }
    }

    fn again(&self, options: &str) {
        let done = Command::new("mount").args(["-o", options]).arg(&self.0).status().unwrap();
        assert!(done.success(), "mount -o {options}");
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_disk_that_fills_up_refuses_and_keeps_what_was_told_durable() {
    let place = Place::new();
    fs::write(place.path("input"), numbers(1_000_000)).unwrap();
    let done = match Volume::mount(&place) {
        Some(volume) => {
            let done = place.run("send x input --acks --listen none").code(1);
            one_message(
                &done,
                &["x: less than 5 % of the volume is free", "free space", "Before that: ", " line"],
            );
            holds(&place, acknowledged(&done));
            // it goes on when there is room
            volume.again("remount,size=64m");
            place.run("send x input --listen none").well();
            holds(&place, acknowledged(&done));
            drop(volume);
            done
        }
        // no file may grow beyond 4 MiB: a write that fails for want of room all the same
        None => {
            let line = "trap '' XFSZ; ulimit -f 4096; exec $N send x input --acks --listen none";
            let done = shell(&place, line).code(1);
            one_message(&done, &["x: ", "Before that: "]);
            holds(&place, acknowledged(&done));
            done
        }
    };
    assert!(acknowledged(&done) > 0, "nothing was sent before the disk was full");
}

#[test]
fn a_write_that_fails_ends_the_sender_and_loses_nothing_that_was_told_durable() {
    let place = Place::new();
    fs::write(place.path("input"), numbers(1_000_000)).unwrap();
    let done =
        shell(&place, "trap '' XFSZ; ulimit -f 4096; exec $N send x input --acks --listen none").code(1);
    one_message(&done, &["x: ", "File too large", "Before that: "]);
    let durable = acknowledged(&done);
    assert!(durable > 0, "nothing was sent before");
    holds(&place, durable);
    place.feed("send x", b"later\n").well();
    holds(&place, durable);
}

#[test]
fn a_volume_that_others_fill_to_the_last_byte_takes_nothing_away() {
    let place = Place::new();
    let Some(volume) = Volume::mount(&place) else {
        // the two tests above fill a disk in other ways
        assert!(!is_root(), "root cannot mount a tmpfs here, so that this fault cannot be made");
        return;
    };
    fs::write(place.path("input"), numbers(10_000)).unwrap();
    let sent = place.run("send x input --acks --listen none").well();
    assert_eq!(acknowledged(&sent), 10_000);
    let mut filler = fs::File::create(volume.0.join("filler")).unwrap();
    while filler.write_all(&[1; 4096]).is_ok() {}
    holds(&place, 10_000);
    let more: Vec<u8> =
        (10_000..200_000).flat_map(|number| format!("line {number}\n").into_bytes()).collect();
    fs::write(place.path("more"), more).unwrap();
    let done = place.run("send x more --acks --listen none").code(1);
    one_message(&done, &["x: ", "free", " line"]);
    let told = done.err.matches("the volume is nearly full").count();
    assert!(told <= 2, "a log says it once, and the node's own: {}", done.err);
    // who sends through the node of another program is told as well
    let mut node = place.go("serve --listen none");
    node.says("serving");
    while filler.write_all(&[1; 4096]).is_ok() {}
    let through = place.run("send x more --listen none").code(1);
    one_message(&through, &["x: ", "DISK_FULL", "--wait", " line", " sent, perhaps not all durable"]);
    drop(node);
    drop(filler);
    fs::remove_file(volume.0.join("filler")).unwrap();
    holds(&place, 10_000 + acknowledged(&done));
    place.feed("send x --listen none", b"more\n").well();
}

#[test]
fn a_directory_that_cannot_be_written_is_said_with_what_to_do() {
    let place = Place::new();
    place.feed("send x --listen none", &numbers(100)).well();
    // readable by all, writable by nobody but us
    for dir in [place.path("."), place.path("data")] {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
    }
    for line in ["send x input --listen none", "recv x --no-follow --last 1", "ls", "serve --listen none"] {
        fs::write(place.path("input"), "one\n").unwrap();
        let done = as_nobody(&place, line).code(1);
        one_message(&done, &["data: locking LOCK failed: Permission denied", "say another --data-dir"]);
    }
    holds(&place, 100);
}

#[test]
fn a_volume_that_is_mounted_read_only_is_said_with_what_to_do() {
    let place = Place::new();
    let Some(volume) = Volume::mount(&place) else {
        assert!(!is_root(), "root cannot mount a tmpfs here, so that this fault cannot be made");
        return;
    };
    place.feed("send x --listen none", &numbers(100)).well();
    volume.again("remount,ro");
    for line in ["send x --listen none", "recv x --no-follow --last 1", "ls"] {
        let done = place.run(line).code(1);
        one_message(&done, &["Read-only file system", "say another --data-dir"]);
    }
    volume.again("remount,rw");
    holds(&place, 100);
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout == b"0\n"
}

/// As a user for whom permissions hold; who is not root is one.
fn as_nobody(place: &Place, words: &str) -> Done {
    if !is_root() {
        fs::set_permissions(place.path("data"), fs::Permissions::from_mode(0o555)).unwrap();
        let locked = fs::Permissions::from_mode(0o444);
        fs::set_permissions(place.path("data/LOCK"), locked).unwrap();
        let done = place.run(words);
        fs::set_permissions(place.path("data"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(place.path("data/LOCK"), fs::Permissions::from_mode(0o644)).unwrap();
        return done;
    }
    // where we are built, nobody may look
    let program = place.path("netchan");
    if !program.exists() {
        fs::copy(env!("CARGO_BIN_EXE_netchan"), &program).unwrap();
    }
    shell(place, &format!("exec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups ./netchan {words}"))
}

#[test]
fn a_directory_that_a_silent_program_holds_is_said() {
    let place = Place::new();
    place.feed("send x --listen none", &numbers(100)).well();
    let lock = fs::File::options().write(true).open(place.path("data/LOCK")).unwrap();
    lock.try_lock().unwrap();
    for line in ["recv x --no-follow --last 1", "ls", "info x"] {
        let done = place.run(line).code(1);
        one_message(&done, &["another program holds the directory", "--data-dir"]);
    }
    // who may wait says for what
    for line in ["send x input --listen none", "recv x"] {
        fs::write(place.path("input"), "one\n").unwrap();
        let mut waits = place.go(line);
        waits.says("does not answer: waiting for it");
        assert!(waits.is_running(), "{line}");
        let done = waits.kill();
        one_message(&done, &["another program holds", "data", "netchan doctor"]);
    }
    let mut node = place.go("serve --listen none");
    node.says("another program is this machine's node");
    drop(lock);
    // who waited takes its place
    node.says("serving");
    holds(&place, 100);
}

#[test]
fn a_file_that_was_damaged_is_said_and_what_it_holds_is_not_served() {
    let place = Place::new();
    // batches of their own, each ended by an acknowledgement
    for round in 0..20 {
        place.feed("send x --listen none", format!("line {round}\n").repeat(50).as_bytes()).well();
    }
    place.run("seal x").well();
    let path = segment(&place.path("data/channels"));
    let file = fs::File::options().read(true).write(true).open(&path).unwrap();
    let mut byte = [0];
    let content = fs::read(&path).unwrap();
    // in the midst of what was written: behind that there may be room made beforehand
    let at = content.windows(7).position(|seen| seen == b"line 10").unwrap() as u64;
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x40], at).unwrap();
    let done = place.run("recv x --from earliest --no-follow");
    assert!(matches!(done.status.code(), Some(1 | 3)), "{:?}: {}", done.status, done.err);
    assert!(done.err.contains("damaged"), "says what it is: {}", done.err);
    assert!(done.err.contains(".log"), "says where it is: {}", done.err);
    for line in done.lines() {
        let number: u32 = line.strip_prefix("line ").unwrap().parse().unwrap();
        assert!(number < 20, "{line}");
    }
    assert!(done.lines().len() < 1000, "what is damaged was given out");
    // it is not a roll-back: what lies behind is there
    let last = place.run("recv x --last 10 --no-follow").well();
    assert!(last.lines().iter().all(|line| line == "line 19") && last.lines().len() == 10);
}

fn segment(dir: &Path) -> PathBuf {
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "log") {
                return path;
            }
        }
    }
    panic!("no segment")
}

#[test]
fn a_port_that_another_program_has_is_said() {
    let place = Place::new();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    for line in [format!("serve --listen {address}"), format!("send x --listen {address}")] {
        let done = place.run(&line).code(1);
        one_message(&done, &[&format!("cannot listen on {address}"), "in use", "say another --listen"]);
    }
}

#[test]
fn an_unknown_channel_is_said_with_how_to_see_the_known_ones() {
    let place = Place::new();
    for line in ["info y", "recv y --no-follow", "seal y", "rm y --yes"] {
        let done = place.run(line).code(1);
        one_message(&done, &["there is no channel y", "netchan ls"]);
    }
}

#[test]
fn what_is_not_understood_is_said_with_code_2() {
    let place = Place::new();
    fs::write(place.path("bad.toml"), "[defaults]\ndata_dir = \n").unwrap();
    fs::write(place.path("wrong.toml"), "[places.p]\naddres = 'a:1'\n").unwrap();
    for (line, words) in [
        ("recv x --frm earliest", &["--frm", "--from"][..]),
        ("recv x --from newest", &["newest", "--from", "earliest"]),
        ("sned x", &["sned", "send"]),
        ("ls --config bad.toml", &["bad.toml", "line 2"]),
        ("ls --config wrong.toml", &["wrong.toml", "line 2", "addres", "address"]),
        ("ls --config missing.toml", &["missing.toml", "cannot be read"]),
        ("ls @prod", &["@prod", "no configuration file", "netchan config --example"]),
    ] {
        let done = place.run(line).code(2);
        for word in words {
            assert!(done.err.contains(word), "{line}: {word:?} is missing: {}", done.err);
        }
    }
    let mut command = place.netchan("send x");
    command.env("NETCHAN_DURABILITY", "always");
    let done = place.start(command).end().code(2);
    one_message(&done, &["NETCHAN_DURABILITY", "always", "sync, interval, os"]);
    assert!(!place.path("data").exists(), "nothing was begun");
}

#[test]
fn a_closed_stdin_is_no_empty_input() {
    let place = Place::new();
    let done = shell(&place, "$N send x --listen none <&-").code(1);
    one_message(&done, &["stdin is closed", "FILE"]);
    shell(&place, "$N send x --listen none </dev/null").well();
}

#[test]
fn an_output_that_takes_nothing_is_said_and_moves_no_position() {
    let place = Place::new();
    place.feed("send x --seal --listen none", &numbers(100)).well();
    for (line, word) in [
        ("$N recv x --from earliest --position at >&-", "stdout is closed"),
        ("$N recv x --from earliest --position at >/dev/full", "No space left on device"),
        ("$N ls >&-", "stdout is closed"),
        ("$N ls >/dev/full", "the output cannot be written: No space left on device"),
        ("$N info x >/dev/full", "the output cannot be written: No space left on device"),
    ] {
        let done = shell(&place, line).code(1);
        one_message(&done, &[word]);
    }
    let lines = place.run("recv x --from earliest --position at").well().lines();
    assert_eq!(lines.len(), 100, "a position moved behind what nobody has");
    // who reads no more has enough, and nobody must listen to what is said
    shell(&place, "set -o pipefail; $N recv x --from earliest | head -1").well();
    shell(&place, "$N recv x --from earliest >/dev/null 2>&-").well();
    shell(&place, "$N recv x --from earliest -v >/dev/null 2>/dev/full").well();
}

#[test]
fn acknowledgements_that_nobody_hears_change_nothing() {
    let place = Place::new();
    fs::write(place.path("input"), numbers(1000)).unwrap();
    shell(&place, "$N send x input --acks --listen none >/dev/full").well();
    holds(&place, 1000);
}

#[test]
fn a_node_that_is_not_there_is_said() {
    let place = Place::new();
    let nobody = {
        let gone = TcpListener::bind("127.0.0.1:0").unwrap();
        gone.local_addr().unwrap()
    };
    for line in [format!("ls {nobody}"), format!("info {nobody}/x"), format!("recv {nobody}/x --no-follow")] {
        let done = place.run(&line).code(1);
        one_message(&done, &[&nobody.to_string(), "refused"]);
    }
    // the door of a program that never answers
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let mut asking = place.go(&format!("ls {address}"));
    let _held = silent.accept().unwrap();
    until("ls to give up", || (!asking.is_running()).then_some(()));
    one_message(&asking.end().code(1), &[&address.to_string()]);
}
