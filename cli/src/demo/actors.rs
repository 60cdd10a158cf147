//! The demo's processes: this very program, as anybody would start it.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// The channel's name.
pub(super) const CHANNEL: &str = "demo";

/// Where they play: a directory, and an address for the node.
pub(super) struct Theatre {
    dir: PathBuf,
    program: PathBuf,
    addr: SocketAddr,
}

impl Theatre {
    pub(super) fn new(dir: &Path) -> Result<Theatre> {
        let program = std::env::current_exe().context("this program does not find itself")?;
        // a port that is free now; the sender takes it in a moment, and after each kill again
        let addr = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        Ok(Theatre { dir: dir.to_owned(), program, addr })
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// How much a receiver has written to its file.
    pub(super) fn written(&self, name: &str) -> u64 {
        fs::metadata(self.output(name)).map_or(0, |metadata| metadata.len())
    }

    /// A receiver's file.
    pub(super) fn output(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.out"))
    }

    /// The sender, which is the node as well: it goes on where the one before was killed.
    pub(super) fn sender(&self, rate: u64) -> Result<Actor> {
        let (listen, rate) = (self.addr.to_string(), rate.to_string());
        let words =
            ["send", CHANNEL, "input", "--resume", "--seal", "--serve", "--listen", &listen, "--rate", &rate];
        self.actor("sender", &words)
    }

    /// A receiver into `NAME.out`, over TCP.
    pub(super) fn receiver(&self, name: &'static str, words: &[&str]) -> Result<Actor> {
        let (target, output) = (format!("{}/{CHANNEL}", self.addr), format!("{name}.out"));
        self.actor(name, &[&["recv", &target, "--output", &output], words].concat())
    }

    /// All that the channel holds, with offsets and times: one JSON object a line.
    pub(super) fn dump(&self) -> Result<PathBuf> {
        let path = self.dir.join("dump.json");
        let mut command = self.command(&["recv", CHANNEL, "--from", "earliest", "--json"]);
        let status = command.stdout(File::create(&path)?).status()?;
        if !status.success() {
            bail!("the channel cannot be read at the end: {status}");
        }
        Ok(path)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words).current_dir(&self.dir).stdin(Stdio::null());
        command.env("NETCHAN_DATA_DIR", self.dir.join("data")).env_remove("NETCHAN_TOKEN");
        command
    }

    fn actor(&self, name: &'static str, words: &[&str]) -> Result<Actor> {
        let errors = self.dir.join(format!("{name}.err"));
        let log = File::options().append(true).create(true).open(&errors)?;
        let child = self.command(words).stdout(Stdio::null()).stderr(log).spawn();
        let child = child.with_context(|| format!("the {name} cannot be started"))?;
        Ok(Actor { name, child, errors })
    }
}

/// A process; killed when dropped.
pub(super) struct Actor {
    name: &'static str,
    child: Child,
    errors: PathBuf,
}

impl Actor {
    /// SIGKILL, and then it is gone.
    pub(super) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to stop, and waits until it has.
    pub(super) fn leave(&mut self) -> Result<()> {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::TERM)?;
        }
        if self.child.wait()?.success() { Ok(()) } else { self.fails() }
    }

    /// It has not ended by itself.
    pub(super) fn must_run(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            // a receiver ends when the channel is complete
            Some(status) if !status.success() => self.fails(),
            _ => Ok(()),
        }
    }

    /// Whether it has ended, and well.
    pub(super) fn has_ended_well(&mut self) -> Result<bool> {
        self.must_run()?;
        Ok(self.child.try_wait()?.is_some())
    }

    fn fails(&self) -> Result<()> {
        let said = fs::read_to_string(&self.errors).unwrap_or_default();
        bail!("the {} ended before its time: {}", self.name, said.trim())
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
