//! What blocks on the disk, done where that is allowed.

use std::fmt;
use std::sync::Arc;

use crate::error::Error;
use crate::job::Job;
use crate::reply::promise;

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
        let (owed, promised) = promise();
        runner(Job::new(move || owed.give(work())));
        promised.await?
    }
}

impl fmt::Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Jobs(elsewhere)" } else { "Jobs(here)" })
    }
}
