//! The node: its disk, its process, the connections that it serves, and how it dies.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use netchan_node::{Job, Machine, Node, NodeConfig, Served};
use netchan_proto::{Durability, Instant, Side};
use netchan_store::disk::SimDisk;
use netchan_store::{Commit, Log, LogOptions, Store, StoreOptions};

use crate::appender::Appender;
use crate::audit::read_all;
use crate::clock::Bell;
use crate::env::{Actor, Env, Event, Line, Party};
use crate::mortal::MortalDisk;
use crate::network::{Ending, LinkId, Socket};
use crate::oracle::{Checked, Oracle, Violation, violated};
use crate::parted::Parted;
use crate::turnover::Turnover;
use crate::watch::Watch;
use crate::workload::DiskFailure;

/// Turns of a machine before it lets others have theirs.
const TURNS: usize = 50;
/// The longest that nobody looks whether the committer has something to do: for what is due by time.
const COMMIT_TICK: Duration = Duration::from_millis(400);

/// How the log stood when somebody looked last.
#[derive(Clone, Copy, Debug, Default)]
pub struct Marks {
    /// The first record.
    pub first: u64,
    /// The visible end.
    pub visible: u64,
    /// The durable end.
    pub durable: u64,
}

/// The node, alive or not.
#[derive(Debug)]
pub struct Host {
    disk: SimDisk,
    /// The disk as the process of this life has it.
    mortal: Option<MortalDisk>,
    process: Option<Process>,
    /// Which remote parties the node dials, rather than they it.
    calls: Vec<Party>,
    marks: Marks,
    died_by_power_cut: bool,
    failing: Option<DiskFailure>,
    starts: u64,
}

/// One life of the node.
#[derive(Debug)]
struct Process {
    store: Store,
    node: Node,
    log: Option<Log>,
    served: BTreeMap<LinkId, Connection>,
    jobs: BTreeMap<u64, Job>,
    jobs_taken: u64,
    appender: Option<Appender>,
    /// Channels that come and go.
    turnover: Option<Turnover>,
    /// A channel with partitions.
    parted: Option<Parted>,
    commits_at: Instant,
    watch: Watch,
}

#[derive(Debug)]
struct Connection {
    machine: Served,
    line: Line,
    bell: Bell,
    called: Option<Party>,
}

impl Host {
    /// A machine with an empty disk, switched off.
    pub fn new(env: &Env, calls: Vec<Party>) -> Host {
        Host {
            disk: SimDisk::new(env.plan.seed),
            mortal: None,
            process: None,
            calls,
            marks: Marks::default(),
            died_by_power_cut: false,
            failing: None,
            starts: 0,
        }
    }

    /// Whether the process runs.
    pub fn is_up(&self) -> bool {
        self.process.is_some()
    }

    /// The log, while the process runs and the channel exists.
    pub fn log(&self) -> Option<&Log> {
        self.process.as_ref()?.log.as_ref()
    }

    /// How the log stands, or stood when it was seen last.
    pub fn marks(&self) -> Marks {
        match self.log() {
            Some(log) => Marks { first: log.first().0, visible: log.visible().0, durable: log.durable().0 },
            None => self.marks,
        }
    }

    /// The appender of this life.
    pub fn appender(&mut self) -> Option<&mut Appender> {
        self.process.as_mut()?.appender.as_mut()
    }

    /// The power goes when all is over, and comes back: what does the log hold then?
    ///
    /// # Errors
    /// A promise broken.
    pub fn final_power_cut(&mut self, env: &mut Env, oracle: &mut Oracle) -> Checked {
        self.die(env, oracle, true, None, Duration::ZERO);
        env.counters.power_cuts -= 1; // everybody had arrived: not one that anybody had to live with
        self.start(env, oracle)
    }

    fn log_options(env: &Env) -> LogOptions {
        LogOptions {
            durability: env.plan.durability,
            interval: env.plan.interval,
            segment_bytes: env.plan.segment_bytes,
            retention: env.plan.retention,
            compression: env.plan.compression(),
            ..LogOptions::default()
        }
    }

    fn open_store(&mut self, env: &mut Env) -> Result<Store, Violation> {
        self.starts += 1;
        let options = StoreOptions {
            commit: Commit::Manual,
            max_queued: env.plan.max_queued,
            tail_cache: env.plan.tail_cache,
            idle_after: env.plan.idle_after,
            max_open_files: env.plan.max_open_files,
            clock: Arc::clone(&env.clock) as Arc<_>,
            seed: Some(env.plan.seed ^ (self.starts << 32)),
            ..StoreOptions::default()
        };
        let disk = MortalDisk::new(&self.disk);
        self.mortal = Some(disk.clone());
        match Store::open(Arc::new(disk), options) {
            Ok(store) => Ok(store),
            Err(error) => violated!("the store does not open: {error}"),
        }
    }

