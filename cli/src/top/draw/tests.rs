#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

use std::time::Duration;

use netchan::Offset;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use unicode_width::UnicodeWidthStr;

use super::*;
use crate::top::fixture::{channel, look, reader};
use crate::top::model::Action;

const PLAIN: Theme = Theme { has_colour: false };

fn model(channels: u64) -> Model {
    let mut model = Model::new("build7:4747".into(), Duration::from_secs(1));
    for second in 0..20 {
        let infos: Vec<_> =
            (0..channels).map(|at| channel(&format!("log-{at:03}"), second * at, second)).collect();
        let peers = infos.iter().take(30).enumerate();
        let peers = peers.map(|(at, info)| reader(at as u64 + 1, info, info.next.0 / 2, second)).collect();
        model.saw(&look(second, infos, peers));
    }
    model
}

/// What stands on a screen of this size, without blanks at the ends of lines.
fn screen(model: &mut Model, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(model, frame.buffer_mut(), PLAIN)).unwrap();
    let buffer = terminal.backend().buffer();
    let line = |y: u16| {
        let mut line = String::new();
        let mut x = 0;
        while x < width {
            let symbol = buffer[(x, y)].symbol();
            line += symbol;
            x += symbol.width().max(1) as u16;
        }
        line.trim_end().to_owned()
    };
    (0..height).map(line).collect()
}

#[test]
fn a_screen_of_80_by_24() {
    let mut model = model(3);
    let lines = screen(&mut model, 80, 24);
    assert_eq!(lines[0], " netchan top  build7:4747  node abababab  up 19 s     08:00:19 UTC  every 1 s");
    assert_eq!(lines[1], " in      3 rec/s     300 B/s  █████████████  syncs  10/s  p50 128 us  p99 256 us");
    assert!(
        lines[2].contains("out") && lines[2].contains("6 rec/s") && lines[2].contains("30.0 GiB free"),
        "{}",
        lines[2]
    );
    assert!(lines[3].contains("4 connections") && lines[3].contains("3 readers"), "{}", lines[3]);
    assert!(lines[4].contains("1 Channels 3") && lines[4].contains("2 Peers 3"), "{}", lines[4]);
    let head: Vec<_> = lines[5].split_whitespace().collect();
    assert_eq!(head, ["CHANNEL", "REC/S▾", "BYTES/S", "NEXT", "SIZE", "RDRS", "LAG", "BEHIND", "TREND"]);
    let row: Vec<_> = lines[6].split_whitespace().collect();
    assert_eq!(&row[..10], ["log-002", "2", "200", "B", "38", "3.71", "KiB", "1", "19", "19"]);
    assert!(lines[23].contains("q quit") && lines[23].contains("? help"), "{}", lines[23]);
}

#[test]
fn a_tall_screen_tells_about_the_selected_channel() {
    let mut model = model(200);
    model.act(Action::Go(3));
    let lines = screen(&mut model, 200, 60);
    let text = lines.join("\n");
    assert!(lines[6].starts_with("log-199"), "{text}");
    assert!(text.contains("── log-196 ──"), "{text}");
    assert!(text.contains("offsets  0 to 3724"), "{text}");
    assert!(lines[59].contains("1-32 of 200"), "{text}");
    for column in ["UNSYNCED", "PUBS", "MODE", "RECORDS", "LAST"] {
        assert!(lines[5].contains(column), "{column}: {text}");
    }
    model.act(Action::Go(isize::MAX));
    let lines = screen(&mut model, 200, 60);
    assert!(lines[59].contains("169-200 of 200"), "{}", lines[59]);
    assert!(lines.iter().any(|line| line.starts_with("log-000")));
}

#[test]
fn nothing_is_told_apart_from_not_yet() {
    let mut fresh = Model::new("build7:4747".into(), Duration::from_secs(1));
    let text = screen(&mut fresh, 80, 24).join("\n");
    assert!(text.contains("looking at build7:4747"), "{text}");
    fresh.missed("connection refused".into(), Duration::from_secs(1));
    let text = screen(&mut fresh, 80, 24).join("\n");
    assert!(text.contains("connection refused") && text.contains("again"), "{text}");
    let text = screen(&mut model(0), 80, 24).join("\n");
    assert!(text.contains("no channels yet") && text.contains("Channels 0"), "{text}");
    let mut filtered = model(3);
    filtered.filter = "nothing".into();
    let text = screen(&mut filtered, 80, 24).join("\n");
    assert!(text.contains("no channel has \"nothing\" in its name"), "{text}");
}

