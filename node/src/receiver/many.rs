//! A receiver of all channels whose names match a pattern: many subscriptions over one connection.
//!
//! Owns the connection, which channels are read, in whose turn, and which wait for a place. Each channel is a [`ReceiverCore`]
//! whose connection is this one, lent to it for each call: what a channel's frames and failures mean is said there only. The
//! node tells of channels that are made (WATCH), and the streams of those that are deleted end by themselves.
//!
//! | room | holds |
//! |---|---|
//! | `asked` | what it is asked, and what it gives |
//! | `frames` | what the other side says |
//! | `places` | which channels have a place, and when places change hands |
//! | `merge` | by time, on request |

mod asked;
mod frames;
mod merge;
mod places;

use std::collections::{BTreeMap, VecDeque};
use std::task::Waker;

use netchan_proto::conn::Connection;
use netchan_proto::limits::{LANE_TIME, LANE_TURN, MAX_CONTROL_RATE, MAX_MATCHES};
use netchan_proto::wire::{Made, Roles, StreamId, Watch, Watched};
use netchan_proto::{ChannelName, Instant, LogId, Pattern, Position, Side, Start};

pub use self::asked::{ChannelPositions, MERGE_WINDOW, PatternOptions, Received};
use self::merge::Merging;
use super::{Lane, Next, ReceiverCore};
use crate::error::{Error, ErrorKind};
use crate::event::{Event, Events, Whose};
use crate::machine::{Dialling, Lost, Machine};
use crate::node::Node;
use crate::redial::{Passed, Redial, error_of, is_final};

/// Frames that one [`Machine::work`] takes in before it yields.
const WORK_BUDGET: usize = 256;
/// Channels that have the whole window; those that join while so many are open have a small one.
const WIDE_LANES: usize = 8;
/// Channels that are opened in each time of a turn: the other side bears twice as many frames of the kind.
const OPENS: usize = MAX_CONTROL_RATE as usize / 2;
/// Channels that are opened at once on a new connection.
const MOST_OPENS: usize = 4 * OPENS;
/// Frames that are taken in after a turn, so that others come to theirs.
const TURN_FRAMES: usize = 16;
/// Channels that give their place to others at a time: the streams of both are open until the other side has heard of it.
const MOST_SWAPS: usize = 64;

/// A channel that matches.
#[derive(Debug)]
struct Known {
    log: LogId,
    place: Place,
    /// It was deleted and made again, as this log; the old one is not told off yet.
    again: Option<LogId>,
    /// That it joined was told.
    has_joined: bool,
    /// It was told since it was asked last which there are.
    is_told: bool,
    /// That it cannot be read was told, and it could not be since.
    is_unavailable: bool,
    /// It was there when it was first told which there are.
    was_there: bool,
}

impl Known {
    fn waiting(log: LogId, start: Start) -> Known {
        let place = Place::Waiting(start);
        Known {
            log,
            place,
            again: None,
            has_joined: false,
            is_told: false,
            is_unavailable: false,
            was_there: false,
        }
    }
}

#[derive(Debug)]
enum Place {
    /// It is read.
    Lane(usize),
    /// It is to be read from there once there is a place for it.
    Waiting(Start),
    /// It is read no more. This is where it ended.
    Done(Option<Position>),
}

/// A channel that is read.
#[derive(Debug)]
struct Open {
    name: ChannelName,
    core: ReceiverCore,
    /// Where it was to begin.
    start: Start,
    /// Whether it is in line to be asked for records, and whether there may be some.
    is_ready: bool,
    has_data: bool,
    /// Since when it has its place, or rests.
    since: Instant,
    /// When it last gave something.
    gave: Instant,
    /// What merging by time knows of it.
    merging: Merging,
}

impl Open {
    fn rests(&self) -> bool {
        self.core.lane.as_ref().is_some_and(|lane| lane.rests.is_some())
    }

    /// Where to go on: before what is held back.
    fn position(&self) -> Option<Position> {
        let position = self.core.position()?;
        let held = self.merging.held().map(|record| record.offset);
        Some(Position { offset: held.unwrap_or(position.offset), ..position })
    }
}

#[derive(Debug)]
enum Phase {
    Reading,
    Failing(Error),
    Over,
}

