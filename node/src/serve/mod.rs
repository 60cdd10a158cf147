//! A connection that is served: peers read and publish this node's channels over it.
//!
//! Owns the streams of one connection, whose turn it is, and how much of its memory each may use. It never blocks:
//! what may, goes out as a [`Job`] and comes back as a letter. What frames mean is the connection's to know, and
//! where bytes are is the store's.
//!
//! | room | holds |
//! |---|---|
//! | `reading`, `sending`, `sifting` | a stream that reads: its place; its bytes; its filter |
//! | `glance` | where it stands in a run, and the batch there |
//! | `publishing` | a stream that publishes |
//! | `watching` | a stream that watches which channels there are |
//! | `calling` | a peer that is called, as often as it takes |
//! | `requests`, `cursors`, `admin` | questions that are answered once |
//! | `permits` | what each needs the right to |
//! | `account` | what the connection holds of the node's memory |
//! | `desk` | jobs under way, and their `answer`s; `slots`: memory for what they read |
//! | `refusal` | what a peer is told when something cannot be done; `log`: what an operator is told |

mod account;
mod admin;
mod answer;
mod calling;
mod cursors;
mod desk;
mod glance;
mod log;
mod permits;
mod publishing;
mod reading;
mod refusal;
mod requests;
mod sending;
mod sifting;
mod slots;
mod watching;

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use bytes::Buf;
use netchan_proto::conn::{Connection, ConnectionConfig, Event, Traffic};
use netchan_proto::limits::{LAST_WORDS, SERVED_TIMEOUT, WATCH_LOOKS};
use netchan_proto::wire::{End, ErrorFrame, Gap, ReaderKind, StreamId};
use netchan_proto::{ChannelName, ErrorCode, Instant, NodeId, Permissions, Roles, Side};

use self::account::{Account, Load};
use self::answer::Answer;
pub use self::calling::Calling;
use self::desk::{Desk, Letter};
use self::publishing::Publishing;
use self::reading::Reading;
use self::refusal::not_done;
use self::slots::Slots;
use self::watching::Watching;
use crate::budget::{Seat, TurnedAway};
use crate::job::Job;
use crate::machine::{Lost, Machine};
use crate::node::Node;
use crate::stats::{Counted, Standing};
use crate::wake::Bell;

/// Frames that one call of `work` takes in.
const WORK_EVENTS: usize = 512;
/// Rounds through the streams in one call of `work`. The output is full after a few.
const WORK_ROUNDS: usize = 64;

/// One served connection.
#[derive(Debug)]
pub struct Served {
    shared: Shared,
    readings: Vec<Reading>,
    publishings: Vec<Publishing>,
    watchings: Vec<Watching>,
    /// Which reader goes first in the next round.
    first: usize,
    /// Which watcher looks first in the next turn.
    first_watching: usize,
    /// The node stops: when connections end that are not done by themselves.
    drain_until: Option<Instant>,
    ended: Option<Ended>,
}

/// What the peer is told last, and until when it may take to read it.
#[derive(Debug)]
struct Ended {
    why: Lost,
    last_words_until: Instant,
}

/// What the streams of one connection share.
#[derive(Debug)]
struct Shared {
    node: Node,
    connection: Connection,
    bell: Arc<Bell>,
    desk: Desk,
    slots: Slots,
    account: Account,
    /// The publisher that may be in the middle of a batch larger than its window.
    large: Option<StreamId>,
    /// Streams that read.
    readers: usize,
    now: Instant,
    counted: Counted,
    /// What of the connection's traffic is counted already.
    traffic: Traffic,
    /// Where the peer calls from.
    peer: Arc<str>,
}

impl Shared {
    /// Puts a stream of the peer's on the list of those who read and publish.
    fn standing(&self, kind: ReaderKind, channel: &ChannelName) -> Standing {
        let node = self.connection.peer().map_or(NodeId::NONE, |peer| peer.node);
        Standing::new(&self.counted, kind, channel, (node, &self.peer), self.node.clock())
    }

    /// What the peer may do.
    fn may(&self) -> Permissions {
        self.connection.peer().map_or(Permissions::NONE, |peer| peer.may)
    }

    /// Ends a stream of the peer's with an error, or answers its request so.
    fn refuse(&mut self, id: StreamId, error: ErrorFrame) {
        log::refused(&self.peer, id, &error);
        self.counted.refusals.add(1);
        self.connection.stream_error(id, error);
    }

    /// Whether a run that cannot go on is to be given up, because others need the memory.
    fn must_give_way(&self, by_credit: bool) -> bool {
        self.account.must_give_way(by_credit, self.slots.held(), self.now)
    }

