//! What examples are run in: a machine with some files and channels, a node elsewhere that is called `build7`, and a
//! real shell.

#![allow(dead_code, reason = "each test file uses what it needs")]
#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use super::shell::{Done, Place, Running, until};

/// Examples that do not end by themselves: words in them, and what they say once they do what they are for.
pub(crate) const ENDLESS: &[(&str, &str)] = &[
    ("tail -f", "sending to"),
    ("netchan top", "Channels"),
    ("--serve", "others can read"),
    ("netchan serve --metrics", "metrics are at http://"),
    ("netchan serve", "serving"),
];

fn endless(example: &str) -> Option<&'static (&'static str, &'static str)> {
    ENDLESS.iter().find(|(words, _)| {
        example.contains(words) && !["--stdio", "--once"].iter().any(|ends| example.contains(ends))
    })
}

/// The token of the node elsewhere, if an example has it.
const TOKEN: &str = "s3cret";

/// Whether its channels are sealed: then receivers come to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Channels {
    Open,
    Sealed,
}

/// A machine and what is around it, until it is dropped.
pub(crate) struct Scene {
    pub(crate) place: Place,
    node: Option<(Running, String)>,
    /// This machine's node, where an example looks at it.
    own: Option<Running>,
    ports: BTreeMap<u16, u16>,
}

impl Scene {
    pub(crate) fn new(channels: Channels) -> Scene {
        let place = Place::new();
        copy(&template(channels).path("."), &place.path("."));
        let bin = place.path("bin");
        fs::create_dir(&bin).unwrap();
        symlink(env!("CARGO_BIN_EXE_netchan"), bin.join("netchan")).unwrap();
        let ssh = format!(
            "#!/bin/sh\n# ssh HOST COMMAND: the command has the files of that host\nshift\n\
             export NETCHAN_DATA_DIR={}\nunset NETCHAN_TOKEN\nexec sh -c \"$*\"\n",
            place.path("build7").display()
        );
        fs::write(bin.join("ssh"), ssh).unwrap();
        fs::set_permissions(bin.join("ssh"), fs::Permissions::from_mode(0o755)).unwrap();
        Scene { place, node: None, own: None, ports: BTreeMap::new() }
    }

    /// The node that examples call `build7:4747`: with a token, if the example has one.
    fn node(&mut self, example: &str) -> String {
        if let Some((_, address)) = &self.node {
            return address.clone();
        }
        let mut command = self.place.netchan("serve --listen 127.0.0.1:0");
        command.env("NETCHAN_DATA_DIR", self.place.path("build7"));
        if example.contains(TOKEN) || example.contains("token") {
            command.args(["--token", TOKEN]);
        }
        let mut node = self.place.start(command);
        let address = node.says("serving").rsplit(' ').next().unwrap().to_owned();
        self.node = Some((node, address.clone()));
        address
    }

    /// Runs a command line to its end, or until it does what it is for and Ctrl-C ends it.
    ///
    /// # Errors
    /// Says what was not as it should be.
    pub(crate) fn run(&mut self, example: &str) -> Result<(), String> {
        let running = self.start(example);
        let endless = endless(example);
        let done = match endless {
            Some((_, says)) => interrupted(running, says)?,
            None => running.end(),
        };
        let well = match endless {
            // 141: a program before the pipe, which netchan had left
            Some(_) => matches!(done.status.code(), Some(0 | 130 | 141) | None),
            None => done.status.success(),
        };
        let out = String::from_utf8_lossy(&done.out).into_owned();
        if well { Ok(()) } else { Err(format!("{}\nstdout: {out}\nstderr: {}", done.status, done.err)) }
    }

