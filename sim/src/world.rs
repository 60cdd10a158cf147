//! One run: who takes part, what happens next, and when it is over.
//!
//! First things go wrong, as the plan says. Then they stop going wrong, and everybody has to arrive: producers have
//! every acknowledgement, the channel is sealed, and receivers are told of its end, within a bound of simulated time.

use std::time::Duration;

use netchan_proto::{Instant, Side};
use netchan_store::Clock;

use crate::audit::read_all;
use crate::env::{Actor, Env, Event, Party};
use crate::gatherer::Gatherer;
use crate::host::Host;
use crate::network::{Socket, Weather};
use crate::oracle::{Checked, Oracle, Violation, violated};
use crate::reader::Reader;
use crate::splitter::Splitter;
use crate::trace::Counters;
use crate::workload::{Fault, Plan};
use crate::writer::Writer;

/// How long everybody may take to arrive after things stopped going wrong. The longest single wait is that of a node
/// for a peer it called that has silently gone: the served timeout and a ping, 615 s.
const BOUND: Duration = Duration::from_secs(2_000);
/// How often somebody looks whether all is done.
const LOOK: Duration = Duration::from_secs(1);
/// Of a hundred times that channels come or go, how often a receiver by pattern dies, and how often one is cut off.
const HARD: u64 = 4;
/// Events after which a run goes in circles.
const MOST_EVENTS: u64 = 3_000_000;

/// How a run went.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The promise that was broken, if one was.
    pub violation: Option<String>,
    /// What truly happened.
    pub counters: Counters,
    /// A hash of all that happened, in order.
    pub hash: u64,
    /// How long it was, in simulated time.
    pub simulated: Duration,
}

/// What is left to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Things go wrong.
    Chaos,
    /// Nothing more is sent; acknowledgements come.
    Settling,
    /// A publisher seals the channel.
    Sealing,
    /// The channel is sealed; receivers come to its end.
    Ending,
    Done,
}

#[derive(Debug)]
struct World {
    env: Env,
    oracle: Oracle,
    host: Host,
    readers: Vec<Reader>,
    writers: Vec<Writer>,
    gatherers: Vec<Gatherer>,
    splitters: Vec<Splitter>,
    /// The last was done to the channels that come and go.
    is_turned_over: bool,
    phase: Phase,
    woken: Vec<Actor>,
}

/// Runs one seed.
pub fn run(seed: u64, prints: bool) -> Outcome {
    let mut world = World::new(Plan::new(seed), prints);
    let checked = world.run();
    let World { env, oracle, .. } = &mut world;
    env.counters.lost_by_power_cut = oracle.lost();
    Outcome {
        violation: checked.err().map(|Violation(text)| text),
        counters: env.counters,
        hash: env.trace.hash(),
        simulated: Duration::from_nanos(env.now().0),
    }
}

impl World {
    fn new(plan: Plan, prints: bool) -> World {
        let mut env = Env::new(plan, prints);
        env.trace.say(Instant(0), || format!("{:#?}", env.plan));
        let mut oracle = Oracle::new(env.plan.durability);
        let (receivers, publishers) = (env.plan.receivers.clone(), env.plan.publishers.clone());
        let called_receivers = receivers.iter().enumerate().filter(|(_, plan)| plan.is_dialled);
        let called_publishers = publishers.iter().enumerate().filter(|(_, plan)| plan.is_dialled);
        let of_names = env.plan.names.iter().flat_map(|names| names.gatherers.iter());
        let of_parts = env.plan.parts.iter().flat_map(|parts| parts.gatherers.iter());
        let gathering: Vec<_> = of_names.chain(of_parts).copied().collect();
        let called_gatherers = gathering.iter().enumerate().filter(|(_, plan)| plan.is_dialled);
        let calls = called_receivers
            .map(|(number, _)| Party::Receiver(number))
            .chain(called_publishers.map(|(number, _)| Party::Publisher(number)))
            .chain(called_gatherers.map(|(number, _)| Party::Gatherer(number)))
            .collect();
        let host = Host::new(&env, calls);
        let writers = publishers
            .into_iter()
            .enumerate()
            .map(|(number, plan)| Writer::new(number, plan, &mut env, &mut oracle))
            .collect();
        let readers = receivers
            .into_iter()
            .enumerate()
            .map(|(number, plan)| {
                oracle.add_receiver();
                Reader::new(number, plan, &mut env)
            })
            .collect();
        let gatherers = gathering
            .into_iter()
            .enumerate()
            .map(|(number, plan)| Gatherer::new(number, plan, &mut env, &mut oracle))
            .collect();
        let parts = env.plan.parts.clone();
        let splitting =
            parts.iter().flat_map(|parts| parts.splitters.iter().map(|plan| (*plan, parts.count.get())));
        let splitters = splitting
            .enumerate()
            .map(|(slot, (plan, count))| Splitter::new(slot, plan, count, &mut env))
            .collect();
        let begins = if env.dice.percent(70) { Duration::ZERO } else { env.plan.chaos / 20 };
        env.schedule.after(begins, Event::Start);
        let made = if env.dice.percent(60) { begins } else { begins + env.plan.chaos / 10 };
        env.schedule.after(made, Event::Create);
        for (index, (at, _)) in env.plan.faults.iter().enumerate() {
            env.schedule.at(*at, Event::Fault(index));
        }
        let chaos = env.plan.chaos;
        env.schedule.after(chaos, Event::Look);
        World {
            env,
            oracle,
            host,
            readers,
            writers,
            gatherers,
            splitters,
            is_turned_over: false,
            phase: Phase::Chaos,
            woken: Vec::new(),
        }
    }