    /// The process starts. What the log holds now is checked against what was promised before.
    ///
    /// # Errors
    /// A promise broken.
    pub fn start(&mut self, env: &mut Env, oracle: &mut Oracle) -> Checked {
        if self.process.is_some() {
            return Ok(());
        }
        let store = self.open_store(env)?;
        let config = NodeConfig {
            store: Some(store.clone()),
            token: env.token.clone(),
            created: Self::log_options(env),
            clock: Arc::clone(&env.clock) as Arc<_>,
            seed: Some(env.dice.number()),
            ..NodeConfig::default()
        };
        let node = match Node::new(config) {
            Ok(node) => node,
            Err(error) => violated!("the node does not start: {error}"),
        };
        let now = env.now();
        self.process = Some(Process {
            store,
            node,
            log: None,
            served: BTreeMap::new(),
            jobs: BTreeMap::new(),
            jobs_taken: 0,
            appender: None,
            turnover: None,
            parted: None,
            commits_at: Instant(u64::MAX),
            watch: Watch::default(),
        });
        env.note("the node starts, life {}", &[self.starts]);
        if self.knows_channel(env) {
            self.open_log(env)?;
            let Some(log) = self.log() else { violated!("the log was not opened") };
            let found = read_all(log, &env.plan)?;
            let (first, end) = (log.first().0, log.visible().0);
            let sealed = log.sealed_at();
            env.note("its log holds {}..{}", &[first, end]);
            oracle.restarted(self.died_by_power_cut, first, end, &found)?;
            if let Some(at) = sealed {
                oracle.saw_seal(at.0)?;
            }
        } else if self.starts > 1 {
            oracle.restarted(self.died_by_power_cut, 0, 0, &[])?;
        }
        env.lives.push(oracle.generation());
        self.begin_appending(env, oracle);
        self.begin_turnover(env, oracle)?;
        self.begin_parted(env, oracle)?;
        self.commit_soon(env, COMMIT_TICK);
        let life = env.life();
        for party in self.calls.clone() {
            let wait = env.turn();
            env.schedule.at(now.plus(wait), Event::Call { party, life });
        }
        Ok(())
    }

