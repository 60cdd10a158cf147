//! `netchan top`: a node, live, on a terminal.
//!
//! | room | holds |
//! |---|---|
//! | [`sample`], [`look`] | what one look at a node gives; how it is had over the network |
//! | [`model`] | what is to be seen, from looks and keys: pure |
//! | [`draw`], [`text`] | the model on a screen, of any size: pure; numbers and names in few columns |
//! | [`keys`] | what keys ask for |
//! | [`screen`] | the terminal: taken, and given back whatever happens |
//! | [`once`] | one look as text or JSON, for scripts |

use std::io::{self, IsTerminal};
use std::pin::Pin;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep_until};

use self::draw::Theme;
use self::look::{Failed, Looker};
use self::model::{Action, Model, Outcome};
use self::sample::Sample;
use self::screen::Screen;
use crate::args;
use crate::exit::Exit;
use crate::status;

mod draw;
#[cfg(test)]
mod fixture;
mod keys;
mod look;
mod model;
mod once;
mod sample;
mod screen;
mod text;

/// How often what says "so long ago" is drawn anew.
const TICK: Duration = Duration::from_secs(1);
/// The shortest time between a look that failed and the next.
const RESPITE: Duration = Duration::from_millis(500);

pub(crate) async fn run(args: args::Top) -> Result<Exit> {
    if args.once {
        return once::run(&args).await;
    }
    if !io::stdout().is_terminal() {
        bail!(
            "stdout is no terminal: `netchan top --once` prints what there is to see as text, and with --json as JSON"
        );
    }
    if std::env::var_os("TERM").is_none_or(|term| term == "dumb") {
        bail!("this terminal cannot be drawn on (TERM is dumb or not set): `netchan top --once` prints text");
    }
    let looker = Looker::new(&args).await?;
    let model = Model::new(looker.place().to_owned(), args.interval);
    live(model, &looker, Theme { has_colour: status::has_colour() }).await
}

type Looking<'a> = Pin<Box<dyn Future<Output = Result<Sample, Failed>> + 'a>>;

/// Ready when the look is done; never while there is none.
async fn answer(looking: &mut Option<Looking<'_>>) -> Result<Sample, Failed> {
    match looking {
        Some(looking) => looking.as_mut().await,
        None => std::future::pending().await,
    }
}

/// Looks, draws, and does what keys say, until somebody has seen enough.
async fn live(mut model: Model, looker: &Looker, theme: Theme) -> Result<Exit> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let (mut hang_up, mut go_on) =
        (signal(SignalKind::hangup())?, signal(SignalKind::from_raw(screen::CONTINUES))?);
    let _hush = status::hush();
    let mut screen = Screen::take()?;
    let mut keys = screen::keys();
    let mut looking: Option<Looking<'_>> = Some(Box::pin(looker.look(model.interval)));
    let mut due = Instant::now();
    loop {
        model.tick(looker.now());
        screen.draw(|buf| draw::draw(&mut model, buf, theme))?;
        let outcome = tokio::select! {
            seen = answer(&mut looking) => {
                looking = None;
                match seen {
                    Ok(sample) if !model.is_paused => model.saw(&sample),
                    Ok(_) => {}
                    Err(failed) if failed.is_final && model.node.is_none() => return Err(failed.error.into()),
                    Err(failed) => {
                        model.missed(failed.error.to_string(), looker.now());
                        due = due.max(Instant::now() + RESPITE);
                    }
                }
                Outcome::Goes
            }
            () = sleep_until(due), if looking.is_none() && !model.is_paused => {
                due = Instant::now() + model.interval;
                looking = Some(Box::pin(looker.look(model.interval)));
                Outcome::Goes
            }
            () = tokio::time::sleep(TICK) => Outcome::Goes,
            event = keys.recv() => match event {
                Some(screen::Event::Key(key)) => match keys::action(key, model.is_filtering) {
                    Some(action @ (Action::Faster | Action::Slower)) => {
                        due = Instant::now();
                        model.act(action)
                    }
                    Some(action) => model.act(action),
                    None => Outcome::Goes,
                },
                Some(screen::Event::Resized) => Outcome::Goes,
                // the terminal is gone
                None => return Ok(Exit::Terminated),
            },
            _ = interrupt.recv() => Outcome::Interrupted,
            _ = terminate.recv() => return Ok(Exit::Terminated),
            _ = hang_up.recv() => return Ok(Exit::Terminated),
            _ = go_on.recv() => {
                screen.again()?;
                Outcome::Goes
            }
        };
        match outcome {
            Outcome::Goes => {}
            Outcome::Quits => return Ok(Exit::Done),
            Outcome::Interrupted => return Ok(Exit::Interrupted),
            Outcome::Suspends => screen.suspend()?,
            Outcome::Redraws => screen.again()?,
        }
    }
}
