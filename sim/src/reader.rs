//! A receiver: a program elsewhere that reads the channel, is cut off, stalls, dies and comes back.

use std::fmt;
use std::time::Duration;

use netchan_node::receiver::{Next, ReceiverCore, ReceiverOptions};
use netchan_node::{Dialling, Error, ErrorKind, Event as NodeEvent, Lost, Machine};
use netchan_proto::{CursorName, Filter, Instant, Position, Record, Side, Start, Timestamp};
use netchan_store::Clock;

use crate::env::{Actor, Env, Event, Line, Party};
use crate::host::{Host, Marks};
use crate::network::{Ending, Socket};
use crate::oracle::{Checked, Given, Oracle, violated};
use crate::workload::{Plan, ReceiverPlan, StartPlan};

/// Records and rounds of IO that a receiver takes before others have their turn.
const TURNS: usize = 400;

/// How things stood when a receiver came, to judge where it was let begin.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    marks: Marks,
    generation: usize,
    /// The lowest and highest the wall clock has been since.
    wall: (Timestamp, Timestamp),
}

/// One receiver.
pub struct Reader {
    number: usize,
    plan: ReceiverPlan,
    core: Option<ReceiverCore>,
    line: Line,
    start: Start,
    arrival: Arrival,
    /// The dial under way.
    dialling: Option<u64>,
    dials: u64,
    /// The life of the node that the newest connection leads to.
    calls: usize,
    /// The generation that what it is given comes from: of the stream that was opened last.
    generation: usize,
    /// What it has stored of how far it is.
    kept: Option<Position>,
    /// It takes nothing before then.
    away_until: Instant,
    is_over: bool,
    /// It waits for its cursor to be moved.
    is_committing: bool,
}

impl Reader {
    /// A receiver that has not come yet.
    pub fn new(number: usize, plan: ReceiverPlan, env: &mut Env) -> Reader {
        env.schedule.at(plan.joins, Event::Join(number));
        Reader {
            number,
            plan,
            core: None,
            line: Line::default(),
            start: Start::Earliest,
            arrival: Arrival {
                marks: Marks::default(),
                generation: 0,
                wall: (Timestamp::MIN, Timestamp::MIN),
            },
            dialling: None,
            dials: 0,
            calls: 0,
            generation: 0,
            kept: None,
            away_until: Instant(0),
            is_over: false,
            is_committing: false,
        }
    }

    /// Whether it was told of the channel's end.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Whether its program runs.
    pub fn is_up(&self) -> bool {
        self.core.is_some()
    }

    fn actor(&self) -> Actor {
        Actor::Remote(Party::Receiver(self.number))
    }

    /// It comes, or comes back.
    ///
    /// # Errors
    /// A promise broken.
    pub fn join(&mut self, env: &mut Env, oracle: &mut Oracle, host: &Host) -> Checked {
        if self.core.is_some() || self.is_over {
            return Ok(());
        }
        let wall = env.clock.now();
        self.arrival = Arrival { marks: host.marks(), generation: oracle.generation(), wall: (wall, wall) };
        match self.plan.by_cursor {
            true => oracle.came_back_by_cursor(self.number),
            false => oracle.came_back(self.number),
        }
        self.is_committing = false;
        self.start = match self.kept {
            Some(position) => Start::Resume(position),
            None => self.first_start(env, oracle),
        };
        let options = ReceiverOptions {
            start: self.start,
            window: self.plan.window,
            cursor: self.plan.by_cursor.then(|| self.cursor()),
            filter: self.plan.wanted.map(|wanted| Filter::parse(&wanted.filter()).expect("a filter")),
            ..ReceiverOptions::new(env.name.clone())
        };
        oracle.wants(self.number, self.since(), self.plan.wanted);
        let (number, start) = (self.number, self.start);
        env.trace.say(env.schedule.now(), || format!("receiver {number} comes, from {start:?}"));
        env.note("receiver {} is there", &[self.number as u64]);
        self.core = Some(ReceiverCore::new(&env.remote_node()?, options));
        self.run(env, oracle, host)
    }

    fn cursor(&self) -> CursorName {
        CursorName::new(&format!("receiver-{}", self.number)).expect("a name")
    }