    fn run(&mut self) -> Checked {
        while self.phase != Phase::Done {
            let Some(event) = self.env.schedule.next_event() else {
                violated!("nothing will ever happen again")
            };
            self.env.counters.events += 1;
            if self.env.counters.events > MOST_EVENTS {
                violated!("the run goes in circles: {MOST_EVENTS} events");
            }
            self.env.clock.follow(self.env.schedule.now());
            self.handle(event)?;
            self.take_wakes();
        }
        Ok(())
    }

    /// Who was woken gets its turn a little later, as threads and tasks do.
    fn take_wakes(&mut self) {
        self.env.wakes.take(&mut self.woken);
        for actor in self.woken.drain(..) {
            let wait = self.env.turn();
            self.env.schedule.after(wait, Event::Run(actor));
        }
    }

    fn handle(&mut self, event: Event) -> Checked {
        let World { env, oracle, host, readers, writers, gatherers, splitters, .. } = self;
        match event {
            Event::Run(actor) => self.run_actor(actor),
            Event::Alarm(actor) => {
                let is_due = match actor {
                    Actor::Served(link) => host.is_due(env, link),
                    Actor::Appender(_) => false,
                    Actor::Remote(Party::Receiver(number)) => readers[number].is_due(env),
                    Actor::Remote(Party::Publisher(number)) => writers[number].is_due(env),
                    Actor::Remote(Party::Gatherer(number)) => gatherers[number].is_due(env),
                    Actor::Remote(Party::Splitter(slot, number)) => splitters[slot].is_due(number, env),
                };
                if is_due { self.run_actor_by(actor, true) } else { Ok(()) }
            }
            Event::Wire(socket) => match self.owner(socket) {
                Some(actor) => self.run_actor(actor),
                None => Ok(()),
            },
            Event::Commit(life) => host.commit(env, oracle, life),
            Event::Job { life, job } if life == env.life() => host.run_job(env, oracle, job),
            Event::Job { .. } => Ok(()),
            Event::Create => host.create(env, oracle),
            Event::Start => host.start(env, oracle),
            Event::Dialled { party, attempt } => self.dialled(party, attempt),
            Event::Call { party, life } => self.call(party, life),
            Event::Join(number) => readers[number].join(env, oracle, host),
            Event::Gather(number) => gatherers[number].join(env, oracle, host),
            Event::Turnover(life) => {
                host.turn_over(env, oracle, life, false)?;
                if env.dice.percent(HARD) {
                    let (number, back) =
                        (env.dice.index(gatherers.len()), env.dice.time(LOOK / 1000, LOOK * 20));
                    gatherers[number].die(env, oracle, host, back)?;
                }
                if let Some(socket) = gatherers[env.dice.index(gatherers.len())].socket()
                    && env.dice.percent(HARD)
                {
                    env.cut(socket.link);
                    env.counters.cuts += 1;
                }
                gatherers.iter().try_for_each(|gatherer| gatherer.check_picked_up(env, oracle))
            }
            Event::Burst(actor) => {
                if self.phase == Phase::Chaos {
                    match actor {
                        Actor::Appender(generation) if generation == oracle.generation() => {
                            if let Some(appender) = host.appender() {
                                appender.burst(env);
                            }
                        }
                        Actor::Remote(Party::Publisher(number)) => writers[number].burst(env)?,
                        Actor::Remote(Party::Splitter(slot, _)) => splitters[slot].burst(env, oracle)?,
                        _ => {}
                    }
                    return self.run_actor(actor);
                }
                if let Actor::Remote(Party::Publisher(number)) = actor
                    && !writers[number].is_up()
                {
                    writers[number].burst(env)?;
                    return self.run_actor(actor);
                }
                if let Actor::Remote(Party::Splitter(slot, _)) = actor
                    && !splitters[slot].is_up()
                {
                    splitters[slot].burst(env, oracle)?;
                    return self.run_actor(actor);
                }
                Ok(())
            }
            Event::Unmake(life) => {
                if host.may_unmake(env, life) {
                    self.unmake()?;
                }
                Ok(())
            }
            Event::Fault(index) => self.go_wrong(index),
            Event::Look => self.look(),
        }
    }

