//! What the handles of one node share: its place in the data directory, its doors, and the ways from it.
//!
//! Whether this program holds the directory is decided by [`place`], anew at each attempt to reach it; here doors open
//! once it does. Owns how many are let in, and the order in which a node shuts down.

use std::future::{Future, poll_fn};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, Weak};
use std::task::Poll;
use std::time::Duration;

use netchan_proto::limits::{HANDSHAKE_TIMEOUT, MAX_TURNED_AWAY};
use netchan_proto::{Instant, Side};
use netchan_store::StoreOptions;

use crate::budget::TurnedAway;
use crate::config::{NodeConfig, may_listen};
use crate::error::{Error, ErrorKind};
use crate::handles::line::drive;
use crate::handles::pump::Pump;
use crate::handles::tasks::Tasks;
use crate::handles::{Adapter, Alarm, Entered, Reached, Way};
use crate::machine::{Lost, Machine};
use crate::node::Node;
use crate::place::{self, Place};
use crate::publisher::{PublisherCore, Shared};
use crate::question::{Answer, Ask, Question};
use crate::serve::Served;
use crate::sync::Mutex;
use crate::target::Remote;
use crate::wake::lock;

/// After an accept that failed, for instance because no file descriptor was free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a question waits for somebody to hold this machine's data directory.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a node was told.
#[derive(Debug, Default)]
pub(super) struct Settings {
    pub(super) data_dir: Option<PathBuf>,
    pub(super) shared: bool,
    pub(super) guest: bool,
    pub(super) listen: Option<String>,
    pub(super) must_listen: bool,
    pub(super) insecure: bool,
    pub(super) store: StoreOptions,
    /// Token and the like; its store is filled in once there is one.
    pub(super) node: NodeConfig,
}

/// What was not done when a node was shut down, because the time for it was over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Left {
    /// Connections that were cut off: of peers that were served, and to nodes that were published to.
    pub connections: usize,
    /// Records that were sent to other nodes and not acknowledged. They may or may not be in their channels.
    pub records: u64,
}

/// What the handles of one node share.
#[derive(Debug)]
pub struct Hub<A: Adapter> {
    adapter: A,
    tasks: Tasks<A::Running>,
    pub(super) settings: Settings,
    /// With a store once this program holds the data directory.
    node: RwLock<Node>,
    /// Held by who is finding the place.
    finding: Mutex<()>,
    local_addr: OnceLock<SocketAddr>,
    /// Who is being told that there is no seat.
    turned_away: Arc<()>,
    stop: Mutex<Stop>,
}

#[derive(Debug, Default)]
struct Stop {
    is_stopping: bool,
    /// Who is to come to an end then.
    publishers: Vec<Weak<Shared>>,
}

/// A door, and whether coming in by it proves who one is.
type Entrance<A> = (<A as Adapter>::Door, bool);

impl<A: Adapter> Hub<A> {
    pub(super) async fn start(settings: Settings) -> Result<Arc<Hub<A>>, Error> {
        if settings.listen.is_some() && settings.data_dir.is_none() {
            let what = "a node without a data directory has nothing to listen for";
            return Err(Error::new(ErrorKind::Config, what));
        }
        let hub = Arc::new(Hub {
            adapter: A::new(),
            tasks: Tasks::default(),
            node: RwLock::new(Node::new(settings.node.clone())?),
            settings,
            finding: Mutex::default(),
            local_addr: OnceLock::new(),
            turned_away: Arc::default(),
            stop: Mutex::default(),
        });
        if let Some(dir) = &hub.settings.data_dir
            && !hub.settings.guest
            && hub.find(dir).await?.is_some()
            && !hub.settings.shared
        {
            let what = format!("{}: another program holds this data directory", dir.display());
            return Err(Error::new(ErrorKind::Locked, what));
        }
        Ok(hub)
    }

    /// The runtime it works with.
    pub(super) fn adapter(&self) -> &A {
        &self.adapter
    }

