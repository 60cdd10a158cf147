//! What every actor of a run has in common, and how any machine is driven over the simulated network.

use std::sync::Arc;
use std::time::Duration;

use netchan_node::{Lost, Machine, Node, NodeConfig};
use netchan_proto::limits::{MAX_DATA, MAX_FRAME, MAX_OUTBOUND_BYTES};
use netchan_proto::wire::{FRAME_HEADER_LEN, FrameType, Message, Start};
use netchan_proto::{ChannelName, Durability, ErrorCode, Instant, Token};

use netchan_store::Retention;

use crate::clock::{Schedule, Wakes, WallClock};
use crate::dice::Dice;
use crate::network::{Ending, LinkId, Network, Read, Socket, Wake};
use crate::oracle::{Checked, violated};
use crate::trace::{Counters, Trace};
use crate::workload::Plan;

/// Someone that is run when something happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Actor {
    /// A connection that the node serves.
    Served(LinkId),
    /// What the node appends itself, in this generation.
    Appender(usize),
    /// A remote party.
    Remote(Party),
}

/// Someone elsewhere who deals with the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    /// A receiver, by number.
    Receiver(usize),
    /// A publisher, by number.
    Publisher(usize),
    /// A receiver by pattern, by number.
    Gatherer(usize),
    /// A sender into a channel with partitions, by number: its way to one of them.
    Splitter(usize, u16),
}

/// What can happen next.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// An actor was woken, or has more to do.
    Run(Actor),
    /// An actor's deadline may have come.
    Alarm(Actor),
    /// Something happened at one end of a connection.
    Wire(Socket),
    /// The node's committer runs, in this life.
    Commit(u64),
    /// A job of the node's runs.
    Job {
        /// The node's life.
        life: usize,
        /// Its number.
        job: u64,
    },
    /// The channel is made, if it is not there.
    Create,
    /// A remote party's dial ends; it began as this attempt.
    Dialled {
        /// Who dialled.
        party: Party,
        /// Which of its dials.
        attempt: u64,
    },
    /// The node dials a remote party.
    Call {
        /// Who is called.
        party: Party,
        /// The node's life.
        life: usize,
    },
    /// A receiver comes for the first time, or comes back.
    Join(usize),
    /// The same of a receiver by pattern.
    Gather(usize),
    /// Something is done to the channels that come and go, in this life.
    Turnover(u64),
    /// Something is done to the channel with partitions, in this life.
    Unmake(u64),
    /// A producer has more to say.
    Burst(Actor),
    /// One of the plan's faults.
    Fault(usize),
    /// The node's process starts.
    Start,
    /// Somebody looks whether the run is done.
    Look,
}

/// What all actors share.
#[derive(Debug)]
pub struct Env {
    /// What the seed stands for.
    pub plan: Plan,
    /// All randomness.
    pub dice: Dice,
    /// What is due when.
    pub schedule: Schedule<Event>,
    /// Who was woken.
    pub wakes: Wakes<Actor>,
    /// The machine's wall clock.
    pub clock: Arc<WallClock>,
    /// Each life of the node's process, with the newest generation of the log in it.
    pub lives: Vec<usize>,
    /// Whether the disk has failed once.
    pub disk_failed: bool,
    /// All connections.
    pub network: Network,
    /// What happened.
    pub trace: Trace,
    /// And how often.
    pub counters: Counters,
    /// The one channel.
    pub name: ChannelName,
    /// What peers must hold, in runs with a token.
    pub token: Option<Token>,
    /// Whether the channel is complete.
    pub is_sealed: bool,
    /// Until then no dial succeeds.
    pub refuses_until: Instant,
    /// The actor that runs was woken by nobody: it may have nothing to send but what time alone asks for.
    pub is_unwoken: bool,
    wire_wakes: Vec<Wake>,
    /// The highest sequence each publisher has put on the wire, for counting what is sent again.
    sent: Vec<u64>,
}

/// An actor's end of its connection.
#[derive(Debug, Default)]
pub struct Line {
    /// The byte stream, while there is one.
    pub socket: Option<Socket>,
    /// When an alarm rings already.
    pub(crate) alarm: Option<Instant>,
}