    fn owner(&self, socket: Socket) -> Option<Actor> {
        let holds = |line: Option<Socket>| line == Some(socket);
        if self.host.holds(socket) {
            return Some(Actor::Served(socket.link));
        }
        if let Some(number) = self.readers.iter().position(|reader| holds(reader.socket())) {
            return Some(Actor::Remote(Party::Receiver(number)));
        }
        if let Some(number) = self.gatherers.iter().position(|gatherer| holds(gatherer.socket())) {
            return Some(Actor::Remote(Party::Gatherer(number)));
        }
        if let Some((slot, number)) = self
            .splitters
            .iter()
            .enumerate()
            .find_map(|(slot, splitter)| Some((slot, splitter.holds(socket)?)))
        {
            return Some(Actor::Remote(Party::Splitter(slot, number)));
        }
        let number = self.writers.iter().position(|writer| holds(writer.socket()))?;
        Some(Actor::Remote(Party::Publisher(number)))
    }

    fn run_actor(&mut self, actor: Actor) -> Checked {
        self.run_actor_by(actor, false)
    }

    fn run_actor_by(&mut self, actor: Actor, by_alarm: bool) -> Checked {
        let World { env, oracle, host, readers, writers, gatherers, splitters, phase, .. } = self;
        let may_send = *phase == Phase::Chaos;
        match actor {
            Actor::Served(link) => host.run_served(env, link, by_alarm),
            Actor::Appender(generation) if generation == oracle.generation() => {
                host.run_appender(env, oracle, may_send)
            }
            Actor::Appender(_) => Ok(()),
            Actor::Remote(Party::Receiver(number)) => readers[number].run(env, oracle, host),
            Actor::Remote(Party::Publisher(number)) => writers[number].run(env, oracle, may_send, by_alarm),
            Actor::Remote(Party::Gatherer(number)) => gatherers[number].run(env, oracle, host),
            Actor::Remote(Party::Splitter(slot, number)) => {
                splitters[slot].run(number, env, oracle, host, (may_send, by_alarm))
            }
        }
    }

    // ---- connections ----

    fn dialled(&mut self, party: Party, attempt: u64) -> Checked {
        let World { env, oracle, host, readers, writers, gatherers, splitters, .. } = self;
        let is_wanted = match party {
            Party::Receiver(number) => readers[number].take_dial(attempt),
            Party::Publisher(number) => writers[number].take_dial(attempt),
            Party::Gatherer(number) => gatherers[number].take_dial(attempt),
            Party::Splitter(slot, number) => splitters[slot].take_dial(number, attempt),
        };
        if !is_wanted {
            return Ok(());
        }
        if !host.is_up() || env.refuses_until > env.now() {
            env.counters.refused_dials += 1;
            return match party {
                Party::Receiver(number) => readers[number].refused(env, oracle, host),
                Party::Gatherer(number) => gatherers[number].refused(env, oracle, host),
                Party::Publisher(number) => {
                    writers[number].refused(env);
                    Ok(())
                }
                Party::Splitter(slot, number) => {
                    splitters[slot].refused(number, env);
                    Ok(())
                }
            };
        }
        self.connect(party, Side::Dialler)
    }

    /// The node calls one of those that cannot call it.
    fn call(&mut self, party: Party, life: usize) -> Checked {
        let World { env, host, readers, writers, gatherers, .. } = self;
        if !host.is_up() || life != env.life() {
            return Ok(());
        }
        let can = match party {
            Party::Receiver(number) => readers[number].can_be_called(),
            Party::Publisher(number) => writers[number].can_be_called(),
            Party::Gatherer(number) => gatherers[number].can_be_called(),
            Party::Splitter(..) => false,
        };
        if can && env.refuses_until <= env.now() {
            return self.connect(party, Side::Listener);
        }
        env.counters.refused_dials += u64::from(can);
        if !matches!(party, Party::Receiver(number) if readers[number].is_over()) {
            let wait = env.dice.time(Duration::from_millis(50), Duration::from_secs(5));
            env.schedule.after(wait, Event::Call { party, life });
        }
        Ok(())
    }

