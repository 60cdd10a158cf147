//! Blocking work of one served connection: what is asked of the disk, and the answers as they come back.
//!
//! Owns the bound on how much of it is under way at once, and the promise that every question is answered: a job
//! that is dropped or panics answers [`Answer::NotDone`].

use std::collections::VecDeque;
use std::sync::Arc;

use netchan_proto::wire::StreamId;

use super::answer::Answer;
use crate::budget::{Budget, Waiter};
use crate::job::Job;
use crate::wake::{Bell, Mailbox};

/// Jobs of one connection that run at the same time; the others wait here.
const MAX_JOBS: usize = 4;

/// An answer, and the stream it is for.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) stream: StreamId,
    pub(super) answer: Answer,
}

/// The questions and answers of one connection.
#[derive(Debug)]
pub(super) struct Desk {
    mailbox: Arc<Mailbox<Letter>>,
    jobs: VecDeque<Asked>,
    running: usize,
}

/// A job that waits.
#[derive(Debug)]
struct Asked {
    stream: StreamId,
    job: Job,
    /// It judges records: only some of a node's jobs may, or slow filters would keep the others waiting.
    judges: bool,
}

impl Desk {
    pub(super) fn new(bell: &Arc<Bell>) -> Desk {
        Desk { mailbox: Arc::new(Mailbox::new(bell)), jobs: VecDeque::new(), running: 0 }
    }

    /// Asks for `work` to be done for `stream`. The streams bound how much they ask for.
    pub(super) fn ask(&mut self, stream: StreamId, work: impl FnOnce() -> Answer + Send + 'static) {
        self.push(stream, false, work);
    }

    /// As [`ask`](Self::ask), for work that judges records.
    pub(super) fn ask_to_judge(&mut self, stream: StreamId, work: impl FnOnce() -> Answer + Send + 'static) {
        self.push(stream, true, work);
    }

    fn push(&mut self, stream: StreamId, judges: bool, work: impl FnOnce() -> Answer + Send + 'static) {
        let mailbox = Arc::clone(&self.mailbox);
        let reply = Reply { mailbox, stream, answer: Answer::NotDone };
        self.jobs.push_back(Asked { stream, job: Job::new(move || reply.give(work())), judges });
    }

    /// Drops what was asked for `stream` and has not begun: or a peer that opens and closes streams would make the
    /// line longer than the disk makes it shorter.
    pub(super) fn forget(&mut self, stream: StreamId) {
        let asked = self.jobs.len();
        self.jobs.retain(|asked| asked.stream != stream);
        // Each answers nonetheless, and its letter is counted as that of one that ran.
        self.running += asked - self.jobs.len();
    }

    /// The next job to run, if the node has a place for it; else `waiter` is rung when it has.
    pub(super) fn take_job(&mut self, budget: &Budget, waiter: &Arc<Waiter>) -> Option<Job> {
        if self.running >= MAX_JOBS || self.jobs.is_empty() {
            return None;
        }
        // Who may not judge now does something else meanwhile.
        let mut right = None;
        let index = self.jobs.iter().position(|asked| {
            if asked.judges && right.is_none() {
                right = budget.take_judging(waiter);
            }
            !asked.judges || right.is_some()
        })?;
        let right = right.filter(|_| self.jobs[index].judges);
        let permit = budget.take_job(waiter)?;
        let Asked { job, .. } = self.jobs.remove(index)?;
        self.running += 1;
        Some(Job::new(move || {
            job.run();
            drop((permit, right));
        }))
    }

    /// Jobs that wait or run.
    pub(super) fn len(&self) -> usize {
        self.running + self.jobs.len()
    }

    /// Whether a question is unanswered.
    pub(super) fn is_busy(&self) -> bool {
        self.running > 0 || !self.jobs.is_empty()
    }

    /// The next answer.
    pub(super) fn take_letter(&mut self) -> Option<Letter> {
        self.mailbox.take().inspect(|_| self.running = self.running.saturating_sub(1))
    }
}

/// Posts its answer when it is dropped, however that comes about.
struct Reply {
    mailbox: Arc<Mailbox<Letter>>,
    stream: StreamId,
    answer: Answer,
}

impl Reply {
    fn give(mut self, answer: Answer) {
        self.answer = answer;
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        let answer = std::mem::replace(&mut self.answer, Answer::NotDone);
        self.mailbox.post(Letter { stream: self.stream, answer });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::AssertUnwindSafe;

    fn desk() -> Desk {
        Desk::new(&Arc::new(Bell::default()))
    }

    fn take_job(desk: &mut Desk) -> Option<Job> {
        let waiter = Waiter::new(&Arc::new(Bell::default()));
        desk.take_job(&Budget::new(crate::budget::Limits::default()), &waiter)
    }

    #[test]
    fn every_question_is_answered_even_if_the_job_is_dropped_or_panics() {
        let mut desk = desk();
        desk.ask(StreamId(1), || Answer::Noted(Ok(())));
        desk.ask(StreamId(3), || panic!("a test's panic"));
        desk.ask(StreamId(5), || Answer::Noted(Ok(())));
        take_job(&mut desk).unwrap().run();
        let panicking = take_job(&mut desk).unwrap();
        std::panic::catch_unwind(AssertUnwindSafe(|| panicking.run())).unwrap_err();
        drop(take_job(&mut desk).unwrap());
        let letters: Vec<_> = std::iter::from_fn(|| desk.take_letter()).collect();
        assert_eq!(letters.iter().map(|letter| letter.stream.0).collect::<Vec<_>>(), [1, 3, 5]);
        assert!(matches!(letters[0].answer, Answer::Noted(Ok(()))));
        assert!(matches!(letters[1].answer, Answer::NotDone));
        assert!(matches!(letters[2].answer, Answer::NotDone));
    }

    #[test]
    fn only_so_many_jobs_run_at_once() {
        let mut desk = desk();
        for stream in 0..20 {
            desk.ask(StreamId(stream), || Answer::Noted(Ok(())));
        }
        let mut running: Vec<_> = std::iter::from_fn(|| take_job(&mut desk)).collect();
        assert_eq!(running.len(), MAX_JOBS);
        running.pop().unwrap().run();
        assert!(take_job(&mut desk).is_none());
        assert!(desk.take_letter().is_some());
        assert!(take_job(&mut desk).is_some());
    }

    #[test]
    fn what_was_asked_for_a_stream_that_is_gone_is_not_done() {
        let mut desk = desk();
        for stream in [1, 3, 3, 5] {
            desk.ask(StreamId(stream), || Answer::Noted(Ok(())));
        }
        desk.forget(StreamId(3));
        while let Some(job) = take_job(&mut desk) {
            job.run();
        }
        let letters = std::iter::from_fn(|| desk.take_letter());
        let done: Vec<_> = letters.filter(|letter| !matches!(letter.answer, Answer::NotDone)).collect();
        assert_eq!(done.iter().map(|letter| letter.stream.0).collect::<Vec<_>>(), [1, 5]);
        assert!(!desk.is_busy());
    }
}