impl Env {
    /// The surroundings of one run.
    pub fn new(plan: Plan, prints: bool) -> Env {
        let dice = Dice::new(plan.seed);
        let sent = vec![0; plan.publishers.len()];
        let token = plan.has_token.then(|| Token::new(b"a shared secret").ok()).flatten();
        Env {
            plan,
            dice,
            schedule: Schedule::default(),
            wakes: Wakes::default(),
            clock: Arc::default(),
            lives: Vec::new(),
            disk_failed: false,
            network: Network::default(),
            trace: Trace::new(prints),
            counters: Counters::default(),
            name: ChannelName::new("the/channel").unwrap_or_else(|_| unreachable!("a fixed, valid name")),
            token,
            is_sealed: false,
            refuses_until: Instant(0),
            is_unwoken: false,
            wire_wakes: Vec::new(),
            sent,
        }
    }

    /// A node elsewhere, without channels of its own: what a receiver or a publisher belongs to.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn remote_node(&mut self) -> Result<Node, crate::oracle::Violation> {
        let config = NodeConfig {
            token: self.token.clone(),
            clock: Arc::clone(&self.clock) as Arc<_>,
            seed: Some(self.dice.number()),
            ..NodeConfig::default()
        };
        match Node::new(config) {
            Ok(node) => Ok(node),
            Err(error) => violated!("a node does not start: {error}"),
        }
    }

    /// The life of the node's process that runs, or ran last.
    pub fn life(&self) -> usize {
        self.lives.len().saturating_sub(1)
    }

    /// The newest generation of the log in a life of the node's process.
    pub fn generation_of(&self, life: usize) -> usize {
        self.lives.get(life).copied().unwrap_or(0)
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.schedule.now()
    }

    /// Notes an event.
    pub fn note(&mut self, what: &'static str, numbers: &[u64]) {
        self.trace.note(self.schedule.now(), what, numbers);
    }

    /// As long as a thread or a task may take to get its turn.
    pub fn turn(&mut self) -> Duration {
        let most = if self.dice.percent(5) { Duration::from_millis(20) } else { Duration::from_micros(60) };
        self.dice.time(Duration::from_micros(1), most)
    }

    /// As long as the disk may let one wait.
    pub fn disk_turn(&mut self) -> Duration {
        let most = self.plan.disk_delay;
        self.dice.time(Duration::from_micros(20), most.max(Duration::from_micros(20)))
    }

    /// Schedules what the network said.
    pub fn flush_wakes(&mut self) {
        for (at, socket) in self.wire_wakes.drain(..) {
            self.schedule.at(at, Event::Wire(socket));
        }
    }

    /// Closes an actor's byte stream, if it has one.
    pub fn hang_up(&mut self, line: &mut Line, ending: Ending) {
        if let Some(socket) = line.socket.take() {
            self.network.close(socket, ending, self.schedule.now(), &mut self.wire_wakes);
            self.flush_wakes();
        }
    }

    /// The machine at this end has no power any more.
    pub fn vanish(&mut self, line: &mut Line, answers_from: Instant) {
        if let Some(socket) = line.socket.take() {
            self.network.vanish(socket, answers_from, &mut self.wire_wakes);
            self.flush_wakes();
        }
    }

    /// Cuts a connection.
    pub fn cut(&mut self, link: LinkId) {
        self.network.cut(link, self.schedule.now(), &mut self.dice, &mut self.wire_wakes);
        self.flush_wakes();
    }

    /// Stops a connection one way.
    pub fn stall(&mut self, link: LinkId, until: Instant) {
        self.network.stall(link, until, &mut self.dice, &mut self.wire_wakes);
        self.flush_wakes();
    }

    /// Moves bytes between a machine and its byte stream, once each way. Says whether anything happened.
    ///
    /// # Errors
    /// A promise broken.
    pub fn pump(
        &mut self,
        actor: Actor,
        line: &mut Line,
        machine: &mut dyn Machine,
    ) -> Result<bool, crate::oracle::Violation> {
        let now = self.now();
        let Some(socket) = line.socket else { return Ok(false) };
        let Some(connection) = machine.connection() else {
            self.hang_up(line, Ending::Eof);
            machine.disconnected(Lost::Eof, now);
            return Ok(true);
        };
        let mut moved = false;
        let is_unwoken = std::mem::take(&mut self.is_unwoken);
        let waiting = connection.outbound();
        let len = bytes::Buf::remaining(waiting);
        if len > MAX_OUTBOUND_BYTES + 2 * MAX_DATA {
            violated!("{actor:?} has {len} bytes to write: more than its limit");
        }
        if len > 0 {
            match self.network.write(socket, waiting, now, &mut self.dice, &mut self.wire_wakes) {
                Ok(count) => moved |= count > 0,
                Err(_) => return Ok(self.lose(line, machine, "writing failed: reset by the peer")),
            }
            self.is_unwoken = is_unwoken;
            self.overhear(actor, socket)?;
            self.is_unwoken = false;
        }
        if connection.wants_read() {
            let into = connection.read_buf();
            match self.network.read(socket, into, now, &mut self.dice, &mut self.wire_wakes) {
                Read::Bytes(count) => {
                    connection.received(count, now);
                    moved = true;
                }
                Read::Nothing => {}
                Read::Ended(Ending::Eof) => {
                    connection.end_of_stream();
                    moved = true;
                }
                Read::Ended(Ending::Reset) => {
                    return Ok(self.lose(line, machine, "reading failed: reset by the peer"));
                }
            }
            let held = connection.read_buf().len();
            if held > FRAME_HEADER_LEN + MAX_FRAME + (512 << 10) {
                violated!("{actor:?} holds {held} bytes that it read: more than its limit");
            }
        }
        if connection.is_over() && !connection.has_outbound() {
            self.hang_up(line, Ending::Eof);
            machine.disconnected(Lost::Eof, now);
            moved = true;
        }
        self.flush_wakes();
        Ok(moved)
    }

    fn lose(&mut self, line: &mut Line, machine: &mut dyn Machine, why: &str) -> bool {
        self.hang_up(line, Ending::Reset);
        machine.disconnected(Lost::Io(why.to_owned()), self.now());
        true
    }

    /// Tells a machine the time, if its deadline has come and everything that the network holds was read. Says whether
    /// it has come.
    ///
    /// # Errors
    /// It has come twice in one turn: the deadline does not move.
    pub fn tell_time(
        &mut self,
        actor: Actor,
        machine: &mut dyn Machine,
        was_told: &mut bool,
    ) -> Result<bool, crate::oracle::Violation> {
        let now = self.now();
        let is_due = machine.deadline().is_some_and(|deadline| deadline <= now);
        if is_due {
            if std::mem::replace(was_told, true) {
                violated!(
                    "{actor:?}: after handle_timeout at {now:?} the deadline is {:?}",
                    machine.deadline()
                );
            }
            machine.handle_timeout(now);
        }
        Ok(is_due)
    }

    /// Sees to it that the actor is run at its deadline.
    pub fn set_alarm(&mut self, actor: Actor, line: &mut Line, deadline: Option<Instant>) {
        if let Some(deadline) = deadline
            && line.alarm.is_none_or(|alarm| alarm > deadline)
        {
            line.alarm = Some(deadline);
            self.schedule.at(deadline, Event::Alarm(actor));
        }
    }

    /// An alarm rang: says whether the deadline has truly come; else another is set.
    pub fn is_due(&mut self, actor: Actor, line: &mut Line, deadline: Option<Instant>) -> bool {
        let now = self.now();
        if line.alarm.is_some_and(|alarm| alarm <= now) {
            line.alarm = None;
        }
        if deadline.is_some_and(|deadline| deadline <= now) {
            return true;
        }
        self.set_alarm(actor, line, deadline);
        false
    }

    /// Looks at the frames that an actor has just written.
    fn overhear(&mut self, actor: Actor, socket: Socket) -> Checked {
        let now = self.now();
        let Some(tap) = self.network.tap(socket) else { return Ok(()) };
        if tap.is_lost() {
            violated!("{actor:?} wrote something that is no frame");
        }
        for heard in tap.heard() {
            let kind = heard.header.kind;
            self.trace.say(now, || {
                let link = socket.link.0;
                match heard.message() {
                    Some(message) => format!("    {actor:?} on {link}: {message:?}"),
                    None => {
                        let (stream, len) = (heard.header.stream, heard.header.len);
                        let base = heard.base_offset();
                        format!("    {actor:?} on {link}: {kind} on {stream}, {len} bytes, batch {base:?}")
                    }
                }
            });
            // A batch without records is told when its time has come: that nothing passed a filter.
            let tells_of_nothing = kind == FrameType::DATA && heard.header.len == EMPTY_BATCH;
            if self.is_unwoken && follows_news(kind) && !tells_of_nothing {
                violated!("{actor:?} had {kind} to send, and nobody woke it");
            }
            match kind {
                FrameType::PING => self.counters.pings += 1,
                FrameType::OPEN => {
                    if let Some(Message::Open(open)) = heard.message()
                        && matches!(open.start, Start::Resume(_))
                    {
                        self.counters.resumes += 1;
                    }
                }
                FrameType::PUBLISH => {
                    if let (Some(base), Actor::Remote(Party::Publisher(number))) =
                        (heard.base_offset(), actor)
                    {
                        let sent = &mut self.sent[number];
                        self.counters.resends += u64::from(base < *sent);
                        *sent = base.max(*sent) + 1;
                    }
                }
                FrameType::ERROR => {
                    if let Some(Message::Error(error)) = heard.message() {
                        self.judge(actor, socket, error.code, &error.text)?;
                    }
                }
                FrameType::REJECT => violated!("{actor:?} rejects an honest peer: {:?}", heard.message()),
                _ => {}
            }
        }
        Ok(())
    }

    fn trims(&self) -> bool {
        self.plan.retention != Retention::default()
            || self.plan.names.as_ref().is_some_and(|names| names.trims > 0)
    }

    fn has_cursors(&self) -> bool {
        self.plan.receivers.iter().any(|receiver| receiver.by_cursor)
    }

    /// Between honest peers few errors are in order.
    fn judge(&mut self, actor: Actor, socket: Socket, code: ErrorCode, text: &str) -> Checked {
        match code {
            ErrorCode::NONE | ErrorCode::GOING_AWAY => Ok(()),
            ErrorCode::TIMEOUT if self.network.is_troubled(socket.link) => {
                self.counters.timeouts += 1;
                Ok(())
            }
            // A batch was trimmed away while a slow receiver had half of it: it opens again and is told the gap.
            ErrorCode::INTERNAL if self.trims() => {
                self.counters.trimmed_mid_batch += 1;
                Ok(())
            }
            // What was acknowledged already may be sent again, for its second acknowledgement, when all is over.
            ErrorCode::SEALED if self.is_sealed => Ok(()),
            // The log is opened anew; who asks again is served.
            ErrorCode::POISONED if self.disk_failed => Ok(()),
            // A commit of what was received, and was gone after a power cut, or with the log that failed.
            ErrorCode::OFFSET_BEYOND_END
                if self.has_cursors() && (self.plan.durability != Durability::Sync || self.disk_failed) =>
            {
                Ok(())
            }
            // To a receiver that is not there any more: one that is would not have it.
            ErrorCode::CURSOR_TAKEN if self.has_cursors() => Ok(()),
            // To who receives by a pattern: a channel that came is gone, or is another.
            ErrorCode::DELETED | ErrorCode::NO_CHANNEL | ErrorCode::OTHER_LOG
                if self.plan.names.is_some() || self.plan.parts.is_some() =>
            {
                Ok(())
            }
            // To a publisher that is not there any more, or has another connection already.
            ErrorCode::SUPERSEDED => Ok(()),
            code => violated!("{actor:?} tells its peer {code}: {text}"),
        }
    }
}

/// Bytes of a DATA frame with a batch without records.
const EMPTY_BATCH: u32 = 8 + netchan_proto::batch::HEADER_LEN as u32;

/// Whether a frame is sent because something happened, of which its sender has to be woken.
fn follows_news(kind: FrameType) -> bool {
    matches!(
        kind,
        FrameType::DATA
            | FrameType::PUBLISH
            | FrameType::GAP
            | FrameType::TRUNCATED
            | FrameType::END
            | FrameType::OPENED
            | FrameType::SEEKED
            | FrameType::WATCHED
    )
}
