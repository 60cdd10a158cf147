//! A publisher: a program elsewhere that sends into the channel, is cut off, dies and comes back as the same producer.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use netchan_node::{
    Dialling, Error, Lost, Machine, Producer, Publisher, PublisherCore, PublisherOptions, Sender,
};
use netchan_proto::{Offset, ProducerId, Side};

use crate::clock::Bell;
use crate::env::{Actor, Env, Event, Line, Party};
use crate::network::{Ending, Socket};
use crate::oracle::{Checked, Oracle, violated};
use crate::producing::Producing;
use crate::workload::PublisherPlan;

/// Rounds of IO before others have their turn.
const TURNS: usize = 50;

type Sealing = Pin<Box<dyn Future<Output = Result<Offset, Error>> + Send>>;
type Asking = Pin<Box<dyn Future<Output = Result<Producer, Error>> + Send>>;

/// One publisher.
pub struct Writer {
    number: usize,
    producer: u16,
    id: ProducerId,
    plan: PublisherPlan,
    life: Option<Life>,
    line: Line,
    bell: Bell,
    dialling: Option<u64>,
    dials: u64,
    /// The life of the node that the newest connection leads to.
    calls: usize,
    lives: u64,
}

/// One run of its program.
struct Life {
    core: PublisherCore,
    handle: Publisher,
    /// In a later life: which record comes next?
    asking: Option<Asking>,
    /// It seals the channel.
    sealing: Option<Sealing>,
    producing: Option<Producing>,
}

impl Writer {
    /// A publisher that has not come yet.
    pub fn new(number: usize, plan: PublisherPlan, env: &mut Env, oracle: &mut Oracle) -> Writer {
        let actor = Actor::Remote(Party::Publisher(number));
        env.schedule.after(env.plan.chaos / 500, Event::Burst(actor));
        Writer {
            number,
            producer: oracle.add_producer(),
            id: ProducerId(env.dice.bytes16()),
            plan,
            life: None,
            line: Line::default(),
            bell: env.wakes.bell(actor),
            dialling: None,
            dials: 0,
            calls: 0,
            lives: 0,
        }
    }

    fn actor(&self) -> Actor {
        Actor::Remote(Party::Publisher(self.number))
    }

    /// Its producer's number.
    pub fn producer(&self) -> u16 {
        self.producer
    }

    /// Whether its program runs, and nothing waits to be sent or acknowledged.
    pub fn is_settled(&self) -> bool {
        self.life.as_ref().is_some_and(|life| life.producing.as_ref().is_some_and(Producing::is_settled))
    }

    /// Whether its program runs.
    pub fn is_up(&self) -> bool {
        self.life.is_some()
    }

    /// Some more may be published; its program starts if it does not run.
    ///
    /// # Errors
    /// It does not start.
    pub fn burst(&mut self, env: &mut Env) -> Checked {
        if self.life.is_none() {
            self.start(env)?;
        }
        let goes_on = match self.life.as_mut().and_then(|life| life.producing.as_mut()) {
            Some(producing) => producing.burst(env),
            None => true,
        };
        if goes_on {
            let pause = env.dice.time(self.plan.pause / 8, self.plan.pause * 2);
            env.schedule.after(pause, Event::Burst(self.actor()));
        }
        Ok(())
    }

    fn start(&mut self, env: &mut Env) -> Checked {
        self.lives += 1;
        let resume = self.lives > 1;
        let options = PublisherOptions {
            durability: Some(env.plan.durability),
            resume,
            max_unacknowledged: self.plan.max_unacknowledged,
            ..PublisherOptions::new(env.name.clone(), self.id)
        };
        let (core, handle) = PublisherCore::new(&env.remote_node()?, options);
        let asking: Option<Asking> = resume.then(|| Box::pin(handle.producer()) as Asking);
        let producing =
            (!resume).then(|| Producing::new(self.producer, self.plan, Sender::remote(handle.clone()), 0));
        self.life = Some(Life { core, handle, asking, sealing: None, producing });
        env.note("publisher {} is there", &[self.number as u64]);
        Ok(())
    }

    /// It seals the channel, once it has an answer.
    pub fn seal(&mut self, env: &mut Env) {
        if let Some(life) = &mut self.life {
            life.sealing = Some(Box::pin(life.handle.seal()));
            env.counters.remote_seals += 1;
            env.note("publisher {} seals the channel", &[self.number as u64]);
            env.schedule.after(Duration::ZERO, Event::Run(self.actor()));
        }
    }

    /// Its program is killed.
    pub fn die(&mut self, env: &mut Env, back: Duration) {
        if self.life.take().is_none() {
            return;
        }
        self.dialling = None;
        env.hang_up(&mut self.line, Ending::Reset);
        self.line = Line::default();
        env.counters.publisher_crashes += 1;
        env.note("publisher {} is killed", &[self.number as u64]);
        env.schedule.after(back, Event::Burst(self.actor()));
    }

