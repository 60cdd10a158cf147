//! A simulated network of byte streams: latency, any fragmentation, bounded buffers, stalls, silence, cuts.
//!
//! A `Link` is one connection, with a `Pipe` each way. It knows bytes, not frames; a `Tap` on each pipe
//! listens in for the oracle and the trace.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use netchan_proto::{Instant, Side};
use std::time::Duration;

use crate::dice::Dice;
use crate::tap::Tap;

/// One connection's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// One end of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Socket {
    /// The connection.
    pub link: LinkId,
    /// Which end of it.
    pub side: Side,
}

impl Socket {
    /// The end across.
    pub fn peer(self) -> Socket {
        Socket { link: self.link, side: self.side.other() }
    }
}

/// How a byte stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// In order: everything written before was read.
    Eof,
    /// With an error.
    Reset,
}

/// What a read gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// So many bytes.
    Bytes(usize),
    /// Nothing has arrived.
    Nothing,
    /// No more will come.
    Ended(Ending),
}

/// A socket that is to be looked at, and when.
pub type Wake = (Instant, Socket);

/// How one connection behaves.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// From writing to arriving.
    pub latency: Duration,
    /// Bytes under way or unread that one direction holds.
    pub capacity: usize,
    /// Whether reads give few bytes at a time.
    pub is_choppy: bool,
}

impl Weather {
    /// Some weather.
    pub fn any(dice: &mut Dice) -> Weather {
        let capacity = if dice.percent(15) { dice.among(600..=9000) } else { dice.among(16_000..=300_000) };
        Weather {
            latency: dice.time(Duration::from_micros(10), Duration::from_millis(120)),
            capacity: usize::try_from(capacity).unwrap_or(usize::MAX),
            is_choppy: dice.percent(25),
        }
    }
}

#[derive(Debug)]
struct Pipe {
    chunks: VecDeque<(Instant, Bytes)>,
    /// Bytes that take room: under way, unread, or written to nobody.
    held: usize,
    /// When the newest bytes arrive.
    last: Instant,
    /// What is written is never seen by anyone.
    is_lost: bool,
    /// The writer is gone.
    ending: Option<(Instant, Ending)>,
    /// From then on the writer is told that nobody reads.
    unread_from: Option<Instant>,
    writer_waits: bool,
    tap: Tap,
}

impl Pipe {
    fn new(now: Instant) -> Pipe {
        Pipe {
            chunks: VecDeque::new(),
            held: 0,
            last: now,
            is_lost: false,
            ending: None,
            unread_from: None,
            writer_waits: false,
            tap: Tap::default(),
        }
    }

    /// When the next thing happens to its reader, if that is known.
    fn next_news(&self) -> Option<Instant> {
        let arrival = self.chunks.front().map(|(at, _)| *at);
        arrival.or(self.ending.map(|(at, _)| at))
    }
}

/// One connection.
#[derive(Debug)]
struct Link {
    weather: Weather,
    /// What the dialler writes, and what the listener writes.
    pipes: [Pipe; 2],
    is_open: [bool; 2],
    /// Silence on it may be the network's doing.
    is_troubled: bool,
}

/// All connections there are.
#[derive(Debug, Default)]
pub struct Network {
    links: BTreeMap<LinkId, Link>,
    made: u64,
}

fn index(side: Side) -> usize {
    match side {
        Side::Dialler => 0,
        Side::Listener => 1,
    }
}

impl Network {
    /// A new connection.
    pub fn connect(&mut self, weather: Weather, now: Instant) -> LinkId {
        self.made += 1;
        let id = LinkId(self.made);
        let pipes = [Pipe::new(now), Pipe::new(now)];
        self.links.insert(id, Link { weather, pipes, is_open: [true; 2], is_troubled: false });
        id
    }

    /// One of the connections that both sides still hold.
    pub fn any_link(&self, dice: &mut Dice) -> Option<LinkId> {
        let live: Vec<LinkId> =
            self.links.iter().filter(|(_, link)| link.is_open == [true; 2]).map(|(id, _)| *id).collect();
        (!live.is_empty()).then(|| live[dice.index(live.len())])
    }