    /// The time that it asked for.
    fn since(&self) -> Timestamp {
        match self.start {
            Start::Time(time) => time,
            _ => Timestamp::MIN,
        }
    }

    fn first_start(&mut self, env: &mut Env, oracle: &Oracle) -> Start {
        // Only what is durable is there for certain when the node is asked.
        let Marks { first, durable, .. } = self.arrival.marks;
        let some = |env: &mut Env| env.dice.among(first..=durable.max(first));
        match self.plan.start {
            StartPlan::Earliest => Start::Earliest,
            StartPlan::Latest => Start::Latest,
            StartPlan::Offset => Start::Offset(netchan_proto::Offset(some(env))),
            StartPlan::Time => {
                let time = oracle.time_of(some(env)).unwrap_or_else(|| env.clock.now());
                Start::Time(time.plus_nanos(env.dice.pick(&[-1, 0, 0, 1])))
            }
            StartPlan::Ago(time) => Start::Ago(time),
            StartPlan::Last(count) => Start::Last(count),
        }
    }

    /// It goes on elsewhere.
    fn seek(&mut self, core: &mut ReceiverCore, env: &mut Env, oracle: &mut Oracle, host: &Host) {
        let wall = env.clock.now();
        self.arrival = Arrival { marks: host.marks(), generation: oracle.generation(), wall: (wall, wall) };
        self.plan.start = match env.dice.among(0..=5) {
            0 => StartPlan::Earliest,
            1 => StartPlan::Latest,
            2 => StartPlan::Time,
            3 => StartPlan::Last(env.dice.among(0..=50)),
            _ => StartPlan::Offset,
        };
        self.start = self.first_start(env, oracle);
        let (number, start) = (self.number, self.start);
        env.trace.say(env.schedule.now(), || format!("receiver {number} seeks {start:?}"));
        env.counters.seeks += 1;
        oracle.sought(number);
        oracle.wants(number, self.since(), self.plan.wanted);
        core.seek(start);
    }

    // ---- faults ----

    /// Its program is killed.
    ///
    /// # Errors
    /// A promise broken.
    pub fn die(&mut self, env: &mut Env, oracle: &mut Oracle, back: Duration) -> Checked {
        let Some(core) = self.core.take() else { return Ok(()) };
        if !self.plan.by_cursor && env.dice.percent(50) {
            self.keep(&core, oracle)?;
        }
        self.dialling = None;
        env.hang_up(&mut self.line, Ending::Reset);
        self.line = Line::default();
        self.away_until = Instant(0);
        env.counters.receiver_crashes += 1;
        env.note("receiver {} is killed", &[self.number as u64]);
        env.schedule.after(back, Event::Join(self.number));
        Ok(())
    }

    /// Its program is busy elsewhere.
    pub fn stall(&mut self, env: &mut Env, time: Duration) {
        if let Some(socket) = self.line.socket {
            env.network.set_troubled(socket.link);
        }
        self.away_until = env.now().plus(time);
        env.counters.receiver_stalls += 1;
        env.note("receiver {} stalls for {} ns", &[self.number as u64, time.as_nanos() as u64]);
        env.schedule.at(self.away_until, Event::Run(self.actor()));
    }

    /// The wall clock is, or was, this.
    pub fn see_clock(&mut self, wall: Timestamp) {
        let (low, high) = self.arrival.wall;
        self.arrival.wall = (low.min(wall), high.max(wall));
    }

    /// It stores how far it is.
    fn keep(&mut self, core: &ReceiverCore, oracle: &mut Oracle) -> Checked {
        let (number, next) = (self.number, oracle.next(self.number));
        let Some(position) = core.position() else { return Ok(()) };
        if next.is_some() && !oracle.stands(number, position.offset.0) {
            violated!("receiver {number} has the position {position:?} where {next:?} comes next");
        }
        if next.is_some() {
            self.kept = Some(position);
            oracle.keep(number);
        }
        Ok(())
    }

    /// It says how far it is to who keeps its cursor.
    fn commit(&mut self, core: &mut ReceiverCore, env: &mut Env, oracle: &mut Oracle) -> Checked {
        let (number, next) = (self.number, oracle.next(self.number));
        let Some(position) = core.position().filter(|_| next.is_some() && !self.is_committing) else {
            return Ok(());
        };
        if !oracle.stands(number, position.offset.0) {
            violated!("receiver {number} has the position {position:?} where {next:?} comes next");
        }
        env.note("receiver {} commits {}", &[number as u64, position.offset.0]);
        oracle.ask_to_commit(number);
        self.is_committing = true;
        core.commit(position.into());
        Ok(())
    }