    // ---- connections ----

    /// Whether the node may call it.
    pub fn can_be_called(&self) -> bool {
        self.life.is_some()
    }

    /// A dial has ended. Says whether it was still wanted.
    pub fn take_dial(&mut self, attempt: u64) -> bool {
        let wanted = self.dialling == Some(attempt);
        if wanted {
            self.dialling = None;
        }
        wanted && self.life.is_some()
    }

    /// Nobody answered.
    pub fn refused(&mut self, env: &mut Env) {
        if let Some(life) = &mut self.life {
            life.core.disconnected(Lost::Io("connection refused".to_owned()), env.schedule.now());
            env.schedule.after(Duration::ZERO, Event::Run(self.actor()));
        }
    }

    /// There is a byte stream. One that was there before is dropped.
    pub fn connected(&mut self, env: &mut Env, socket: Socket) {
        env.hang_up(&mut self.line, Ending::Eof);
        let Some(life) = &mut self.life else { return };
        self.line.socket = Some(socket);
        self.calls = env.life();
        life.core.connected(socket.side, false, env.schedule.now());
        if socket.side == Side::Listener {
            self.dialling = None;
        }
        env.schedule.after(Duration::ZERO, Event::Run(self.actor()));
    }

    // ---- running ----

    /// Its end of its connection.
    pub fn socket(&self) -> Option<Socket> {
        self.line.socket
    }

    /// Whether its deadline has come.
    pub fn is_due(&mut self, env: &mut Env) -> bool {
        let actor = self.actor();
        let Some(life) = &self.life else { return false };
        env.is_due(actor, &mut self.line, life.core.deadline())
    }

    /// It sends and takes what there is. `by_alarm`: only because its deadline has come.
    ///
    /// # Errors
    /// A promise broken.
    pub fn run(&mut self, env: &mut Env, oracle: &mut Oracle, may_send: bool, by_alarm: bool) -> Checked {
        let actor = self.actor();
        let Some(life) = &mut self.life else { return Ok(()) };
        let waker = self.bell.waker();
        let is_empty = life.core.connection().is_some_and(|connection| !connection.has_outbound());
        env.is_unwoken = by_alarm && is_empty && !self.bell.is_rung();
        let generation = env.generation_of(self.calls);
        self.bell.hush();
        if let Some(asking) = &mut life.asking {
            match asking.as_mut().poll(&mut Context::from_waker(waker)) {
                Poll::Pending => {}
                Poll::Ready(Ok(told)) => {
                    life.asking = None;
                    env.note(
                        "publisher {} goes on at its record {}",
                        &[self.number as u64, told.next_sequence],
                    );
                    oracle.resumed(self.producer, told.next_sequence, told.note.bytes(), generation)?;
                    let sender = Sender::remote(life.handle.clone());
                    life.producing =
                        Some(Producing::new(self.producer, self.plan, sender, told.next_sequence));
                }
                Poll::Ready(Err(error)) => violated!("publisher {} cannot resume: {error}", self.number),
            }
        }
        if let Some(sealing) = &mut life.sealing
            && let Poll::Ready(sealed) = sealing.as_mut().poll(&mut Context::from_waker(waker))
        {
            life.sealing = None;
            match sealed {
                Ok(end) => {
                    env.note("the channel is sealed at {}, from afar", &[end.0]);
                    oracle.saw_seal(end.0)?;
                }
                Err(error) => violated!("publisher {} cannot seal: {error}", self.number),
            }
        }
        let mut was_told = false;
        for turn in 0.. {
            let mut more = false;
            if let Some(producing) = &mut life.producing {
                more = producing.run(env, oracle, waker, generation, may_send)?;
            }
            life.core.work(env.schedule.now(), waker);
            if life.core.is_over() {
                violated!("publisher {} is over, and was not asked to be", self.number);
            }
            if !env.pump(actor, &mut self.line, &mut life.core)?
                && !env.tell_time(actor, &mut life.core, &mut was_told)?
                && !more
            {
                break;
            }
            if turn == TURNS || env.dice.percent(3) {
                let wait = env.turn();
                env.schedule.after(wait, Event::Run(actor));
                break;
            }
        }
        env.is_unwoken = false;
        env.set_alarm(actor, &mut self.line, life.core.deadline());
        if life.core.wants_dial(env.schedule.now()) && self.dialling.is_none() && !self.plan.is_dialled {
            self.dials += 1;
            self.dialling = Some(self.dials);
            let wait = env.dice.time(Duration::from_micros(50), Duration::from_millis(200));
            let party = Party::Publisher(self.number);
            env.schedule.after(wait, Event::Dialled { party, attempt: self.dials });
        }
        Ok(())
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("number", &self.number)
            .field("producing", &self.life.as_ref().and_then(|life| life.producing.as_ref()))
            .field("is_asking", &self.life.as_ref().map(|life| life.asking.is_some()))
            .finish_non_exhaustive()
    }
}
