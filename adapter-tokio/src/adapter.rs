//! What the handles ask of tokio.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use netchan_node::handles::{self, Adapter, Brings, Connects, Entered, Hub, Line, Polls, Receiver, Task};
use netchan_node::{Dialling, Error, ErrorKind, Job, Lost, Machine, ReceiverCore, Remote, Served};
use netchan_proto::Instant;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::{JoinSet, spawn_blocking};

use crate::pump::{Alarm, ByteStream, Clock, Pump};
use crate::sockets::{self, Door};

/// Bytes between a receiver and its node within one program.
const MEMORY_STREAM: usize = 64 << 10;

pub(crate) type Stream = Box<dyn ByteStream>;
pub(crate) type Way = handles::Way<Stream>;

/// The tokio runtime that a node was started in: its clock, and the node's tasks.
#[derive(Debug)]
pub struct Tokio {
    pub(crate) clock: Clock,
    tasks: Mutex<JoinSet<()>>,
    doors: Mutex<JoinSet<()>>,
}

impl Adapter for Tokio {
    type Given<T: Send + 'static> = Pin<Box<dyn Future<Output = T> + Send>>;
    type Stream = Stream;
    type Door = Door;
    type Listener = TcpListener;
    type Receiver = Receiver<Tokio>;

    fn new() -> Tokio {
        Tokio { clock: Clock::new(), tasks: Mutex::default(), doors: Mutex::default() }
    }

    fn give<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Self::Given<T> {
        Box::pin(work)
    }

    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn pause(time: Duration) -> Task<()> {
        Box::pin(tokio::time::sleep(time))
    }

    fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Task<Result<T, Error>> {
        let done = spawn_blocking(work);
        let failed = |error| Error::new(ErrorKind::Closed, format!("the runtime did not do it: {error}"));
        Box::pin(async move { done.await.map_err(failed) })
    }

    fn spawn(&self, task: Task<()>) {
        let mut tasks = lock(&self.tasks);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    fn spawn_door(&self, task: Task<()>) {
        lock(&self.doors).spawn(task);
    }

    fn end(&self, deadline: Duration) -> Task<()> {
        lock(&self.doors).abort_all();
        let mut tasks = std::mem::take(&mut *lock(&self.tasks));
        Box::pin(async move {
            let leave = async { while tasks.join_next().await.is_some() {} };
            if tokio::time::timeout(deadline, leave).await.is_err() {
                tasks.shutdown().await;
            }
        })
    }

    fn call(remote: Remote) -> Task<io::Result<Stream>> {
        Box::pin(async move { Ok(Box::new(sockets::call(&remote).await?) as Stream) })
    }

    #[cfg(unix)]
    fn call_socket(path: &Path) -> Task<io::Result<Stream>> {
        let path = path.to_owned();
        Box::pin(async move { Ok(Box::new(sockets::call_socket(&path).await?) as Stream) })
    }

    #[cfg(not(unix))]
    fn call_socket(_: &Path) -> Task<io::Result<Stream>> {
        Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
    }

    fn pair() -> (Stream, Stream) {
        let (near, far) = tokio::io::duplex(MEMORY_STREAM);
        (Box::new(near), Box::new(far))
    }

    fn listen(addresses: &[SocketAddr]) -> io::Result<(Door, SocketAddr)> {
        let listener = Handle::current().block_on(TcpListener::bind(addresses))?;
        let address = listener.local_addr()?;
        Ok((Door::Tcp(listener), address))
    }

    #[cfg(unix)]
    fn listen_socket(path: &Path) -> io::Result<Option<Door>> {
        let listener = netchan_node::place::listen_at(path, |path| tokio::net::UnixListener::bind(path))?;
        Ok(Some(Door::Socket(listener)))
    }

    #[cfg(not(unix))]
    fn listen_socket(_: &Path) -> io::Result<Option<Door>> {
        Ok(None)
    }

    fn accept(door: &Arc<Door>) -> Task<io::Result<Entered<Stream>>> {
        let door = Arc::clone(door);
        Box::pin(async move { door.accept().await })
    }

    fn serve(&self, mut served: Served, stream: Stream) -> Task<Lost> {
        let mut pump = Pump::new(stream, self.clock);
        Box::pin(poll_fn(move |cx| {
            let lost = ready!(pump.poll_drive(&mut served, cx));
            Poll::Ready(served.ended().cloned().unwrap_or(lost))
        }))
    }

    fn drive<M: Dialling + 'static, T: Send + 'static>(
        hub: Arc<Hub<Tokio>>,
        machine: M,
        way: Way,
        mut found: impl FnMut(&mut M) -> Option<T> + Send + 'static,
    ) -> Task<T> {
        let mut line = Line::new(machine, hub, way);
        Box::pin(poll_fn(move |cx| line.poll_until(cx, &mut found)))
    }

    fn receive(hub: Arc<Hub<Tokio>>, core: ReceiverCore, way: Way) -> Task<Receiver<Tokio>> {
        Box::pin(Receiver::settled(hub, core, way))
    }
}

impl Polls for Tokio {
    type Pump = Pump;
    type Alarm = Alarm;

    fn pump(&self, stream: Stream) -> Pump {
        Pump::new(stream, self.clock)
    }

    fn alarm(&self) -> Alarm {
        Alarm::new(self.clock)
    }

    fn poll_turn(
        pump: &mut Pump,
        machine: &mut impl Machine,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Lost>> {
        pump.poll_turn(machine, cx)
    }

    fn poll_alarm(alarm: &mut Alarm, deadline: Option<Instant>, cx: &mut Context<'_>) -> Poll<()> {
        alarm.poll(deadline, cx)
    }

    fn run(job: Job) {
        drop(spawn_blocking(move || job.run()));
    }
}

impl<S: ByteStream> Brings<S> for Tokio {
    fn bring(stream: S) -> Stream {
        Box::new(stream)
    }
}

impl<S: ByteStream, F: Future<Output = io::Result<S>> + Send + 'static> Connects<F> for Tokio {
    fn connect(attempt: F) -> Task<io::Result<Stream>> {
        Box::pin(async move { Ok(Box::new(attempt.await?) as Stream) })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