    /// It looks whether its cursor has moved.
    fn see_outcome(&mut self, core: &mut ReceiverCore, env: &mut Env, oracle: &mut Oracle) -> Checked {
        if !self.is_committing {
            return Ok(());
        }
        let Some(outcome) = core.take_outcome() else { return Ok(()) };
        self.is_committing = false;
        env.counters.commits += u64::from(outcome.is_ok());
        oracle.committed(self.number, outcome.is_ok());
        let weak = env.plan.durability != netchan_proto::Durability::Sync;
        match outcome {
            // What was received may be gone since; and a log that failed says so until it is opened anew.
            Err(error) if error.kind() == ErrorKind::BeyondEnd && (weak || env.disk_failed) => Ok(()),
            Err(error) if error.kind() == ErrorKind::Poisoned => Ok(()),
            Err(error) => violated!("receiver {} cannot commit: {error}", self.number),
            Ok(()) => Ok(()),
        }
    }

    // ---- connections ----

    /// Whether the node may call it.
    pub fn can_be_called(&self) -> bool {
        self.core.is_some() && !self.is_over
    }

    /// A dial has ended. Says whether it was still wanted.
    pub fn take_dial(&mut self, attempt: u64) -> bool {
        let wanted = self.dialling == Some(attempt);
        if wanted {
            self.dialling = None;
        }
        wanted && self.core.is_some()
    }

    /// Nobody answered.
    pub fn refused(&mut self, env: &mut Env, oracle: &mut Oracle, host: &Host) -> Checked {
        let now = env.now();
        if let Some(core) = &mut self.core {
            core.disconnected(Lost::Io("connection refused".to_owned()), now);
        }
        self.run(env, oracle, host)
    }

    /// There is a byte stream. One that was there before is dropped.
    pub fn connected(&mut self, env: &mut Env, oracle: &mut Oracle, host: &Host, socket: Socket) -> Checked {
        env.hang_up(&mut self.line, Ending::Eof);
        let Some(core) = &mut self.core else { return Ok(()) };
        self.line.socket = Some(socket);
        if self.away_until > env.schedule.now() {
            env.network.set_troubled(socket.link);
        }
        self.calls = env.life();
        core.connected(socket.side, false, env.schedule.now());
        if socket.side == Side::Listener {
            self.dialling = None;
        }
        self.run(env, oracle, host)
    }

    // ---- running ----

    /// Its end of its connection.
    pub fn socket(&self) -> Option<Socket> {
        self.line.socket
    }

    /// Whether its deadline has come.
    pub fn is_due(&mut self, env: &mut Env) -> bool {
        let actor = self.actor();
        let Some(core) = &self.core else { return false };
        env.is_due(actor, &mut self.line, core.deadline())
    }

    /// It takes what there is.
    ///
    /// # Errors
    /// A promise broken.
    pub fn run(&mut self, env: &mut Env, oracle: &mut Oracle, host: &Host) -> Checked {
        let Some(mut core) = self.core.take() else { return Ok(()) };
        let checked = self.run_core(&mut core, env, oracle, host);
        if !self.is_over {
            self.core = Some(core);
        }
        checked
    }