    /// Starts a command line, as a shell would.
    pub(crate) fn start(&mut self, example: &str) -> Running {
        let mut line = self.here(example);
        if example.contains("netchan top") {
            let mut own = self.place.go("serve --listen none");
            own.says("serving");
            self.own = Some(own);
            if endless(example).is_some() {
                // on a terminal
                line = format!(
                    "TERM=xterm exec script -qefc 'stty cols 100 rows 30; exec {}' /dev/null",
                    line.split('#').next().unwrap_or(&line)
                );
            }
        }
        let mut command = self.place.netchan("");
        let env: Vec<_> = command
            .get_envs()
            .map(|(name, value)| (name.to_owned(), value.map(std::ffi::OsStr::to_owned)))
            .collect();
        command = Command::new("bash");
        for (name, value) in env {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let path = std::env::var("PATH").unwrap();
        command.args(["-o", "pipefail", "-c", &line]).current_dir(self.place.path("."));
        command.env("PATH", format!("{}:{path}", self.place.path("bin").display()));
        command.env("HOME", self.place.path("home")).env("TMPDIR", self.place.path("tmp"));
        // an endless one says what it does, as on a terminal
        if endless(example).is_some() {
            command.env("NETCHAN_VERBOSE", "1");
        }
        command.stdin(std::process::Stdio::null()).process_group(0);
        self.place.start(command)
    }

    /// The line with addresses that can be had here.
    fn here(&mut self, example: &str) -> String {
        if example.contains("build7:4747") || example.contains("@prod") {
            let address = self.node(example);
            let config = self.place.path("config/netchan");
            fs::create_dir_all(&config).unwrap();
            fs::write(config.join("config.toml"), format!("[places.prod]\naddress = \"{address}\"\n"))
                .unwrap();
        }
        let mut line = match &self.node {
            Some((_, address)) => example.replace("build7:4747", address),
            None => example.to_owned(),
        };
        let local = ["127.0.0.1:", "0.0.0.0:", "localhost:", "[::1]:"];
        let build7 = self.node.as_ref().map(|(_, address)| address.clone()).unwrap_or_default();
        for host in local {
            let ports: Vec<u16> = example
                .match_indices(host)
                .filter_map(|(at, _)| {
                    let digits: String =
                        example[at + host.len()..].chars().take_while(char::is_ascii_digit).collect();
                    digits.parse().ok().filter(|port| *port != 0)
                })
                .collect();
            for port in ports {
                let free = *self.ports.entry(port).or_insert_with(free_port);
                let (said, meant) = (format!("{host}{port}"), format!("{host}{free}"));
                if said != build7 {
                    line = line.replace(&said, &meant);
                }
            }
        }
        line
    }
}

/// A port that nobody has, for now.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until it says what it should, then Ctrl-C: to the whole pipeline, as a terminal does.
fn interrupted(mut running: Running, says: &str) -> Result<Done, String> {
    let said = until(&format!("an endless example to say {says:?}"), || {
        let heard = running.err() + &String::from_utf8_lossy(&running.out());
        (heard.contains(says) || !running.is_running()).then_some(heard)
    });
    if !said.contains(says) {
        return Err(format!("ended without saying {says:?}: {said}"));
    }
    let group = format!("-{}", running.child.id());
    Command::new("kill").args(["-INT", "--", &group]).status().unwrap();
    Ok(running.end())
}

fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status().unwrap();
    assert!(done.success(), "cp {} {}", from.display(), to.display());
}

/// The files and channels of each scene, made once.
fn template(channels: Channels) -> &'static Place {
    static OPEN: OnceLock<Place> = OnceLock::new();
    static SEALED: OnceLock<Place> = OnceLock::new();
    match channels {
        Channels::Open => OPEN.get_or_init(|| made("")),
        Channels::Sealed => SEALED.get_or_init(|| made("--seal")),
    }
}

fn made(seal: &str) -> Place {
    let place = Place::new();
    let app: String = (1..=200).map(|line| format!("line {line} of the log\n")).collect();
    let orders: String =
        (1..=300).map(|order| format!("{order},user{},{}.50\n", order % 7, order * 3)).collect();
    fs::write(place.path("app.log"), app).unwrap();
    fs::write(place.path("orders.csv"), orders).unwrap();
    fs::write(place.path("token"), format!("{TOKEN}\n")).unwrap();
    fs::write(place.path("readers.token"), "for who reads\n").unwrap();
    for dir in ["home", "tmp"] {
        fs::create_dir(place.path(dir)).unwrap();
    }
    for name in ["app app.log", "orders orders.csv", "files app.log", "jobs orders.csv", "logs/web app.log"] {
        place.run(&format!("send {name} {seal} --listen none")).well();
    }
    place.run(&format!("send shops orders.csv --key-delimiter , --partitions 4 {seal} --listen none")).well();
    place.run("cursor set app worker --from 10").well();
    let json = place.run("recv orders --from earliest --no-follow --json").well();
    fs::write(place.path("orders.jsonl"), json.out).unwrap();
    copy(&place.path("data"), &place.path("build7"));
    place
}