    fn now(&self) -> Instant {
        self.adapter.alarm().now()
    }

    /// `call`, unless it takes longer than a handshake may.
    async fn in_time<T>(&self, call: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let (mut call, mut alarm) = (pin!(call), self.adapter.alarm());
        let until = alarm.now().plus(HANDSHAKE_TIMEOUT);
        poll_fn(|cx| match call.as_mut().poll(cx) {
            Poll::Pending => alarm.poll(Some(until), cx).map(|()| Err(io::ErrorKind::TimedOut.into())),
            called => called,
        })
        .await
    }

    /// What machines share; it has a store only while this program holds the data directory.
    pub(super) fn node(&self) -> Node {
        self.node.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn local_addr(&self) -> Option<SocketAddr> {
        self.local_addr.get().copied()
    }

    fn data_dir(&self) -> Result<&Path, Error> {
        let text = "this node has no data directory, and so no channels of its own";
        self.settings.data_dir.as_deref().ok_or_else(|| Error::new(ErrorKind::Config, text))
    }

    /// Whether the channels of this machine are this node's.
    pub(super) async fn holds(self: &Arc<Self>) -> Result<bool, Error> {
        Ok(self.find(self.data_dir()?).await?.is_none())
    }

    /// The channels of this machine: this node (`None`), or the socket of who holds the data directory.
    async fn find(self: &Arc<Self>, dir: &Path) -> Result<Option<PathBuf>, Error> {
        if !lock(&self.stop).is_stopping && self.node().store().is_some() {
            return Ok(None);
        }
        let (hub, dir) = (Arc::clone(self), dir.to_owned());
        A::blocking(move || hub.take_place(&dir)).await?
    }

    /// As [`find`](Self::find), once it has come to its turn. Blocks.
    fn take_place(self: &Arc<Self>, dir: &Path) -> Result<Option<PathBuf>, Error> {
        let _turn = lock(&self.finding);
        if lock(&self.stop).is_stopping {
            return Err(Error::new(ErrorKind::Closed, "the node was shut down"));
        }
        if self.node().store().is_some() {
            return Ok(None);
        }
        if self.settings.guest {
            return Ok(Some(place::socket_path(dir)));
        }
        let store = match place::find(dir, self.settings.store.clone())? {
            Place::Own(store) => store,
            Place::Guest(socket) => return Ok(Some(socket)),
        };
        let own = NodeConfig { store: Some(store.clone()), ..self.settings.node.clone() };
        match (Node::new(own), self.doors(dir)) {
            (Ok(node), Ok(doors)) => {
                *self.node.write().unwrap_or_else(PoisonError::into_inner) = node;
                doors.into_iter().for_each(|door| self.open(door));
                Ok(None)
            }
            (Err(error), _) | (_, Err(error)) => {
                store.close();
                Err(error)
            }
        }
    }

    /// Where others come in: the socket in the data directory, whose lock is held, and the address that was asked for.
    /// Blocks.
    fn doors(&self, dir: &Path) -> Result<Vec<Entrance<A>>, Error> {
        let socket = A::listen_socket(&place::socket_path(dir)).map_err(|error| {
            let what = format!("cannot listen on the socket in {}: {error}", dir.display());
            Error::new(ErrorKind::Io, what)
        })?;
        let mut doors = Vec::from_iter(socket.map(|door| (door, true)));
        if let Some(address) = &self.settings.listen {
            match self.listen(address) {
                Ok(door) => doors.push((door, false)),
                Err(error) if self.settings.must_listen || error.kind() == ErrorKind::Config => {
                    return Err(error);
                }
                Err(error) => tracing::info!(%error, "nobody can call this node"),
            }
        }
        Ok(doors)
    }

    /// Listens on `HOST:PORT`, if it may. Blocks.
    fn listen(&self, address: &str) -> Result<A::Door, Error> {
        let refuse =
            |error| Error::new(ErrorKind::Unreachable, format!("cannot listen on {address}: {error}"));
        let has_token = self.settings.node.token.is_some() || !self.settings.node.grants.is_empty();
        let addresses: Vec<SocketAddr> = address.to_socket_addrs().map_err(refuse)?.collect();
        addresses.iter().try_for_each(|&address| may_listen(address, has_token, self.settings.insecure))?;
        let (door, local_addr) = A::listen(&addresses).map_err(refuse)?;
        tracing::info!(address = %local_addr, has_token, "listening");
        let _ = self.local_addr.set(local_addr);
        Ok(door)
    }

    /// Serves who comes in.
    fn open(self: &Arc<Self>, (door, trusted): Entrance<A>) {
        let (hub, door) = (Arc::downgrade(self), Arc::new(door));
        self.tasks.add_door(A::spawn(Box::pin(async move {
            loop {
                let entered = A::accept(&door).await;
                let Some(hub) = hub.upgrade() else { return };
                match entered {
                    Ok(entered) => hub.enter(entered, trusted),
                    Err(error) => {
                        hub.node().stats().doors().accepts_failed.add(1);
                        tracing::warn!(%error, "accepting a connection failed");
                        let mut alarm = hub.adapter.alarm();
                        drop(hub);
                        let until = alarm.now().plus(ACCEPT_PAUSE);
                        poll_fn(|cx| alarm.poll(Some(until), cx)).await;
                    }
                }
            }
        })));
    }

    /// Serves who came in, if there is a seat.
    fn enter(self: &Arc<Self>, Entered { stream, address }: Entered<A::Stream>, trusted: bool) {
        let node = self.node();
        let peer = address.map_or_else(|| "this machine".to_owned(), |at| at.to_string());
        let served = || Served::new(&node, Side::Listener, trusted, self.now()).called_from(&*peer);
        match node.budget().admit(address.map(|at| at.ip().to_canonical()), trusted) {
            Ok(seat) => {
                let served = self.driven(served().seated(seat), stream);
                self.spawn(async move { drop(served.await) });
            }
            Err(why) => {
                let doors = node.stats().doors();
                match why {
                    TurnedAway::Full => doors.turned_away_full.add(1),
                    TurnedAway::Address => doors.turned_away_address.add(1),
                }
                tracing::warn!(peer, %why, "a connection was turned away");
                let told = Arc::clone(&self.turned_away);
                if Arc::strong_count(&told) <= MAX_TURNED_AWAY + 1 {
                    let served = self.driven(served().turned_away(why), stream);
                    self.spawn(async move {
                        served.await;
                        drop(told);
                    });
                }
            }
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.add(A::spawn(Box::pin(task)));
    }

    /// Serves this node's channels on a stream from `peer`; says why it is over, once it is.
    pub(super) fn serve(
        &self,
        stream: A::Stream,
        side: Side,
        trusted: bool,
        peer: &str,
    ) -> impl Future<Output = Lost> + Send + use<A> {
        self.driven(Served::new(&self.node(), side, trusted, self.now()).called_from(peer), stream)
    }

    fn driven(&self, mut served: Served, stream: A::Stream) -> impl Future<Output = Lost> + Send + use<A> {
        let mut pump = Pump::<A>::new(stream, self.adapter.alarm());
        poll_fn(move |cx| {
            pump.poll_drive(&mut served, cx).map(|lost| served.ended().cloned().unwrap_or(lost))
        })
    }

    /// The way to a node, or to this machine's channels.
    pub(super) fn way(self: &Arc<Self>, remote: Option<Remote>) -> Result<Way<A::Stream>, Error> {
        let Some(remote) = remote else {
            let (hub, dir) = (Arc::clone(self), self.data_dir()?.to_owned());
            return Ok(Box::new(move || {
                let (hub, dir) = (Arc::clone(&hub), dir.clone());
                Box::pin(async move {
                    let stream = hub.reach(&dir).await?;
                    Ok(Reached { stream, side: Side::Dialler, trusted: true })
                })
            }));
        };
        let hub = Arc::clone(self);
        Ok(Box::new(move || {
            let (hub, call) = (Arc::clone(&hub), A::call(remote.clone()));
            Box::pin(async move { Ok(Reached::new(hub.in_time(call).await?, Side::Dialler)) })
        }))
    }

    /// A stream to this machine's channels, wherever they are now.
    async fn reach(self: &Arc<Self>, dir: &Path) -> Result<A::Stream, Lost> {
        if let Some(socket) = self.find(dir).await.map_err(|error| Lost::Io(error.to_string()))? {
            return Ok(self.in_time(A::call_socket(&socket)).await?);
        }
        let (near, far) = A::pair()?;
        let served = self.serve(far, Side::Listener, true, "this program");
        self.spawn(async move { drop(served.await) });
        Ok(near)
    }

    /// Asks another node, or whoever holds this machine's channels.
    pub(super) async fn ask(self: Arc<Self>, ask: Ask, remote: Option<Remote>) -> Result<Answer, Error> {
        if remote.is_none()
            && let Some(answer) = self.answer(&ask).await?
        {
            return Ok(answer);
        }
        // This machine's directory may be changing hands.
        let waits = remote.is_none() && !self.settings.guest;
        let patience = if waits { PATIENCE } else { Duration::ZERO };
        let who = remote.as_ref().map_or_else(|| "this machine".into(), Remote::to_string);
        let way = self.way(remote)?;
        let question = Question::new(&self.node(), ask, who).patient(self.now().plus(patience));
        drive(self, question, way, Question::take_answer).await
    }

    /// What this node can say of itself, if it is the one that is asked: a connection to itself would be counted.
    async fn answer(self: &Arc<Self>, ask: &Ask) -> Result<Option<Answer>, Error> {
        if !matches!(ask, Ask::Status | Ask::Readers { .. } | Ask::List { .. }) || !self.holds().await? {
            return Ok(None);
        }
        let (node, ask) = (self.node(), ask.clone());
        A::blocking(move || match ask {
            Ask::Status => Ok(Some(Answer::Status(Box::new(node.status())))),
            Ask::Readers { channel, limit } => {
                Ok(Some(Answer::Readers(node.all_readers(channel.as_ref(), limit))))
            }
            Ask::List { after, names, limit } => {
                node.list(after.as_ref(), &names, limit).map(|logs| Some(Answer::List(logs)))
            }
            _ => Ok(None),
        })
        .await?
    }

    /// Runs a publisher until it is over, to which it comes when the node is shut down.
    pub(super) fn publish(self: &Arc<Self>, core: PublisherCore, way: Way<A::Stream>) {
        let mut stop = lock(&self.stop);
        if stop.is_stopping {
            core.begin_close();
        } else {
            stop.publishers.retain(|publisher| publisher.strong_count() > 0);
            stop.publishers.push(Arc::downgrade(core.shared()));
        }
        drop(stop);
        self.spawn(drive(Arc::clone(self), core, way, |core| core.is_over().then_some(())));
    }

    pub(super) async fn shut_down(self: Arc<Self>, deadline: Duration) -> Result<Left, Error> {
        let publishers: Vec<Arc<Shared>> = {
            let mut stop = lock(&self.stop);
            stop.is_stopping = true;
            stop.publishers.iter().filter_map(Weak::upgrade).collect()
        };
        tracing::info!(?deadline, "the node stops");
        publishers.iter().for_each(|publisher| publisher.begin_close());
        self.node().shut_down(deadline);
        // A take-over that is under way comes to its end first.
        let hub = Arc::clone(&self);
        A::blocking(move || drop(lock(&hub.finding))).await?;
        self.node().shut_down(deadline);
        let connections = self.tasks.end(self.now().plus(deadline), self.adapter.alarm()).await;
        let records = publishers.iter().map(|publisher| publisher.unacknowledged()).sum();
        if let Some(store) = self.node().store().cloned() {
            A::blocking(move || store.close()).await?;
        }
        Ok(Left { connections, records })
    }
}