    /// `id` is not in the middle of a large batch, or not any more.
    fn release_large(&mut self, id: StreamId) {
        if self.large == Some(id) {
            self.large = None;
            self.account.release_large();
        }
    }

    fn tell_gap(&mut self, id: StreamId, gap: &Gap) {
        self.counted.gaps_told.add(1);
        self.connection.gap(id, gap);
    }

    /// Counts what has gone over the connection since the last time.
    fn count_traffic(&mut self) {
        let now = self.connection.traffic();
        let before = std::mem::replace(&mut self.traffic, now);
        if now != before {
            self.counted.bytes_in.add(now.bytes_in - before.bytes_in);
            self.counted.bytes_out.add(now.bytes_out - before.bytes_out);
            self.counted.frames_in.add(now.frames_in - before.frames_in);
            self.counted.frames_out.add(now.frames_out - before.frames_out);
        }
    }
}

/// What came of a stream's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Nothing to do before something comes.
    Idle,
    /// Something was done; there may be more.
    Moved,
    /// The stream is over.
    Over,
}

impl Served {
    /// Serves a byte stream that has just come up. `side` says who called; `trusted`, that the way it came proves
    /// who is across, so no token is asked for.
    #[must_use]
    pub fn new(node: &Node, side: Side, trusted: bool, now: Instant) -> Served {
        let config = ConnectionConfig {
            side,
            node: node.id(),
            roles: node.roles(),
            nonce: node.nonce(),
            token: node.token().cloned(),
            grants: node.grants(),
            trusted,
            peer_timeout: SERVED_TIMEOUT,
        };
        let bell = Arc::new(Bell::default());
        node.ring_when_stopping(&bell);
        let account = Account::new(node.budget(), &bell, now);
        let shared = Shared {
            node: node.clone(),
            connection: Connection::new(config, now),
            desk: Desk::new(&bell),
            bell,
            slots: Slots::new(node.budget()),
            account,
            large: None,
            readers: 0,
            now,
            counted: node.stats().connection(),
            traffic: Traffic::default(),
            peer: Arc::from(""),
        };
        Served {
            shared,
            readings: Vec::new(),
            publishings: Vec::new(),
            watchings: Vec::new(),
            first: 0,
            first_watching: 0,
            drain_until: None,
            ended: None,
        }
    }

    /// Where the peer calls from, for people.
    #[must_use]
    pub fn called_from(mut self, peer: impl Into<Arc<str>>) -> Served {
        self.shared.peer = peer.into();
        self
    }

    /// It has this seat among the node's connections.
    pub(crate) fn seated(mut self, seat: Seat) -> Served {
        let Shared { account, bell, .. } = &mut self.shared;
        account.take_seat(seat, bell);
        self
    }

    /// Tells the peer why there is no seat for it, and nothing else.
    pub(crate) fn turned_away(mut self, why: TurnedAway) -> Served {
        let error = self.shared.connection.close_with(ErrorCode::CALM, &why.to_string());
        let last_words_until = self.shared.now.plus(LAST_WORDS);
        self.ended = Some(Ended { why: error.into(), last_words_until });
        self
    }

    /// Tells the peer that this node will stop in `drain`. New streams are refused; those that are open go on until
    /// all that is in the logs is sent and acknowledged, or until `drain` has passed. Then it is over.
    pub fn go_away(&mut self, drain: Duration) {
        if self.drain_until.is_none() && self.ended.is_none() {
            self.drain_until = Some(self.shared.now.plus(drain));
            if self.shared.connection.is_ready() {
                self.shared.connection.go_away(drain);
            }
            self.shared.bell.ring();
        }
    }

