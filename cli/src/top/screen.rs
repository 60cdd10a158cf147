//! The terminal: taken for the whole screen, and given back whatever happens.
//!
//! Owns raw mode, the alternate screen and the cursor. They are given back when [`Screen`] is dropped, before the message
//! of a panic on any thread, and while the program is in the background.

use std::io::{self, BufWriter, Stdout, Write};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::event::{self, KeyEvent, KeyEventKind};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use rustix::process::Signal;
use tokio::sync::mpsc;

/// The signal that a process gets when it comes from the background.
pub(crate) const CONTINUES: i32 = Signal::CONT.as_raw();

/// Keys that wait while something else is done.
const MAX_KEYS: usize = 64;
/// One screen is written at once, as far as this goes.
const MAX_WRITE: usize = 256 << 10;

static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// The whole terminal.
pub(crate) struct Screen {
    terminal: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
}

impl Screen {
    /// Takes the terminal.
    pub(crate) fn take() -> Result<Screen> {
        give_back_before_panics();
        take().context("the terminal cannot be taken")?;
        let out = BufWriter::with_capacity(MAX_WRITE, io::stdout());
        match Terminal::new(CrosstermBackend::new(out)) {
            Ok(terminal) => Ok(Screen { terminal }),
            Err(error) => {
                give_back();
                Err(error.into())
            }
        }
    }

    /// Draws what differs.
    pub(crate) fn draw(&mut self, draw: impl FnOnce(&mut Buffer)) -> Result<()> {
        if !IS_TAKEN.load(Ordering::Acquire) {
            bail!("a part of the program failed, as told above");
        }
        self.terminal.draw(|frame| draw(frame.buffer_mut()))?;
        Ok(())
    }

    /// Takes the terminal again and draws it from scratch the next time: who knows what is on it now.
    pub(crate) fn again(&mut self) -> Result<()> {
        take()?;
        // Not `clear`: that asks the terminal where its cursor is, and the answer would come among the keys.
        self.terminal.resize(self.terminal.size()?.into())?;
        Ok(())
    }

    /// Goes to the background, as Ctrl-Z means, and comes back.
    pub(crate) fn suspend(&mut self) -> Result<()> {
        give_back();
        rustix::process::kill_current_process_group(Signal::TSTP)?;
        self.again()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn take() -> io::Result<()> {
    enable_raw_mode()?;
    IS_TAKEN.store(true, Ordering::Release);
    execute!(io::stdout(), EnterAlternateScreen, Hide).inspect_err(|_| give_back())
}

/// As it was before. Nobody is left to be told if that fails.
fn give_back() {
    if IS_TAKEN.swap(false, Ordering::AcqRel) {
        let _ = disable_raw_mode();
        let mut out = io::stdout();
        let _ = execute!(out, LeaveAlternateScreen, Show);
        let _ = out.flush();
    }
}

fn give_back_before_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            before(panic);
        }));
    });
}

/// What comes from the terminal.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    Key(KeyEvent),
    Resized,
}

/// What comes from the terminal from now on, until it is gone. The thread that reads it ends with the program.
pub(crate) fn keys() -> mpsc::Receiver<Event> {
    let (tell, told) = mpsc::channel(MAX_KEYS);
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            let event = match event {
                event::Event::Key(key) if key.kind != KeyEventKind::Release => Event::Key(key),
                event::Event::Resize(..) => Event::Resized,
                _ => continue,
            };
            if tell.blocking_send(event).is_err() {
                return;
            }
        }
    });
    told
}

#[cfg(test)]
#[path = "../../tests/terminal/mod.rs"]
mod terminal;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

    use super::terminal;
    use super::*;

    const NAME: &str =
        "top::screen::tests::the_terminal_is_given_back_before_the_message_of_a_panic_on_any_thread";
    /// Set where this test runs itself, in a terminal.
    const INSIDE: &str = "NETCHAN_TEST_INSIDE";

    #[test]
    fn the_terminal_is_given_back_before_the_message_of_a_panic_on_any_thread() {
        if std::env::var_os(INSIDE).is_some() {
            let mut screen = Screen::take().unwrap();
            let there = |buf: &mut Buffer| buf.set_string(0, 0, "drawn", ratatui::style::Style::new());
            screen.draw(there).unwrap();
            let mut keys = keys();
            assert!(matches!(keys.blocking_recv(), Some(Event::Key(_))));
            std::thread::spawn(|| panic!("a bug on purpose")).join().unwrap_err();
            assert!(screen.draw(there).is_err(), "it is not ours any more");
            return;
        }
        if terminal::is_missing() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let program = std::env::current_exe().unwrap();
        let command =
            format!("{} --exact {NAME} --nocapture; echo \"code $?\"; stty; cat", program.display());
        let terminal = terminal::Terminal::run(dir.path(), (80, 24), &[(INSIDE, "1")], &command);
        terminal.shows(&["drawn"]);
        assert_eq!(terminal.fact("alternate_on"), "1");
        terminal.press(&["x"]);
        let text = terminal.shows(&["a bug on purpose", "code 0", "speed"]).join("\n");
        assert!(!text.contains("drawn") && !text.contains("-icanon") && text.contains("1 passed"), "{text}");
        assert_eq!((terminal.fact("alternate_on"), terminal.fact("cursor_flag")), ("0".into(), "1".into()));
    }
}
