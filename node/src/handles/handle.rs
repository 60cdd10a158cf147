//! The node that a program holds.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use netchan_proto::conn::ConnectionError;
use netchan_proto::wire::{
    Before, CursorInfo, CursorKey, CursorSet, Description, Keep, NodeStatus, ReadersReply, Truncate,
};
use netchan_proto::{CursorName, LogInfo, NodeId, Offset, Settings, Side, Start};

use crate::error::{Error, ErrorKind};
use crate::handles::line::drive;
use crate::handles::{
    Adapter, Alarm, Brings, Hub, Left, NodeBuilder, PatternBuilder, ReceiverBuilder, SenderBuilder,
};
use crate::machine::{Lost, Machine};
use crate::question::{Answer, Ask};
use crate::serve::Calling;
use crate::target::{Remote, Target, parse_channels, parse_names, parse_node};

/// The most readers and publishers that are asked for at a time.
const READERS: usize = 1 << 16;

/// One program's part in netchan: its data directory, its listeners, and what it reads and publishes. Cheap to clone.
///
/// When the last handle is gone (and the last receiver, which has one), peers are not served any more; what was sent
/// is written all the same, and what was sent to other nodes goes on being sent until they have acknowledged it, however
/// long they are away. Dropping waits for nothing, wherever it is done. [`shutdown`](Self::shutdown) waits, takes leave of
/// peers, and gives up at its deadline.
pub struct Handle<A: Adapter>(pub(super) Arc<Hub<A>>);

impl<A: Adapter> Clone for Handle<A> {
    fn clone(&self) -> Handle<A> {
        Handle(Arc::clone(&self.0))
    }
}

impl<A: Adapter> Handle<A> {
    /// A node to be told where its data is and where to listen.
    pub fn builder() -> NodeBuilder<A> {
        NodeBuilder::default()
    }

    /// The node's identity: its data directory's, or a new one where it holds none.
    pub fn id(&self) -> NodeId {
        self.0.node().id()
    }