    /// Whether nothing is under way: readers have all that is in their logs, publishers all their acknowledgements,
    /// and no request is unanswered. Bytes may wait to be written still.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        !self.shared.desk.is_busy()
            && self.readings.iter().all(Reading::is_drained)
            && self.publishings.iter().all(Publishing::is_drained)
    }

    /// Why it is over, once it is.
    #[must_use]
    pub fn ended(&self) -> Option<&Lost> {
        self.ended.as_ref().map(|ended| &ended.why)
    }

    /// Ends the connection when the node stops and it has nothing more to do, or its time is up.
    fn drain(&mut self) {
        if let Some(drain) = self.shared.node.stops_in() {
            self.go_away(drain);
        }
        let Some(until) = self.drain_until else { return };
        if until <= self.shared.now || self.is_drained() {
            let error = self.shared.connection.close_with(ErrorCode::GOING_AWAY, "the node stops");
            self.end(error.into());
        }
    }

    fn take_letters(&mut self) {
        while let Some(Letter { stream, answer }) = self.shared.desk.take_letter() {
            if self.ended.is_none() {
                self.on_answer(stream, answer);
            }
        }
    }

    fn on_answer(&mut self, stream: StreamId, answer: Answer) {
        let shared = &mut self.shared;
        let reading = reading(&mut self.readings, stream);
        let publishing = publishing(&mut self.publishings, stream);
        let step = match (answer, reading, publishing) {
            (Answer::Found(found), Some(reading), _) => reading.on_found(found, shared),
            (Answer::Run { from, slot, part }, Some(reading), _) => reading.on_run(from, slot, part, shared),
            (Answer::Accepted(accepted), _, Some(publishing)) => publishing.on_accepted(accepted, shared),
            (Answer::Noted(kept), _, Some(publishing)) => publishing.on_noted(kept, shared),
            (Answer::NotDone, ..) => {
                shared.refuse(stream, not_done());
                Step::Over
            }
            (answer, ..) => return requests::answer(shared, stream, answer),
        };
        if step == Step::Over {
            self.forget(stream);
        }
    }

    fn take_events(&mut self) {
        for _ in 0..WORK_EVENTS {
            match self.shared.connection.poll_event(self.shared.now) {
                Ok(Some(event)) => self.on_event(event),
                Ok(None) => return,
                Err(error) => return self.end(error.into()),
            }
        }
        self.shared.bell.ring();
    }

    fn on_event(&mut self, event: Event) {
        log::event(&self.shared.peer, &event);
        if let Event::Ready(_) = event {
            self.shared.account.prove();
            return self.shared.counted.prove();
        }
        let Some(event) = self.permit(event) else { return };
        let shared = &mut self.shared;
        let (readings, publishings) = (&mut self.readings, &mut self.publishings);
        let (stream, step) = match event {
            Event::OpenRequest(id, open) => return self.readings.push(Reading::new(id, open, shared)),
            Event::SeekRequest(id, seek) => (id, reading(readings, id).map(|it| it.on_seek(seek, shared))),
            Event::CloseRequest(id) if self.watchings.iter().any(|watching| watching.id() == id) => {
                shared.connection.end(id, End::Closed);
                return self.watchings.retain(|watching| watching.id() != id);
            }
            Event::CloseRequest(id) => (id, reading(readings, id).map(|it| it.on_close(shared))),
            Event::PublishRequest(id, open) => {
                let others = self.publishings.len();
                return self.publishings.push(Publishing::new(id, open, others, shared));
            }
            Event::PublishData(id, range) => (id, publishing(publishings, id).map(|it| it.on_range(range))),
            Event::NoteRequest(id, note) => {
                (id, publishing(publishings, id).map(|it| it.on_note(note, shared)))
            }
            Event::PublishCloseRequest(id) => (id, publishing(publishings, id).map(Publishing::on_close)),
            Event::StatRequest(id, name) => return requests::stat(shared, id, name),
            Event::ListRequest(id, list) => return requests::list(shared, id, list),
            Event::SealRequest(id, name) => return requests::seal(shared, id, name),
            Event::DeleteRequest(id, name) => return requests::delete(shared, id, name),
            Event::StatusRequest(id) => return requests::status(shared, id),
            Event::ReadersRequest(id, readers) => return requests::readers(shared, id, readers),
            Event::Received(id, end) => (id, reading(readings, id).map(|it| it.on_received(end, shared))),
            Event::CursorTakeRequest(id, take) => return cursors::take(shared, id, take),
            Event::CursorCommitRequest(id, commit) => return cursors::commit(shared, id, commit),
            Event::CursorSetRequest(id, set) => return cursors::set(shared, id, set),
            Event::CursorDeleteRequest(id, key) => return cursors::delete(shared, id, key),
            Event::CursorsRequest(id, asked) => return cursors::list(shared, id, asked),
            Event::CreateRequest(id, keep) => return admin::create(shared, id, keep),
            Event::ChangeRequest(id, keep) => return admin::change(shared, id, keep),
            Event::TruncateRequest(id, truncate) => return admin::truncate(shared, id, truncate),
            Event::DescribeRequest(id, name) => return admin::describe(shared, id, name),
            Event::WatchRequest(id, watch) => {
                shared.counted.requests.add(1);
                let watching = Watching::new(id, &watch, shared);
                shared.account.on_watch(watching.bytes());
                return self.watchings.push(watching);
            }
            Event::Credit(id) => (id, reading(readings, id).map(|it| it.on_credit(shared))),
            // For who opens streams, which this side never does.
            _ => return,
        };
        if step == Some(Step::Over) {
            self.forget(stream);
        }
    }

    /// The event, unless it asks for what one of the two sides is not there for.
    fn permit(&mut self, event: Event) -> Option<Event> {
        let Some((stream, role, needed)) = permits::needs(&event) else { return Some(event) };
        let may = self.shared.may();
        let opens = matches!(&event, Event::OpenRequest(..) | Event::PublishRequest(..));
        let watches = matches!(&event, Event::WatchRequest(..));
        // Who receives by a pattern needs one of each.
        let has_some = !self.readings.is_empty() || !self.publishings.is_empty();
        let is_further = (opens && has_some) || (watches && !self.watchings.is_empty());
        let connection = &mut self.shared.connection;
        let refusal = |code, text: &str| Some(ErrorFrame::new(code, text));
        let error = if !may.has(needed) {
            Some(permits::lacks(may, needed))
        } else if self.drain_until.is_some() {
            refusal(ErrorCode::GOING_AWAY, "the node stops")
        } else if !self.shared.node.roles().has(Roles::SENDS) {
            refusal(ErrorCode::DENIED, "this node has no channels of its own")
        } else if !connection.peer().is_some_and(|peer| peer.roles.has(role)) {
            refusal(ErrorCode::DENIED, "the handshake did not name the role that this needs")
        } else if is_further && self.shared.account.budget().is_nearly_full() {
            refusal(
                ErrorCode::TOO_MANY_STREAMS,
                "the node's memory is short, and this connection has a stream",
            )
        } else {
            None
        };
        match error {
            Some(error) => {
                self.shared.refuse(stream, error);
                None
            }
            None => Some(event),
        }
    }

    fn serve_publishers(&mut self) {
        let large = self.shared.large;
        let shared = &mut self.shared;
        if shared.account.wants_large() {
            self.publishings.iter().for_each(Publishing::look_again);
        }
        if shared.account.is_large_overdue(shared.now)
            && let Some(holder) = large
        {
            let text = "a large batch took too long to come, and others wait to send theirs";
            shared.refuse(holder, ErrorFrame::new(ErrorCode::CALM, text));
            shared.release_large(holder);
            self.forget(holder);
        }
        let shared = &mut self.shared;
        let publishings = self.publishings.len();
        self.publishings.retain_mut(|publishing| publishing.turn(shared) != Step::Over);
        self.after_publishers(publishings);
        let shared = &mut self.shared;
        if large.is_some() && shared.large != large {
            self.publishings.iter().for_each(Publishing::look_again);
            shared.bell.ring();
        }
    }

    /// Rounds through the readers, each a little at a time, until none can do anything or the output is full.
    fn serve_readers(&mut self) {
        for _ in 0..WORK_ROUNDS {
            let count = self.readings.len();
            self.shared.readers = count;
            let mut moved = false;
            let mut over = false;
            for index in 0..count {
                let reading = &mut self.readings[(self.first + index) % count];
                let step = reading.turn(&mut self.shared);
                moved |= step != Step::Idle;
                if step == Step::Over {
                    reading.mark_over();
                    over = true;
                }
            }
            if over {
                let Shared { slots, desk, .. } = &mut self.shared;
                self.readings.retain(|reading| {
                    let stays = !reading.is_over();
                    if !stays {
                        slots.forget(reading.id());
                        desk.forget(reading.id());
                    }
                    stays
                });
            }
            if !moved {
                return;
            }
            self.first = self.first.wrapping_add(1);
        }
        self.shared.bell.ring();
    }

    /// Tells who watches what is new, each a little at a time, and few of them in one turn of the connection.
    fn serve_watchers(&mut self) {
        let (count, first) = (self.watchings.len(), self.first_watching);
        let mut looks = 0;
        for index in (0..count).map(|index| (first + index) % count) {
            if self.watchings[index].turn(&mut self.shared) == Step::Moved {
                looks += 1;
                self.first_watching = index + 1;
            }
            if looks == WATCH_LOOKS {
                break;
            }
        }
        if looks > 0 {
            self.shared.bell.ring();
        }
    }

    fn forget(&mut self, stream: StreamId) {
        self.readings.retain(|reading| reading.id() != stream);
        self.shared.slots.forget(stream);
        self.shared.desk.forget(stream);
        let publishings = self.publishings.len();
        self.publishings.retain(|publishing| publishing.id() != stream);
        self.after_publishers(publishings);
    }

    /// There were so many publishers before. One that is gone may have had the right to a large batch, or waited for it.
    fn after_publishers(&mut self, before: usize) {
        if self.publishings.len() < before {
            self.shared.account.forget_wish();
            self.publishings.iter().for_each(Publishing::look_again);
        }
    }

    /// Bytes that came and are not in a log.
    fn intake(&self) -> usize {
        self.publishings.iter().map(Publishing::held).sum()
    }

    /// Counts what the connection holds. Gives it up if that does not move while others need the memory, or if others
    /// need its seat and it has not shown who it is.
    fn settle(&mut self) {
        let load = Load {
            streams: self.readings.len()
                + self.publishings.len()
                + self.watchings.len()
                + self.shared.desk.len(),
            patterns: self.watchings.iter().map(Watching::bytes).sum(),
            intake: self.intake(),
            runs: self.shared.slots.held(),
            starves: self.shared.slots.starves(),
        };
        let Shared { account, connection, now, .. } = &mut self.shared;
        account.settle(connection, load, *now);
        if self.ended.is_some() {
            return;
        }
        let why = if account.is_unseated() && !connection.is_ready() {
            "others wait for a handshake, and this one has taken longest"
        } else if account.is_overdue() {
            "the node's memory is short, and what it holds for this connection does not move"
        } else {
            return;
        };
        account.close();
        let error = connection.close_with(ErrorCode::CALM, why);
        self.end(error.into());
    }

    fn end(&mut self, why: Lost) {
        self.readings.clear();
        self.publishings.clear();
        self.watchings.clear();
        self.shared.account.release_large();
        if self.ended.is_none() {
            let peer = self.shared.connection.peer();
            log::ended(&self.shared.peer, peer.map(|peer| peer.node), &why);
            self.shared.counted.stats().doors().ended(&why, peer.is_some());
        }
        let last_words_until = self.shared.now.plus(LAST_WORDS);
        self.ended.get_or_insert(Ended { why, last_words_until });
    }
}

