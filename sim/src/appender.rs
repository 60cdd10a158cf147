//! A program in the node's own process that appends to the channel. It dies with the process; the next life has
//! another.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::Context;

use netchan_node::{Error, ErrorKind, Node, Sender};
use netchan_store::Log;

use crate::clock::Bell;
use crate::env::{Actor, Env, Event};
use crate::oracle::{Checked, Oracle, violated};
use crate::producing::Producing;
use crate::workload::PublisherPlan;

type Done = Pin<Box<dyn Future<Output = Result<usize, Error>> + Send>>;

/// The appender of one life of the node.
pub struct Appender {
    sender: Sender,
    /// It waits for the receivers that are there to have everything.
    done: Option<Done>,
    producing: Producing,
    number: u16,
    plan: PublisherPlan,
    generation: usize,
    bell: Bell,
}

impl Appender {
    /// It begins with a sequence of its own.
    pub fn new(
        node: &Node,
        log: &Log,
        plan: PublisherPlan,
        generation: usize,
        env: &Env,
        oracle: &mut Oracle,
    ) -> Appender {
        let number = oracle.add_producer();
        let sender = Sender::local(log.clone()).served_by(node);
        Appender {
            producing: Producing::new(number, plan, sender.clone(), 0),
            sender,
            done: None,
            number,
            plan,
            generation,
            bell: env.wakes.bell(Actor::Appender(generation)),
        }
    }

    /// Whether nothing waits to be sent or acknowledged.
    pub fn is_settled(&self) -> bool {
        self.producing.is_settled() && self.done.is_none()
    }

    /// Its producer's number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// Some more may be appended.
    pub fn burst(&mut self, env: &mut Env) {
        if self.done.is_none() && env.dice.percent(30) {
            let sender = self.sender.clone();
            self.done = Some(Box::pin(async move { sender.done().await }));
        }
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
        self.look(env)?;
        if self.producing.run(env, oracle, self.bell.waker(), self.generation, may_append)? {
            let wait = env.turn();
            env.schedule.after(wait, Event::Run(Actor::Appender(self.generation)));
        }
        Ok(())
    }

    /// Whether all receivers that were there have what was sent, or are gone. One that is there tells in time.
    fn look(&mut self, env: &mut Env) -> Checked {
        let Some(done) = &mut self.done else { return Ok(()) };
        let std::task::Poll::Ready(told) = done.as_mut().poll(&mut Context::from_waker(self.bell.waker()))
        else {
            return Ok(());
        };
        self.done = None;
        // One that connected anew is there twice, until it is noticed that its connection before fell silent.
        let unnoticed = env.counters.half_opens + env.counters.stalls;
        match told {
            Ok(0) => {}
            Ok(receivers) if receivers as u64 > env.plan.receivers.len() as u64 + unnoticed => {
                violated!("{receivers} have it all, and there are not so many");
            }
            Ok(_) => env.counters.done += 1,
            Err(error) if matches!(error.kind(), ErrorKind::Config | ErrorKind::Protocol) => {
                violated!("waiting for receivers: {error}");
            }
            // What the log failed by.
            Err(_) => {}
        }
        Ok(())
    }
}

impl fmt::Debug for Appender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Appender")
            .field("producing", &self.producing)
            .field("waits", &self.done.is_some())
            .finish_non_exhaustive()
    }
}
