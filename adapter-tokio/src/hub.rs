//! What the handles of one node share: its place in the data directory, its doors, and the tasks behind them.
//!
//! Whether this program holds the directory is decided by `netchan_node::place`, anew at each attempt to reach it; here
//! doors open once it does.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::task::{Poll, ready};
use std::time::Duration;

use netchan_node::place::{self, Place};
use netchan_node::{Answer, Ask, Error, ErrorKind, Lost, Node, NodeConfig, Question, Remote, Served};
use netchan_proto::Side;
use netchan_store::StoreOptions;
use tokio::sync::{Semaphore, watch};
use tokio::task::{AbortHandle, JoinSet};

use crate::line::{Line, Reached, Way};
use crate::pump::{ByteStream, Clock, Pump};
use crate::sockets::{self, Door};

/// Connections served at once; who comes beyond is turned away.
const MAX_CONNECTIONS: usize = 4096;
/// After an accept that failed, for instance because no file descriptor was free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a question waits for somebody to hold this machine's data directory.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes between a receiver and its node within one program.
const MEMORY_STREAM: usize = 64 << 10;

/// What a node was told.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) shared: bool,
    pub(crate) listen: Option<String>,
    pub(crate) must_listen: bool,
    pub(crate) insecure: bool,
    pub(crate) store: StoreOptions,
    /// Token and the like; its store is filled in once there is one.
    pub(crate) node: NodeConfig,
}

#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) clock: Clock,
    pub(crate) settings: Settings,
    /// With a store once this program holds the data directory.
    node: RwLock<Node>,
    /// Held by who is finding the place.
    finding: tokio::sync::Mutex<()>,
    local_addr: OnceLock<SocketAddr>,
    tasks: Mutex<JoinSet<()>>,
    doors: Mutex<Vec<AbortHandle>>,
    free: Arc<Semaphore>,
    stop: watch::Sender<bool>,
}

impl Hub {
    pub(crate) async fn start(settings: Settings) -> Result<Arc<Hub>, Error> {
        if settings.listen.is_some() && settings.data_dir.is_none() {
            return Err(Error::new(
                ErrorKind::Config,
                "a node without a data directory has nothing to listen for",
            ));
        }
        let hub = Arc::new(Hub {
            clock: Clock::new(),
            node: RwLock::new(Node::new(settings.node.clone())?),
            settings,
            finding: tokio::sync::Mutex::default(),
            local_addr: OnceLock::new(),
            tasks: Mutex::default(),
            doors: Mutex::default(),
            free: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            stop: watch::Sender::new(false),
        });
        if let Some(dir) = &hub.settings.data_dir
            && hub.find(dir).await?.is_some()
            && !hub.settings.shared
        {
            let what = format!("{}: another program holds this data directory", dir.display());
            return Err(Error::new(ErrorKind::Locked, what));
        }
        Ok(hub)
    }

    /// What machines share; it has a store only while this program holds the data directory.
    pub(crate) fn node(&self) -> Node {
        self.node.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        self.local_addr.get().copied()
    }

    fn data_dir(&self) -> Result<&Path, Error> {
        let text = "this node has no data directory, and so no channels of its own";
        self.settings.data_dir.as_deref().ok_or_else(|| Error::new(ErrorKind::Config, text))
    }

    /// Whether the channels of this machine are this node's.
    pub(crate) async fn holds(self: &Arc<Hub>) -> Result<bool, Error> {
        Ok(self.find(self.data_dir()?).await?.is_none())
    }

    /// The channels of this machine: this node, or the socket of who holds the data directory.
    pub(crate) async fn find(self: &Arc<Hub>, dir: &Path) -> Result<Option<PathBuf>, Error> {
        let _turn = self.finding.lock().await;
        if *self.stop.borrow() {
            return Err(Error::new(ErrorKind::Closed, "the node was shut down"));
        }
        if self.node().store().is_some() {
            return Ok(None);
        }
        let (options, own) = (self.settings.store.clone(), dir.to_owned());
        let store = match blocking(move || place::find(&own, options)).await?? {
            Place::Own(store) => store,
            Place::Guest(socket) => return Ok(Some(socket)),
            _ => {
                return Err(Error::new(
                    ErrorKind::Locked,
                    "the data directory is held in a way unknown here",
                ));
            }
        };
        let own = NodeConfig { store: Some(store.clone()), ..self.settings.node.clone() };
        match (Node::new(own), self.doors(dir).await) {
            (Ok(node), Ok(doors)) => {
                *self.node.write().unwrap_or_else(PoisonError::into_inner) = node;
                doors.into_iter().for_each(|door| self.open(door));
                Ok(None)
            }
            (Err(error), _) | (_, Err(error)) => {
                blocking(move || store.close()).await?;
                Err(error)
            }
        }
    }

