//! Waiting for receivers: that they are there, and that they have what was sent.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use netchan_proto::{AsRecord, Offset};
use netchan_store::{AppendError, Log, LogError, Mark};

use super::{Reached, Sender, Sent, Way};
use crate::attendance::{Attendance, Waiting};
use crate::error::{Error, ErrorKind};
use crate::node::Node;

/// Past every record: who waits for it hears only that the log is closed.
const NEVER: Offset = Offset(u64::MAX - 1);

impl Sender {
    /// With this node as the one that serves the log to receivers, which can be waited for then.
    #[must_use]
    pub fn served_by(mut self, node: &Node) -> Sender {
        if let Way::Local { log, attendance, .. } = &mut self.way {
            *attendance = Some(node.attendance(log.id()));
        }
        self
    }

    /// How many receivers are connected to the channel now: each has opened it and was told where it begins, in this program or
    /// in others.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a channel of another node, and for a sender that has a
    /// [producer](crate::SenderBuilder::producer): who receives is known to a sender that appends to the log itself.
    /// [`Handle::readers`](crate::Handle::readers) tells it of any node.
    pub fn receivers(&self) -> Result<usize, Error> {
        Ok(self.attended()?.1.count())
    }

    /// Whether a receiver is connected to the channel now.
    ///
    /// # Errors
    /// As [`receivers`](Self::receivers).
    pub fn ready(&self) -> Result<bool, Error> {
        Ok(self.receivers()? > 0)
    }

    /// Ready once at least `receivers` of them are connected to the channel, among them those [by a
    /// pattern](crate::handles::PatternReceiver), which [`done`](Self::done) and [`send_to`](Self::send_to) do not count.
    ///
    /// # Errors
    /// As [`receivers`](Self::receivers); [`ErrorKind::Closed`] when the node shuts down, and what the channel fails by.
    ///
    /// # Cancel safety
    /// Cancel safe: it only looks.
    pub async fn wait_until_ready(&self, receivers: usize) -> Result<(), Error> {
        let (log, attendance) = self.attended()?;
        Met::new(log, attendance.await_ready(receivers)).await_it().await.map(drop)
    }

    /// Ready when the receivers that are connected now have everything that was sent into the channel so far, by anybody. Gives
    /// how many of them do.
    ///
    /// A receiver has a record once its user was given it, or was told that it is gone, or the receiver has learnt that
    /// it does not pass its [filter](crate::ReceiverBuilder::filter) (up to a second later), or has
    /// [sought](crate::handles::Receiver::seek) past it. It tells that at once if it is asked before the user gets the record;
    /// else when its user asks it for the next thing: receivers are driven by their users.
    ///
    /// So who drives a receiver of the channel in the same task, or thread, waits in vain.
    ///
    /// A receiver that leaves meanwhile, or whose connection breaks, is waited for no longer, and is not among those that are
    /// counted; nor is one that comes later, also if it comes back. With no receiver there, it waits only until what was sent
    /// is acknowledged as the channel's mode says, and gives 0: see [`wait_until_ready`](Self::wait_until_ready). A receiver
    /// whose program does not know this (an older one) is neither waited for nor counted, and neither is one [by a
    /// pattern](crate::handles::PatternReceiver): it does not tell what its user was given. Call it before
    /// [`seal`](Self::seal): a receiver to which all of a sealed channel was sent is not connected to it any more.
    ///
    /// # Errors
    /// As [`receivers`](Self::receivers), and what kept records from being acknowledged.
    ///
    /// # Cancel safety
    /// Cancel safe: it only looks.
    pub async fn done(&self) -> Result<usize, Error> {
        let (log, attendance) = self.attended()?;
        let waiting = attendance.await_all(log.queued());
        Reached::visible(log).await?;
        Met::new(log, waiting).await_it().await
    }

    /// Sends a record, and is ready when at least `receivers` of the channel have it, in the sense of [`done`](Self::done): with
    /// 1 it is the send of a channel without a buffer. Those count that are there, those that come while it waits and
    /// began at or before the record, and those that had it and left. It waits for as long as that takes: for ever, where all that
    /// receive do so [by a pattern](crate::handles::PatternReceiver), as those do not tell what they have and count as none.
    ///
    /// # Errors
    /// As [`receivers`](Self::receivers), and why the channel takes no record: nothing was sent then.
    /// [`ErrorKind::Closed`] when the node shuts down, and what the channel fails by: the record was sent then.
    ///
    /// # Cancel safety
    /// Not cancel safe: dropped after it was first polled, the record may have been sent. It is sent at most once; only the
    /// waiting ends.
    pub async fn send_to<R: AsRecord>(&self, receivers: usize, record: R) -> Result<Sent, Error> {
        let (log, attendance) = self.attended()?;
        let (offset, waiting) = poll_fn(|cx| {
            loop {
                let record = record.as_record();
                let sent = attendance.await_some(receivers, || log.append(&record));
                match sent {
                    Ok(sent) => return Poll::Ready(Ok(sent)),
                    Err(AppendError::Full) => ready!(log.poll_capacity(cx)),
                    Err(error) => return Poll::Ready(Err(Error::from(error).about(log.name()))),
                }
            }
        })
        .await?;
        Met::new(log, waiting).await_it().await?;
        Ok(Sent::local(log.clone(), offset))
    }

    /// The log, and who receives from it.
    fn attended(&self) -> Result<(&Log, &Arc<Attendance>), Error> {
        let text = match &self.way {
            Way::Local { log, attendance: Some(attendance), .. } => return Ok((log, attendance)),
            Way::Local { .. } => "no node serves this log",
            Way::Remote(_) => {
                "who receives is known to the node that has the channel, and this sender publishes through it"
            }
        };
        Err(Error::new(ErrorKind::Config, text).about(self.name()))
    }
}

/// One who waits, and hears also that the log has failed.
struct Met<'a> {
    log: &'a Log,
    waiting: Waiting,
    /// What the log was given.
    waker: Option<Waker>,
}

impl<'a> Met<'a> {
    fn new(log: &'a Log, waiting: Waiting) -> Met<'a> {
        Met { log, waiting, waker: None }
    }

    async fn await_it(mut self) -> Result<usize, Error> {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Error>> {
        if let Poll::Ready(met) = self.waiting.poll(cx.waker()) {
            let closed = |_| Error::new(ErrorKind::Closed, "the node shuts down: no receiver will come");
            return Poll::Ready(met.map_err(|over| closed(over).about(self.log.name())));
        }
        self.forget();
        let seen = self.log.seen();
        match self.log.poll_reached(Mark::Visible, NEVER, cx) {
            // What is sealed can still be received, until it is deleted.
            Poll::Ready(Err(LogError::Sealed { .. }) | Ok(())) => {
                if self.log.poll_changed(seen, cx).is_ready() {
                    cx.waker().wake_by_ref();
                }
                Poll::Pending
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(Error::from(error).about(self.log.name()))),
            Poll::Pending => {
                self.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn forget(&mut self) {
        if let Some(waker) = self.waker.take() {
            self.log.forget(Mark::Visible, NEVER, &waker);
        }
    }
}

impl Drop for Met<'_> {
    fn drop(&mut self) {
        self.forget();
    }
}
