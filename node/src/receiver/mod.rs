//! A receiver: one subscription over as many connections as it takes.
//!
//! Owns the order of what a user is given, the credit that follows it, and the verdict on every failure: made again, or
//! told and over. It is driven by the user's own task: [`ReceiverCore::next`] takes frames off the connection only when
//! it has no record left, so what nobody asks for stays with the sender. Neighbours:
//! [`netchan_proto::subscription`] keeps position and order, `redial` the connection.

mod cursor;
mod frames;
mod many;

use netchan_proto::awaited::Awaited;
use netchan_proto::batch::{Batch, BatchError, Records};
use netchan_proto::compression::CompressionError;
use netchan_proto::limits::{CREDIT_WINDOW, MAX_DATA};
use netchan_proto::subscription::{Delivery, Subscription};
use netchan_proto::wire::{GapReason, Roles, Seek, StreamId};
use netchan_proto::{
    ChannelName, Content, CursorName, Epoch, Filter, Instant, LogId, Offset, Position, Record, Start,
    Timestamp,
};

use self::cursor::Held;
use crate::error::{Error, ErrorKind};
use crate::event::{Event, Events, Whose};
use crate::node::Node;
use crate::redial::Redial;

pub use self::many::{ChannelPositions, MERGE_WINDOW, PatternCore, PatternOptions, Received};

/// What a receiver is to do.
#[derive(Clone, Debug)]
pub struct ReceiverOptions {
    /// The channel.
    pub name: ChannelName,
    /// Where to begin. Default: with the next record to come.
    pub start: Start,
    /// Bytes that may be under way to this receiver, and so in its memory; at least 64 KiB. Default 1 MiB. One batch
    /// that is larger is let through all the same.
    pub window: u64,
    /// Whether to wait for a channel that does not exist yet. Default: yes.
    pub wait: bool,
    /// Whether to go on past what is there at the first connection. Default: yes.
    pub follow: bool,
    /// Ends before the first record at or after this time. Default: none.
    pub until: Option<Timestamp>,
    /// What the channel's payloads must be. Default: whatever they are.
    pub content: Option<Wanted>,
    /// Only these records: the sender judges them, and sends no others. Default: all.
    pub filter: Option<Filter>,
    /// The cursor to take and to begin at; `start` is where it is made if there is none. Default: none.
    pub cursor: Option<CursorName>,
}

/// What the payloads of a channel must be to be received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// What they are to be.
    pub content: Content,
    /// Whether a channel that has records, and of which nobody has said what they are, is taken for one of these.
    pub trust: bool,
}

impl ReceiverOptions {
    /// The defaults, for `name`.
    pub fn new(name: ChannelName) -> ReceiverOptions {
        ReceiverOptions {
            name,
            start: Start::Latest,
            window: CREDIT_WINDOW,
            wait: true,
            follow: true,
            until: None,
            content: None,
            filter: None,
            cursor: None,
        }
    }
}

/// What [`ReceiverCore::next`] has.
#[derive(Clone, Debug)]
#[must_use = "a record that is not looked at is lost"]
pub enum Next<T = Record> {
    /// The next record.
    Record(T),
    /// A gap or a truncation, told once: it goes on. Any other error is the last thing before [`Next::Over`].
    Error(Error),
    /// Nothing will come: the channel is sealed and all of it was given, or the end that was asked for is reached.
    Over,
    /// Nothing now: dial, read, write, or wait, and ask again.
    Idle,
}

/// How far a receiver is.
#[derive(Debug)]
enum Phase {
    Reading,
    /// This is to be told, and then it is over.
    Failing(Error),
    Over,
}

/// The batch whose records are being given out.
#[derive(Debug)]
struct Current {
    records: Records,
    /// The first record that was asked for.
    from: Offset,
    /// The offset after the last.
    end: Offset,
    epoch: Epoch,
    /// No record of it is later, be it one that did not pass.
    last_time: Timestamp,
    /// Bytes that count as consumed when it is done; 0 if it came on a stream that is gone.
    bytes: usize,
}

/// A stream on the connection there is.
#[derive(Clone, Copy, Debug)]
struct Stream {
    id: StreamId,
    opened: bool,
}