/// A receiver by pattern, without a runtime. It is driven as a [`ReceiverCore`] is.
#[derive(Debug)]
pub struct PatternCore {
    node: Node,
    redial: Redial,
    options: PatternOptions,
    events: Events,
    /// The stream that tells which channels there are.
    watch: Option<StreamId>,
    /// It was asked, and has not told all that there are.
    is_telling: bool,
    /// More than can be known were told since then.
    is_too_many: bool,
    /// Whether all that were there have been told, once.
    is_complete: bool,
    known: BTreeMap<ChannelName, Known>,
    lanes: Vec<Option<Open>>,
    /// How many of them there are.
    open: usize,
    /// Those in line to be asked for records.
    ready: VecDeque<usize>,
    /// Records that the first of them has given in a row.
    given: usize,
    /// Names that wait for a place.
    waiting: VecDeque<ChannelName>,
    /// Channels that may be opened before the next turn.
    opens: usize,
    /// Who may have a batch larger than its window.
    large: Option<usize>,
    /// When places change hands, or what rests tries again.
    turn_at: Option<Instant>,
    /// When what is held back for others, to be merged, has been long enough.
    merge_at: Option<Instant>,
    /// All channels that were there were told and have been opened, or as many as can be: merging may begin.
    knows_all: bool,
    told_too_many: bool,
    /// To be given before anything else: what one channel has, and what is to be told of all.
    found: VecDeque<Next<Received>>,
    phase: Phase,
    is_settled: bool,
}

impl PatternCore {
    /// A receiver of `node`, which has not dialled yet.
    pub fn new(node: &Node, options: PatternOptions) -> PatternCore {
        PatternCore {
            node: node.clone(),
            redial: Redial::new(node, Roles::RECEIVES),
            events: Events::new(&options.pattern, Whose::Receiver),
            options,
            watch: None,
            is_telling: false,
            is_too_many: false,
            is_complete: false,
            known: BTreeMap::new(),
            lanes: Vec::new(),
            open: 0,
            ready: VecDeque::new(),
            given: 0,
            waiting: VecDeque::new(),
            opens: MOST_OPENS,
            large: None,
            turn_at: None,
            merge_at: None,
            knows_all: false,
            told_too_many: false,
            found: VecDeque::new(),
            phase: Phase::Reading,
            is_settled: false,
        }
    }

    /// The next record of any channel, or what there is in its place. Never waits.
    ///
    /// Of each channel they come in order. Channels that have something take turns. A gap or truncation is told once, and it goes
    /// on; so does what ends one channel only: the others go on.
    pub fn next(&mut self, now: Instant) -> Next<Received> {
        loop {
            if let Some(next) = self.found.pop_front() {
                return next;
            }
            match &self.phase {
                Phase::Reading => {}
                Phase::Failing(error) => {
                    let error = error.clone();
                    self.finish();
                    return Next::Error(error);
                }
                Phase::Over => return Next::Over,
            }
            let next = match self.options.merge {
                Some(window) => self.next_merged(window, now),
                None => self.next_of_ready(now),
            };
            if let Some(next) = next {
                return next;
            }
            self.take_turns(now);
            if self.is_done() {
                self.finish();
            } else if self.found.is_empty() && !self.take_frame(now) {
                return Next::Idle;
            }
        }
    }

    /// Where to go on later, in each channel in which reading has begun: after the last record that was given. Others are not among
    /// them, as nobody has said yet where they begin: who resumes reads them from their first record on.
    pub fn positions(&self) -> ChannelPositions {
        let mut positions = self.options.resume.clone().unwrap_or_default();
        for (name, known) in &self.known {
            if let Some(position) = self.position_of(known) {
                positions.set(name.clone(), position);
            }
        }
        positions
    }

    /// Where to go on later in one channel, if it is among [`positions`](Self::positions).
    pub fn position(&self, channel: &ChannelName) -> Option<Position> {
        let known = self.known.get(channel).and_then(|known| self.position_of(known));
        known.or_else(|| self.options.resume.as_ref()?.get(channel))
    }

    fn position_of(&self, known: &Known) -> Option<Position> {
        match &known.place {
            Place::Lane(at) => self.lanes[*at].as_ref()?.position(),
            Place::Waiting(Start::Resume(position)) => Some(*position),
            Place::Waiting(_) => None,
            Place::Done(position) => *position,
        }
    }

    /// Which channels.
    pub fn pattern(&self) -> &Pattern {
        &self.options.pattern
    }

    /// What happens beside the records. The handle stays good when the receiver is gone.
    pub fn events(&self) -> Events {
        self.events.clone()
    }

