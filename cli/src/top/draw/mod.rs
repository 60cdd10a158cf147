//! The model on a screen: pure, and good for every size.
//!
//! Owns what stands where. Nothing of the model is changed but how far its lists are scrolled, which depends on the size.
//!
//! | room | holds |
//! |---|---|
//! | [`header`] | the lines above and below the page |
//! | [`channels`], [`peers`], [`node`] | the pages; [`detail`]: one channel |
//! | [`table`], [`theme`] | tables that fit; how things look |

use netchan::NodeId;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::widgets::{Block, Clear, Widget};
use unicode_width::UnicodeWidthStr;

use super::keys;
use super::model::{Lag, Model, Tab};
use super::text;

mod channels;
mod detail;
mod header;
mod node;
mod peers;
mod table;
mod theme;

pub(super) use self::theme::Theme;
pub(super) use crate::amounts::bytes;

/// The smallest screen on which something can be told.
const LEAST: (u16, u16) = (40, 8);
/// A reader that is so far behind is worth a look, and then something is wrong.
const SLOW: u64 = 10_000_000_000;
const STUCK: u64 = 60_000_000_000;

/// Draws all of it.
pub(crate) fn draw(model: &mut Model, buf: &mut Buffer, theme: Theme) {
    let area = buf.area;
    if area.width < LEAST.0 || area.height < LEAST.1 {
        let text = format!("too small ({}x{})", LEAST.0, LEAST.1);
        middle(buf, area, &[text], theme);
        return;
    }
    let page = header::draw(model, buf, area, theme);
    match (&model.node, model.tab) {
        (None, _) => {
            let texts = match &model.trouble {
                None => [format!("looking at {}", model.place), String::new()],
                Some(trouble) => [trouble.what.clone(), "looking again and again; q quits".to_owned()],
            };
            middle(buf, page, &texts, theme);
        }
        (Some(_), Tab::Node) => node::draw(model, buf, page, theme),
        (Some(_), tab) => match (model.open_channel().cloned(), &model.open) {
            (Some(channel), _) => {
                let mut list = model.peer_list.clone();
                detail::draw(model, &channel, Some(&mut list), buf, page, theme);
                model.peer_list = list;
            }
            (None, Some(open)) => {
                let gone = format!("there is no channel {} any more", text::shown(open));
                middle(buf, page, &[gone, "Esc goes back".to_owned()], theme);
            }
            (None, None) if tab == Tab::Peers => peers::draw(model, buf, page, theme),
            (None, None) => channels::draw(model, buf, page, theme),
        },
    }
    header::keys(model, buf, Rect { y: area.bottom() - 1, height: 1, ..area }, theme);
    if model.is_helping {
        help(buf, area, theme);
    }
}

/// Lines in the middle of an area.
fn middle(buf: &mut Buffer, area: Rect, texts: &[String], theme: Theme) {
    let y = area.y + area.height.saturating_sub(texts.len() as u16) / 2;
    for ((y, text), style) in (y..area.bottom()).zip(texts).zip([theme.strong(), theme.dim()]) {
        let text = text::fit(&text::shown(text), area.width.into());
        let x = area.x + area.width.saturating_sub(text.width() as u16) / 2;
        buf.set_stringn(x, y, text, area.width.into(), style);
    }
}

/// The keys, in a box over everything.
fn help(buf: &mut Buffer, area: Rect, theme: Theme) {
    let wide = |(keys, what): &(&str, &str)| (keys.width(), what.width());
    let keys_width = keys::HELP.iter().map(|line| wide(line).0).max().unwrap_or(0);
    let what_width = keys::HELP.iter().map(|line| wide(line).1).max().unwrap_or(0);
    let width = ((keys_width + what_width + 7) as u16).min(area.width);
    let height = (keys::HELP.len() as u16 + 2).min(area.height);
    let place =
        Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    Clear.render(place, buf);
    Block::bordered().title(" keys ").border_style(theme.dim()).render(place, buf);
    for (y, (keys, what)) in (place.y + 1..place.bottom().saturating_sub(1)).zip(keys::HELP) {
        let inside = usize::from(place.width).saturating_sub(3);
        let (x, _) =
            buf.set_stringn(place.x + 2, y, text::pad(keys, keys_width + 2, false), inside, theme.strong());
        let left = usize::from(place.right().saturating_sub(x + 1));
        buf.set_stringn(x, y, text::fit(what, left), left, theme.plain());
    }
}

/// A rate, quiet where nothing moves.
fn rate(rate: Option<f64>, show: impl Fn(f64) -> String, theme: Theme) -> (String, Style) {
    match rate {
        None => ("-".into(), theme.dim()),
        Some(rate) => {
            let text = show(rate);
            let style = if matches!(text.as_str(), "0" | "0 B") { theme.dim() } else { theme.plain() };
            (text, style)
        }
    }
}

/// How long somebody is behind, and how bad that is.
fn behind(lag: Option<Lag>, theme: Theme) -> (String, Style) {
    match lag {
        None => ("-".into(), theme.dim()),
        Some(Lag { nanos: None, records }) => {
            ("?".into(), if records == 0 { theme.dim() } else { theme.plain() })
        }
        Some(Lag { nanos: Some(nanos), .. }) => {
            let style = match nanos {
                STUCK.. => theme.wrong(),
                SLOW.. => theme.warning(),
                0 => theme.dim(),
                _ => theme.plain(),
            };
            (text::span(nanos), style)
        }
    }
}

/// The first digits of an identity: enough to tell a few apart.
fn short_id(id: NodeId) -> String {
    id.to_string().chars().take(8).collect()
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
