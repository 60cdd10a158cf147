//! One question to another node: about a channel, for names, or to seal or delete one.
//!
//! Owns a connection for as long as the answer takes. Nothing is tried twice: the first loss is the answer, unless the
//! question is [patient](Question::patient) and was not put yet.

use std::fmt;
use std::task::Waker;

use netchan_proto::conn::{Connection, ConnectionError, Event as Frame, Full};
use netchan_proto::limits::MAX_NODE_CURSORS;
use netchan_proto::wire::{
    CursorInfo, CursorKey, CursorSet, Cursors, CursorsReply, Description, Keep, List, NodeStatus, Readers,
    ReadersReply, Roles, StreamId, Truncate,
};
use netchan_proto::{ChannelName, ErrorCode, Instant, LogInfo, Offset, Side};

use crate::error::{Error, ErrorKind};
use crate::machine::{Dialling, Lost, Machine};
use crate::node::Node;
use crate::redial::{Passed, Redial, error_of, error_of_connection, is_final, is_final_for_connection};
use crate::target::Names;

/// What to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ask {
    /// What there is to know about one channel.
    Info(ChannelName),
    /// The channels that are meant by `names` and come after `after`, in the order of names.
    List {
        /// The last name that is not wanted any more.
        after: Option<ChannelName>,
        /// Which.
        names: Names,
        /// At most so many.
        limit: usize,
    },
    /// To seal a channel: it takes nothing any more.
    Seal(ChannelName),
    /// To delete a channel and all its records.
    Delete(ChannelName),
    /// How the node is, and what it has counted.
    Status,
    /// Who reads and publishes.
    Readers {
        /// Only those of this channel.
        channel: Option<ChannelName>,
        /// At most so many.
        limit: usize,
    },
    /// Which cursors there are, all of them.
    Cursors {
        /// Only those of this channel.
        channel: Option<ChannelName>,
    },
    /// To move a cursor anywhere.
    SetCursor(CursorSet),
    /// To remove one.
    DeleteCursor(CursorKey),
    /// To make a channel.
    Create(Keep),
    /// To keep one otherwise.
    Change(Keep),
    /// To let its oldest records go.
    Truncate(Truncate),
    /// How it is kept.
    Describe(ChannelName),
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// To [`Ask::Info`].
    Info(Box<LogInfo>),
    /// To [`Ask::List`].
    List(Vec<LogInfo>),
    /// To [`Ask::Seal`]: how many records the channel has had.
    Sealed(Offset),
    /// To [`Ask::Delete`] and [`Ask::DeleteCursor`].
    Deleted,
    /// To [`Ask::Status`].
    Status(Box<NodeStatus>),
    /// To [`Ask::Readers`]: all pages as one.
    Readers(ReadersReply),
    /// To [`Ask::Cursors`]: all pages as one.
    Cursors(Vec<CursorInfo>),
    /// To [`Ask::SetCursor`].
    Cursor(Box<CursorInfo>),
    /// To [`Ask::Create`], [`Ask::Change`], [`Ask::Truncate`] and [`Ask::Describe`].
    Description(Box<Description>),
}

/// A question on its way. Driven as any [`Machine`]; over when [`take_answer`](Self::take_answer) has something.
#[derive(Debug)]
pub struct Question {
    ask: Ask,
    who: String,
    redial: Redial,
    stream: Option<StreamId>,
    /// What was listed so far.
    listed: Vec<LogInfo>,
    /// Who was told of so far.
    readers: ReadersReply,
    /// Which cursors were told of so far.
    cursors: Vec<CursorInfo>,
    answer: Option<Result<Answer, Error>>,
    patient_until: Instant,
    is_over: bool,
}

impl Question {
    /// Asks `ask`. `who` is asked, for errors to say.
    pub fn new(node: &Node, ask: Ask, who: impl Into<String>) -> Question {
        let redial = Redial::new(node, Roles::PUBLISHES);
        Question {
            ask,
            who: who.into(),
            redial,
            stream: None,
            listed: Vec::new(),
            readers: ReadersReply::default(),
            cursors: Vec::new(),
            answer: None,
            patient_until: Instant(0),
            is_over: false,
        }
    }

