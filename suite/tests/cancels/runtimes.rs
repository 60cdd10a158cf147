//! The runtimes whose handles are awaited.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use netchan_node::Sender;
use netchan_node::handles::{Adapter, Receiver};
use netchan_smol::Smol;
use netchan_suite::{Given, Runtime};
use netchan_tokio::Tokio;

/// Longer than one schedule takes on a machine that is slow and busy.
const LONG: Duration = Duration::from_secs(120);

pub(crate) type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A runtime whose handles are awaited.
pub(crate) trait Awaited: Runtime + Adapter<Sender = Sender, Receiver = Receiver<Self>> {
    /// What it gives is a future.
    fn future<T: Send + 'static>(given: Given<Self, T>) -> Boxed<T>;

    /// Waits for it; panics if that takes too long.
    fn block_on<F: Future>(work: F) -> F::Output;
}

static TOKIO: std::sync::LazyLock<tokio::runtime::Runtime> = std::sync::LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
});

impl Awaited for Tokio {
    fn future<T: Send + 'static>(given: Given<Self, T>) -> Boxed<T> {
        given
    }

    fn block_on<F: Future>(work: F) -> F::Output {
        TOKIO.block_on(async { tokio::time::timeout(LONG, work).await.expect("it hangs") })
    }
}

impl Awaited for Smol {
    fn future<T: Send + 'static>(given: Given<Self, T>) -> Boxed<T> {
        given
    }

    fn block_on<F: Future>(work: F) -> F::Output {
        let late = async {
            smol::Timer::after(LONG).await;
            panic!("it hangs")
        };
        smol::block_on(smol::future::or(work, late))
    }
}
