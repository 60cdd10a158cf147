//! One connection: framing, handshake, streams, credit, liveness, for both roles.
//!
//! Whoever owns the byte stream drives it in place:
//!
//! 1. read bytes into [`read_buf`](Connection::read_buf) while [`wants_read`](Connection::wants_read), and say so
//!    with [`received`](Connection::received);
//! 2. take [events](Connection::poll_event) until there are none; each parses one frame, so what is not asked for
//!    stays in the read buffer and, beyond it, in the peer;
//! 3. write [`outbound`](Connection::outbound), a [`bytes::Buf`];
//! 4. at the [`deadline`](Connection::deadline) call [`handle_timeout`](Connection::handle_timeout).
//!
//! Every call is legal at any time. It knows no log, no disk and no user: [`crate::subscription`] is the receiver's
//! neighbour, the node crate the sender's.

mod admin;
mod allowance;
mod cursors;
mod event;
mod handshake;
mod input;
mod outbound;
mod publishing;
mod reading;
mod requests;
mod streams;

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};

use self::allowance::{Allowance, costs_allowance};
pub use self::event::{ConnectionError, Event, Full, Peer};
use self::handshake::Phase;
use self::input::Input;
pub use self::outbound::Outbound;
use self::streams::{Inbound, Outflow, Refused, Stream, Streams};
pub use crate::auth::Side;
use crate::auth::Token;
use crate::error_code::ErrorCode;
use crate::limits::{
    HANDSHAKE_TIMEOUT, IDLE_TIME, MAX_FRAME, MAX_HANDSHAKE_FRAME, MAX_OUTBOUND_BYTES, MIN_READ, PING_INTERVAL,
};
use crate::permissions::Permissions;
use crate::types::{ChannelName, Instant, NodeId};
use crate::wire::{
    DecodeError, Done, ErrorFrame, FRAME_HEADER_LEN, FrameHeader, FrameType, GoAway, List, ListReply,
    LogInfo, Message, NodeStatus, PREFACE, Readers, ReadersReply, Roles, StreamId, Watch, Watched,
};

/// What a connection needs to know from the start.
#[derive(Clone, Debug)]
pub struct ConnectionConfig {
    /// Who called.
    pub side: Side,
    /// Who we are.
    pub node: NodeId,
    /// What we are there for.
    pub roles: Roles,
    /// Sixteen random bytes, new for each connection.
    pub nonce: [u8; 16],
    /// The token that the peer must hold (as listener) or that we show when asked (as dialler).
    pub token: Option<Token>,
    /// More tokens that the peer may hold (as listener), and what it may do then; who holds `token` may do everything.
    pub grants: Arc<[(Token, Permissions)]>,
    /// The transport has proved who is across, so no token is asked for.
    pub trusted: bool,
    /// Silence after a PING at which the connection is given up.
    pub peer_timeout: Duration,
}

/// Which deadline comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Deadline {
    /// The handshake has to be done by then.
    Handshake,
    /// Memory that a busy time has left is given back then.
    Idle,
    /// A sign of life is asked for then.
    Ping,
    /// The peer is given up then.
    Silence,
}

/// What has gone over a connection, in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes that were read.
    pub bytes_in: u64,
    /// Bytes that were written.
    pub bytes_out: u64,
    /// Whole frames that were read.
    pub frames_in: u64,
    /// Frames that were written, or wait to be.
    pub frames_out: u64,
}

/// The state of one connection.
#[derive(Debug)]
pub struct Connection {
    config: ConnectionConfig,
    phase: Phase,
    peer: Option<Peer>,
    input: Input,
    paused: bool,
    ended: bool,
    out: Outbound,
    /// The most that may wait to be written before no more data is taken.
    most_out: usize,
    scratch: Vec<u8>,
    streams: Streams,
    started: Instant,
    last_received: Instant,
    /// Since the last time it was idle bytes came.
    busy: bool,
    pinged: Option<Instant>,
    allowance: Allowance,
    traffic: Traffic,
}

impl Connection {
    /// A connection over a byte stream that has just come up. The first bytes to write are there at once.
    pub fn new(config: ConnectionConfig, now: Instant) -> Connection {
        let mut connection = Connection {
            streams: Streams::new(config.side),
            phase: Phase::Preface { hello: None },
            peer: None,
            input: Input::default(),
            paused: false,
            ended: false,
            out: Outbound::default(),
            most_out: MAX_OUTBOUND_BYTES,
            scratch: Vec::new(),
            started: now,
            last_received: now,
            busy: true,
            pinged: None,
            allowance: Allowance::full(now),
            traffic: Traffic::default(),
            config,
        };
        connection.out.gather(&PREFACE);
        connection.start_handshake();
        connection
    }

