//! A receiver by a pattern: a program elsewhere that reads all channels that match, while they come and go.

use std::fmt;
use std::time::Duration;

use netchan_node::receiver::{ChannelPositions, MERGE_WINDOW, Next, PatternCore, PatternOptions, Received};
use netchan_node::{Dialling, Error, ErrorKind, Event as NodeEvent, Lost, Machine};
use netchan_proto::limits::MAX_DATA;
use netchan_proto::{ChannelName, Filter, Instant, Pattern, Side, Start};

use crate::env::{Actor, Env, Event, Line, Party};
use crate::host::Host;
use crate::names::{GathererPlan, NameRecord, PatternPlan};
use crate::network::{Ending, Socket};
use crate::oracle::{Checked, Oracle, violated};
use crate::parts::PartRecord;

/// Records and rounds of IO that it takes before others have their turn.
const TURNS: usize = 400;
/// How long a channel may be there before a receiver reads it that was connected to the node all the while, over a line on
/// which nothing went wrong: what is under way before it comes first, at 600 bytes each 120 ms in the worst weather.
const PICKED_UP: Duration = Duration::from_secs(120);

/// One receiver by a pattern.
pub struct Gatherer {
    number: usize,
    plan: GathererPlan,
    core: Option<PatternCore>,
    line: Line,
    dialling: Option<u64>,
    dials: u64,
    /// What it has stored of how far it is.
    kept: Option<ChannelPositions>,
    /// It takes nothing before then.
    away_until: Instant,
    /// Since when it is connected, and knows it.
    connected: Option<Instant>,
}

impl Gatherer {
    /// A receiver that has not come yet.
    pub fn new(number: usize, plan: GathererPlan, env: &mut Env, oracle: &mut Oracle) -> Gatherer {
        oracle.names.add_gatherer(plan);
        env.schedule.at(plan.joins, Event::Gather(number));
        Gatherer {
            number,
            plan,
            core: None,
            line: Line::default(),
            dialling: None,
            dials: 0,
            kept: None,
            away_until: Instant(0),
            connected: None,
        }
    }

    fn actor(&self) -> Actor {
        Actor::Remote(Party::Gatherer(self.number))
    }

    /// It comes, or comes back.
    ///
    /// # Errors
    /// A promise broken.
    pub fn join(&mut self, env: &mut Env, oracle: &mut Oracle, host: &Host) -> Checked {
        if self.core.is_some() {
            return Ok(());
        }
        host.look_at_names(oracle)?;
        let now = env.now();
        oracle.names.came(self.number, self.kept.is_some(), now);
        env.counters.resumes_by_positions += u64::from(self.kept.is_some());
        let options = PatternOptions {
            start: if self.plan.from_latest { Start::Latest } else { Start::Earliest },
            resume: self.kept.clone(),
            window: MAX_DATA as u64,
            partitions: self.plan.pattern.partitions(),
            merge: self.plan.merges.then_some(MERGE_WINDOW),
            filter: self.plan.filter().map(|filter| Filter::parse(filter).expect("a filter")),
            ..PatternOptions::new(Pattern::new(self.plan.pattern.text()).expect("a pattern"))
        };
        env.note("pattern receiver {} is there", &[self.number as u64]);
        self.core = Some(PatternCore::new(&env.remote_node()?, options));
        self.run(env, oracle, host)
    }

    // ---- faults ----

    /// Its program is killed.
    ///
    /// # Errors
    /// A promise broken.
    pub fn die(&mut self, env: &mut Env, oracle: &mut Oracle, host: &Host, back: Duration) -> Checked {
        let Some(core) = self.core.take() else { return Ok(()) };
        if self.plan.keeps > 0 && env.dice.percent(50) {
            self.keep(&core, oracle, host)?;
        }
        (self.dialling, self.connected) = (None, None);
        env.hang_up(&mut self.line, Ending::Reset);
        self.line = Line::default();
        self.away_until = Instant(0);
        env.counters.receiver_crashes += 1;
        env.note("pattern receiver {} is killed", &[self.number as u64]);
        env.schedule.after(back, Event::Gather(self.number));
        Ok(())
    }