    /// The oldest event that nobody has seen.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.try_next()
    }

    /// Whether it is known how the first try went: all channels that were there are told, and in those that have a place
    /// reading has begun, or could not; or it failed.
    pub fn is_settled(&self) -> bool {
        self.is_settled
            || !matches!(self.phase, Phase::Reading)
            || (self.is_complete && self.lanes.iter().flatten().all(|lane| lane.core.is_settled()))
    }

    fn next_of_ready(&mut self, now: Instant) -> Option<Next<Received>> {
        while let Some(&at) = self.ready.front() {
            let Some(next) = self.ask(at, now) else { continue };
            if let Next::Record(_) = next {
                self.given += 1;
                if self.given >= LANE_TURN {
                    self.given = 0;
                    self.ready.rotate_left(1);
                    let frames = (0..TURN_FRAMES).take_while(|_| self.take_frame(now)).count();
                    if frames > 0 {
                        self.take_turns(now);
                    }
                }
            }
            return Some(next);
        }
        None
    }

    /// Asks one that is in line. With nothing to give it stands there no more.
    fn ask(&mut self, at: usize, now: Instant) -> Option<Next<Received>> {
        let next = self.lend(at, |core| core.next(now)).unwrap_or(Next::Idle);
        let Some(lane) = &mut self.lanes[at] else {
            self.ready.retain(|&ready| ready != at);
            return None;
        };
        match next {
            Next::Record(record) => {
                lane.gave = now;
                let channel = lane.name.clone();
                return Some(Next::Record(Received { channel, record }));
            }
            Next::Error(error) => match error.kind() {
                ErrorKind::Gap { .. } | ErrorKind::Truncated { .. } => return Some(Next::Error(error)),
                // It is over, and asked for the last time. What has gone is not missed.
                ErrorKind::Deleted | ErrorKind::NoChannel | ErrorKind::OtherLog => self.leave(at, true, now),
                _ => {
                    self.leave(at, false, now);
                    return Some(Next::Error(error));
                }
            },
            Next::Over => self.leave(at, false, now),
            Next::Idle => {
                (lane.is_ready, lane.has_data) = (false, false);
                if self.ready.front() == Some(&at) {
                    self.given = 0;
                }
                self.ready.retain(|&ready| ready != at);
                self.see_to_large(at);
            }
        }
        None
    }

    /// Sees to those that have news, but no records: nobody needs to ask for records to learn who leaves.
    fn see_to_news(&mut self, now: Instant) {
        let news = |at: &usize| self.lanes[*at].as_ref().is_some_and(|lane| !lane.has_data);
        let lanes: Vec<usize> = self.ready.iter().copied().filter(news).collect();
        for at in lanes {
            if self.found.is_empty() {
                let next = match self.options.merge {
                    Some(_) => self.ask_to_merge(at, now),
                    None => self.ask(at, now),
                };
                self.found.extend(next);
            }
        }
    }

    /// Lets a channel use the connection.
    fn lend<T>(&mut self, at: usize, act: impl FnOnce(&mut ReceiverCore) -> T) -> Option<T> {
        let lane = self.lanes.get_mut(at)?.as_mut()?;
        let was_up = self.redial.is_up();
        std::mem::swap(&mut lane.core.redial, &mut self.redial);
        let given = act(&mut lane.core);
        std::mem::swap(&mut lane.core.redial, &mut self.redial);
        if was_up && !self.redial.is_up() {
            self.forget_streams(); // it found that the other side is not to be believed
        }
        Some(given)
    }

    fn is_done(&self) -> bool {
        !self.options.follow
            && self.is_complete
            && self.open == 0
            && self.waiting.is_empty()
            && self.found.is_empty()
    }

    fn finish(&mut self) {
        self.phase = Phase::Over;
        self.forget_streams();
        self.redial.finish();
    }

    fn fail(&mut self, error: Error) {
        if matches!(self.phase, Phase::Reading) {
            tracing::debug!(pattern = %self.options.pattern, %error, "receiving ends: no other connection would cure this");
            self.phase = Phase::Failing(error);
        }
        self.redial.finish();
    }

    // ---- which channels ----

    /// Asks which channels there are, again if it was asked before. With as many streams open as may be, that waits for a turn.
    fn begin_watching(&mut self, now: Instant) {
        let watch = Watch { pattern: self.options.pattern.clone() };
        let before = self.watch.take();
        let Some(connection) = self.redial.connection() else { return };
        if let Some(before) = before {
            connection.close_stream(before);
        }
        self.watch = connection.watch(&watch).ok();
        if self.watch.is_none() {
            self.turn_at.get_or_insert(now.plus(LANE_TIME));
        }
        self.is_telling = true;
        self.known.values_mut().for_each(|known| known.is_told = false);
    }

    fn on_watched(&mut self, watched: Watched, now: Instant) {
        for made in watched.made {
            let name = made.name.clone();
            if (self.options.follow || !self.is_complete) && self.options.means(&name) {
                self.on_made(made, now);
            }
            if let Some(known) = self.known.get_mut(&name) {
                known.is_told = true;
            }
        }
        if watched.complete && std::mem::take(&mut self.is_telling) {
            self.forget_others(now);
        }
        if watched.complete && !self.is_complete {
            self.is_complete = true;
            self.options.resume = self.options.resume.take().map(|_| ChannelPositions::default());
            if self.known.is_empty() && !self.options.follow {
                let text = format!("no channel matches {}", self.options.pattern);
                self.found.push_back(Next::Error(Error::new(ErrorKind::NoChannel, text)));
            }
        }
        self.open_waiting(now);
    }

    fn on_made(&mut self, Made { name, log }: Made, now: Instant) {
        let later = self.later_start();
        let start = match &mut self.known.get_mut(&name) {
            Some(known) if known.log == log => {
                known.again = None; // told again, on another connection; or what was told meanwhile has gone
                return;
            }
            Some(Known { again, place: Place::Lane(_), .. }) => {
                *again = Some(log);
                return;
            }
            Some(known) => {
                known.log = log;
                if !matches!(known.place, Place::Waiting(_)) {
                    self.waiting.push_back(name);
                }
                known.place = Place::Waiting(later);
                known.has_joined = false;
                return;
            }
            None => self.start_of(&name, log),
        };
        if self.known.len() >= MAX_MATCHES {
            if self.is_telling {
                self.is_too_many = true;
            } else if !self.told_too_many {
                self.begin_watching(now); // some may be deleted: of those that were done nobody tells that
            }
            return;
        }
        self.waiting.push_back(name.clone());
        let was_there = !self.is_complete;
        self.known.insert(name, Known { was_there, ..Known::waiting(log, start) });
    }

    /// All that are there were told: others that were done with are gone, and need not be remembered.
    fn forget_others(&mut self, now: Instant) {
        let before = self.known.len();
        self.known.retain(|_, known| known.is_told || !matches!(known.place, Place::Done(_)));
        let has_room = self.known.len() < before;
        if !std::mem::take(&mut self.is_too_many) {
            self.told_too_many &= !has_room;
        } else if has_room {
            self.begin_watching(now);
        } else if !std::mem::replace(&mut self.told_too_many, true) {
            let text = format!(
                "{} matches more than {MAX_MATCHES} channels: those made after them are not received",
                self.options.pattern
            );
            let is_full =
                |next: &Next<Received>| matches!(next, Next::Error(error) if error.kind() == ErrorKind::Full);
            if !self.found.iter().any(is_full) {
                self.found.push_back(Next::Error(Error::new(ErrorKind::Full, text)));
            }
        }
    }

    /// Where reading a channel begins that was not known before.
    fn start_of(&mut self, name: &ChannelName, log: LogId) -> Start {
        match &self.options.resume {
            Some(positions) => match positions.get(name) {
                Some(position) if position.log == log => Start::Resume(position),
                _ => Start::Earliest,
            },
            None if self.is_complete => self.later_start(),
            None => self.options.start,
        }
    }

    /// Where reading begins in a channel that was made after it was told which there are.
    fn later_start(&self) -> Start {
        match (self.options.start, &self.options.resume) {
            (Start::Latest | Start::Last(_) | Start::Resume(_), _) | (_, Some(_)) => Start::Earliest,
            (start, None) => start,
        }
    }
}

