//! `netchan top` in a real terminal: what stands on its screen, and that the terminal is given back.

#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

mod shell;
mod terminal;

use std::time::Duration;

use serde_json::Value;
use shell::{Place, Running, piped};
use terminal::Terminal;
use unicode_width::UnicodeWidthStr;

const SMALL: (usize, usize) = (80, 24);
const LARGE: (usize, usize) = (200, 60);

/// `serve` on a port of its own, and its address.
fn serve(place: &Place) -> (Running, String) {
    serve_at(place, 0)
}

fn serve_at(place: &Place, port: u16) -> (Running, String) {
    let mut node = place.go(&format!("serve --listen 127.0.0.1:{port}"));
    let line = node.says("serving");
    let address = line.rsplit(' ').next().unwrap().to_owned();
    (node, address)
}

/// Makes channels, each with as many records as its place in the list.
fn make(place: &Place, names: &[String]) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let node = netchan::Node::builder().data_dir(place.path("data")).start().await.unwrap();
        for (records, name) in names.iter().enumerate() {
            let log = node.sender(name).durability(netchan::Durability::Os).open().await.unwrap();
            for record in 0..records {
                log.send(format!("record {record}")).await.unwrap();
            }
        }
        node.shutdown(Duration::from_secs(1)).await.unwrap();
    });
}

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("log-{number:03}")).collect()
}

/// `netchan top` with these words, in a terminal.
fn top(place: &Place, size: (usize, usize), words: &str) -> Terminal {
    top_with(place, size, words, &[])
}

fn top_with(place: &Place, size: (usize, usize), words: &str, variables: &[(&str, &str)]) -> Terminal {
    let command = format!("{} top --interval 200ms {words}", env!("CARGO_BIN_EXE_netchan"));
    run(place, size, &command, variables)
}

fn run(place: &Place, size: (usize, usize), command: &str, variables: &[(&str, &str)]) -> Terminal {
    let data = place.path("data");
    let variables = [&[("NETCHAN_DATA_DIR", data.to_str().unwrap())], variables].concat();
    Terminal::run(&place.path(""), size, &variables, command)
}

/// The lines of the table: those below its head, up to one that is empty or begins another part.
fn table(screen: &[String]) -> (Vec<&str>, Vec<Vec<&str>>) {
    let head = screen.iter().position(|line| line.starts_with("CHANNEL")).unwrap();
    let rows = screen[head + 1..].iter().take_while(|line| line.starts_with(|c: char| c != ' ' && c != '─'));
    (screen[head].split_whitespace().collect(), rows.map(|line| line.split_whitespace().collect()).collect())
}

/// Whether the rates of all channels on the screen are there.
fn have_rates(screen: &[String]) -> bool {
    screen.iter().any(|line| line.starts_with("CHANNEL")) && table(screen).1.iter().all(|row| row[1] != "-")
}

fn names(screen: &[String]) -> Vec<&str> {
    table(screen).1.iter().map(|row| row[0]).collect()
}