/// A receiver without a runtime. See [`Machine`](crate::Machine) and [`Dialling`](crate::Dialling) for how to drive it;
/// beside that the driver
///
/// - asks [`next`](Self::next) for records until it is [`Next::Idle`], in place of [`work`](crate::Machine::work);
/// - closes the byte stream, and reports it [`disconnected`](crate::Machine::disconnected), once the connection is over
///   and has nothing to write; also when [`connection`](crate::Machine::connection) has become `None`.
#[derive(Debug)]
pub struct ReceiverCore {
    subscription: Subscription,
    redial: Redial,
    cursor: Option<Held>,
    events: Events,
    stream: Option<Stream>,
    current: Option<Current>,
    /// What the payloads must be, and whether they are known to be that, or nobody asks.
    wanted: Option<Wanted>,
    is_agreed: bool,
    /// A batch that came before that was known; the sender is asked again.
    held: Option<Current>,
    phase: Phase,
    /// After the last record that was given.
    position: Position,
    /// Whether `position` is one: not before the first OPENED, unless the start was a position.
    is_placed: bool,
    /// What the subscription holds came from a stream that broke a rule: it is not to be believed.
    is_tainted: bool,
    /// Whether a stream was ever open: the next is a resumption.
    has_read: bool,
    is_settled: bool,
    /// The seek that is not answered yet.
    seeking: Option<u32>,
    /// What the sender wants to be told.
    awaited: Awaited,
    /// The first of that.
    await_at: Offset,
    /// It was told something that has not gone out yet, perhaps.
    has_told: bool,
    wait: bool,
    follow: bool,
    /// The time that was asked for to begin with: what the sender had taken before it, but not yet acknowledged when it
    /// looked for it, comes all the same.
    since: Timestamp,
    /// The first record that is not wanted, by offset and by time.
    stop_at: Offset,
    until: Timestamp,
    /// One of many on a connection that is theirs: it is lent to it as its own for each call (`many`).
    lane: Option<Lane>,
}

/// What is known of a receiver that is one of many.
#[derive(Debug, Default)]
struct Lane {
    /// Its stream ended by this, which a later try may cure.
    rests: Option<Error>,
    /// It may have a batch sent that is larger than its window.
    may_be_large: bool,
}

impl ReceiverCore {
    /// A receiver of `node`, which has not dialled yet.
    pub fn new(node: &Node, options: ReceiverOptions) -> ReceiverCore {
        let ReceiverOptions { name, start, window, wait, follow, until, content, filter, cursor } = options;
        let window = window.max(MAX_DATA as u64);
        let (position, is_placed) = place(&start);
        let since = time_of(&start);
        ReceiverCore {
            events: Events::new(name.clone(), Whose::Receiver),
            subscription: Subscription::new(name, start, window, wait).filtered(filter),
            redial: Redial::new(node, Roles::RECEIVES.and(Roles::TELLS)),
            cursor: cursor.map(|name| Held::new(name, start)),
            stream: None,
            current: None,
            is_agreed: content.is_none(),
            wanted: content,
            held: None,
            phase: Phase::Reading,
            position,
            is_placed,
            is_tainted: false,
            has_read: false,
            is_settled: false,
            seeking: None,
            awaited: Awaited::default(),
            await_at: Offset::NONE,
            has_told: false,
            wait,
            follow,
            since,
            stop_at: Offset::NONE,
            until: until.unwrap_or(Timestamp(i64::MAX)),
            lane: None,
        }
    }

    /// The next record, or what there is in its place. Never waits; allocates and locks nothing for a plain record.
    #[inline]
    pub fn next(&mut self, now: Instant) -> Next {
        loop {
            if let Some(next) = self.next_of_batch() {
                return next;
            }
            if let Some(next) = self.advance(now) {
                return next;
            }
        }
    }

    /// Where to go on later: after the last record that [`next`](Self::next) gave. `None` until the sender has said
    /// where reading begins.
    pub fn position(&self) -> Option<Position> {
        self.is_placed.then_some(self.position)
    }

    /// The channel's visible end, as the sender last told it.
    pub fn tail(&self) -> Offset {
        self.subscription.tail()
    }

    /// Bytes of its stream up to the end of the batch that it gives records of.
    fn taken(&self) -> u64 {
        let current = self.current.as_ref().map_or(0, |current| current.bytes);
        self.subscription.consumed_total() + current as u64
    }

    /// The channel.
    pub fn name(&self) -> &ChannelName {
        self.subscription.name()
    }

    /// Goes on from elsewhere, also after the end or an error. What was not given yet is forgotten.
    pub fn seek(&mut self, start: Start) {
        self.phase = Phase::Reading;
        self.redial.wake_up();
        self.mark_sought();
        self.place_at(start);
        if self.waits_for_cursor() {
            return;
        }
        let Some(connection) = self.redial.connection().filter(|connection| connection.is_ready()) else {
            return;
        };
        match (self.stream, self.seeking) {
            (Some(Stream { id, opened: true }), Some(seek_id)) => {
                connection.seek(id, &Seek { seek_id, start });
            }
            (stream, _) => {
                // SEEK is not allowed before OPENED: another stream, then.
                if let Some(stream) = stream {
                    connection.close_stream(stream.id);
                }
                self.open_stream();
            }
        }
    }