#[test]
fn trouble_is_told_while_the_last_look_stays() {
    let mut model = model(3);
    model.missed("build7:4747: connection refused".into(), Duration::from_secs(20));
    model.tick(Duration::from_secs(25));
    let text = screen(&mut model, 80, 24).join("\n");
    assert!(text.contains("connection refused; looking again (for 5.0 s now)"), "{text}");
    assert!(text.contains("log-002"), "{text}");
    let mut back = look(27, vec![channel("log-000", 5, 27)], vec![]);
    back.node.started = crate::top::fixture::at(26);
    model.saw(&back);
    let text = screen(&mut model, 80, 24).join("\n");
    assert!(text.contains("the node was restarted, 0 s ago") && !text.contains("refused"), "{text}");
}

#[test]
fn a_channel_is_looked_into() {
    let mut model = model(3);
    model.act(Action::Open);
    let text = screen(&mut model, 80, 24).join("\n");
    for fact in [
        "── log-002 ──",
        "state    open, epoch 1",
        "0 to 38",
        "19 records, 19 s",
        "records/s, top 2",
        "10.0.0.3:4711",
    ] {
        assert!(text.contains(fact), "{fact}: {text}");
    }
    let mut sealed = channel("log-002", 38, 19);
    (sealed.sealed, sealed.durable) = (true, Offset(30));
    model.saw(&look(20, vec![sealed], vec![]));
    let text = screen(&mut model, 80, 24).join("\n");
    assert!(text.contains("sealed: complete") && text.contains("to 30, 8 not yet"), "{text}");
    model.saw(&look(21, vec![], vec![]));
    let text = screen(&mut model, 80, 24).join("\n");
    assert!(text.contains("there is no channel log-002 any more"), "{text}");
}

#[test]
fn names_of_any_kind_keep_the_table_straight() {
    let names = [
        "注文/東京",
        "a\u{202e}b",
        "e\u{301}e\u{301}",
        "👩\u{200d}🚀👩\u{200d}🚀",
        "x",
        &"長".repeat(80),
        &"y".repeat(255),
    ];
    let mut model = Model::new("here".into(), Duration::from_secs(1));
    for second in 0..2 {
        let mut channels: Vec<_> = names.iter().map(|name| channel(name, second * 10, second)).collect();
        channels.sort_by(|a, b| a.name.cmp(&b.name));
        model.saw(&look(second, channels, vec![]));
    }
    for (width, height) in [(40, 20), (80, 24), (200, 26)] {
        let lines = screen(&mut model, width, height);
        let head = lines.iter().position(|line| line.starts_with("CHANNEL")).unwrap();
        let end = lines[head].split("REC/S▾").next().unwrap().width() + "REC/S▾".width();
        for line in &lines[head + 1..=head + names.len()] {
            // the rate stands under its head, seen from the screen's left edge
            let mut left = 0;
            let before: String = line
                .chars()
                .take_while(|c| {
                    left += c.to_string().width();
                    left <= end
                })
                .collect();
            assert!(before.ends_with(" 10"), "{width}: {before:?} of {line:?}");
        }
    }
}

#[test]
fn every_page_fits_every_size() {
    let pages: &[&[Action]] = &[
        &[],
        &[Action::Open],
        &[Action::Beside(1)],
        &[Action::Beside(2), Action::Go(99)],
        &[Action::Filter, Action::Type('9')],
        &[Action::Help],
        &[Action::Go(isize::MAX), Action::Pause],
    ];
    for channels in [0, 1, 40] {
        for actions in pages {
            let mut model = model(channels);
            for (at, &action) in actions.iter().enumerate() {
                model.act(action);
                if at == 0 {
                    model.missed("x".repeat(300), Duration::from_secs(30));
                }
            }
            for width in (0..=90).step_by(9).chain([39, 40, 41, 116, 117, 200, 400]) {
                for height in (0..=40).step_by(5).chain([7, 8, 9, 100]) {
                    let lines = screen(&mut model, width, height);
                    assert_eq!(lines.len(), usize::from(height));
                    if width >= 40 && height >= 8 && !model.is_helping {
                        assert!(lines[0].contains("netchan top"), "{width}x{height}: {}", lines[0]);
                    }
                }
            }
        }
    }
}

#[test]
fn without_colours_nothing_is_coloured() {
    let mut model = model(40);
    model.missed("x".into(), Duration::from_secs(30));
    for has_colour in [false, true] {
        let mut terminal = Terminal::new(TestBackend::new(120, 50)).unwrap();
        terminal.draw(|frame| draw(&mut model, frame.buffer_mut(), Theme { has_colour })).unwrap();
        let coloured =
            terminal.backend().buffer().content().iter().any(|cell| {
                cell.fg != ratatui::style::Color::Reset || cell.bg != ratatui::style::Color::Reset
            });
        assert_eq!(coloured, has_colour);
    }
}