    // ---- bytes in ----

    /// Where to read the socket's bytes to: there is room for at least a few KiB, more once the peer sends much.
    pub fn read_buf(&mut self) -> &mut BytesMut {
        self.input.room()
    }

    /// The socket had nothing to be read: who says little holds no memory for it until there is something. May be left out.
    pub fn nothing_came(&mut self) {
        self.input.nothing_came();
    }

    /// Whether bytes are welcome: not while a whole frame waits to be asked for, nor while the peer doesn't
    /// read what it made us say, nor beyond what [`limit`](Self::limit) allows.
    pub fn wants_read(&self) -> bool {
        !self.ended && !self.is_over() && !self.paused && self.input.is_welcome() && !self.is_clogged()
    }

    /// From now on holds at most about `input` bytes that were read and are not asked for, and takes no more data while
    /// `output` bytes wait to be written. Each is moved to what a connection needs to go on at all, and to what is
    /// good for it.
    pub fn limit(&mut self, input: usize, output: usize) {
        self.input.limit(input);
        self.most_out = output.clamp(MIN_READ, MAX_OUTBOUND_BYTES);
    }

    /// Whether nothing is to be read for now: what came already waits for memory, or for the disk.
    pub fn pause(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// Whether it would read on if its owner could spare more.
    pub fn wants_memory(&self) -> bool {
        self.paused || self.input.is_starved()
    }

    /// Bytes that were read and are not asked for: a part of a frame, when no event is left.
    pub fn unparsed(&self) -> usize {
        self.input.bytes().len()
    }

    /// `count` bytes were read into [`read_buf`](Self::read_buf).
    pub fn received(&mut self, count: usize, now: Instant) {
        if count > 0 {
            self.traffic.bytes_in += count as u64;
            self.last_received = now;
            self.busy = true;
            self.pinged = None;
            self.input.received(count);
        }
    }

    /// The byte stream ended. Frames that came whole are still told.
    pub fn end_of_stream(&mut self) {
        self.ended = true;
    }

    /// The next event; `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`ConnectionError`], once; after it the connection is over. Write what [`outbound`](Self::outbound) holds,
    /// then close.
    pub fn poll_event(&mut self, now: Instant) -> Result<Option<Event>, ConnectionError> {
        while !self.is_over() && !self.is_clogged() {
            let Some((header, payload)) = self.next_frame()? else {
                return if self.ended { Err(self.close(ConnectionError::Closed)) } else { Ok(None) };
            };
            let event = if self.phase == Phase::Ready {
                self.on_frame(header, payload, now)?
            } else {
                self.on_handshake(header, payload)?
            };
            if event.is_some() {
                return Ok(event);
            }
        }
        Ok(None)
    }

    // ---- bytes out ----

    /// What to write. Advance it by what was written.
    pub fn outbound(&mut self) -> &mut Outbound {
        &mut self.out
    }

    /// Whether there is something to write.
    pub fn has_outbound(&self) -> bool {
        self.out.has_remaining()
    }

    // ---- time ----

    /// When [`handle_timeout`](Self::handle_timeout) is to be called, and what for.
    pub fn deadline(&self) -> Option<(Instant, Deadline)> {
        match (self.phase, self.pinged) {
            (Phase::Over, _) => None,
            (Phase::Ready, Some(sent)) => Some((sent.plus(self.config.peer_timeout), Deadline::Silence)),
            (Phase::Ready, None) if self.busy => Some((self.last_received.plus(IDLE_TIME), Deadline::Idle)),
            (Phase::Ready, None) => Some((self.last_received.plus(PING_INTERVAL), Deadline::Ping)),
            _ => Some((self.started.plus(HANDSHAKE_TIMEOUT), Deadline::Handshake)),
        }
    }

    /// It is `now`. Read what the socket holds before calling this: it may be a sign of life.
    ///
    /// # Errors
    /// [`ConnectionError`] if the peer was silent too long.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), ConnectionError> {
        if self.busy && now >= self.last_received.plus(IDLE_TIME) {
            self.busy = false;
            self.input.relax();
            self.out.relax();
            self.scratch = Vec::new();
        }
        match self.deadline() {
            Some((at, what)) if at <= now => match what {
                Deadline::Idle => Ok(()),
                Deadline::Ping => {
                    self.pinged = Some(now);
                    self.send(StreamId::CONNECTION, &Message::Ping(now.0));
                    Ok(())
                }
                Deadline::Silence => Err(self.fail(ErrorCode::TIMEOUT, "nothing was heard after a PING")),
                Deadline::Handshake => Err(self.fail(ErrorCode::TIMEOUT, "the handshake took too long")),
            },
            _ => Ok(()),
        }
    }

