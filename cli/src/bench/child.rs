//! The processes of a bench, as who started them sees them.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::figures::Done;
use super::roles::Role;
use super::terms::Far;

/// How often it looks whether a node is up.
const LOOK: Duration = Duration::from_millis(5);
/// How long a node may take to come up.
const PATIENCE: Duration = Duration::from_secs(20);

/// The processes that are in a role now.
static STAGE: Mutex<Stage> = Mutex::new(Stage { is_closed: false, pids: Vec::new() });

struct Stage {
    is_closed: bool,
    pids: Vec<u32>,
}

fn stage() -> MutexGuard<'static, Stage> {
    STAGE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Kills who is in a role: whoever waits for one of them fails, and nobody else begins.
pub(super) fn kill_all() {
    let mut stage = stage();
    stage.is_closed = true;
    for pid in stage.pids.drain(..) {
        if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// This very program, with none of this machine's settings.
fn this_program() -> Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("this program does not find itself")?);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("NETCHAN_") {
            command.env_remove(name);
        }
    }
    command.env("NETCHAN_CONFIG", "none");
    Ok(command)
}

/// A process in a role; killed when dropped.
pub(super) struct Actor {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Actor {
    pub(super) fn start(role: &Role) -> Result<Actor> {
        let mut stage = stage();
        if stage.is_closed {
            bail!("stopped");
        }
        let mut child =
            this_program()?.args(["bench", "--role"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        stage.pids.push(child.id());
        drop(stage);
        let mut input = child.stdin.take().context("a process of the bench has no input")?;
        let output = BufReader::new(child.stdout.take().context("a process of the bench has no output")?);
        writeln!(input, "{}", serde_json::to_string(role)?)?;
        Ok(Actor { child, input: Some(input), output })
    }

    /// A process that does all it has to do at once.
    pub(super) fn run(role: &Role) -> Result<Done> {
        Actor::start(role)?.done()
    }

    /// Waits for what it says next.
    pub(super) fn says(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            bail!("a process of the bench ended before it had said its figures");
        }
        Ok(line.trim().to_owned())
    }

    /// The word that it waits for.
    pub(super) fn go(&mut self) -> Result<()> {
        let input = self.input.as_mut().context("a process of the bench has no input")?;
        Ok(input.write_all(b"go\n")?)
    }

    /// Its figures, which are the last that it says, and its end.
    pub(super) fn done(mut self) -> Result<Done> {
        drop(self.input.take());
        let line = self.says()?;
        let done = serde_json::from_str(&line).with_context(|| format!("not figures: {line}"))?;
        self.leave();
        let status = self.child.wait()?;
        if status.success() { Ok(done) } else { bail!("a process of the bench failed: {status}") }
    }

    /// Fails if it has ended.
    pub(super) fn must_run(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("a process of the bench ended before its time: {status}"),
            None => Ok(()),
        }
    }
}

impl Actor {
    /// Nobody is to kill it any more by its number, which another process may have soon.
    fn leave(&self) {
        stage().pids.retain(|pid| *pid != self.child.id());
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.leave();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `netchan serve`, as anybody would start it; killed when dropped.
pub(super) struct Server {
    child: Child,
    addr: SocketAddr,
    errors: PathBuf,
}

impl Server {
    /// Starts it in `dir`, and waits until it takes calls.
    pub(super) fn start(dir: &Path) -> Result<Server> {
        let addr = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let errors = dir.with_extension("err");
        let child = this_program()?
            .args(["serve", "--listen", &addr.to_string(), "--data-dir"])
            .arg(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&errors)?)
            .spawn()?;
        let mut server = Server { child, addr, errors };
        let began = Instant::now();
        while TcpStream::connect(addr).is_err() {
            server.must_run()?;
            if began.elapsed() > PATIENCE {
                bail!("the node does not come up: {}", server.said());
            }
            std::thread::sleep(LOOK);
        }
        Ok(server)
    }

    /// How it is called.
    pub(super) fn far(&self) -> Far {
        Far::open(self.addr.to_string())
    }

    /// Its number.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.errors).unwrap_or_default().trim().to_owned()
    }

    /// Fails if it has ended.
    pub(super) fn must_run(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("the node ended before its time ({status}): {}", self.said()),
            None => Ok(()),
        }
    }

    /// Asks it to stop, and waits until it has.
    pub(super) fn stop(mut self) -> Result<()> {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::TERM)?;
        }
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
