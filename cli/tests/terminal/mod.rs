//! A real terminal to run the program in: a window of tmux, whose screen is read and whose keys are pressed.

#![allow(dead_code, reason = "each test file uses what it needs")]
#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use unicode_width::UnicodeWidthStr;

/// Longer than anything here takes, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at the screen.
const PAUSE: Duration = Duration::from_millis(20);

/// A terminal with a server of its own, which ends with it.
pub(crate) struct Terminal {
    socket: PathBuf,
    size: (usize, usize),
}

/// Whether there is no tmux here, so that nothing can be tested in a terminal. It is said, and where `NETCHAN_TOOLS` is
/// `required`, as in CI, it fails.
pub(crate) fn is_missing() -> bool {
    let is_there = Command::new("tmux").arg("-V").output().is_ok_and(|done| done.status.success());
    if !is_there {
        eprintln!("not run: tmux is needed to test in a terminal (apt-get install tmux)");
        assert!(std::env::var_os("NETCHAN_TOOLS").is_none(), "tmux is missing");
    }
    !is_there
}

impl Terminal {
    /// Runs a shell command in a terminal of so many columns and lines. `dir` is where its socket goes.
    pub(crate) fn run(
        dir: &Path,
        (columns, lines): (usize, usize),
        variables: &[(&str, &str)],
        command: &str,
    ) -> Terminal {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let terminal = Terminal { socket: dir.join(format!("tmux.{number}")), size: (columns, lines) };
        let mut tmux = terminal.tmux();
        tmux.args(["-f", "/dev/null", "new-session", "-d"]);
        tmux.args(["-x", &columns.to_string(), "-y", &lines.to_string()]);
        for (name, value) in variables {
            tmux.args(["-e", &format!("{name}={value}")]);
        }
        tmux.arg(command).current_dir(dir).env_remove("TMUX").env_remove("NO_COLOR");
        let done = tmux.output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        terminal
    }

    fn tmux(&self) -> Command {
        let mut tmux = Command::new("tmux");
        tmux.arg("-u").arg("-S").arg(&self.socket).stdin(Stdio::null());
        tmux
    }

    fn ask(&self, words: &[&str]) -> String {
        let done = self.tmux().args(words).output().unwrap();
        assert!(done.status.success(), "tmux {words:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }

    /// What stands on the screen now, line by line, without blanks at the ends.
    pub(crate) fn screen(&self) -> Vec<String> {
        self.ask(&["capture-pane", "-p"]).lines().map(|line| line.trim_end().to_owned()).collect()
    }

    /// The same with its escape sequences.
    pub(crate) fn coloured_screen(&self) -> String {
        self.ask(&["capture-pane", "-p", "-e"])
    }

    /// What tmux knows of the window.
    pub(crate) fn fact(&self, name: &str) -> String {
        self.ask(&["display-message", "-p", &format!("#{{{name}}}")]).trim_end().to_owned()
    }

    /// Presses keys, as tmux names them.
    pub(crate) fn press(&self, keys: &[&str]) {
        self.ask(&[&["send-keys"], keys].concat());
    }

    /// Types a text as it is.
    pub(crate) fn write(&self, text: &str) {
        self.ask(&["send-keys", "-l", text]);
    }

    pub(crate) fn resize(&mut self, columns: usize, lines: usize) {
        self.size = (columns, lines);
        self.ask(&["resize-window", "-x", &columns.to_string(), "-y", &lines.to_string()]);
    }

    /// Waits until the screen is so that `ready` gives something, and stays so for two looks: one may fall into the
    /// midst of a drawing.
    #[track_caller]
    pub(crate) fn until<T>(&self, what: &str, mut ready: impl FnMut(&[String]) -> Option<T>) -> T {
        let since = Instant::now();
        let mut before = Vec::new();
        loop {
            let screen = self.screen();
            if let Some(value) = ready(&screen).filter(|_| screen == before) {
                return value;
            }
            before.clone_from(&screen);
            assert!(since.elapsed() < PATIENCE, "waited in vain for {what}:\n{}", screen.join("\n"));
            std::thread::sleep(PAUSE);
        }
    }

    /// Waits until the screen has these texts somewhere, and gives it.
    #[track_caller]
    pub(crate) fn shows(&self, texts: &[&str]) -> Vec<String> {
        self.until(&format!("{texts:?}"), |screen| {
            let all = texts.iter().all(|text| screen.iter().any(|line| line.contains(text)));
            all.then(|| screen.to_vec())
        })
    }

    /// The screen is as large as it should be, and no line is wider.
    #[track_caller]
    pub(crate) fn fits(&self, screen: &[String]) {
        let (columns, lines) = self.size;
        assert!(screen.len() <= lines, "{} lines of {lines}:\n{}", screen.len(), screen.join("\n"));
        for line in screen {
            assert!(line.width() <= columns, "{} columns of {columns}: {line}", line.width());
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.tmux().arg("kill-server").stderr(Stdio::null()).status();
    }
}