    // ---- state ----

    /// Whether streams may be opened.
    pub fn is_ready(&self) -> bool {
        self.phase == Phase::Ready
    }

    /// Whether it failed or was closed. There may be something to write still.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// Who is across, after the handshake.
    pub fn peer(&self) -> Option<&Peer> {
        self.peer.as_ref()
    }

    /// Ends the connection with an error for the peer.
    pub fn close_with(&mut self, code: ErrorCode, text: &str) -> ConnectionError {
        self.fail(code, text)
    }

    /// Tells the peer that this side will stop in `drain`.
    pub fn go_away(&mut self, drain: Duration) {
        self.send(StreamId::CONNECTION, &Message::GoAway(GoAway { code: ErrorCode::GOING_AWAY, drain }));
    }

    /// What has gone over it.
    pub fn traffic(&self) -> Traffic {
        Traffic { bytes_out: self.out.gone(), ..self.traffic }
    }

    /// Bytes of log that may still go over a stream before its receiver allows more.
    pub fn credit(&self, id: StreamId) -> u64 {
        match self.streams.get(id) {
            Some(Stream::Serving { flow, .. } | Stream::Publishing { flow, .. }) => flow.credit(),
            Some(Stream::Reading { flow, .. } | Stream::Accepting { flow, .. }) => {
                flow.granted.saturating_sub(flow.received)
            }
            _ => 0,
        }
    }

    // ---- questions of either side, and their answers ----

    /// Asks about one channel.
    ///
    /// # Errors
    /// [`Full`], as for each of these.
    pub fn stat(&mut self, name: &ChannelName) -> Result<StreamId, Full> {
        self.ask(FrameType::STAT_REPLY, &Message::Stat(name.clone()))
    }

    /// Asks for names.
    ///
    /// # Errors
    /// [`Full`].
    pub fn list(&mut self, list: &List) -> Result<StreamId, Full> {
        self.ask(FrameType::LIST_REPLY, &Message::List(list.clone()))
    }

    /// Asks to seal a channel.
    ///
    /// # Errors
    /// [`Full`].
    pub fn seal(&mut self, name: &ChannelName) -> Result<StreamId, Full> {
        self.ask(FrameType::DONE, &Message::Seal(name.clone()))
    }

    /// Asks to delete a channel.
    ///
    /// # Errors
    /// [`Full`].
    pub fn delete(&mut self, name: &ChannelName) -> Result<StreamId, Full> {
        self.ask(FrameType::DONE, &Message::Delete(name.clone()))
    }

    /// Asks how the node is.
    ///
    /// # Errors
    /// [`Full`].
    pub fn status(&mut self) -> Result<StreamId, Full> {
        self.ask(FrameType::STATUS_REPLY, &Message::Status)
    }

    /// Asks who reads and publishes.
    ///
    /// # Errors
    /// [`Full`].
    pub fn readers(&mut self, readers: &Readers) -> Result<StreamId, Full> {
        self.ask(FrameType::READERS_REPLY, &Message::Readers(readers.clone()))
    }

    /// Asks for the channels that match a pattern, those there are and those that are made from then on.
    ///
    /// # Errors
    /// [`Full`].
    pub fn watch(&mut self, watch: &Watch) -> Result<StreamId, Full> {
        let id = self.streams.open(Stream::Watching { closing: false }).ok_or(Full)?;
        self.send(id, &Message::Watch(watch.clone()));
        Ok(id)
    }

    /// Tells who watches of some channels. [`end`](Self::end) answers its CLOSE.
    pub fn watched(&mut self, id: StreamId, watched: &Watched) {
        self.send_on(id, &Message::Watched(watched.clone()));
    }

    /// Answers STAT.
    pub fn stat_reply(&mut self, id: StreamId, info: &LogInfo) {
        self.answer(id, &Message::StatReply(info.clone()));
    }