#[test]
fn no_channels_one_and_two_hundred_on_a_small_and_a_large_screen() {
    if terminal::is_missing() {
        return;
    }
    for count in [0, 1, 200] {
        let place = Place::new();
        make(&place, &numbered(count));
        let (_node, address) = serve(&place);
        for (columns, lines) in [SMALL, LARGE] {
            let terminal = top(&place, (columns, lines), &address);
            let texts = ["up ", &format!("1 Channels {count} "), "every 0.2 s", "? help", "0 B/s"];
            let screen = terminal.until("rates of all channels, which are there after two looks", |screen| {
                let shows = texts.iter().all(|text| screen.iter().any(|line| line.contains(text)));
                (shows && (count == 0 || have_rates(screen))).then(|| screen.to_vec())
            });
            terminal.fits(&screen);
            assert_eq!(screen.len(), lines, "from the first line to the last");
            assert!(screen[0].starts_with(&format!(" netchan top  {address}  ")), "{}", screen[0]);
            assert!(
                screen[1].starts_with(" in ") && screen[1].contains("rec/s") && screen[1].contains("syncs")
            );
            assert!(screen[2].starts_with(" out ") && screen[2].contains(" free"), "{}", screen[2]);
            assert!(screen[3].contains("connections") || screen[3].contains("1 connection"), "{}", screen[3]);
            assert!(screen[lines - 1].starts_with(" q quit"), "{}", screen[lines - 1]);
            if count == 0 {
                terminal.shows(&["no channels yet", "netchan send NAME makes one"]);
                continue;
            }
            // nothing moves, so they stand in the order of their names
            let all = numbered(count);
            let (head, rows) = table(&screen);
            let room = if columns == 80 { lines - 7 } else { 32 };
            assert_eq!(rows.len(), count.min(room), "{screen:#?}");
            assert_eq!(names(&screen), all[..rows.len()]);
            let at = |name: &str| head.iter().position(|head| head.starts_with(name)).unwrap();
            for (records, row) in rows.iter().enumerate() {
                assert_eq!(
                    (row[at("REC/S")], row[at("NEXT") + 1]),
                    ("0", records.to_string().as_str()),
                    "{row:?}"
                );
            }
            assert_eq!(head.contains(&"UNSYNCED"), columns == 200);
            let below = screen.iter().any(|line| line.starts_with("── log-000 ──"));
            assert_eq!(below, columns == 200, "a large screen tells about the selected channel");
            if count == 200 {
                let range = format!("1-{room} of 200");
                assert!(screen[lines - 1].ends_with(&range), "{}", screen[lines - 1]);
                terminal.press(&["End"]);
                let screen = terminal.shows(&["log-199", "-200 of 200"]);
                terminal.fits(&screen);
                assert_eq!(names(&screen), all[200 - room..]);
            }
        }
    }
}

#[test]
fn what_moves_comes_first_with_its_rate_and_who_stands_still_falls_behind() {
    if terminal::is_missing() {
        return;
    }
    let place = Place::new();
    make(&place, &numbered(3));
    let (_node, address) = serve(&place);
    let stopped = place.go(&format!("recv {address}/log-001 --from earliest"));
    stopped.gives(1);
    stopped.signal("STOP");
    let other = place.go(&format!("recv {address}/log-001 --from earliest"));
    // in seconds it is more than a reader's credit, so that the stopped one is seen to stand still; there is enough for a minute
    std::fs::write(place.path("lines"), format!("{}\n", "x".repeat(999)).repeat(120_000)).unwrap();
    let _sender = place.go(&format!("send {address}/log-001 lines --rate 2000"));
    other.gives(100_000);
    let terminal = top(&place, LARGE, &address);
    let rate = |row: &[&str]| row[1].trim_end_matches(['k', 'M']).parse::<f64>().unwrap();
    let screen = terminal.until("a reader that falls behind", |screen| {
        let (_, rows) = screen.iter().any(|line| line.starts_with("CHANNEL")).then(|| table(screen))?;
        let first = rows.first().filter(|row| row[0] == "log-001" && row[1] != "-" && rate(row) > 0.0)?;
        // lag in records, then in seconds
        let at = first.iter().position(|cell| *cell == "s" || *cell == "ms")?;
        (first[at - 1] != "0" && first[at - 2] != "0").then(|| screen.to_vec())
    });
    terminal.fits(&screen);
    assert_eq!(names(&screen)[1..], ["log-000", "log-002"], "then the names");
    let (_, rows) = table(&screen);
    assert!(rows[0].iter().any(|cell| cell.ends_with("iB")), "bytes have units: {:?}", rows[0]);
    assert!(rows[0].last().unwrap().contains(['▇', '█']), "it has bars: {:?}", rows[0]);
    let text = screen.join("\n");
    assert!(text.contains("── log-001 ──") && text.contains("2 readers, 1 publisher"), "{text}");
    assert!(text.contains("records/s, top "), "{text}");

    terminal.press(&["2"]);
    let screen = terminal.until("peers, the slowest first", |screen| {
        let (head, rows) = screen.iter().any(|line| line.contains(" FROM ")).then(|| table(screen))?;
        let lag = head.iter().position(|cell| cell.starts_with("LAG"))?;
        (rows.len() == 3 && rows[0][1] == "reads" && rows[0][lag] != "0").then(|| screen.to_vec())
    });
    terminal.fits(&screen);
    let (_, rows) = table(&screen);
    assert!(rows.iter().all(|row| row[0] == "log-001" && row[2].starts_with("127.0.0.1:")), "{rows:?}");
    assert_eq!(rows.iter().filter(|row| row[1] == "publishes").count(), 1);
    terminal.press(&["3"]);
    let screen = terminal.shows(&["connections open", "records appended", "bytes out"]);
    terminal.fits(&screen);
}

