//! How things look: few colours, those of the terminal; without them, weight and light do it.

use ratatui::style::{Color, Modifier, Style};

/// How things look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Theme {
    pub(crate) has_colour: bool,
}

impl Theme {
    fn colour(self, colour: Color) -> Style {
        if self.has_colour { Style::new().fg(colour) } else { Style::new() }
    }

    pub(super) fn plain(self) -> Style {
        Style::new()
    }

    pub(super) fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// What is there, but not what is looked for.
    pub(super) fn dim(self) -> Style {
        if self.has_colour {
            Style::new().fg(Color::DarkGray)
        } else {
            Style::new().add_modifier(Modifier::DIM)
        }
    }

    /// The bar at the top.
    pub(super) fn bar(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    pub(super) fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// What comes in.
    pub(super) fn inward(self) -> Style {
        self.colour(Color::Green)
    }

    /// What goes out.
    pub(super) fn outward(self) -> Style {
        self.colour(Color::Cyan)
    }

    /// What somebody should look at.
    pub(super) fn warning(self) -> Style {
        self.colour(Color::Yellow).add_modifier(Modifier::BOLD)
    }

    /// What is wrong.
    pub(super) fn wrong(self) -> Style {
        let style = self.colour(Color::Red).add_modifier(Modifier::BOLD);
        if self.has_colour { style } else { style.add_modifier(Modifier::REVERSED) }
    }
}