fn reading(readings: &mut [Reading], id: StreamId) -> Option<&mut Reading> {
    readings.iter_mut().find(|reading| reading.id() == id)
}

fn publishing(publishings: &mut [Publishing], id: StreamId) -> Option<&mut Publishing> {
    publishings.iter_mut().find(|publishing| publishing.id() == id)
}

impl Machine for Served {
    fn connection(&mut self) -> Option<&mut Connection> {
        Some(&mut self.shared.connection)
    }

    fn work(&mut self, now: Instant, waker: &Waker) {
        self.shared.now = now;
        self.shared.bell.hang(waker);
        self.take_letters();
        if self.ended.is_none() {
            let intake = self.intake();
            self.shared.account.observe(&mut self.shared.connection, intake, now);
            self.shared.slots.keep_pace(self.shared.account.pace());
            self.take_events();
            self.serve_publishers();
            self.serve_readers();
            self.serve_watchers();
            self.drain();
        }
        self.settle();
        self.shared.count_traffic();
    }

    fn take_job(&mut self) -> Option<Job> {
        let Shared { desk, account, connection, .. } = &mut self.shared;
        // Answers wait where the peer does not read those that it has.
        if connection.is_clogged() { None } else { desk.take_job(account.budget(), account.waiter()) }
    }

    fn deadline(&self) -> Option<Instant> {
        if let Some(ended) = &self.ended {
            return self.shared.connection.has_outbound().then_some(ended.last_words_until);
        }
        let connection = self.shared.connection.deadline().map(|(at, _)| at);
        let publishings = self.publishings.iter().filter_map(Publishing::deadline);
        let readings = self.readings.iter().filter_map(Reading::deadline);
        let account = self.shared.account.deadline();
        publishings.chain(readings).chain(connection).chain(account).chain(self.drain_until).min()
    }

    /// The deadlines of streams are met by the next `work`.
    fn handle_timeout(&mut self, now: Instant) {
        self.shared.now = now;
        match &self.ended {
            Some(ended) if ended.last_words_until <= now => {
                let unread = self.shared.connection.outbound();
                unread.advance(unread.remaining());
            }
            Some(_) => {}
            None => {
                if let Err(error) = self.shared.connection.handle_timeout(now) {
                    self.end(error.into());
                }
            }
        }
        self.shared.bell.ring();
    }

    fn disconnected(&mut self, why: Lost, now: Instant) {
        self.shared.now = now;
        self.end(why);
        self.shared.count_traffic();
    }

    fn is_over(&self) -> bool {
        self.ended.is_some()
    }
}