#[test]
fn keys_sort_filter_open_and_help() {
    if terminal::is_missing() {
        return;
    }
    let place = Place::new();
    make(&place, &numbered(200));
    let (_node, address) = serve(&place);
    let terminal = top(&place, SMALL, &address);
    terminal.shows(&["REC/S▾", "log-000"]);
    terminal.press(&["s", "s"]);
    let screen = terminal.shows(&["NEXT▾", "log-199"]);
    assert_eq!(names(&screen)[..3], ["log-199", "log-198", "log-197"], "the longest first");
    terminal.press(&["r"]);
    let screen = terminal.shows(&["NEXT▴", "log-000"]);
    assert_eq!(names(&screen)[..3], ["log-000", "log-001", "log-002"]);
    terminal.press(&["/"]);
    terminal.write("G-19");
    let screen = terminal.shows(&["/G-19_", "log-199"]);
    assert_eq!(names(&screen), numbered(200)[190..], "all that have it in their names, and no others");
    terminal.press(&["Enter"]);
    terminal.shows(&["/G-19  (Esc: all)"]);
    terminal.press(&["Down", "Down", "Enter"]);
    let screen = terminal.shows(&["── log-192 ──", "0 to 192", "nobody reads it"]);
    terminal.fits(&screen);
    terminal.press(&["Escape"]);
    terminal.shows(&["log-199", "/G-19"]);
    terminal.press(&["Escape"]);
    terminal.shows(&["log-189", " of 200"]);
    terminal.press(&["Home"]);
    terminal.press(&["?"]);
    let screen = terminal.shows(&["┌ keys ", "look into a channel", "└──"]);
    terminal.fits(&screen);
    terminal.press(&["?", "p"]);
    terminal.shows(&["PAUSED", "log-000"]);
}

#[test]
fn a_node_that_is_killed_and_started_again_is_seen_again() {
    if terminal::is_missing() {
        return;
    }
    let place = Place::new();
    make(&place, &numbered(3));
    let (node, address) = serve(&place);
    let terminal = top(&place, SMALL, &address);
    terminal.shows(&["1 Channels 3", "log-002"]);
    node.kill();
    let screen = terminal.shows(&["looking again (for", "log-002"]);
    terminal.fits(&screen);
    assert!(screen[3].contains(&address), "who does not answer: {}", screen[3]);
    let port = address.rsplit(':').next().unwrap().parse().unwrap();
    let (_node, _) = serve_at(&place, port);
    let screen = terminal.shows(&["the node was restarted, ", "log-002"]);
    assert!(!screen.join("\n").contains("looking again"));
    // and it lives: what is sent now is seen
    let (_sender, mut stdin) = piped(&place, &format!("send {address}/new"));
    std::io::Write::write_all(&mut stdin, b"one\ntwo\n").unwrap();
    let screen = terminal.until("the new channel", |screen| {
        let (_, rows) = screen.iter().any(|line| line.starts_with("CHANNEL")).then(|| table(screen))?;
        rows.iter().any(|row| row[0] == "new" && row.contains(&"2")).then(|| screen.to_vec())
    });
    terminal.fits(&screen);
}

#[test]
fn this_machines_node_is_watched_and_its_place_is_never_taken() {
    if terminal::is_missing() {
        return;
    }
    let place = Place::new();
    let terminal = top(&place, SMALL, "");
    terminal.shows(&["no node runs in", "looking again and again"]);
    assert!(!place.path("data").exists());
    for round in 1..=2 {
        // who holds the directory would be waited for
        let (node, _) = serve(&place);
        place.feed(&format!("send log-{round}"), b"one\n").well();
        terminal.shows(&[&format!("1 Channels {round}"), &format!("log-{round}")]);
        node.signal("TERM");
        node.end().well();
        terminal.shows(&["no node runs in"]);
    }
}