    /// Answers LIST.
    pub fn list_reply(&mut self, id: StreamId, reply: &ListReply) {
        self.answer(id, &Message::ListReply(reply.clone()));
    }

    /// Answers SEAL and DELETE.
    pub fn done(&mut self, id: StreamId, done: &Done) {
        self.answer(id, &Message::Done(*done));
    }

    /// Answers STATUS.
    pub fn status_reply(&mut self, id: StreamId, status: &NodeStatus) {
        self.answer(id, &Message::StatusReply(status.clone()));
    }

    /// Answers READERS.
    pub fn readers_reply(&mut self, id: StreamId, reply: &ReadersReply) {
        self.answer(id, &Message::ReadersReply(reply.clone()));
    }

    fn ask(&mut self, reply: FrameType, request: &Message) -> Result<StreamId, Full> {
        let id = self.streams.open(Stream::Asking { reply }).ok_or(Full)?;
        self.send(id, request);
        Ok(id)
    }

    fn answer(&mut self, id: StreamId, reply: &Message) {
        self.send_on(id, reply);
        self.streams.remove(id);
    }

    // ---- frames ----

    fn on_frame(
        &mut self,
        header: FrameHeader,
        payload: Bytes,
        now: Instant,
    ) -> Result<Option<Event>, ConnectionError> {
        let id = header.stream;
        let message = match Message::decode(&header, payload) {
            Ok(message) => message,
            Err(error) if error.ends_stream_only() => return self.refuse(id, error),
            Err(error) => return Err(self.refuse_frame(&header, error)),
        };
        let is_free = match &message {
            Message::Credit(_) => self.streams.get_mut(id).is_some_and(Stream::earns_credit),
            message => !costs_allowance(message),
        };
        if !is_free && !self.allowance.take(now) {
            return Err(self.fail(ErrorCode::CALM, "too many control frames in too short a time"));
        }
        match message {
            Message::Ping(token) => self.send(id, &Message::Pong(token)),
            Message::Pong(_) | Message::Ignorable { .. } => {}
            Message::GoAway(go_away) => return Ok(Some(Event::GoAway(go_away))),
            Message::Error(error) if id == StreamId::CONNECTION => {
                return Err(self.close(ConnectionError::Theirs { code: error.code, text: error.text }));
            }
            Message::Hello(_) | Message::Welcome(_) | Message::Reject(_) | Message::Auth(_) => {
                return Err(self.fail(ErrorCode::PROTOCOL, "a handshake frame after the handshake"));
            }
            message => return self.on_stream_frame(id, message),
        }
        Ok(None)
    }

    fn on_stream_frame(&mut self, id: StreamId, message: Message) -> Result<Option<Event>, ConnectionError> {
        let opened = match &message {
            Message::Open(open) => {
                let flow = Outflow { limit: open.credit, ..Outflow::default() };
                Some(Stream::Serving { flow, opened: false, awaits: 0 })
            }
            Message::PublishOpen(_) => {
                Some(Stream::Accepting { flow: Inbound::default(), opened: false, closing: false })
            }
            Message::Stat(_)
            | Message::List(_)
            | Message::Seal(_)
            | Message::Delete(_)
            | Message::Status
            | Message::Readers(_)
            | Message::CursorTake(_)
            | Message::CursorCommit(_)
            | Message::CursorSet(_)
            | Message::CursorDelete(_)
            | Message::Cursors(_)
            | Message::Create(_)
            | Message::Change(_)
            | Message::Truncate(_)
            | Message::Describe(_) => Some(Stream::Asked),
            Message::Watch(_) => Some(Stream::Watched),
            _ => None,
        };
        if let Some(stream) = opened {
            return match self.streams.accept(id, stream) {
                Ok(()) => Ok(requests::opening_event(id, message)),
                Err(refused) => self.refuse_stream(id, refused).map(|()| None),
            };
        }
        if self.streams.is_past(id) {
            return Ok(None); // it was under way when the stream ended
        }
        let kind = message.kind();
        let Some(stream) = self.streams.get_mut(id) else {
            return Err(self.fail(ErrorCode::PROTOCOL, &format!("{kind} on stream {id}, which is not open")));
        };
        match stream.on_message(id, message) {
            Ok(Outcome { event, over }) => {
                if over {
                    self.streams.remove(id);
                }
                if matches!(event, Some(Event::PublishOpened(..)))
                    && let Some(Stream::Publishing { closing: true, .. }) = self.streams.get(id)
                {
                    self.send(id, &Message::PublishClose);
                }
                Ok(event)
            }
            Err(requests::Fault { code, text }) => {
                Err(self.fail(code, &format!("{kind} on stream {id}: {text}")))
            }
        }
    }