    /// Whether a timeout on this connection is the network's fault.
    pub fn is_troubled(&self, id: LinkId) -> bool {
        self.links.get(&id).is_none_or(|link| link.is_troubled)
    }

    /// Somebody at its end, or the way, was slow: a timeout is no wonder.
    pub fn set_troubled(&mut self, id: LinkId) {
        if let Some(link) = self.links.get_mut(&id) {
            link.is_troubled = true;
        }
    }

    /// The tap on what `socket` writes.
    pub fn tap(&mut self, socket: Socket) -> Option<&mut Tap> {
        Some(&mut self.links.get_mut(&socket.link)?.pipes[index(socket.side)].tap)
    }

    /// Writes what there is room for. `wakes` gets who is to look when.
    ///
    /// # Errors
    /// The peer is gone, and this side knows.
    pub fn write(
        &mut self,
        socket: Socket,
        from: &mut impl Buf,
        now: Instant,
        dice: &mut Dice,
        wakes: &mut Vec<Wake>,
    ) -> Result<usize, Ending> {
        let link = self.links.get_mut(&socket.link).ok_or(Ending::Reset)?;
        let weather = link.weather;
        let pipe = &mut link.pipes[index(socket.side)];
        if pipe.unread_from.is_some_and(|from| from <= now) {
            return Err(Ending::Reset);
        }
        let count = from.remaining().min(weather.capacity.saturating_sub(pipe.held));
        pipe.writer_waits = count < from.remaining();
        if count == 0 {
            return Ok(0);
        }
        let mut bytes = from.copy_to_bytes(count);
        pipe.tap.listen(&bytes);
        pipe.held += count;
        if pipe.is_lost || pipe.unread_from.is_some() {
            return Ok(count);
        }
        let mut parts = if count > 1 && dice.percent(10) { 2 } else { 1 };
        while parts > 0 {
            let part = if parts == 1 { bytes.len() } else { dice.index(bytes.len()) + 1 };
            let jitter = Duration::from_nanos(dice.among(0..=weather.latency.as_nanos() as u64 / 4));
            pipe.last = pipe.last.max(now.plus(weather.latency + jitter));
            if part > 0 {
                pipe.chunks.push_back((pipe.last, bytes.split_to(part)));
                wakes.push((pipe.last, socket.peer()));
            }
            parts -= 1;
        }
        Ok(count)
    }

    /// Reads some of what has arrived.
    pub fn read(
        &mut self,
        socket: Socket,
        into: &mut BytesMut,
        now: Instant,
        dice: &mut Dice,
        wakes: &mut Vec<Wake>,
    ) -> Read {
        let Some(link) = self.links.get_mut(&socket.link) else { return Read::Ended(Ending::Reset) };
        let Weather { latency, capacity, is_choppy } = link.weather;
        let pipe = &mut link.pipes[index(socket.side.other())];
        let spare = into.capacity() - into.len();
        let mut room = if is_choppy && dice.percent(50) { spare.min(dice.index(700) + 1) } else { spare };
        let mut count = 0;
        while room > 0
            && let Some((at, chunk)) = pipe.chunks.front_mut()
            && *at <= now
        {
            let part = chunk.split_to(chunk.len().min(room));
            into.put_slice(&part);
            room -= part.len();
            count += part.len();
            if chunk.is_empty() {
                pipe.chunks.pop_front();
            }
        }
        pipe.held -= count;
        if count > 0 {
            if pipe.writer_waits && pipe.held < capacity {
                pipe.writer_waits = false;
                wakes.push((now.plus(latency), socket.peer()));
            }
            return Read::Bytes(count);
        }
        match pipe.ending {
            Some((at, ending)) if at <= now && pipe.chunks.is_empty() => Read::Ended(ending),
            _ => Read::Nothing,
        }
    }