    /// The channel is made, if it is not there.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create(&mut self, env: &mut Env, oracle: &mut Oracle) -> Checked {
        if self.process.is_none() {
            let again = env.dice.time(Duration::from_millis(1), Duration::from_secs(1));
            env.schedule.after(again, Event::Create);
            return Ok(());
        }
        if self.log().is_none() {
            self.open_log(env)?;
            env.note("the channel is made", &[]);
            self.begin_appending(env, oracle);
        }
        Ok(())
    }

    /// Whether there is a channel: it may be a publisher that made it.
    fn knows_channel(&self, env: &Env) -> bool {
        self.process.as_ref().is_some_and(|process| process.store.contains(&env.name))
    }

    fn open_log(&mut self, env: &Env) -> Checked {
        let Some(process) = &mut self.process else { return Ok(()) };
        match process.node.open_log(&env.name, &Self::log_options(env)) {
            Ok(log) => process.log = Some(log),
            Err(error) => violated!("the log does not open: {error}"),
        }
        Ok(())
    }

    fn begin_appending(&mut self, env: &mut Env, oracle: &mut Oracle) {
        let generation = oracle.generation();
        let Some(process) = &mut self.process else { return };
        if let (Some(log), Some(plan)) = (&process.log, env.plan.local) {
            process.appender = Some(Appender::new(&process.node, log, plan, generation, env, oracle));
            env.schedule.after(Duration::from_micros(10), Event::Burst(Actor::Appender(generation)));
        }
    }

    fn begin_turnover(&mut self, env: &mut Env, oracle: &mut Oracle) -> Checked {
        let (Some(process), Some(plan)) = (&mut self.process, &env.plan.names) else { return Ok(()) };
        process.turnover = Some(Turnover::new(&process.node, self.starts, oracle)?);
        let pause = env.dice.time(plan.pause / 16, plan.pause * 2);
        env.schedule.after(pause, Event::Turnover(self.starts));
        Ok(())
    }

    /// Something is done to the channels that come and go, in this life, and again later while things go wrong.
    ///
    /// # Errors
    /// A promise broken.
    pub fn turn_over(&mut self, env: &mut Env, oracle: &mut Oracle, life: u64, is_last: bool) -> Checked {
        let Some(turnover) = self.process.as_mut().and_then(|process| process.turnover.as_mut()) else {
            return Ok(());
        };
        if is_last {
            turnover.last_step(env, oracle)?;
        } else if life == self.starts && env.now() < Instant(0).plus(env.plan.chaos) {
            turnover.step(env, oracle)?;
            let pause = env.plan.names.as_ref().map_or(Duration::ZERO, |plan| plan.pause);
            let pause = env.dice.time(pause / 16, pause * 2);
            env.schedule.after(pause, Event::Turnover(life));
        }
        let wait = env.disk_turn();
        self.commit_soon(env, wait);
        Ok(())
    }

    /// Sees how the channels stand that come and go.
    ///
    /// # Errors
    /// A promise broken.
    pub fn look_at_names(&self, oracle: &mut Oracle) -> Checked {
        let Some(process) = &self.process else { return Ok(()) };
        process.turnover.iter().try_for_each(|turnover| turnover.look(oracle))?;
        process.parted.iter().try_for_each(|parted| parted.look(oracle))
    }

    fn begin_parted(&mut self, env: &mut Env, oracle: &mut Oracle) -> Checked {
        let (Some(process), Some(plan)) = (&mut self.process, &env.plan.parts) else { return Ok(()) };
        process.parted = Some(Parted::new(&process.node, plan.count, env.schedule.now(), oracle)?);
        let pause = env.dice.time(plan.pause / 16, plan.pause * 2);
        env.schedule.after(pause, Event::Unmake(self.starts));
        Ok(())
    }

    /// Whether something may be done to the channel with partitions, in this life; and again later, while things go wrong.
    pub fn may_unmake(&self, env: &mut Env, life: u64) -> bool {
        let may =
            self.process.is_some() && life == self.starts && env.now() < Instant(0).plus(env.plan.chaos);
        if may && let Some(pause) = env.plan.parts.as_ref().map(|plan| plan.pause) {
            let pause = env.dice.time(pause / 16, pause * 2);
            env.schedule.after(pause, Event::Unmake(life));
        }
        may
    }

    /// Partitions are deleted: nobody sends into any of them.
    ///
    /// # Errors
    /// A promise broken.
    pub fn unmake(&mut self, env: &mut Env, oracle: &mut Oracle) -> Checked {
        let parted = self.process.as_mut().and_then(|process| process.parted.as_mut());
        parted.map_or(Ok(()), |parted| parted.delete(env, oracle))
    }

    // ---- running ----

    /// A remote party's connection, or one to a remote party, is up.
    pub fn connected(&mut self, env: &mut Env, socket: Socket, called: Option<Party>) {
        let now = env.now();
        let Some(process) = &mut self.process else { return };
        let actor = Actor::Served(socket.link);
        let connection = Connection {
            machine: Served::new(&process.node, socket.side, false, now),
            line: Line { socket: Some(socket), ..Line::default() },
            bell: env.wakes.bell(actor),
            called,
        };
        debug_assert_eq!(called.is_some(), socket.side == Side::Dialler);
        process.served.insert(socket.link, connection);
        env.schedule.at(now, Event::Run(actor));
    }

    /// Runs a connection, if it is there still. `by_alarm`: only because its deadline has come.
    ///
    /// # Errors
    /// A promise broken.
    pub fn run_served(&mut self, env: &mut Env, link: LinkId, by_alarm: bool) -> Checked {
        let life = env.life();
        let Some(process) = &mut self.process else { return Ok(()) };
        let Some(connection) = process.served.get_mut(&link) else { return Ok(()) };
        let actor = Actor::Served(link);
        let Connection { machine, line, bell, called } = connection;
        let is_empty = machine.connection().is_some_and(|connection| !connection.has_outbound());
        env.is_unwoken = by_alarm && is_empty && !bell.is_rung();
        bell.hush();
        let mut was_told = false;
        for turn in 0.. {
            machine.work(env.now(), bell.waker());
            while let Some(job) = machine.take_job() {
                process.jobs_taken += 1;
                process.jobs.insert(process.jobs_taken, job);
                let wait = env.disk_turn();
                env.schedule.after(wait, Event::Job { life, job: process.jobs_taken });
            }
            if !env.pump(actor, line, machine)? && !env.tell_time(actor, machine, &mut was_told)? {
                break;
            }
            if turn == TURNS || env.dice.percent(3) {
                let wait = env.turn();
                env.schedule.after(wait, Event::Run(actor));
                break;
            }
        }
        env.is_unwoken = false;
        env.set_alarm(actor, line, machine.deadline());
        if line.socket.is_none() {
            if !machine.is_over() {
                violated!("{actor:?} has lost its byte stream and does not end");
            }
            if let Some(party) = *called {
                let wait = env.dice.time(Duration::from_millis(1), Duration::from_secs(3));
                env.schedule.after(wait, Event::Call { party, life });
            }
            process.served.remove(&link);
        }
        let wait = env.disk_turn();
        self.commit_soon(env, wait);
        Ok(())
    }

    /// Whether this is the node's end of a connection.
    pub fn holds(&self, socket: Socket) -> bool {
        let served = self.process.as_ref().and_then(|process| process.served.get(&socket.link));
        served.is_some_and(|connection| connection.line.socket == Some(socket))
    }

    /// Whether a connection's deadline has come.
    pub fn is_due(&mut self, env: &mut Env, link: LinkId) -> bool {
        let Some(process) = &mut self.process else { return false };
        let Some(connection) = process.served.get_mut(&link) else { return false };
        let deadline = connection.machine.deadline();
        env.is_due(Actor::Served(link), &mut connection.line, deadline)
    }

    /// Runs a job, if its process is there still.
    ///
    /// # Errors
    /// A promise broken.
    pub fn run_job(&mut self, env: &mut Env, oracle: &mut Oracle, job: u64) -> Checked {
        let Some(process) = &mut self.process else { return Ok(()) };
        let Some(job) = process.jobs.remove(&job) else { return Ok(()) };
        let deaths = env.plan.parts.as_ref().map_or(0, |plan| plan.deaths);
        let is_making = process.parted.as_ref().is_some_and(Parted::is_incomplete);
        if is_making && deaths > 0 && env.now() < Instant(0).plus(env.plan.chaos) && env.dice.percent(deaths)
        {
            if let Some(disk) = &self.mortal {
                disk.die_after(env.dice.among(0..=60));
            }
            job.run();
            env.counters.deaths_in_making += 1;
            let (is_power_cut, back) =
                (env.dice.percent(50), env.dice.time(COMMIT_TICK / 100, COMMIT_TICK * 20));
            self.die(env, oracle, is_power_cut, None, back);
            return Ok(());
        }
        job.run();
        if let Some(parted) = &mut process.parted {
            let had_some = parted.is_incomplete() && parted.is_begun();
            parted.find(env.schedule.now(), oracle)?;
            env.counters.completed_sets += u64::from(had_some && !parted.is_incomplete());
        }
        if self.log().is_none() && self.knows_channel(env) {
            self.create(env, oracle)?;
        }
        let wait = env.disk_turn();
        self.commit_soon(env, wait);
        Ok(())
    }

    /// Runs the appender: it appends (`may_append`) and looks at what became of its records.
    ///
    /// # Errors
    /// A promise broken.
    pub fn run_appender(&mut self, env: &mut Env, oracle: &mut Oracle, may_append: bool) -> Checked {
        let Some(process) = &mut self.process else { return Ok(()) };
        if let Some(appender) = &mut process.appender {
            appender.run(env, oracle, may_append)?;
        }
        let wait = env.disk_turn();
        self.commit_soon(env, wait);
        Ok(())
    }

    fn commit_soon(&mut self, env: &mut Env, wait: Duration) {
        let at = env.now().plus(wait);
        if let Some(process) = &mut self.process
            && at < process.commits_at
        {
            process.commits_at = at;
            env.schedule.at(at, Event::Commit(self.starts));
        }
    }

    /// The committer runs.
    ///
    /// # Errors
    /// A promise broken.
    pub fn commit(&mut self, env: &mut Env, oracle: &mut Oracle, life: u64) -> Checked {
        let now = env.now();
        let Some(process) = &mut self.process else { return Ok(()) };
        if life != self.starts || now < process.commits_at {
            return Ok(());
        }
        process.commits_at = Instant(u64::MAX);
        process.watch.look(&process.node, process.served.len())?;
        let did = self.run_commits(env);
        if let Some(end) = self.mortal.as_ref().and_then(MortalDisk::seen_early) {
            violated!("up to {end} could be seen before the sync that made it durable");
        }
        self.marks = self.marks();
        oracle.saw_first(self.marks.first);
        self.look_at_names(oracle)?;
        self.open_names_again(env, oracle)?;
        let wait = if did { env.disk_turn() } else { COMMIT_TICK };
        self.commit_soon(env, wait);
        self.open_again(env, oracle)
    }

    // ---- failing and dying ----

    /// From the next commit that has something to write on, the disk fails, until the log has noticed.
    pub fn fail_disk(&mut self, failure: DiskFailure) {
        self.failing = Some(failure);
    }

    /// The committer's work, with a disk that may fail. Says whether there was any.
    fn run_commits(&mut self, env: &Env) -> bool {
        let Some(process) = &self.process else { return false };
        match self.failing {
            Some(DiskFailure::Sync(number)) => self.disk.fail_sync(number),
            Some(DiskFailure::Write(number)) => self.disk.fail_write(number),
            None => {}
        }
        // Only here: elsewhere the log may hold its own lock while it writes.
        let watched = process.log.clone().filter(|log| log.durability() == Durability::Sync);
        self.watch(watched);
        let did = process.store.run_commits(netchan_store::Clock::now(&*env.clock));
        self.watch(None);
        self.disk.fail_sync(u64::MAX);
        self.disk.fail_write(u64::MAX);
        did
    }

    fn watch(&self, log: Option<Log>) {
        if let Some(disk) = &self.mortal {
            disk.watch(log);
        }
    }

    /// So with channels that come and go.
    fn open_names_again(&mut self, env: &mut Env, oracle: &mut Oracle) -> Checked {
        if let Some(parted) = self.process.as_mut().and_then(|process| process.parted.as_mut())
            && parted.open_again(oracle)?
        {
            self.failing = None;
            env.counters.disk_failures += 1;
            env.disk_failed = true;
            env.note("partitions are opened anew", &[]);
        }
        if let Some(turnover) = self.process.as_mut().and_then(|process| process.turnover.as_mut())
            && turnover.open_again(oracle)?
        {
            env.disk_failed = true;
            env.note("channels that come and go are opened anew", &[]);
        }
        Ok(())
    }

    /// A log that has failed takes nothing any more, and is opened anew.
    fn open_again(&mut self, env: &mut Env, oracle: &mut Oracle) -> Checked {
        let Some(process) = &mut self.process else { return Ok(()) };
        if process.log.as_ref().is_none_or(|log| log.poisoned().is_none()) {
            return Ok(());
        }
        self.failing = None;
        env.counters.disk_failures += 1;
        env.disk_failed = true;
        process.appender = None;
        env.note("the disk has failed, and the log is opened anew", &[]);
        self.open_log(env)?;
        let Some(log) = self.log() else { violated!("the log was not opened") };
        let found = read_all(log, &env.plan)?;
        let (first, end) = (log.first().0, log.visible().0);
        env.note("it holds {}..{}", &[first, end]);
        oracle.restarted(false, first, end, &found)?;
        if let Some(life) = env.lives.last_mut() {
            *life = oracle.generation();
        }
        self.begin_appending(env, oracle);
        Ok(())
    }

    /// The process is killed, or its machine loses power; either may happen in the middle of a commit.
    pub fn die(
        &mut self,
        env: &mut Env,
        oracle: &mut Oracle,
        is_power_cut: bool,
        mid_commit: Option<u64>,
        back: Duration,
    ) {
        if self.process.is_none() {
            return;
        }
        self.marks = self.marks();
        oracle.saw_first(self.marks.first);
        if let (Some(operations), Some(disk), Some(process)) = (mid_commit, &self.mortal, &self.process) {
            disk.die_after(operations);
            process.store.run_commits(netchan_store::Clock::now(&*env.clock));
            env.counters.mid_commit += 1;
        }
        let Some(process) = self.process.take() else { return };
        if let Some(disk) = self.mortal.take() {
            disk.die_after(0);
            // Nothing reaches the disk any more: this only empties queues, so that all of the process goes.
            process.store.run_commits(netchan_store::Clock::now(&*env.clock));
        }
        if is_power_cut {
            self.disk.crash();
            env.counters.power_cuts += 1;
        } else {
            env.counters.kills += 1;
        }
        self.died_by_power_cut = is_power_cut;
        let how = if is_power_cut {
            "the power is cut, back in {} ns"
        } else {
            "the node is killed, back in {} ns"
        };
        env.note(how, &[back.as_nanos() as u64]);
        let now = env.now();
        for (_, mut connection) in process.served {
            if is_power_cut {
                let answers = env.dice.time(Duration::from_millis(1), Duration::from_secs(90));
                env.vanish(&mut connection.line, now.plus(back + answers));
            } else {
                let ending = if env.dice.percent(50) { Ending::Eof } else { Ending::Reset };
                env.hang_up(&mut connection.line, ending);
            }
        }
        env.schedule.after(back, Event::Start);
    }
}