impl Machine for PatternCore {
    fn connection(&mut self) -> Option<&mut Connection> {
        self.redial.connection()
    }

    /// Takes frames in, as far as credit reaches. Not needed by who calls [`PatternCore::next`] anyway.
    fn work(&mut self, now: Instant, waker: &Waker) {
        for _ in 0..WORK_BUDGET {
            if (!self.found.is_empty() && self.is_settled()) || !self.take_frame(now) {
                return;
            }
            self.see_to_news(now);
        }
        waker.wake_by_ref();
    }

    fn deadline(&self) -> Option<Instant> {
        let turn_at = self.turn_at.filter(|_| self.redial.is_up());
        self.redial.deadline().into_iter().chain(turn_at).chain(self.merge_at).min()
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.merge_at.take_if(|at| *at <= now);
        self.take_turns(now);
        match self.redial.handle_timeout(now) {
            Passed::Nothing => {}
            Passed::Silent(error) => self.on_failure(&error, now),
            Passed::Unheard => self.disconnected(Lost::Eof, now),
        }
    }

    fn disconnected(&mut self, why: Lost, now: Instant) {
        self.forget_streams();
        self.is_settled = true;
        let error = error_of(&why, &self.options.pattern);
        if is_final(&why) {
            self.fail(error);
        } else if let Some((why, retry_in)) = self.redial.lost(error, now) {
            self.events.push(Event::Lost { why, retry_in });
        }
    }

    fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }
}

impl Dialling for PatternCore {
    fn wants_dial(&self, now: Instant) -> bool {
        self.redial.wants_dial(now)
    }

    fn connected(&mut self, side: Side, trusted: bool, now: Instant) {
        if matches!(self.phase, Phase::Reading) {
            self.forget_streams();
            self.redial.connected(side, trusted, now);
        }
    }
}

impl Drop for PatternCore {
    fn drop(&mut self) {
        self.events.finish();
    }
}
