//! What blocks on the disk, done where that is allowed.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;

use crate::error::{Error, ErrorKind};
use crate::job::Job;
use crate::reply::Reply;

/// Where work that blocks on the disk is done.
#[derive(Clone, Default)]
pub(super) struct Jobs(pub(super) Option<JobRunner>);

/// Runs a job on a thread that may block.
pub type JobRunner = Arc<dyn Fn(Job) + Send + Sync>;

impl Jobs {
    /// Does `work`, and waits for what comes of it.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let Some(runner) = &self.0 else { return work() };
        let reply = Arc::new(Reply::default());
        let owed = Owed(Some(Arc::clone(&reply)));
        runner(Job::new(move || owed.give(work())));
        poll_fn(move |cx| reply.poll(cx.waker())).await
    }
}

impl fmt::Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Jobs(elsewhere)" } else { "Jobs(here)" })
    }
}

/// An answer that is given in any case: a job that is dropped says so.
struct Owed<T>(Option<Arc<Reply<Result<T, Error>>>>);

impl<T> Owed<T> {
    fn give(mut self, answer: Result<T, Error>) {
        if let Some(reply) = self.0.take() {
            reply.give(answer);
        }
    }
}

impl<T> Drop for Owed<T> {
    fn drop(&mut self) {
        if let Some(reply) = self.0.take() {
            reply.give(Err(Error::new(ErrorKind::Closed, "it was not done: the program is stopping")));
        }
    }
}