    /// For a place that may be changing hands just now: until then, who cannot be reached or is stopping is asked
    /// again.
    #[must_use]
    pub fn patient(self, until: Instant) -> Question {
        Question { patient_until: until, ..self }
    }

    /// Tries again, if the question was not put and there is time.
    fn tries_again(&mut self, error: &Error, now: Instant) -> bool {
        let tries = !self.is_over && self.stream.is_none() && now < self.patient_until;
        tries && self.redial.lost(error.clone(), now).is_some()
    }

    /// The answer, once, when there is one.
    pub fn take_answer(&mut self) -> Option<Result<Answer, Error>> {
        self.answer.take()
    }

    fn finish(&mut self, answer: Result<Answer, Error>) {
        if !self.is_over {
            self.is_over = true;
            self.answer = Some(answer);
        }
        self.redial.finish();
    }

    fn fail(&mut self, error: Error) {
        self.finish(Err(error));
    }

    fn put(&mut self) {
        let Some(connection) = self.redial.connection() else { return };
        let asked = match &self.ask {
            Ask::Info(name) => connection.stat(name),
            Ask::Seal(name) => connection.seal(name),
            Ask::Delete(name) => connection.delete(name),
            Ask::Status => connection.status(),
            Ask::Readers { channel, .. } => {
                let after = self.readers.readers.last().map_or(0, |info| info.id);
                connection.readers(&Readers { after, channel: channel.clone() })
            }
            Ask::Cursors { channel } => {
                let after = self.cursors.last().map(|info| info.key.clone());
                connection.cursors(&Cursors { channel: channel.clone(), after })
            }
            Ask::SetCursor(set) => connection.cursor_set(set),
            Ask::DeleteCursor(key) => connection.cursor_delete(key),
            Ask::Create(keep) => connection.create(keep),
            Ask::Change(keep) => connection.change(keep),
            Ask::Truncate(truncate) => connection.truncate(truncate),
            Ask::Describe(name) => connection.describe(name),
            Ask::List { after, names, .. } => {
                connection.list(&List { after: after.clone(), prefix: names.prefix() })
            }
        };
        match asked {
            Ok(id) => self.stream = Some(id),
            Err(error @ Full) => self.fail(Error::new(ErrorKind::Busy, error.to_string()).about(&self.who)),
        }
    }

    fn on_frame(&mut self, frame: Frame, now: Instant) {
        match frame {
            Frame::Ready(_) => self.put(),
            Frame::StatReply(_, info) => self.finish(Ok(Answer::Info(Box::new(info)))),
            Frame::ListReply(_, reply) => self.on_logs(reply.logs, reply.more),
            Frame::StatusReply(_, status) => self.finish(Ok(Answer::Status(Box::new(status)))),
            Frame::ReadersReply(_, reply) => self.on_readers(reply),
            Frame::CursorsReply(_, reply) => self.on_cursors(reply),
            Frame::CursorReply(_, info) => self.finish(Ok(Answer::Cursor(Box::new(info)))),
            Frame::Description(_, description) => {
                self.finish(Ok(Answer::Description(Box::new(description))));
            }
            Frame::Done(_, done) => {
                let answer = match (&self.ask, done.final_offset) {
                    (Ask::Delete(_) | Ask::DeleteCursor(_), _) => Ok(Answer::Deleted),
                    (_, Some(at)) => Ok(Answer::Sealed(at)),
                    _ => {
                        let text = "the answer does not say where the channel is sealed";
                        Err(Error::new(ErrorKind::Protocol, text).about(self.about()))
                    }
                };
                self.finish(answer);
            }
            Frame::StreamError(id, error) if self.stream == Some(id) => {
                let told = Error::of_code(error.code, error.at, &error.text, self.about());
                // Who is stopping says that it did nothing.
                if error.code == ErrorCode::GOING_AWAY {
                    self.stream = None;
                }
                if !self.tries_again(&told, now) {
                    self.fail(told);
                }
            }
            _ => {}
        }
    }