    fn run_core(
        &mut self,
        core: &mut ReceiverCore,
        env: &mut Env,
        oracle: &mut Oracle,
        host: &Host,
    ) -> Checked {
        let (actor, now) = (self.actor(), env.now());
        if self.away_until > now {
            return Ok(());
        }
        let mut was_told = false;
        for turn in 0.. {
            let next = core.next(now);
            self.see_outcome(core, env, oracle)?;
            while let Some(event) = core.poll_event() {
                if matches!(event, NodeEvent::Opened { .. } | NodeEvent::Resumed { .. }) {
                    self.generation = env.generation_of(self.calls);
                    oracle.reads_from(self.number, self.generation);
                }
            }
            match next {
                Next::Record(record) => {
                    self.placed(record.offset.0, env, oracle, host)?;
                    self.take(&record, env, oracle, host)?;
                    if env.dice.percent(3) {
                        match self.plan.by_cursor {
                            true => self.commit(core, env, oracle)?,
                            false => self.keep(core, oracle)?,
                        }
                    }
                    if self.plan.seeks > 0 && env.dice.among(0..=999) < self.plan.seeks && !env.is_sealed {
                        self.seek(core, env, oracle, host);
                    }
                    if !self.plan.pause.is_zero() {
                        let pause = env.dice.time(Duration::from_micros(1), self.plan.pause);
                        self.away_until = now.plus(pause);
                        env.schedule.at(self.away_until, Event::Run(actor));
                        return Ok(());
                    }
                }
                Next::Error(error) => self.told(&error, env, oracle, host)?,
                Next::Over => {
                    env.note("receiver {} is at the end", &[self.number as u64]);
                    if let Some(end) = host.log().and_then(netchan_store::Log::sealed_at) {
                        oracle.saw_seal(end.0)?;
                    }
                    if let Some(position) = core.position() {
                        self.placed(position.offset.0, env, oracle, host)?;
                    }
                    oracle.sealed(self.number)?;
                    env.counters.seals += 1;
                    self.is_over = true;
                    env.hang_up(&mut self.line, Ending::Eof);
                    return Ok(());
                }
                Next::Idle => {
                    if let Some(position) = core.position() {
                        self.placed(position.offset.0, env, oracle, host)?;
                        self.moved(position.offset.0, env, oracle)?;
                    }
                    if !env.pump(actor, &mut self.line, core)?
                        && !env.tell_time(actor, core, &mut was_told)?
                    {
                        break;
                    }
                }
            }
            if turn == TURNS || env.dice.percent(1) {
                let wait = env.turn();
                env.schedule.after(wait, Event::Run(actor));
                break;
            }
        }
        env.set_alarm(actor, &mut self.line, core.deadline());
        if core.wants_dial(now) && self.dialling.is_none() && !self.plan.is_dialled {
            self.dials += 1;
            self.dialling = Some(self.dials);
            let wait = env.dice.time(Duration::from_micros(50), Duration::from_millis(200));
            let party = Party::Receiver(self.number);
            env.schedule.after(wait, Event::Dialled { party, attempt: self.dials });
        }
        Ok(())
    }

    fn take(&mut self, record: &Record, env: &mut Env, oracle: &mut Oracle, host: &Host) -> Checked {
        let (number, offset, time) = (self.number, record.offset.0, record.timestamp);
        let Some(id) = env.plan.identify(&record.payload) else {
            violated!("receiver {number} got bytes at offset {offset} that nobody sent");
        };
        if record.key().map(|key| &key[..]) != Plan::key(id).as_ref().map(|key| &key[..]) {
            violated!("receiver {number} got {id:?} with another key: {:?}", record.key());
        }
        env.note(
            "receiver {} got {}: record {} of producer {}",
            &[number as u64, offset, id.sequence, u64::from(id.producer)],
        );
        env.counters.received += 1;
        if let Some(log) = host.log()
            && self.generation == oracle.generation()
            && (offset >= log.visible().0
                || (log.durability() == netchan_proto::Durability::Sync && offset >= log.durable().0))
        {
            violated!("receiver {number} got offset {offset}, and the visible end is {}", log.visible());
        }
        oracle.given(number, Given { id, offset, time, generation: self.generation })
    }

    /// It stands at `offset`: what is between was not what it wants.
    fn moved(&mut self, offset: u64, env: &mut Env, oracle: &mut Oracle) -> Checked {
        let (number, before) = (self.number, oracle.next(self.number));
        if self.plan.wanted.is_none() || before.is_none_or(|before| offset <= before) {
            return Ok(());
        }
        if !oracle.stands(number, offset) {
            violated!("receiver {number}, at {before:?}, was led past what it wants, to {offset}");
        }
        env.counters.passed_over += 1;
        Ok(())
    }