    /// Cuts the next whole frame off the input.
    fn next_frame(&mut self) -> Result<Option<(FrameHeader, Bytes)>, ConnectionError> {
        if let Phase::Preface { hello } = self.phase
            && !self.take_preface(hello)?
        {
            return Ok(None);
        }
        let Some(bytes) = self.input.bytes().first_chunk::<FRAME_HEADER_LEN>() else { return Ok(None) };
        let limit = if self.phase == Phase::Ready { MAX_FRAME } else { MAX_HANDSHAKE_FRAME };
        let header = match FrameHeader::decode(bytes).and_then(|header| header.within(limit)) {
            Ok(header) => header,
            Err(error) => return Err(self.fail(error.code(), &error.to_string())),
        };
        let whole = FRAME_HEADER_LEN + header.len as usize;
        if self.input.bytes().len() < whole {
            self.input.awaits(whole);
            return Ok(None);
        }
        let mut frame = self.input.take(whole);
        frame.advance(FRAME_HEADER_LEN);
        self.traffic.frames_in += 1;
        Ok(Some((header, frame.freeze())))
    }

    fn decode(&mut self, header: &FrameHeader, payload: Bytes) -> Result<Message, ConnectionError> {
        Message::decode(header, payload).map_err(|error| self.refuse_frame(header, error))
    }

    fn refuse_frame(&mut self, header: &FrameHeader, error: DecodeError) -> ConnectionError {
        self.fail(error.code(), &format!("{}: {error}", header.kind))
    }

    /// A stream that cannot be opened as asked; the connection goes on.
    fn refuse(&mut self, id: StreamId, error: DecodeError) -> Result<Option<Event>, ConnectionError> {
        match self.streams.accept(id, Stream::Asked) {
            Ok(()) => {
                let frame = ErrorFrame::new(error.code(), error.to_string());
                self.stream_error(id, ErrorFrame { at: error.at(), ..frame });
            }
            Err(refused) => self.refuse_stream(id, refused)?,
        }
        Ok(None)
    }

    fn refuse_stream(&mut self, id: StreamId, refused: Refused) -> Result<(), ConnectionError> {
        match refused {
            Refused::TooMany => {
                let text = "as many streams are open as may be";
                self.send(id, &Message::Error(ErrorFrame::new(ErrorCode::TOO_MANY_STREAMS, text)));
                Ok(())
            }
            Refused::Number => {
                let text = "a stream number that is not free, or not the peer's to give";
                Err(self.fail(ErrorCode::PROTOCOL, text))
            }
        }
    }

    /// Queues a frame. After its end a connection says nothing more: the ERROR that ended it is its last word.
    fn send(&mut self, id: StreamId, message: &Message) {
        if self.is_over() {
            return;
        }
        self.scratch.clear();
        message.encode(id, &mut self.scratch);
        self.out.gather(&self.scratch);
        self.traffic.frames_out += 1;
    }

    /// Sends on a stream that is still there; one that is over needs nothing.
    fn send_on(&mut self, id: StreamId, message: &Message) {
        if self.streams.get(id).is_some() {
            self.send(id, message);
        }
    }

    /// The peer is at fault, or given up: tells it, and is over.
    fn fail(&mut self, code: ErrorCode, text: &str) -> ConnectionError {
        self.send(StreamId::CONNECTION, &Message::Error(ErrorFrame::new(code, text)));
        self.close(ConnectionError::Ours { code, text: text.to_owned() })
    }

    fn close(&mut self, error: ConnectionError) -> ConnectionError {
        self.phase = Phase::Over;
        self.input.clear();
        self.streams.clear();
        error
    }

    /// Whether the peer makes this side say things and doesn't read them: nothing is listened to meanwhile, and nothing
    /// should be done to answer it.
    pub fn is_clogged(&self) -> bool {
        self.out.remaining() > self.most_out + (self.most_out / 4).max(MIN_READ)
    }
}

/// What a frame led to.
#[derive(Debug, Default)]
struct Outcome {
    event: Option<Event>,
    over: bool,
}