    /// A list comes in pages: the next begins after the last name. What all names begin with the other side looks at; the rest
    /// of a pattern is looked at here, so that any node can be asked.
    fn on_logs(&mut self, logs: Vec<LogInfo>, more: bool) {
        let Ask::List { after, names, limit } = &mut self.ask else { return };
        let last = logs.last().map(|info| info.name.clone());
        let is_meant = names.test();
        self.listed.extend(logs.into_iter().filter(|info| is_meant(&info.name)));
        // A page that brings nothing new would ask for itself for ever.
        let goes_on = more && self.listed.len() < *limit && last > *after;
        if goes_on {
            *after = last;
            return self.put();
        }
        self.listed.truncate(*limit);
        let listed = std::mem::take(&mut self.listed);
        self.finish(Ok(Answer::List(listed)));
    }

    /// So do those who read: the next page begins after the last id.
    fn on_readers(&mut self, reply: ReadersReply) {
        let Ask::Readers { limit, .. } = self.ask else { return };
        let last = self.readers.readers.last().map_or(0, |info| info.id);
        let brings_more = reply.readers.first().is_some_and(|info| info.id > last);
        (self.readers.now, self.readers.more) = (reply.now, reply.more);
        self.readers.readers.extend(reply.readers);
        if reply.more && brings_more && self.readers.readers.len() < limit {
            return self.put();
        }
        let mut readers = std::mem::take(&mut self.readers);
        readers.more |= readers.readers.len() > limit;
        readers.readers.truncate(limit);
        self.finish(Ok(Answer::Readers(readers)));
    }

    /// And cursors: the next page begins after the last.
    fn on_cursors(&mut self, reply: CursorsReply) {
        let last = self.cursors.last().map(|info| info.key.clone());
        let brings_more = reply.cursors.first().is_some_and(|info| Some(&info.key) > last.as_ref());
        self.cursors.extend(reply.cursors);
        // A node has no more than that, and one that tells of more is not asked for ever.
        if reply.more && brings_more && self.cursors.len() < MAX_NODE_CURSORS {
            return self.put();
        }
        let cursors = std::mem::take(&mut self.cursors);
        self.finish(Ok(Answer::Cursors(cursors)));
    }

    fn about(&self) -> impl fmt::Display + use<> {
        match &self.ask {
            Ask::Info(name)
            | Ask::Seal(name)
            | Ask::Delete(name)
            | Ask::Describe(name)
            | Ask::Create(Keep { name, .. })
            | Ask::Change(Keep { name, .. })
            | Ask::Truncate(Truncate { name, .. }) => format!("{}: {name}", self.who),
            Ask::SetCursor(CursorSet { key, .. }) | Ask::DeleteCursor(key) => {
                format!("{}: {}", self.who, key.channel)
            }
            Ask::List { .. } | Ask::Status | Ask::Readers { .. } | Ask::Cursors { .. } => self.who.clone(),
        }
    }

    fn on_failure(&mut self, error: &ConnectionError, now: Instant) {
        let told = error_of_connection(error, self.about());
        let is_final = error.code().is_some_and(is_final_for_connection);
        if is_final || !self.tries_again(&told, now) {
            self.fail(told);
        }
    }
}

impl Machine for Question {
    fn connection(&mut self) -> Option<&mut Connection> {
        self.redial.connection()
    }

    fn work(&mut self, now: Instant, _: &Waker) {
        // An honest peer answers in few frames, and the connection limits how many others it may send.
        while let Some(frame) = self.redial.poll_frame(now) {
            match frame {
                Ok(frame) => self.on_frame(frame, now),
                Err(error) => self.on_failure(&error, now),
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.redial.deadline()
    }

    fn handle_timeout(&mut self, now: Instant) {
        if let Passed::Silent(error) = self.redial.handle_timeout(now) {
            self.on_failure(&error, now);
        }
    }

    fn disconnected(&mut self, why: Lost, now: Instant) {
        let told = error_of(&why, self.about());
        if is_final(&why) || !self.tries_again(&told, now) {
            self.fail(told);
        }
    }

    fn is_over(&self) -> bool {
        self.is_over
    }
}

impl Dialling for Question {
    fn wants_dial(&self, now: Instant) -> bool {
        !self.is_over && self.redial.wants_dial(now)
    }

    fn connected(&mut self, side: Side, trusted: bool, now: Instant) {
        if !self.is_over {
            self.redial.connected(side, trusted, now);
        }
    }
}
