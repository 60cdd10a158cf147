//! How to receive from a channel.

use std::sync::Arc;

use netchan_proto::{CursorName, Filter, Side, Start, Timestamp};

use crate::error::{Error, ErrorKind};
use crate::handles::sending::through;
use crate::handles::{Adapter, Brings, Connects, Hub, Reached, Receiver, Way};
use crate::machine::Lost;
use crate::receiver::{ReceiverCore, ReceiverOptions, Wanted};
use crate::target::{Remote, Target};

/// How to receive from a channel. Made by [`Node::receiver`](crate::Handle::receiver).
#[must_use = "nothing happens before open()"]
pub struct ReceiverBuilder<A: Adapter> {
    hub: Arc<Hub<A>>,
    what: Result<(Option<Remote>, ReceiverOptions), Error>,
    way: Option<Way<A::Stream>>,
}

impl<A: Adapter> ReceiverBuilder<A> {
    pub(super) fn new(hub: Arc<Hub<A>>, target: &str) -> ReceiverBuilder<A> {
        let what = Target::parse(target).map(|target| (target.remote, ReceiverOptions::new(target.name)));
        ReceiverBuilder { hub, what, way: None }
    }

    /// Where to begin; [`Start::Latest`], the next record to come, if nothing is said.
    pub fn from(self, start: Start) -> ReceiverBuilder<A> {
        self.set(|options| options.start = start)
    }

    /// Bytes that may be under way to this receiver. Default 1 MiB.
    pub fn window(self, bytes: u64) -> ReceiverBuilder<A> {
        self.set(|options| options.window = bytes)
    }

    /// Whether to go on past what is there at the first connection (the default).
    pub fn follow(self, follow: bool) -> ReceiverBuilder<A> {
        self.set(|options| options.follow = follow)
    }

    /// Whether to wait for a channel that does not exist yet (the default).
    pub fn wait(self, wait: bool) -> ReceiverBuilder<A> {
        self.set(|options| options.wait = wait)
    }

    /// Ends before the first record at or after this time.
    pub fn until(self, time: Timestamp) -> ReceiverBuilder<A> {
        self.set(|options| options.until = Some(time))
    }

    /// Receives only records that pass this filter, `"key ^= 'user.' and json.level == 'error'"` for one: the sender judges
    /// them, and sends no others. Offsets stay as they are, and [`position`](crate::handles::Receiver::position) moves over what
    /// does not pass. What can be asked for, and what it means where a field is missing, is said in `spec/14-filters.md`.
    ///
    /// [`open`](Self::open) fails with [`ErrorKind::Filter`](crate::ErrorKind::Filter) if it is none, and says the line, the
    /// column, and what was expected there.
    pub fn filter(self, filter: impl AsRef<str>) -> ReceiverBuilder<A> {
        let filter = Filter::parse(filter.as_ref()).map_err(Error::from);
        let what = self.what.and_then(|(remote, options)| {
            let filter = Some(filter?);
            Ok((remote, ReceiverOptions { filter, ..options }))
        });
        ReceiverBuilder { what, ..self }
    }

    /// Receives by the cursor of this name, which the sender's node keeps: from where it stands, and from
    /// [`from`](Self::from) if there is none yet, which makes it. It moves when this receiver
    /// [commits](crate::handles::Receiver::commit), and never by what is received, so what was not committed is received
    /// again, by whoever takes it next, from any machine.
    ///
    /// Opening takes it: whoever read by it before is told
    /// [`ErrorKind::CursorTaken`](crate::ErrorKind::CursorTaken) at its next commit, which is refused, and receives nothing
    /// more. Retention does not wait for cursors: what was trimmed meanwhile is told as a gap. A name is 1 to 64 ASCII letters, digits and `. _ -`, and belongs to its channel.
    pub fn cursor(self, name: impl AsRef<str>) -> ReceiverBuilder<A> {
        let cursor = CursorName::new(name.as_ref()).map_err(Error::from);
        let what = self.what.and_then(|(remote, options)| {
            let cursor = Some(cursor?);
            Ok((remote, ReceiverOptions { cursor, ..options }))
        });
        ReceiverBuilder { what, ..self }
    }

    /// Receives over this one stream, which is up already; `side` says which part it has in the handshake. The host
    /// and port of the target, if it has them, are for messages only.
    pub fn over<S>(self, stream: S, side: Side) -> ReceiverBuilder<A>
    where
        A: Brings<S>,
    {
        ReceiverBuilder { way: Some(only::<A, S>(stream, side)), ..self }
    }

    /// Receives over streams that `connect` makes, a new one whenever the last was lost.
    pub fn connect_with<C>(self, connect: impl FnMut() -> C + Send + 'static) -> ReceiverBuilder<A>
    where
        A: Connects<C>,
    {
        ReceiverBuilder { way: Some(through::<A, C>(connect)), ..self }
    }

    /// Receives from a node that calls here, see [`Handle::dial`](crate::Handle::dial).
    pub fn accept_on(self, listener: A::Listener) -> ReceiverBuilder<A> {
        ReceiverBuilder { way: Some(accepting::<A>(listener)), ..self }
    }

    /// A receiver. Waits until the other side has said where reading begins (so that nothing sent later is missed), or
    /// that the channel does not exist yet, or until a first attempt to reach it failed (it is tried again by
    /// `recv`); with [`accept_on`](Self::accept_on) for the first call.
    ///
    /// # Errors
    /// [`ErrorKind::Target`](crate::ErrorKind::Target) if the target is none,
    /// [`ErrorKind::Filter`](crate::ErrorKind::Filter) if the filter is none. What the other side has to say
    /// against it, `recv` tells.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub fn open(self) -> A::Given<Result<A::Receiver, Error>> {
        A::give(async move { self.opened().await.map(A::Receiver::from) })
    }

    pub(super) async fn opened(self) -> Result<Receiver<A>, Error> {
        let (remote, options) = self.what?;
        let way = match self.way {
            Some(way) => way,
            None => self.hub.way(remote)?,
        };
        let core = ReceiverCore::new(&self.hub.node(), options);
        let receiver = Receiver::settled(self.hub, core, way).await;
        match receiver.failure() {
            Some(error) if error.kind() == ErrorKind::Content => Err(error),
            _ => Ok(receiver),
        }
    }

    pub(super) fn wanting(self, wanted: Wanted) -> ReceiverBuilder<A> {
        self.set(|options| options.content = Some(wanted))
    }

    fn set(mut self, set: impl FnOnce(&mut ReceiverOptions)) -> ReceiverBuilder<A> {
        self.what = self.what.map(|(remote, mut options)| {
            set(&mut options);
            (remote, options)
        });
        self
    }
}

/// The way that is this one stream.
pub(super) fn only<A: Brings<S>, S>(stream: S, side: Side) -> Way<A::Stream> {
    let mut stream = Some(A::bring(stream));
    Box::new(move || {
        let reached = match stream.take() {
            Some(Ok(stream)) => Ok(Reached::new(stream, side)),
            Some(Err(error)) => Err(Lost::Final(error.to_string())),
            None => Err(Lost::Final("the stream that was given has ended".into())),
        };
        Box::pin(async move { reached })
    })
}

/// The way that others come.
pub(super) fn accepting<A: Adapter>(listener: A::Listener) -> Way<A::Stream> {
    let door: Arc<A::Door> = Arc::new(listener.into());
    Box::new(move || {
        let door = Arc::clone(&door);
        Box::pin(async move { Ok(Reached::new(A::accept(&door).await?.stream, Side::Listener)) })
    })
}