#[test]
fn names_that_are_wide_or_mean_no_good_keep_the_table_straight() {
    if terminal::is_missing() {
        return;
    }
    let place = Place::new();
    let long = "長".repeat(80);
    let names =
        ["注文/東京", "a\u{202e}b", "e\u{301}e\u{301}", "👩\u{200d}🚀", "🇩🇪", "x", &long].map(str::to_owned);
    make(&place, &names);
    let (_node, address) = serve(&place);
    for size in [SMALL, LARGE] {
        let terminal = top(&place, size, &address);
        let screen = terminal.until("seven channels with their rates", |screen| {
            let all = screen.iter().any(|line| line.contains("1 Channels 7"));
            (all && have_rates(screen)).then(|| screen.to_vec())
        });
        for text in ["注文/東京", "a\\u{202e}b"] {
            assert!(screen.iter().any(|line| line.contains(text)), "{text}: {screen:#?}");
        }
        terminal.fits(&screen);
        let head = screen.iter().position(|line| line.starts_with("CHANNEL")).unwrap();
        let end = screen[head].split("REC/S▾").next().unwrap().width() + "REC/S▾".width();
        for line in &screen[head + 1..head + 8] {
            let mut taken = 0;
            let upto: String = line
                .chars()
                .take_while(|c| {
                    taken += c.to_string().width();
                    taken <= end
                })
                .collect();
            assert!(upto.width() == end && upto.ends_with(" 0"), "not under its head: {line}");
        }
    }
}

#[test]
fn the_terminal_may_become_larger_smaller_and_tiny() {
    if terminal::is_missing() {
        return;
    }
    let place = Place::new();
    make(&place, &numbered(40));
    let (_node, address) = serve(&place);
    let mut terminal = top(&place, SMALL, &address);
    terminal.shows(&["log-000", "1-17 of 40"]);
    for (size, texts) in [
        (LARGE, ["UNSYNCED", "── log-000 ──"]),
        ((45, 10), ["CHANNEL", "log-000"]),
        ((20, 5), ["too small (40x8)", ""]),
        ((300, 12), ["PUBS", "1-8 of 40"]),
        (SMALL, ["BEHIND", "1-17 of 40"]),
    ] {
        terminal.resize(size.0, size.1);
        let screen = terminal.shows(&texts);
        terminal.fits(&screen);
    }
}

#[test]
fn the_terminal_is_given_back_however_it_ends() {
    if terminal::is_missing() {
        return;
    }
    let place = Place::new();
    let (_node, address) = serve(&place);
    let program = env!("CARGO_BIN_EXE_netchan");
    for (way, code) in [("key", 0), ("ctrl-c", 130), ("TERM", 143), ("HUP", 143)] {
        let inner = format!("echo $$ > pid; exec {program} top {address}");
        let command = format!("echo as it was; sh -c '{inner}'; echo \"code $?\"; stty; echo asked; cat");
        let terminal = run(&place, SMALL, &command, &[]);
        terminal.shows(&["netchan top", "no channels yet"]);
        assert_eq!((terminal.fact("alternate_on"), terminal.fact("cursor_flag")), ("1".into(), "0".into()));
        match way {
            "key" => terminal.press(&["q"]),
            "ctrl-c" => terminal.press(&["C-c"]),
            signal => {
                let pid = std::fs::read_to_string(place.path("pid")).unwrap();
                let kill = std::process::Command::new("kill").args(["-s", signal, pid.trim()]).status();
                assert!(kill.unwrap().success());
            }
        }
        let screen = terminal.shows(&["as it was", &format!("code {code}"), "asked"]);
        let text = screen.join("\n");
        assert!(
            !text.contains("-icanon") && !text.contains("-echo ") && !text.contains("netchan top"),
            "{way}: {text}"
        );
        assert_eq!(
            (terminal.fact("alternate_on"), terminal.fact("cursor_flag")),
            ("0".into(), "1".into()),
            "{way}"
        );
    }
}

#[test]
fn it_goes_to_the_background_and_comes_back() {
    if terminal::is_missing() {
        return;
    }
    let place = Place::new();
    let (_node, address) = serve(&place);
    let terminal = run(&place, SMALL, "PS1='ready> ' bash --norc --noprofile -i", &[]);
    terminal.shows(&["ready>"]);
    terminal.write(&format!("{} top {address}", env!("CARGO_BIN_EXE_netchan")));
    terminal.press(&["Enter"]);
    terminal.shows(&["no channels yet"]);
    terminal.press(&["C-z"]);
    terminal.shows(&["Stopped", "ready>"]);
    assert_eq!(terminal.fact("alternate_on"), "0");
    terminal.write("fg");
    terminal.press(&["Enter"]);
    terminal.shows(&["no channels yet", "? help"]);
    assert_eq!(terminal.fact("alternate_on"), "1");
    terminal.press(&["q"]);
    terminal.shows(&["Stopped", "ready>"]);
}

