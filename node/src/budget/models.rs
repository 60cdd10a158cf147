//! Models of who waits for what others have: as long as somebody gives it back, nobody waits for ever.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use loom::future::block_on;
use loom::thread;

use super::{Budget, Limits};
use crate::budget::Waiter;
use crate::sync::model;
use crate::wake::Bell;

/// Takes the right to a job as a connection does, and gives it back.
fn work(budget: &Budget) {
    let bell = Arc::new(Bell::default());
    let waiter = Waiter::new(&bell);
    let permit = block_on(poll_fn(|cx| {
        bell.hang(cx.waker());
        budget.take_job(&waiter).map_or(Poll::Pending, Poll::Ready)
    }));
    drop(permit);
    budget.leave(&waiter);
}

/// There is one right, and three want it.
#[test]
fn who_waits_for_a_job_gets_its_turn() {
    model(2, || {
        let budget = Budget::new(Limits { jobs: 1, ..Limits::default() });
        for _ in 0..2 {
            let budget = budget.clone();
            thread::spawn(move || work(&budget));
        }
        work(&budget);
    });
}

/// One of those who wait goes away, perhaps at the moment at which it is rung: the next one is.
#[test]
fn who_goes_away_passes_its_turn_on() {
    model(2, || {
        let budget = Budget::new(Limits { jobs: 1, ..Limits::default() });
        let gone = Waiter::new(&Arc::new(Bell::default()));
        let held = budget.take_job(&gone).unwrap();
        assert!(budget.take_job(&gone).is_none());
        let (other, also) = (budget.clone(), budget.clone());
        thread::spawn(move || work(&other));
        thread::spawn(move || also.leave(&gone));
        drop(held);
        work(&budget);
    });
}

/// The same of the right to a large batch.
#[test]
fn who_waits_for_a_large_batch_gets_its_turn() {
    model(2, || {
        let budget = Budget::new(Limits::default());
        let gone = Waiter::new(&Arc::new(Bell::default()));
        let held = budget.take_large(1, &gone).unwrap();
        assert!(budget.take_large(1, &gone).is_none());
        let also = budget.clone();
        thread::spawn(move || also.leave_large(&gone));
        let giving = thread::spawn(move || drop(held));
        let bell = Arc::new(Bell::default());
        let waiter = Waiter::new(&bell);
        block_on(poll_fn(|cx| {
            bell.hang(cx.waker());
            budget.take_large(1, &waiter).map_or(Poll::Pending, |permit| Poll::Ready(drop(permit)))
        }));
        giving.join().unwrap();
    });
}