    /// Where it listens, with the port that was picked if 0 was asked for.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.0.local_addr()
    }

    /// Whether this program holds the data directory now; see [`NodeBuilder::shared`].
    pub fn is_holder(&self) -> bool {
        self.0.node().store().is_some()
    }

    /// To send into a channel: `NAME` on this machine, or `HOST:PORT/NAME`.
    pub fn sender(&self, target: impl AsRef<str>) -> SenderBuilder<A> {
        SenderBuilder::new(Arc::clone(&self.0), target.as_ref())
    }

    /// To receive from a channel: `NAME` on this machine, or `HOST:PORT/NAME`.
    pub fn receiver(&self, target: impl AsRef<str>) -> ReceiverBuilder<A> {
        ReceiverBuilder::new(Arc::clone(&self.0), target.as_ref())
    }

    /// To receive from all channels whose names match: `PATTERN` on this machine, or `HOST:PORT/PATTERN`. `logs/*` are those one
    /// level below `logs`, `logs/**` are all below it and `logs` itself.
    pub fn receiver_of(&self, target: impl AsRef<str>) -> PatternBuilder<A> {
        PatternBuilder::new(Arc::clone(&self.0), target.as_ref())
    }

    /// The channels of a place, in the order of their names: `""` is this machine, `PREFIX` those of it whose names
    /// begin so, `HOST:PORT` and `HOST:PORT/PREFIX` those of another node. What has a `*` in it is a
    /// [`Pattern`](netchan_proto::Pattern) and matches whole names: `logs/*` those one level below, `logs/**` all.
    ///
    /// # Errors
    /// [`Error`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub fn channels(&self, place: impl AsRef<str>) -> A::Given<Result<Vec<LogInfo>, Error>> {
        let asked = parse_names(place.as_ref())
            .map(|(remote, names)| (remote, Ask::List { after: None, names, limit: usize::MAX }));
        self.ask(asked, |answer| match answer {
            Answer::List(infos) => Ok(infos),
            answer => Err(answer),
        })
    }

    /// What there is to say of a channel.
    ///
    /// # Errors
    /// [`ErrorKind::NoChannel`](ErrorKind::NoChannel) if there is none.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub fn info(&self, target: impl AsRef<str>) -> A::Given<Result<LogInfo, Error>> {
        let asked = Target::parse(target.as_ref()).map(|target| (target.remote, Ask::Info(target.name)));
        self.ask(asked, |answer| match answer {
            Answer::Info(info) => Ok(*info),
            answer => Err(answer),
        })
    }

    /// How a node is, and what it has counted since it was started: `""` is who holds this machine's data directory (this
    /// node, if it does), `HOST:PORT` another node.
    ///
    /// # Errors
    /// [`Error`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub fn status(&self, place: impl AsRef<str>) -> A::Given<Result<NodeStatus, Error>> {
        let asked = parse_node(place.as_ref()).map(|remote| (remote, Ask::Status));
        self.ask(asked, |answer| match answer {
            Answer::Status(status) => Ok(*status),
            answer => Err(answer),
        })
    }

    /// As [`status`](Self::status), of this node itself, whether or not it holds a data directory. May wait for the disk.
    ///
    /// # Errors
    /// [`Error`] if the runtime is shutting down.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub fn own_status(&self) -> A::Given<Result<NodeStatus, Error>> {
        let node = self.0.node();
        A::give(async move { A::blocking(move || node.status()).await })
    }

    /// Who reads and publishes, in the order in which they came: `""` on this machine, `NAME` a channel of it, `HOST:PORT`
    /// and `HOST:PORT/NAME` likewise on another node.
    ///
    /// # Errors
    /// [`Error`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub fn readers(&self, place: impl AsRef<str>) -> A::Given<Result<ReadersReply, Error>> {
        let asked = parse_channels(place.as_ref())
            .map(|(remote, channel)| (remote, Ask::Readers { channel, limit: READERS }));
        self.ask(asked, |answer| match answer {
            Answer::Readers(readers) => Ok(readers),
            answer => Err(answer),
        })
    }

    /// How a channel is kept: what was said when it was made, and since.
    ///
    /// # Errors
    /// [`ErrorKind::NoChannel`](ErrorKind::NoChannel) if there is none.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub fn settings(&self, target: impl AsRef<str>) -> A::Given<Result<Description, Error>> {
        self.administer(
            Target::parse(target.as_ref()).map(|target| (target.remote, Ask::Describe(target.name))),
        )
    }

    /// Makes a channel that is kept as `settings` say, and as its node chooses where they say nothing. One that is there,
    /// and is kept so, is as good. Durable when it gives how the channel is kept.
    ///
    /// # Errors
    /// [`ErrorKind::Exists`](ErrorKind::Exists) if it is there and is kept otherwise.
    ///
    /// # Cancel safety
    /// If it is dropped before it is ready, the channel may be made or not; it does no harm to make it again.
    pub fn create(
        &self,
        target: impl AsRef<str>,
        settings: Settings,
    ) -> A::Given<Result<Description, Error>> {
        self.administer(keep(target.as_ref(), settings).map(|(remote, keep)| (remote, Ask::Create(keep))))
    }

    /// Keeps a channel as `settings` say from now on, and as it was where they say nothing; what may go then goes. Durable
    /// when it gives how the channel is kept.
    ///
    /// # Errors
    /// [`ErrorKind::NoChannel`](ErrorKind::NoChannel) if there is none; [`ErrorKind::Denied`](ErrorKind::Denied) for what is
    /// said once, when a channel is made.
    ///
    /// # Cancel safety
    /// If it is dropped before it is ready, all of it may be changed, or nothing.
    pub fn change(
        &self,
        target: impl AsRef<str>,
        settings: Settings,
    ) -> A::Given<Result<Description, Error>> {
        self.administer(keep(target.as_ref(), settings).map(|(remote, keep)| (remote, Ask::Change(keep))))
    }

    /// Lets all records before a place go for good, whatever retention says; receivers who wanted them are told a gap. The
    /// newest are never truncated: who wants to begin anew deletes the channel. Durable when it gives how the channel is
    /// kept.
    ///
    /// # Errors
    /// [`ErrorKind::NoChannel`](ErrorKind::NoChannel) if there is none; [`ErrorKind::BeyondEnd`](ErrorKind::BeyondEnd) for an
    /// offset beyond its end.
    ///
    /// # Cancel safety
    /// If it is dropped before it is ready, the records may be gone or not.
    pub fn truncate(&self, target: impl AsRef<str>, before: Before) -> A::Given<Result<Description, Error>> {
        self.administer(
            Target::parse(target.as_ref())
                .map(|target| (target.remote, Ask::Truncate(Truncate { name: target.name, before }))),
        )
    }

    fn administer(
        &self,
        asked: Result<(Option<Remote>, Ask), Error>,
    ) -> A::Given<Result<Description, Error>> {
        self.ask(asked, |answer| match answer {
            Answer::Description(description) => Ok(*description),
            answer => Err(answer),
        })
    }

    /// Says that a channel is complete: nothing can be sent into it any more. Durable when it gives the offset after the
    /// last record.
    ///
    /// # Errors
    /// [`ErrorKind::NoChannel`](ErrorKind::NoChannel) if there is none. Sealing what is sealed is no error.
    ///
    /// # Cancel safety
    /// If it is dropped before it is ready, the channel may be sealed or not.
    pub fn seal(&self, target: impl AsRef<str>) -> A::Given<Result<Offset, Error>> {
        let asked = Target::parse(target.as_ref()).map(|target| (target.remote, Ask::Seal(target.name)));
        self.ask(asked, |answer| match answer {
            Answer::Sealed(end) => Ok(end),
            answer => Err(answer),
        })
    }

    /// Deletes a channel and its records.
    ///
    /// # Errors
    /// [`ErrorKind::NoChannel`](ErrorKind::NoChannel) if there is none.
    ///
    /// # Cancel safety
    /// If it is dropped before it is ready, the channel may be deleted or not.
    pub fn delete(&self, target: impl AsRef<str>) -> A::Given<Result<(), Error>> {
        let asked = Target::parse(target.as_ref()).map(|target| (target.remote, Ask::Delete(target.name)));
        self.ask(asked, |_| Ok(()))
    }

    /// The cursors of a place, in the order of channels and names: `""` on this machine, `NAME` those of a channel of it,
    /// `HOST:PORT` and `HOST:PORT/NAME` likewise on another node. Those of channels that are gone are among them.
    ///
    /// # Errors
    /// [`Error`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub fn cursors(&self, place: impl AsRef<str>) -> A::Given<Result<Vec<CursorInfo>, Error>> {
        let asked =
            parse_channels(place.as_ref()).map(|(remote, channel)| (remote, Ask::Cursors { channel }));
        self.ask(asked, |answer| match answer {
            Answer::Cursors(cursors) => Ok(cursors),
            answer => Err(answer),
        })
    }

    /// Moves a cursor of a channel to wherever `start` is, back too, and whoever has it: a receiver that reads by it is told
    /// [`ErrorKind::CursorMoved`](ErrorKind::CursorMoved) at its next commit, and goes on from there. With `make` it is made
    /// if there is none. Durable when it gives how the cursor is then.
    ///
    /// # Errors
    /// [`ErrorKind::NoCursor`](ErrorKind::NoCursor), [`ErrorKind::NoChannel`](ErrorKind::NoChannel),
    /// [`ErrorKind::BeyondEnd`](ErrorKind::BeyondEnd), [`ErrorKind::OtherLog`](ErrorKind::OtherLog),
    /// [`ErrorKind::TooManyCursors`](ErrorKind::TooManyCursors).
    ///
    /// # Cancel safety
    /// If it is dropped before it is ready, the cursor may be moved or not.
    pub fn set_cursor(
        &self,
        target: impl AsRef<str>,
        cursor: impl AsRef<str>,
        start: Start,
        make: bool,
    ) -> A::Given<Result<CursorInfo, Error>> {
        let asked = cursor_key(target.as_ref(), cursor.as_ref())
            .map(|(remote, key)| (remote, Ask::SetCursor(CursorSet { key, start, make })));
        self.ask(asked, |answer| match answer {
            Answer::Cursor(info) => Ok(*info),
            answer => Err(answer),
        })
    }

    /// Deletes a cursor of a channel, also if the channel is gone.
    ///
    /// # Errors
    /// [`ErrorKind::NoCursor`](ErrorKind::NoCursor) if there is none.
    ///
    /// # Cancel safety
    /// If it is dropped before it is ready, the cursor may be deleted or not.
    pub fn delete_cursor(
        &self,
        target: impl AsRef<str>,
        cursor: impl AsRef<str>,
    ) -> A::Given<Result<(), Error>> {
        let asked = cursor_key(target.as_ref(), cursor.as_ref())
            .map(|(remote, key)| (remote, Ask::DeleteCursor(key)));
        self.ask(asked, |_| Ok(()))
    }

    /// Asks, and gives what `take` takes for an answer.
    fn ask<T: Send + 'static>(
        &self,
        asked: Result<(Option<Remote>, Ask), Error>,
        take: impl FnOnce(Answer) -> Result<T, Answer> + Send + 'static,
    ) -> A::Given<Result<T, Error>> {
        let hub = Arc::clone(&self.0);
        A::give(async move {
            let (remote, ask) = asked?;
            take(hub.ask(ask, remote).await?).map_err(|answer| {
                Error::new(ErrorKind::Protocol, format!("this answers another question: {answer:?}"))
            })
        })
    }

    /// Serves this node's channels over a stream of any kind (standard input and output, ssh, TLS) until it ends. A
    /// [token](NodeBuilder::token), if the node has one, is asked for.
    ///
    /// # Errors
    /// Why it ended, if not by the peer's closing it.
    ///
    /// # Cancel safety
    /// Dropping it closes the stream.
    pub fn serve_stream<S>(&self, stream: S, side: Side) -> A::Given<Result<(), Error>>
    where
        A: Brings<S>,
    {
        let (hub, stream) = (Arc::clone(&self.0), A::bring(stream));
        A::give(async move {
            let stream = stream.map_err(|error| Error::new(ErrorKind::Io, error.to_string()))?;
            match hub.serve(stream, side, false, "a stream").await {
                Lost::Eof | Lost::Connection(ConnectionError::Closed) => Ok(()),
                Lost::Connection(
                    ConnectionError::Ours { code, text } | ConnectionError::Theirs { code, text },
                ) => Err(Error::of_code(code, None, &text, "a served stream")),
                lost => Err(Error::new(ErrorKind::Unreachable, lost.to_string())),
            }
        })
    }

    /// Calls a receiver that listens ([`ReceiverBuilder::accept_on`]), for a node that cannot be called itself, and
    /// serves it; again and again, until the future is dropped or the node shut down.
    ///
    /// # Errors
    /// What calling again will not mend.
    ///
    /// # Cancel safety
    /// Dropping it closes the connection.
    pub fn dial(&self, address: impl AsRef<str>) -> A::Given<Result<(), Error>> {
        let (hub, remote) = (Arc::clone(&self.0), address.as_ref().parse::<Remote>());
        A::give(async move {
            let remote = remote?;
            let calling = Calling::new(&hub.node(), remote.to_string(), hub.adapter().alarm().now());
            let way = hub.way(Some(remote))?;
            let error =
                drive(hub, calling, way, |calling| calling.is_over().then(|| calling.error().cloned()));
            error.await.map_or(Ok(()), Err)
        })
    }

    /// Takes leave of peers, makes everything sent durable and closes the data directory, for all handles of this node.
    /// After `deadline` it stops waiting for peers, and for the nodes that were published to; says what was left. It may be
    /// called at any time, by several at once too: each returns when the directory is closed.
    ///
    /// # Errors
    /// [`Error`] if the runtime is shutting down.
    ///
    /// # Cancel safety
    /// The node is closing once this was polled; dropping it only stops waiting, and cuts nobody off. The next call waits
    /// again.
    pub fn shutdown(&self, deadline: Duration) -> A::Given<Result<Left, Error>> {
        A::give(Arc::clone(&self.0).shut_down(deadline))
    }
}

fn keep(target: &str, settings: Settings) -> Result<(Option<Remote>, Keep), Error> {
    let target = Target::parse(target)?;
    Ok((target.remote, Keep { name: target.name, settings }))
}

fn cursor_key(target: &str, cursor: &str) -> Result<(Option<Remote>, CursorKey), Error> {
    let target = Target::parse(target)?;
    let cursor = CursorName::new(cursor)?;
    Ok((target.remote, CursorKey { channel: target.name, cursor }))
}

impl<A: Adapter> fmt::Debug for Handle<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("id", &self.id())
            .field("local_addr", &self.local_addr())
            .finish_non_exhaustive()
    }
}