#[test]
fn colours_are_there_unless_they_are_not_wanted() {
    if terminal::is_missing() {
        return;
    }
    let place = Place::new();
    make(&place, &numbered(2));
    let (_node, address) = serve(&place);
    // parameters of colours; those of weight and light are below 30
    let has_colours = |terminal: &Terminal| {
        terminal.shows(&["log-001", "? help"]);
        let screen = terminal.coloured_screen();
        let mut codes = screen
            .split("\x1b[")
            .skip(1)
            .filter_map(|rest| rest.split_once('m'))
            .flat_map(|(codes, _)| codes.split(';'));
        codes.any(|code| {
            code.parse::<u32>().is_ok_and(|code| (30..39).contains(&code) || (90..98).contains(&code))
        })
    };
    assert!(has_colours(&top(&place, SMALL, &address)));
    assert!(!has_colours(&top_with(&place, SMALL, &address, &[("NO_COLOR", "1")])));
    assert!(!has_colours(&top(&place, SMALL, &format!("{address} --color never"))));
}

#[test]
fn without_a_terminal_it_says_what_to_do_instead() {
    let place = Place::new();
    let (_node, address) = serve(&place);
    let done = place.run(&format!("top {address}")).code(1);
    assert!(done.err.contains("no terminal") && done.err.contains("--once"), "{}", done.err);
    assert!(done.out.is_empty());
    if terminal::is_missing() {
        return;
    }
    let command = format!("env TERM=dumb {} top {address}; cat", env!("CARGO_BIN_EXE_netchan"));
    let terminal = run(&place, SMALL, &command, &[]);
    terminal.shows(&["--once"]);
    drop(terminal);
    place.run("top --json").code(2);
}

#[test]
fn once_is_text_and_json_for_scripts() {
    let place = Place::new();
    make(&place, &numbered(3));
    let done = place.run("top --once --interval 100ms").code(1);
    assert!(done.err.contains("no node runs in") && done.err.contains("netchan serve"), "{}", done.err);
    let (_node, address) = serve(&place);
    let reader = place.go(&format!("recv {address}/log-002 --from earliest"));
    reader.gives(10);
    let lines = place.run(&format!("top {address} --once --interval 100ms")).well().lines();
    assert!(lines[0].starts_with(&format!("{address}  node ")), "{}", lines[0]);
    let channels = lines.iter().position(|line| line.starts_with("CHANNEL")).unwrap();
    let row: Vec<_> = lines[channels + 3].split_whitespace().collect();
    assert_eq!((row[0], row[4], row.last().copied()), ("log-002", "2", Some("open")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.starts_with("log-002  reads  127.0.0.1:")), "{lines:#?}");

    let out = place.run("top log-002 --once --json --interval 100ms").well().out;
    let seen: Value = serde_json::from_slice(&out).unwrap();
    let channels = seen["channels"].as_array().unwrap();
    assert_eq!(channels.len(), 1, "only those whose names begin so");
    assert_eq!((channels[0]["name"].as_str(), channels[0]["next"].as_u64()), (Some("log-002"), Some(2)));
    assert_eq!((channels[0]["readers"].as_u64(), channels[0]["lag"].as_u64()), (Some(1), Some(0)));
    assert_eq!(seen["peers"][0]["does"], "reads");
    assert!(seen["counters"]["connections_open"].as_u64().unwrap() >= 1);
    let wrong = place.run("top 127.0.0.1:1 --once").code(1);
    assert!(wrong.err.contains("127.0.0.1:1"), "{}", wrong.err);
}

#[test]
fn the_wrong_token_is_told_at_once() {
    let place = Place::new();
    std::fs::write(place.path("token"), "secret\n").unwrap();
    let mut node = place.go("serve --listen 127.0.0.1:0 --token-file token");
    let address = node.says("serving").rsplit(' ').next().unwrap().to_owned();
    let done = place.run(&format!("top {address} --once --token wrong")).code(1);
    assert!(done.err.contains("token"), "{}", done.err);
    let terminal = run(&place, SMALL, &format!("{} top {address}; cat", env!("CARGO_BIN_EXE_netchan")), &[]);
    let screen = terminal.shows(&["token"]);
    assert_eq!(terminal.fact("alternate_on"), "0", "{screen:#?}");
}