    /// Reads from here, on whatever stream there is or will be.
    fn place_at(&mut self, start: Start) {
        (self.position, self.is_placed) = place(&start);
        self.since = time_of(&start);
        (self.current, self.held) = (None, None);
        self.forget_awaited();
        self.stop_at = Offset::NONE;
        self.seeking = self.subscription.seek(start);
    }

    /// What happens beside the records. The handle stays good when the receiver is gone.
    pub fn events(&self) -> Events {
        self.events.clone()
    }

    /// The oldest event that nobody has seen.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.try_next()
    }

    /// What has ended it and is not told yet.
    pub fn failure(&self) -> Option<&Error> {
        match &self.phase {
            Phase::Failing(error) => Some(error),
            _ => None,
        }
    }

    /// Whether it is known how the first try went: reading has begun, or waits for the channel, or failed. What is sent
    /// to the channel after that is received, wherever the start is.
    pub fn is_settled(&self) -> bool {
        self.is_settled
    }

    #[inline]
    fn next_of_batch(&mut self) -> Option<Next> {
        let current = self.current.as_mut()?;
        for record in &mut current.records {
            let record = match record {
                Ok(record) => record,
                Err(error) => return self.skip_damaged_batch(error),
            };
            if record.offset < current.from || record.timestamp < self.since {
                continue;
            }
            if record.offset >= self.stop_at || record.timestamp >= self.until {
                self.finish();
                return Some(Next::Over);
            }
            self.position.offset = record.offset.plus(1);
            self.position.epoch = current.epoch;
            if current.end >= self.await_at {
                self.tell();
            }
            return Some(Next::Record(record));
        }
        None
    }

    /// Comes closer to the next record: `None` if there may be one now.
    #[cold]
    fn advance(&mut self, now: Instant) -> Option<Next> {
        self.finish_batch();
        if self.is_agreed && self.held.is_some() {
            self.current = self.held.take();
            return None;
        }
        if self.has_reached_end() {
            self.finish();
        }
        if matches!(self.phase, Phase::Over) {
            return Some(Next::Over);
        }
        if !self.is_tainted {
            match self.subscription.next_delivery() {
                Ok(Some(delivery)) => return self.deliver(delivery),
                Ok(None) if self.has_reached_end() => return None,
                // A batch that is larger than the window has become known, perhaps.
                Ok(None) => self.grant(),
                Err(error) => self.give_up_on(error, now),
            }
        }
        if let Phase::Failing(error) = &self.phase {
            let error = error.clone();
            self.finish();
            return Some(Next::Error(error));
        }
        // Frames of a connection with many streams are taken by who knows them all.
        if self.lane.is_none() && self.take_frame(now) { None } else { Some(Next::Idle) }
    }

    fn has_reached_end(&self) -> bool {
        self.subscription.position().is_some_and(|position| position.offset >= self.stop_at)
    }

    /// Nothing more will be given out.
    fn finish(&mut self) {
        self.phase = Phase::Over;
        self.is_settled = true;
        (self.current, self.held) = (None, None);
        if self.cursor.is_some() {
            // There may be something to commit yet.
            if let (Some(stream), Some(connection)) = (self.stream, self.redial.connection()) {
                connection.close_stream(stream.id);
            }
            (self.stream, self.seeking) = (None, None);
            return self.subscription.on_lost();
        }
        if self.lane.is_some() {
            self.close_stream();
        }
        self.forget_stream();
        if self.lane.is_none() {
            self.redial.finish();
        }
    }

    fn close_stream(&mut self) {
        if let (Some(stream), Some(connection)) = (self.stream, self.redial.connection()) {
            connection.close_stream(stream.id);
        }
    }

    /// Whether the connection is of use after the end.
    pub fn stays_connected(&self) -> bool {
        self.cursor.is_some()
    }

    /// Counts the batch that was given out, and allows as much again.
    fn finish_batch(&mut self) {
        let Some(current) = self.current.take() else { return };
        self.position.offset = self.position.offset.max(current.end);
        self.position.epoch = current.epoch;
        self.subscription.consumed(current.bytes);
        if current.last_time >= self.until {
            // The record that says so did not pass the filter.
            self.stop_at = self.stop_at.min(self.position.offset);
        }
        self.tell();
        self.grant();
    }

    fn grant(&mut self) {
        if self.lane.as_ref().is_some_and(|lane| !lane.may_be_large) && self.subscription.is_large() {
            return; // one of many at a time: or they would all have one in memory
        }
        if let Some(stream) = self.stream
            && let Some(total) = self.subscription.credit_due()
            && let Some(connection) = self.redial.connection()
        {
            connection.grant(stream.id, total);
        }
    }

    fn deliver(&mut self, delivery: Delivery) -> Option<Next> {
        self.redial.mark_progress();
        match delivery {
            Delivery::Batch { batch, from } => {
                let header = batch.header();
                tracing::trace!(
                    channel = %self.name(), from = from.0, records = header.record_count, bytes = header.body_len,
                    "a batch"
                );
                let current = Some(Current::new(&batch, from));
                if self.is_agreed {
                    self.current = current;
                } else {
                    self.held = current;
                    self.ask_again();
                }
                None
            }
            Delivery::Gap { from, to, why } => {
                self.place();
                Some(self.tell_gap(from, to, why))
            }
            Delivery::Truncated { epoch, end } => {
                self.place();
                self.stop_at = if self.follow { self.stop_at } else { self.stop_at.min(self.tail()) };
                self.events.push(Event::Truncated { epoch, end });
                let text = format!(
                    "{}: the sender lost what it had not synced: what was received of epoch {} from offset {end} on is \
                     void; reading goes on there",
                    self.name(),
                    epoch.0
                );
                Some(Next::Error(Error::new(ErrorKind::Truncated { epoch, end }, text)))
            }
            Delivery::Sealed { end } => {
                self.events.push(Event::Sealed { end });
                self.finish();
                Some(Next::Over)
            }
            _ => None,
        }
    }

    /// Records of a batch cannot be told apart, though its checksums hold: whoever wrote it did it wrong. Asking again
    /// would bring the same, so it is a gap.
    #[cold]
    fn skip_damaged_batch(&mut self, error: BatchError) -> Option<Next> {
        if let BatchError::Compression(CompressionError::Without(_)) = error {
            // Nothing is wrong with it: another program can read it, from here on.
            self.is_tainted = true;
            self.current = None;
            self.fail(Error::new(ErrorKind::Config, error.to_string()).about(self.name()));
            return None;
        }
        let from = self.position.offset;
        self.finish_batch();
        tracing::warn!(channel = %self.name(), from = from.0, %error, "a batch's records cannot be read: left out");
        Some(self.tell_gap(from, self.position.offset, GapReason::Damaged))
    }

    fn tell_gap(&mut self, from: Offset, to: Offset, why: GapReason) -> Next {
        self.events.push(Event::Gap { from, to, why });
        let because = match why {
            GapReason::Retention => "retention removed them",
            _ => "they are damaged",
        };
        let name = self.name();
        let text = format!(
            "{name}: the records from offset {from} to {to} are gone: {because}; reading goes on at {to}"
        );
        Next::Error(Error::new(ErrorKind::Gap { from, to, why }, text))
    }

    /// Nothing is under way to the user: the position is the subscription's.
    fn place(&mut self) {
        if let Some(position) = self.subscription.position() {
            (self.position, self.is_placed) = (position, true);
        }
        self.tell();
    }

    /// Whether there is something to write that somebody waits for; asked once.
    #[inline]
    pub fn has_told(&mut self) -> bool {
        self.has_told && std::mem::take(&mut self.has_told)
    }

    /// Tells the sender, if it waits for that, that the user has all before the position: what the rest of a batch holds
    /// that did not pass the filter, or no rest at all, it has too.
    #[cold]
    fn tell(&mut self) {
        let end = match &self.current {
            Some(current) if current.records.is_done() => current.end,
            _ => self.position.offset,
        };
        if end < self.await_at || !self.is_placed || !self.awaited.take_up_to(end) {
            return;
        }
        self.await_at = self.awaited.first();
        if let Some(stream) = self.stream
            && let Some(connection) = self.redial.connection()
        {
            connection.tell_received(stream.id, end);
            self.has_told = true;
        }
    }

    fn forget_awaited(&mut self) {
        self.awaited.clear();
        self.await_at = Offset::NONE;
    }
}

impl Current {
    fn new(batch: &Batch, from: Offset) -> Current {
        let header = batch.header();
        Current {
            records: batch.records(),
            from,
            end: header.next_offset(),
            epoch: header.epoch,
            last_time: header.last_time(),
            bytes: header.stored_len(),
        }
    }
}

/// Where a receiver stands before the sender has answered, if it can be known.
fn place(start: &Start) -> (Position, bool) {
    match start {
        Start::Resume(position) => (*position, true),
        _ => (Position { log: LogId::NONE, epoch: Epoch(0), offset: Offset::ZERO }, false),
    }
}

/// Before which nothing is wanted. A span of time is measured by the sender's clock, which may be set back: it is the
/// sender's to judge alone.
fn time_of(start: &Start) -> Timestamp {
    match start {
        Start::Time(time) => *time,
        _ => Timestamp::MIN,
    }
}

impl Drop for ReceiverCore {
    fn drop(&mut self) {
        self.events.finish();
    }
}