    /// Its program is busy elsewhere.
    pub fn stall(&mut self, env: &mut Env, time: Duration) {
        if let Some(socket) = self.line.socket {
            env.network.set_troubled(socket.link);
        }
        self.away_until = env.now().plus(time);
        env.counters.receiver_stalls += 1;
        env.note("pattern receiver {} stalls for {} ns", &[self.number as u64, time.as_nanos() as u64]);
        env.schedule.at(self.away_until, Event::Run(self.actor()));
    }

    /// It stores how far it is in each channel.
    fn keep(&mut self, core: &PatternCore, oracle: &mut Oracle, host: &Host) -> Checked {
        self.see_positions(core, oracle, host)?;
        let positions = core.positions();
        oracle.names.keep(self.number, &positions);
        self.kept = Some(positions);
        Ok(())
    }

    // ---- connections ----

    /// Whether the node may call it.
    pub fn can_be_called(&self) -> bool {
        self.core.is_some()
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
        self.connected = None;
        let Some(core) = &mut self.core else { return Ok(()) };
        self.line.socket = Some(socket);
        if self.away_until > env.schedule.now() {
            env.network.set_troubled(socket.link);
        }
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

    /// What it should have received and has not.
    pub fn misses(&self, oracle: &Oracle) -> Option<String> {
        if self.core.is_none() {
            return Some(format!("{self:?} is not there"));
        }
        oracle.names.is_behind(self.number).map(|making| format!("{self:?} is not at the end of {making:?}"))
    }

    /// Whether it has begun to read what was there for so long, with nothing in its way.
    ///
    /// # Errors
    /// It has not.
    pub fn check_picked_up(&self, env: &Env, oracle: &Oracle) -> Checked {
        let (Some(socket), Some(connected)) = (self.line.socket, self.connected) else { return Ok(()) };
        let now = env.now();
        let is_free = !env.network.is_troubled(socket.link) && self.away_until <= now && !env.disk_failed;
        if is_free
            && now.since(connected) > PICKED_UP
            && let Some(making) =
                oracle.names.is_missing(self.number, Instant(now.0 - PICKED_UP.as_nanos() as u64))
        {
            violated!("{self:?} is connected since {connected:?}, and has not begun to read {making:?}");
        }
        Ok(())
    }

    /// It takes what there is.
    ///
    /// # Errors
    /// A promise broken.
    pub fn run(&mut self, env: &mut Env, oracle: &mut Oracle, host: &Host) -> Checked {
        let Some(mut core) = self.core.take() else { return Ok(()) };
        host.look_at_names(oracle)?;
        let checked = self.run_core(&mut core, env, oracle, host);
        self.core = Some(core);
        checked
    }

    fn run_core(
        &mut self,
        core: &mut PatternCore,
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
            while let Some(event) = core.poll_event() {
                self.see(&event, env, oracle)?;
            }
            match next {
                Next::Record(received) => {
                    self.take(&received, env, oracle)?;
                    if env.dice.percent(self.plan.keeps) {
                        self.keep(core, oracle, host)?;
                    }
                    if !self.plan.pause.is_zero() {
                        let pause = env.dice.time(Duration::from_micros(1), self.plan.pause);
                        self.away_until = now.plus(pause);
                        env.schedule.at(self.away_until, Event::Run(actor));
                        return Ok(());
                    }
                }
                Next::Error(error) => self.told(core, &error, env, oracle)?,
                Next::Over => violated!("pattern receiver {} is at an end: there is none", self.number),
                Next::Idle => {
                    self.see_positions(core, oracle, host)?;
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
            let party = Party::Gatherer(self.number);
            env.schedule.after(wait, Event::Dialled { party, attempt: self.dials });
        }
        Ok(())
    }

    fn see(&mut self, event: &NodeEvent, env: &mut Env, oracle: &mut Oracle) -> Checked {
        match event {
            NodeEvent::Connected { .. } => self.connected = Some(env.now()),
            NodeEvent::Lost { .. } => self.connected = None,
            NodeEvent::Joined { channel, log } => {
                env.counters.joined += 1;
                env.note("pattern receiver {}: a channel joins in", &[self.number as u64]);
                oracle.names.joined(self.number, channel, *log, env.now())?;
            }
            NodeEvent::Left { channel, is_deleted } => {
                env.note("pattern receiver {}: a channel has left", &[self.number as u64]);
                oracle.names.left(self.number, channel, *is_deleted)?;
            }
            NodeEvent::Missed { .. } => oracle.names.missed(self.number),
            NodeEvent::Unavailable { channel, why } if why.kind() != ErrorKind::Poisoned => {
                violated!("pattern receiver {} cannot read {channel}: {why}", self.number);
            }
            _ => {}
        }
        Ok(())
    }

    /// Each channel in which it has begun, and where it is there.
    fn see_positions(&self, core: &PatternCore, oracle: &mut Oracle, host: &Host) -> Checked {
        host.look_at_names(oracle)?;
        for (channel, position) in core.positions().iter() {
            oracle.names.stands(self.number, channel, *position)?;
        }
        Ok(())
    }

    fn take(
        &mut self,
        Received { channel, record }: &Received,
        env: &mut Env,
        oracle: &mut Oracle,
    ) -> Checked {
        let (number, offset) = (self.number, record.offset.0);
        if let PatternPlan::Parts(_) = self.plan.pattern {
            let known = PartRecord::identify(&record.payload, record.key().map(|key| &key[..]));
            let known = known.and_then(|known| Some((oracle.parts.making_of(known, channel)?, known)));
            let Some((making, known)) = known else {
                violated!("pattern receiver {number} got {channel} at {offset}: what nobody sent there");
            };
            env.note(
                "pattern receiver {} got {} of partition log {}",
                &[number as u64, offset, making.into()],
            );
            env.counters.gathered_of_parts += 1;
            return oracle.names.given(number, channel, (making, known.id()), offset, record.timestamp);
        }
        let Some(known) = NameRecord::identify(&record.payload).filter(|known| known.offset == offset) else {
            violated!("pattern receiver {number} got {channel} at {offset}: bytes that nobody sent");
        };
        if record.key().map(|key| &key[..]) != known.key().as_ref().map(|key| &key[..]) {
            violated!("pattern receiver {number} got {known:?} with another key: {:?}", record.key());
        }
        env.note("pattern receiver {} got {} of making {}", &[number as u64, offset, known.making.into()]);
        env.counters.gathered += 1;
        oracle.names.given(number, channel, (known.making, known.id()), offset, record.timestamp)
    }

    fn told(&mut self, core: &PatternCore, error: &Error, env: &mut Env, oracle: &mut Oracle) -> Checked {
        let text = error.to_string();
        let channel = text.split_once(": ").and_then(|(channel, _)| ChannelName::new(channel).ok());
        match (error.kind(), channel.and_then(|channel| core.position(&channel))) {
            (ErrorKind::Gap { from, to, why }, Some(position)) => {
                env.counters.gathered_gaps += 1;
                oracle.names.gap(self.number, position.log, from.0, to.0, why)
            }
            (kind, _) => violated!("pattern receiver {} is told {kind:?}: {error}", self.number),
        }
    }
}

impl fmt::Debug for Gatherer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let core = self.core.as_ref();
        f.debug_struct("Gatherer")
            .field("number", &self.number)
            .field("pattern", &self.plan.pattern.text())
            .field("positions", &core.map(PatternCore::positions))
            .field("deadline", &core.map(Machine::deadline))
            .field("socket", &self.line.socket)
            .finish_non_exhaustive()
    }
}