    /// One side closes, or its process is gone.
    pub fn close(&mut self, socket: Socket, ending: Ending, now: Instant, wakes: &mut Vec<Wake>) {
        let Some(link) = self.links.get_mut(&socket.link) else { return };
        let known = now.plus(link.weather.latency);
        let out = &mut link.pipes[index(socket.side)];
        if !out.is_lost && out.ending.is_none() {
            out.last = out.last.max(known);
            out.ending = Some((out.last, ending));
            wakes.push((out.last, socket.peer()));
        }
        let back = &mut link.pipes[index(socket.side.other())];
        if !back.is_lost {
            back.unread_from.get_or_insert(known);
            if back.writer_waits {
                wakes.push((known, socket.peer()));
            }
        }
        self.leave(socket);
    }

    /// The machine at this end has no power: the peer hears nothing, and is told only when it writes after
    /// `answers_from`.
    pub fn vanish(&mut self, socket: Socket, answers_from: Instant, wakes: &mut Vec<Wake>) {
        let Some(link) = self.links.get_mut(&socket.link) else { return };
        link.is_troubled = true;
        link.pipes[index(socket.side)].is_lost = true;
        let back = &mut link.pipes[index(socket.side.other())];
        back.unread_from.get_or_insert(answers_from);
        // The peer's own kernel sends again what was not acknowledged, and learns it then.
        if back.held > 0 || back.writer_waits {
            wakes.push((answers_from, socket.peer()));
        }
        self.leave(socket);
    }

    fn leave(&mut self, socket: Socket) {
        if let Some(link) = self.links.get_mut(&socket.link) {
            link.is_open[index(socket.side)] = false;
            if link.is_open == [false; 2] {
                self.links.remove(&socket.link);
            }
        }
    }

    /// Cuts a connection: what is under way is lost from some byte on, and both sides are told.
    pub fn cut(&mut self, id: LinkId, now: Instant, dice: &mut Dice, wakes: &mut Vec<Wake>) {
        let Some(link) = self.links.get_mut(&id) else { return };
        for side in [Side::Dialler, Side::Listener] {
            let pipe = &mut link.pipes[index(side)];
            let mut keep = dice.index(pipe.chunks.iter().map(|(_, chunk)| chunk.len()).sum::<usize>() + 1);
            pipe.chunks.retain_mut(|(_, chunk)| {
                chunk.truncate(keep);
                keep -= chunk.len();
                !chunk.is_empty()
            });
            let last = pipe.chunks.back().map_or(now, |(at, _)| (*at).max(now));
            let ending = if dice.percent(50) { Ending::Eof } else { Ending::Reset };
            pipe.ending = Some((last, ending));
            pipe.unread_from.get_or_insert(now);
            wakes.push((last, Socket { link: id, side: side.other() }));
            wakes.push((now, Socket { link: id, side }));
        }
    }

    /// A connection goes silent, one way or both, and nobody is told.
    pub fn silence(&mut self, id: LinkId, dice: &mut Dice) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.is_troubled = true;
        let which = dice.index(3);
        for (at, pipe) in link.pipes.iter_mut().enumerate() {
            if which == at || which == 2 {
                pipe.is_lost = true;
                let keep = dice.index(pipe.chunks.len() + 1);
                pipe.chunks.truncate(keep);
            }
        }
    }

    /// One way, nothing arrives until then; it comes all at once.
    pub fn stall(&mut self, id: LinkId, until: Instant, dice: &mut Dice, wakes: &mut Vec<Wake>) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.is_troubled = true;
        let side = dice.pick(&[Side::Dialler, Side::Listener]);
        let pipe = &mut link.pipes[index(side)];
        pipe.last = pipe.last.max(until);
        for (at, _) in &mut pipe.chunks {
            *at = (*at).max(until);
        }
        if let Some((at, _)) = &mut pipe.ending {
            *at = (*at).max(until);
        }
        if pipe.next_news().is_some() {
            wakes.push((until, Socket { link: id, side: side.other() }));
        }
    }
}
