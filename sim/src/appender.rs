//! A program in the node's own process that appends to the channel. It dies with the process; the next life has
//! another.

use netchan_node::Sender;
use netchan_store::Log;

use crate::clock::Bell;
use crate::env::{Actor, Env, Event};
use crate::oracle::{Checked, Oracle};
use crate::producing::Producing;
use crate::workload::PublisherPlan;

/// The appender of one life of the node.
#[derive(Debug)]
pub struct Appender {
    producing: Producing,
    number: u16,
    plan: PublisherPlan,
    generation: usize,
    bell: Bell,
}

impl Appender {
    /// It begins with a sequence of its own.
    pub fn new(
        log: &Log,
        plan: PublisherPlan,
        generation: usize,
        env: &Env,
        oracle: &mut Oracle,
    ) -> Appender {
        let number = oracle.add_producer();
        Appender {
            producing: Producing::new(number, plan, Sender::local(log.clone()), 0),
            number,
            plan,
            generation,
            bell: env.wakes.bell(Actor::Appender(generation)),
        }
    }

    /// Whether nothing waits to be sent or acknowledged.
    pub fn is_settled(&self) -> bool {
        self.producing.is_settled()
    }

    /// Its producer's number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// Some more may be appended.
    pub fn burst(&mut self, env: &mut Env) {
        if self.producing.burst(env) {
            let pause = env.dice.time(self.plan.pause / 8, self.plan.pause * 2);
            env.schedule.after(pause, Event::Burst(Actor::Appender(self.generation)));
        }
    }

    /// Runs it.
    ///
    /// # Errors
    /// A promise broken.
    pub fn run(&mut self, env: &mut Env, oracle: &mut Oracle, may_append: bool) -> Checked {
        self.bell.hush();
        if self.producing.run(env, oracle, self.bell.waker(), self.generation, may_append)? {
            let wait = env.turn();
            env.schedule.after(wait, Event::Run(Actor::Appender(self.generation)));
        }
        Ok(())
    }
}
