//! The page of metrics: made when somebody asks, by one at a time, and kept as long as is fair to the node.
//!
//! Who asks costs next to nothing: all who ask within a second are given the same bytes, and making them takes at most a
//! tenth of the time, however many there are and whether or not they stay for the answer.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// How long a page is good at least.
const FRESH: Duration = Duration::from_secs(1);
/// How much longer than it took to make it.
const SHARE: u32 = 10;
/// Who waits for a page; more than there are connections.
const MAX_WAITING: usize = 128;

type Reply = oneshot::Sender<Result<Bytes, String>>;

/// Asks for the page. Cheap to clone; who makes it ends when the last clone is gone.
#[derive(Clone, Debug)]
pub(crate) struct Page(mpsc::Sender<Reply>);

impl Page {
    /// A page that `make` makes.
    pub(crate) fn new<M, F>(make: M) -> Page
    where
        M: Fn() -> F + Send + 'static,
        F: Future<Output = Result<String, String>> + Send,
    {
        let (ask, mut asked) = mpsc::channel::<Reply>(MAX_WAITING);
        tokio::spawn(async move {
            let mut kept: Option<(Result<Bytes, String>, Instant)> = None;
            while let Some(reply) = asked.recv().await {
                let page = match &kept {
                    Some((page, good_until)) if Instant::now() < *good_until => page.clone(),
                    _ => {
                        let since = Instant::now();
                        let page = make().await.map(Bytes::from);
                        let good_for = FRESH.max(since.elapsed() * SHARE);
                        kept = Some((page.clone(), Instant::now() + good_for));
                        page
                    }
                };
                // who asked may have left
                let _ = reply.send(page);
            }
        });
        Page(ask)
    }

    /// The page, or why there is none now.
    pub(crate) async fn get(&self) -> Result<Bytes, String> {
        let stopping = || "it is stopping".to_owned();
        let (reply, answer) = oneshot::channel();
        self.0.send(reply).await.map_err(|_| stopping())?;
        answer.await.unwrap_or_else(|_| Err(stopping()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn counting(takes: Duration) -> (Page, Arc<AtomicU32>) {
        let made = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&made);
        let page = Page::new(move || {
            let number = count.fetch_add(1, Ordering::Relaxed);
            async move {
                tokio::time::sleep(takes).await;
                Ok(number.to_string())
            }
        });
        (page, made)
    }

    #[tokio::test(start_paused = true)]
    async fn however_many_ask_it_is_made_once_a_second() {
        let (page, made) = counting(Duration::from_millis(5));
        let asking: Vec<_> = (0..1000)
            .map(|_| {
                tokio::spawn({
                    let page = page.clone();
                    async move { page.get().await }
                })
            })
            .collect();
        for asked in asking {
            assert_eq!(asked.await.unwrap().unwrap(), "0");
        }
        tokio::time::advance(FRESH).await;
        assert_eq!(page.get().await.unwrap(), "1");
        assert_eq!(made.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_takes_long_is_good_for_ten_times_as_long() {
        let (page, made) = counting(Duration::from_secs(3));
        for _ in 0..290 {
            page.get().await.unwrap();
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        assert_eq!(made.load(Ordering::Relaxed), 1);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(page.get().await.unwrap(), "1");
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_and_leaves_does_not_have_it_made_again() {
        let (page, made) = counting(Duration::from_millis(500));
        for _ in 0..100 {
            let left = tokio::time::timeout(Duration::from_millis(1), page.get()).await;
            assert!(left.is_err() || made.load(Ordering::Relaxed) == 1);
        }
        page.get().await.unwrap();
        assert_eq!(made.load(Ordering::Relaxed), 1);
    }
}