    /// Where others come in: the socket in the data directory, whose lock is held, and the address that was asked for.
    async fn doors(&self, dir: &Path) -> Result<Vec<Door>, Error> {
        let mut doors = Vec::new();
        #[cfg(unix)]
        match sockets::listen_socket(&place::socket_path(dir)) {
            Ok(listener) => doors.push(Door::Socket(listener)),
            Err(error) => {
                let what = format!("cannot listen on the socket in {}: {error}", dir.display());
                return Err(Error::new(ErrorKind::Io, what));
            }
        }
        if let Some(address) = &self.settings.listen {
            let has_token = self.settings.node.token.is_some();
            match sockets::listen(address, has_token, self.settings.insecure).await {
                Ok(listener) => {
                    let _ = listener.local_addr().map(|address| self.local_addr.set(address));
                    doors.push(Door::Tcp(listener));
                }
                Err(error) if self.settings.must_listen || error.kind() == ErrorKind::Config => {
                    return Err(error);
                }
                Err(error) => tracing::info!(%error, "nobody can call this node"),
            }
        }
        Ok(doors)
    }

    /// Serves who comes in.
    fn open(self: &Arc<Hub>, door: Door) {
        let hub = Arc::downgrade(self);
        let task = self.spawn(async move {
            loop {
                let entered = door.accept().await;
                let Some(hub) = hub.upgrade() else { return };
                match (entered, Arc::clone(&hub.free).try_acquire_owned()) {
                    (Ok((stream, trusted)), Ok(permit)) => {
                        let served = hub.serve(stream, Side::Listener, trusted);
                        hub.spawn(async move {
                            let lost = served.await;
                            tracing::debug!(%lost, "a served connection ended");
                            drop(permit);
                        });
                    }
                    (Ok(_), Err(_)) => {
                        tracing::warn!("{MAX_CONNECTIONS} connections are open: one was turned away")
                    }
                    (Err(error), _) => {
                        tracing::warn!(%error, "accepting a connection failed");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        });
        lock(&self.doors).push(task);
    }

    /// Serves this node's channels on a stream; says why it is over, once it is.
    pub(crate) fn serve(
        &self,
        stream: Box<dyn ByteStream>,
        side: Side,
        trusted: bool,
    ) -> impl Future<Output = Lost> + Send + 'static {
        let mut served = Served::new(&self.node(), side, trusted, self.clock.now());
        let mut pump = Pump::new(stream, self.clock);
        poll_fn(move |cx| {
            let lost = ready!(pump.poll_drive(&mut served, cx));
            Poll::Ready(served.ended().cloned().unwrap_or(lost))
        })
    }

    /// The way to a node, or to this machine's channels.
    pub(crate) fn way(self: &Arc<Hub>, remote: Option<Remote>) -> Result<Way, Error> {
        let Some(remote) = remote else {
            let (hub, dir) = (Arc::clone(self), self.data_dir()?.to_owned());
            return Ok(Box::new(move || {
                let (hub, dir) = (Arc::clone(&hub), dir.clone());
                Box::pin(async move { Ok(Reached { trusted: true, ..hub.reach(&dir).await? }) })
            }));
        };
        Ok(Box::new(move || {
            let remote = remote.clone();
            Box::pin(async move { Ok(Reached::new(sockets::call(&remote).await?, Side::Dialler)) })
        }))
    }

    /// A stream to this machine's channels, wherever they are now.
    async fn reach(self: &Arc<Hub>, dir: &Path) -> Result<Reached, Lost> {
        if let Some(socket) = self.find(dir).await.map_err(|error| Lost::Io(error.to_string()))? {
            return Ok(Reached::new(sockets::call_socket(&socket).await?, Side::Dialler));
        }
        let (near, far) = tokio::io::duplex(MEMORY_STREAM);
        let served = self.serve(Box::new(far), Side::Listener, true);
        self.spawn(async move { drop(served.await) });
        Ok(Reached::new(near, Side::Dialler))
    }

    /// Asks another node, or whoever holds this machine's channels.
    pub(crate) async fn ask(self: &Arc<Hub>, ask: Ask, remote: Option<Remote>) -> Result<Answer, Error> {
        let is_here = remote.is_none();
        let who = remote.as_ref().map_or_else(|| "this machine".into(), Remote::to_string);
        let way = self.way(remote)?;
        // The directory may be changing hands.
        let patience = if is_here { PATIENCE } else { Duration::ZERO };
        let question = Question::new(&self.node(), ask, who).patient(self.clock.now().plus(patience));
        let mut line = Line::new(question, Arc::clone(self), way);
        poll_fn(|cx| line.poll_until(cx, Question::take_answer)).await
    }

    /// Runs a task that ends with this node at the latest.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let mut tasks = lock(&self.tasks);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task)
    }

    /// Ready once the node is shut down.
    pub(crate) fn stopped(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut stop = self.stop.subscribe();
        async move { drop(stop.wait_for(|&stops| stops).await) }
    }

    pub(crate) async fn shut_down(&self, deadline: Duration) -> Result<(), Error> {
        self.stop.send_replace(true);
        self.node().shut_down(deadline);
        // A take-over that is under way comes to its end first.
        let _turn = self.finding.lock().await;
        self.node().shut_down(deadline);
        lock(&self.doors).drain(..).for_each(|door| door.abort());
        let mut tasks = std::mem::take(&mut *lock(&self.tasks));
        let leave = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(deadline, leave).await.is_err() {
            tasks.shutdown().await;
        }
        match self.node().store().cloned() {
            Some(store) => blocking(move || store.close()).await,
            None => Ok(()),
        }
    }
}

/// Runs what may wait for the disk where that is allowed.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::new(ErrorKind::Closed, format!("the runtime did not do it: {error}")))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