    /// A byte stream between the node and a party that is this side of it.
    fn connect(&mut self, party: Party, side: Side) -> Checked {
        let World { env, oracle, host, readers, writers, gatherers, splitters, .. } = self;
        let weather = Weather::any(&mut env.dice);
        let link = env.network.connect(weather, env.schedule.now());
        env.counters.connections += 1;
        let socket = Socket { link, side };
        env.trace.say(env.schedule.now(), || format!("connection {} of {party:?}: {weather:?}", link.0));
        let called = (side == Side::Listener).then_some(party);
        host.connected(env, socket.peer(), called);
        match party {
            Party::Receiver(number) => readers[number].connected(env, oracle, host, socket),
            Party::Gatherer(number) => gatherers[number].connected(env, oracle, host, socket),
            Party::Publisher(number) => {
                writers[number].connected(env, socket);
                Ok(())
            }
            Party::Splitter(slot, number) => {
                splitters[slot].connected(number, env, socket);
                Ok(())
            }
        }
    }

    // ---- faults ----

    /// Partitions are deleted, when nobody sends any more; or a sender into them is killed, or cut off.
    fn unmake(&mut self) -> Checked {
        let World { env, oracle, host, splitters, .. } = self;
        match env.dice.among(0..=9) {
            0..=3 => {
                for splitter in splitters.iter_mut() {
                    let back = env.dice.time(LOOK / 1000, LOOK * 10);
                    splitter.die(env, back);
                }
                host.unmake(env, oracle)?;
            }
            4..=6 => {
                let (slot, back) = (env.dice.index(splitters.len()), env.dice.time(LOOK / 1000, LOOK * 10));
                splitters[slot].die(env, back);
            }
            _ => {
                let splitter = &splitters[env.dice.index(splitters.len())];
                let count = env.plan.parts.as_ref().map_or(1, |parts| parts.count.get());
                let number = u16::try_from(env.dice.index(usize::from(count))).unwrap_or(0);
                if let Some(socket) = splitter.socket(number) {
                    env.cut(socket.link);
                    env.counters.cuts += 1;
                }
            }
        }
        Ok(())
    }

    fn go_wrong(&mut self, index: usize) -> Checked {
        let World { env, oracle, host, readers, writers, gatherers, .. } = self;
        let Some((_, fault)) = env.plan.faults.get(index).copied() else { return Ok(()) };
        env.trace.say(env.schedule.now(), || format!("fault: {fault:?}"));
        match fault {
            Fault::Cut => {
                if let Some(link) = env.network.any_link(&mut env.dice) {
                    env.cut(link);
                    env.counters.cuts += 1;
                    env.note("connection {} is cut", &[link.0]);
                }
            }
            Fault::Silence => {
                if let Some(link) = env.network.any_link(&mut env.dice) {
                    env.network.silence(link, &mut env.dice);
                    env.counters.half_opens += 1;
                    env.note("connection {} goes silent", &[link.0]);
                }
            }
            Fault::Stall(time) => {
                if let Some(link) = env.network.any_link(&mut env.dice) {
                    let until = env.schedule.now().plus(time);
                    env.stall(link, until);
                    env.counters.stalls += 1;
                    env.note("connection {} stalls for {} ns", &[link.0, time.as_nanos() as u64]);
                }
            }
            Fault::RefuseDials(time) => env.refuses_until = env.schedule.now().plus(time),
            Fault::Kill { back, mid_commit } => host.die(env, oracle, false, mid_commit, back),
            Fault::PowerCut { back, mid_commit } => host.die(env, oracle, true, mid_commit, back),
            Fault::Disk(failure) => host.fail_disk(failure),
            Fault::ReceiverCrash { back } => {
                let number = env.dice.index(readers.len() + gatherers.len());
                match number.checked_sub(readers.len()) {
                    Some(number) => gatherers[number].die(env, oracle, host, back)?,
                    None => readers[number].die(env, oracle, back)?,
                }
            }
            Fault::ReceiverStall(time) => {
                let number = env.dice.index(readers.len() + gatherers.len());
                match number.checked_sub(readers.len()) {
                    Some(number) => gatherers[number].stall(env, time),
                    None => readers[number].stall(env, time),
                }
            }
            Fault::PublisherCrash { back } if !writers.is_empty() => {
                let number = env.dice.index(writers.len());
                writers[number].die(env, back);
            }
            Fault::PublisherCrash { .. } => {}
            Fault::ClockJump(millis) => {
                let before = env.clock.now();
                env.clock.jump(millis * 1_000_000);
                let after = env.clock.now();
                for reader in readers {
                    reader.see_clock(before);
                    reader.see_clock(after);
                }
                env.counters.clock_jumps += 1;
                env.note("the clock jumps by {} ms", &[millis.cast_unsigned()]);
            }
        }
        Ok(())
    }