    fn told(&mut self, error: &Error, env: &mut Env, oracle: &mut Oracle, host: &Host) -> Checked {
        let number = self.number;
        match error.kind() {
            ErrorKind::Gap { from, to, why } => {
                env.note("receiver {} is told of the gap {}..{}", &[number as u64, from.0, to.0]);
                env.counters.gaps += 1;
                self.placed(from.0, env, oracle, host)?;
                oracle.saw_first(host.marks().first);
                oracle.gap(number, from.0, to.0, why)
            }
            ErrorKind::Truncated { end, .. } => {
                env.note("receiver {} is told of the roll-back to {}", &[number as u64, end.0]);
                env.counters.truncations += 1;
                if self.plan.by_cursor && oracle.next(number).is_none() {
                    oracle.goes_on_void(number, end.0);
                }
                oracle.truncated(number, end.0)
            }
            kind => violated!("receiver {number} is told {kind:?}: {error}"),
        }
    }

    /// It knows where it begins: is that where it asked to?
    fn placed(&mut self, offset: u64, env: &mut Env, oracle: &mut Oracle, host: &Host) -> Checked {
        if oracle.next(self.number).is_some() {
            return Ok(());
        }
        let number = self.number;
        oracle.saw_first(host.marks().first);
        if self.plan.by_cursor {
            let told_by = env.generation_of(self.calls);
            let Some(moved) = oracle.goes_on(number, offset, told_by) else {
                violated!("receiver {number} goes on at {offset}, where its cursor was never committed");
            };
            env.counters.resumes_by_cursor += u64::from(moved);
            env.note("receiver {} goes on at {}, by its cursor", &[number as u64, offset]);
            return Ok(());
        }
        // What did not pass may be behind it already: then only some starts tell where it began.
        let began = match (self.plan.wanted, self.start) {
            (None, _) => offset,
            (Some(_), Start::Offset(asked)) => asked.0,
            (Some(_), Start::Earliest) if oracle.first() == 0 => 0,
            (Some(_), _) => {
                oracle.positioned(number, offset, self.generation);
                return Ok(());
            }
        };
        env.note("receiver {} begins at {}", &[number as u64, began]);
        oracle.positioned(number, began, self.generation);
        let offset = began;
        self.see_clock(env.clock.now());
        let Arrival { marks: then, generation, wall } = self.arrival;
        let now = host.marks();
        // What a power cut rolled back meanwhile may have moved the end back too.
        // So may a stream of the log that has failed, which still tells what that one had.
        let is_steady = generation == oracle.generation() && !env.disk_failed;
        let low = if is_steady { then.visible } else { 0 };
        let high = now.visible.max(then.visible).max(oracle.known_end());
        // What was trimmed cannot be begun with.
        let is_first = offset <= oracle.first();
        let before = offset.checked_sub(1).filter(|_| !is_first).and_then(|before| oracle.time_of(before));
        let holds = match self.start {
            Start::Earliest => offset <= oracle.first() && (!is_steady || offset >= then.first),
            Start::Latest => (low..=high).contains(&offset),
            Start::Offset(asked) => offset == asked.0,
            Start::Last(count) => {
                (low.saturating_sub(count)..=high.saturating_sub(count).max(oracle.first())).contains(&offset)
            }
            Start::Time(time) => {
                before.is_none_or(|before| before < time)
                    && (oracle.time_of(offset).is_none_or(|found| found >= time)
                        // There was none, and then somebody set the clock back.
                        || (env.counters.clock_jumps > 0 && offset >= low))
            }
            Start::Ago(ago) => {
                let ago = i64::try_from(ago.as_nanos()).unwrap_or(i64::MAX);
                before.is_none_or(|before| before < wall.1.plus_nanos(-ago))
                    && oracle.time_of(offset).is_none_or(|found| found >= wall.0.plus_nanos(-ago))
            }
            _ => true,
        };
        if !holds {
            violated!(
                "receiver {number} asked for {:?} and begins at {offset}; when it came the log was {then:?}, now \
                 it is {now:?}; the record before is of {before:?}, the clock was in {wall:?}",
                self.start
            );
        }
        Ok(())
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let core = self.core.as_ref();
        f.debug_struct("Reader")
            .field("number", &self.number)
            .field("position", &core.map(ReceiverCore::position))
            .field("tail", &core.map(ReceiverCore::tail))
            .field("deadline", &core.map(Machine::deadline))
            .field("socket", &self.line.socket)
            .finish_non_exhaustive()
    }
}
