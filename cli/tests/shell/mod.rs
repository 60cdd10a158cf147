//! A place to run the program in: a directory of its own, processes that never outlive the test.

#![allow(dead_code, reason = "each test file uses what it needs")]
#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

pub(crate) mod damage;

use std::fs::{self, File};
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Longer than anything here takes, unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A directory with a data directory in it.
pub(crate) struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Place {
        Place { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The program with these words, in this place.
    pub(crate) fn netchan(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_netchan"));
        command.args(words.split_whitespace()).current_dir(self.dir.path());
        // nothing of this machine's user is heeded
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("NETCHAN_") {
                command.env_remove(name);
            }
        }
        command.env("NETCHAN_DATA_DIR", self.path("data")).env("XDG_CONFIG_HOME", self.path("config"));
        command.stdin(Stdio::null());
        command
    }

    /// The program with these words, and one more that may have anything in it.
    pub(crate) fn with(&self, words: &str, last: &str) -> Running {
        let mut command = self.netchan(words);
        command.arg(last);
        self.start(command)
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, words: &str) -> Done {
        self.feed(words, b"")
    }

    /// Runs it to its end, `input` being its stdin.
    pub(crate) fn feed(&self, words: &str, input: &[u8]) -> Done {
        fs::write(self.path("stdin"), input).unwrap();
        let mut command = self.netchan(words);
        command.stdin(File::open(self.path("stdin")).unwrap());
        self.start(command).end()
    }

    /// Starts it; its stdout and stderr go to files.
    pub(crate) fn start(&self, mut command: Command) -> Running {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (out, err) = (self.path(&format!("out.{number}")), self.path(&format!("err.{number}")));
        command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
        let what = format!("{command:?}");
        Running { child: command.spawn().unwrap(), out, err, what }
    }

    pub(crate) fn go(&self, words: &str) -> Running {
        self.start(self.netchan(words))
    }
}

/// A process; killed when dropped.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) out: PathBuf,
    pub(crate) err: PathBuf,
    what: String,
}

impl Running {
    pub(crate) fn out(&self) -> Vec<u8> {
        fs::read(&self.out).unwrap()
    }

    pub(crate) fn err(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.err).unwrap()).into_owned()
    }

    /// Waits until it ends by itself.
    pub(crate) fn end(mut self) -> Done {
        let status = until(&format!("{} to end", self.what), || self.child.try_wait().unwrap());
        Done { status, out: self.out(), err: self.err() }
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) -> Done {
        self.child.kill().unwrap();
        let status = self.child.wait().unwrap();
        Done { status, out: self.out(), err: self.err() }
    }

    /// A signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let done = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(done.unwrap().success());
    }

    /// Waits until its stderr has this text, and gives the line with it.
    pub(crate) fn says(&mut self, text: &str) -> String {
        until(&format!("{} to say {text:?}", self.what), || {
            let err = self.err();
            // a line that has no end yet may be half of one
            let mut whole = err.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            let line = whole.find(|line| line.contains(text)).map(|line| line.trim_end().to_owned());
            assert!(
                line.is_some() || self.is_running(),
                "{} ended without saying {text:?}: {err}",
                self.what
            );
            line
        })
    }

    /// Waits until its stdout has so many bytes.
    pub(crate) fn gives(&self, bytes: usize) -> Vec<u8> {
        until(&format!("{} to give {bytes} bytes", self.what), || {
            let out = self.out();
            (out.len() >= bytes).then_some(out)
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process that has ended.
pub(crate) struct Done {
    pub(crate) status: ExitStatus,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
}

impl Done {
    /// It ended with this code.
    #[track_caller]
    pub(crate) fn code(self, code: i32) -> Done {
        assert_eq!(self.status.code(), Some(code), "stderr: {}", self.err);
        self
    }

    /// It ended well.
    #[track_caller]
    pub(crate) fn well(self) -> Done {
        self.code(0)
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.out.lines().map(Result::unwrap).collect()
    }
}

/// Waits for `ready`.
pub(crate) fn until<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(since.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A writer into the stdin of a process.
pub(crate) fn piped(place: &Place, words: &str) -> (Running, std::process::ChildStdin) {
    let mut command = place.netchan(words);
    command.stdin(Stdio::piped());
    let mut running = place.start(command);
    let stdin = running.child.stdin.take().unwrap();
    (running, stdin)
}

/// Bytes are equal, and if not, where they begin to differ.
#[track_caller]
pub(crate) fn same(found: &[u8], expected: &[u8], what: &str) {
    if found != expected {
        let at = found.iter().zip(expected).take_while(|(a, b)| a == b).count();
        let near = |bytes: &[u8]| {
            let from = at.saturating_sub(40).min(bytes.len());
            String::from_utf8_lossy(&bytes[from..bytes.len().min(at + 40)]).into_owned()
        };
        panic!(
            "{what}: {} bytes instead of {}, other from {at} on: {:?} instead of {:?}",
            found.len(),
            expected.len(),
            near(found),
            near(expected)
        );
    }
}

/// A pseudo-random sequence.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// Lines of what this machine's file system holds (names are what they are), and more until there are `lines`.
pub(crate) fn real_file(path: &Path, lines: usize) -> Vec<u8> {
    let mut content = Vec::new();
    let mut count = 0;
    let mut dirs = vec![PathBuf::from("/usr"), PathBuf::from("/etc")];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            let size = entry.metadata().map_or(0, |metadata| metadata.len());
            let _ = writeln!(content, "{size:>12} {}", entry.path().display());
            count += 1;
            if kind.is_dir() {
                dirs.push(entry.path());
            }
        }
        if count > lines {
            break;
        }
    }
    for number in count..=lines {
        let _ = writeln!(content, "{number:>12} a line that no file stands for");
    }
    fs::write(path, &content).unwrap();
    content
}