    // ---- the end ----

    fn look(&mut self) -> Checked {
        let World {
            env, oracle, host, readers, writers, gatherers, splitters, phase, is_turned_over, ..
        } = self;
        let now = env.now();
        if now > Instant(0).plus(env.plan.chaos + BOUND) {
            let waits: Vec<_> = readers.iter().filter(|reader| !reader.is_over()).collect();
            let marks = host.marks();
            let misses: Vec<_> = gatherers.iter().filter_map(|gatherer| gatherer.misses(oracle)).collect();
            let appender = host.appender();
            violated!(
                "nothing goes wrong any more, and yet in {phase:?} these wait: {misses:?}, {waits:?}, {writers:?}, \
                 {splitters:?}, {appender:?}; the log is {marks:?}"
            );
        }
        if *phase != Phase::Chaos && !*is_turned_over && host.is_up() {
            *is_turned_over = true;
            host.turn_over(env, oracle, 0, true)?;
        }
        gatherers.iter().try_for_each(|gatherer| gatherer.check_picked_up(env, oracle))?;
        let next = match phase {
            Phase::Chaos => {
                env.note("nothing goes wrong any more", &[]);
                env.refuses_until = now;
                env.schedule.at(now, Event::Run(Actor::Appender(oracle.generation())));
                for (number, writer) in writers.iter_mut().enumerate() {
                    writer.burst(env)?;
                    env.schedule.at(now, Event::Run(Actor::Remote(Party::Publisher(number))));
                }
                for (slot, splitter) in splitters.iter_mut().enumerate() {
                    splitter.burst(env, oracle)?;
                    env.schedule.at(now, Event::Run(Actor::Remote(Party::Splitter(slot, 0))));
                }
                Phase::Settling
            }
            Phase::Settling => {
                let ready = host.appender().is_none_or(|appender| appender.is_settled())
                    && writers.iter().all(Writer::is_settled)
                    && splitters.iter().all(Splitter::is_settled);
                match host.log().cloned() {
                    Some(_) if ready && !writers.is_empty() && env.dice.percent(40) => {
                        env.is_sealed = true;
                        let number = env.dice.index(writers.len());
                        writers[number].seal(env);
                        Phase::Sealing
                    }
                    Some(log) if ready => {
                        env.is_sealed = true;
                        let end = match log.seal() {
                            Ok(end) => end,
                            Err(error) => violated!("the channel cannot be sealed: {error}"),
                        };
                        env.note("the channel is sealed at {}", &[end.0]);
                        oracle.saw_seal(end.0)?;
                        Phase::Ending
                    }
                    _ => Phase::Settling,
                }
            }
            Phase::Sealing if oracle.is_sealed() => Phase::Ending,
            Phase::Ending
                if readers.iter().all(Reader::is_over)
                    && *is_turned_over
                    && gatherers.iter().all(|gatherer| gatherer.misses(oracle).is_none()) =>
            {
                self.finish()?;
                Phase::Done
            }
            other => *other,
        };
        self.phase = next;
        self.env.schedule.after(LOOK, Event::Look);
        Ok(())
    }

    /// Everybody has arrived: the log holds all that it should, now and after a power cut.
    fn finish(&mut self) -> Checked {
        let World { env, oracle, host, writers, splitters, .. } = self;
        host.look_at_names(oracle)?;
        oracle.parts.check_complete(splitters.iter().filter_map(Splitter::number))?;
        let Some(log) = host.log() else { violated!("the node is down at the end") };
        let found = read_all(log, &env.plan)?;
        let sealed = log.sealed_at();
        oracle.audit(log.first().0, log.visible().0, &found)?;
        let mut producers: Vec<u16> = writers.iter().map(Writer::producer).collect();
        producers.extend(host.appender().map(|appender| appender.number()));
        oracle.check_complete(&producers)?;
        host.final_power_cut(env, oracle)?;
        let after = host.log().and_then(netchan_store::Log::sealed_at);
        if after != sealed {
            violated!("the channel was sealed at {sealed:?}; after a power cut it says {after:?}");
        }
        env.note("all is over", &[]);
        Ok(())
    }
}
