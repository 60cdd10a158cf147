//! Keys: what each asks for.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::model::{Action, Tab};

/// Every key and what it does, as the help shows it.
pub(crate) const HELP: &[(&str, &str)] = &[
    ("↑ ↓  k j", "select a row"),
    ("PgUp PgDn  Home End", "a page; the first, the last"),
    ("Enter", "look into a channel"),
    ("Esc", "back; without a filter"),
    ("Tab  1 2 3", "channels, peers, the node"),
    ("s S  → ←", "sort by the next column, the one before"),
    ("r", "the other way round"),
    ("/", "show only what has a text in its name"),
    ("Space  p", "pause, go on"),
    ("+ -", "look more often, less often"),
    ("Ctrl-L  Ctrl-Z", "draw anew; to the background"),
    ("?  h", "this help"),
    ("q  Ctrl-C", "quit"),
];

/// What a key asks for; while a filter is typed, most stand for themselves.
pub(crate) fn action(key: KeyEvent, is_filtering: bool) -> Option<Action> {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    Some(match key.code {
        KeyCode::Char('c') if control => Action::Interrupt,
        KeyCode::Char('z') if control => Action::Suspend,
        KeyCode::Char('l') if control => Action::Redraw,
        KeyCode::Up => Action::Go(-1),
        KeyCode::Down => Action::Go(1),
        KeyCode::PageUp => Action::GoPages(-1),
        KeyCode::PageDown => Action::GoPages(1),
        KeyCode::Enter if is_filtering => Action::Accept,
        KeyCode::Esc if is_filtering => Action::Clear,
        KeyCode::Backspace if is_filtering => Action::Erase,
        KeyCode::Char('u' | 'w') if control && is_filtering => Action::Clear,
        KeyCode::Char(c) if is_filtering && !control => Action::Type(c),
        _ if is_filtering => return None,
        KeyCode::Home => Action::Go(isize::MIN),
        KeyCode::End => Action::Go(isize::MAX),
        KeyCode::Enter => Action::Open,
        KeyCode::Esc | KeyCode::Backspace => Action::Back,
        KeyCode::Tab => Action::Beside(1),
        KeyCode::BackTab => Action::Beside(-1),
        KeyCode::Right => Action::SortNext(1),
        KeyCode::Left => Action::SortNext(-1),
        KeyCode::Char('d' | 'f') if control => Action::GoPages(1),
        KeyCode::Char('u' | 'b') if control => Action::GoPages(-1),
        KeyCode::Char(_) if control => return None,
        KeyCode::Char('q') => Action::Quit,
        KeyCode::Char('k') => Action::Go(-1),
        KeyCode::Char('j') => Action::Go(1),
        KeyCode::Char('g') => Action::Go(isize::MIN),
        KeyCode::Char('G') => Action::Go(isize::MAX),
        KeyCode::Char('1') => Action::Show(Tab::Channels),
        KeyCode::Char('2') => Action::Show(Tab::Peers),
        KeyCode::Char('3') => Action::Show(Tab::Node),
        KeyCode::Char('s' | '>') => Action::SortNext(1),
        KeyCode::Char('S' | '<') => Action::SortNext(-1),
        KeyCode::Char('r') => Action::Reverse,
        KeyCode::Char('/') => Action::Filter,
        KeyCode::Char('p' | ' ') => Action::Pause,
        KeyCode::Char('-') => Action::Slower,
        KeyCode::Char('+' | '=') => Action::Faster,
        KeyCode::Char('?' | 'h') => Action::Help,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pressed(code: KeyCode, is_filtering: bool) -> Option<Action> {
        action(KeyEvent::new(code, KeyModifiers::NONE), is_filtering)
    }

    #[test]
    fn keys_stand_for_themselves_while_a_filter_is_typed() {
        assert_eq!(pressed(KeyCode::Char('q'), false), Some(Action::Quit));
        assert_eq!(pressed(KeyCode::Char('q'), true), Some(Action::Type('q')));
        assert_eq!(pressed(KeyCode::Esc, false), Some(Action::Back));
        assert_eq!(pressed(KeyCode::Esc, true), Some(Action::Clear));
        assert_eq!(pressed(KeyCode::Tab, true), None);
    }

    #[test]
    fn ctrl_c_ends_it_always() {
        let key = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(action(key, false), Some(Action::Interrupt));
        assert_eq!(action(key, true), Some(Action::Interrupt));
    }
}
