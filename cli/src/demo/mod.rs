//! `netchan demo`: a sender, its node and a receiver are killed midway, again and again, and nothing is lost.
//!
//! Owns the play: what is started and killed, and when. Its neighbours are [`input`] (the file that is sent),
//! [`actors`] (this very program, as child processes), [`stage`] (what one sees) and [`proof`] (whether it held).
//! It knows of channels only what a user at a shell could know.

mod actors;
mod input;
mod proof;
mod stage;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use self::actors::{Actor, Theatre};
use self::stage::Stage;
use crate::args;
use crate::exit::Exit;
use crate::stop::Stop;
use crate::when;

/// Records that the sender sends in a second: slow enough that the kills come in the middle.
const RATE: u64 = 25_000;
/// The whole play takes less than this, or something hangs.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often it looks at what has come out.
const LOOK: Duration = Duration::from_millis(10);
/// When what happens, in percent of the first receiver's output.
const PLAY: [(u64, Event); 9] = [
    (10, Event::KillSender),
    (22, Event::KillReceiver),
    (34, Event::KillSender),
    (45, Event::SecondReceiver),
    (55, Event::KillReceiver),
    (63, Event::KillBoth),
    (75, Event::KillSender),
    (85, Event::KillReceiver),
    (93, Event::KillBoth),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    KillSender,
    KillReceiver,
    KillBoth,
    SecondReceiver,
}

pub(crate) async fn run(args: args::Demo) -> Result<Exit> {
    let stop = Stop::listen()?;
    let dir = tempfile::Builder::new().prefix("netchan-demo.").tempdir().context("no place for the demo")?;
    let place = dir.path().to_owned();
    let asked = stop.clone();
    let held = match tokio::task::spawn_blocking(move || play(&place, &asked)).await? {
        // its processes are gone, too
        Err(error) => return stop.asked().ok_or(error),
        Ok(held) => held,
    };
    if args.keep {
        anstream::println!("\nkept: {}", dir.keep().display());
    }
    Ok(if held { Exit::Done } else { Exit::Error })
}

/// The play. It blocks: all that is awaited are files that grow and processes that end.
fn play(dir: &Path, stop: &Stop) -> Result<bool> {
    let stage = Stage::new();
    stage.title("netchan demo", "a real file through a channel, while its sender and a receiver are killed");
    let file = input::make(&dir.join("input"))?;
    stage.done(&format!(
        "a file of {} lines, {}: {}",
        stage::grouped(file.lines),
        crate::amounts::bytes(file.bytes),
        file.source
    ));

    let theatre = Theatre::new(dir)?;
    let began = Instant::now();
    let mut bars = stage.bars(file.bytes);
    let mut first = theatre.receiver("first", &["--from", "earliest", "--position", "first.at"])?;
    stage.happens("the first receiver starts and waits: there is no channel yet");
    let mut sender = theatre.sender(RATE)?;
    stage.happens(&format!("the sender starts, the node is {}", theatre.addr()));
    let mut second: Option<(Actor, netchan::Timestamp)> = None;
    let mut kills = 0;
    for (percent, event) in PLAY {
        let goal = file.bytes * percent / 100;
        let mut until = |actors: &mut [&mut Actor]| -> Result<()> {
            while theatre.written("first") < goal {
                for actor in actors.iter_mut() {
                    actor.must_run()?;
                }
                goes_on(began, stop)?;
                bars.look(theatre.written("first"), theatre.written("second"));
                std::thread::sleep(LOOK);
            }
            Ok(())
        };
        match &mut second {
            Some((second, _)) => until(&mut [&mut sender, &mut first, second])?,
            None => until(&mut [&mut sender, &mut first])?,
        }
        if let Event::KillSender | Event::KillBoth = event {
            sender.kill()?;
            kills += 1;
            stage.kills(
                "the sender and its node are killed (SIGKILL)",
                theatre.written("first") * 100 / file.bytes,
            );
        }
        if let Event::KillReceiver | Event::KillBoth = event {
            first.kill()?;
            kills += 1;
            stage
                .kills("the first receiver is killed (SIGKILL)", theatre.written("first") * 100 / file.bytes);
            first = theatre.receiver("first", &["--from", "earliest", "--position", "first.at"])?;
        }
        if let Event::KillSender | Event::KillBoth = event {
            sender = theatre.sender(RATE)?;
        }
        if event == Event::SecondReceiver {
            let since = when::now();
            let text = when::rfc3339(since);
            stage.happens(&format!("a second receiver starts: --since {text}"));
            bars.second_starts(file.bytes - theatre.written("first"));
            second = Some((theatre.receiver("second", &["--since", &text])?, since));
        }
    }
    let Some((mut second, since)) = second else { bail!("the play has no second receiver") };
    for actor in [&mut first, &mut second] {
        while !actor.has_ended_well()? {
            sender.must_run()?;
            goes_on(began, stop)?;
            bars.look(theatre.written("first"), theatre.written("second"));
            std::thread::sleep(LOOK);
        }
    }
    let took = began.elapsed();
    bars.end();
    stage.happens("the channel is sealed, both receivers have ended by themselves");
    let proof = proof::examine(&theatre, &file, since)?;
    sender.leave()?;
    stage.verdict(&proof, kills, took);
    Ok(proof.holds())
}

fn goes_on(began: Instant, stop: &Stop) -> Result<()> {
    if began.elapsed() > PATIENCE {
        bail!("nothing comes any more: the demo hangs");
    }
    if stop.asked().is_some() {
        bail!("stopped");
    }
    Ok(())
}
