//! One stream that watches which channels of this node there are, and which are made.
//!
//! Owns its place in the row of the store's channels, and nothing else: what it has told it does not remember.

use std::sync::Arc;
use std::task::Waker;

use netchan_proto::ChannelName;
use netchan_proto::limits::MAX_LIST;
use netchan_proto::pattern::Matcher;
use netchan_proto::wire::{Made, StreamId, Watch, Watched};
use netchan_store::{MadeTicket, Store};

use super::{Shared, Step};
use crate::wake::Flag;

/// A stream that watches.
#[derive(Debug)]
pub(super) struct Watching {
    id: StreamId,
    matcher: Matcher,
    /// It was permitted: there is one.
    store: Option<Store>,
    /// The place of the last channel that was looked at.
    after: u64,
    is_complete: bool,
    flag: Arc<Flag>,
    waker: Waker,
    ticket: MadeTicket,
}

impl Watching {
    pub(super) fn new(id: StreamId, watch: &Watch, shared: &Shared) -> Watching {
        let flag = Flag::new(&shared.bell);
        let waker = Waker::from(Arc::clone(&flag));
        let (matcher, store) = (watch.pattern.matcher(), shared.node.store().cloned());
        let ticket = MadeTicket::default();
        Watching { id, matcher, store, after: 0, is_complete: false, flag, waker, ticket }
    }

    pub(super) fn id(&self) -> StreamId {
        self.id
    }

    /// Bytes that its pattern takes.
    pub(super) fn bytes(&self) -> usize {
        self.matcher.bytes()
    }

    /// Tells what there is to tell, while the connection takes it.
    pub(super) fn turn(&mut self, shared: &mut Shared) -> Step {
        let Some(store) = &self.store else { return Step::Idle };
        if !self.flag.lower() {
            return Step::Idle;
        }
        if shared.connection.is_clogged() {
            self.flag.raise();
            return Step::Idle;
        }
        let is_meant = |name: &ChannelName| self.matcher.matches(name);
        let made = store.made_after(self.after, MAX_LIST, is_meant, &mut self.ticket, &self.waker);
        self.after = made.after;
        if made.more {
            self.flag.raise();
        }
        let becomes_complete = !made.more && !self.is_complete;
        self.is_complete |= !made.more;
        if becomes_complete || !made.channels.is_empty() {
            let channels = made.channels.into_iter().map(|(name, log)| Made { name, log });
            let watched = Watched { complete: becomes_complete, made: channels.collect() };
            shared.connection.watched(self.id, &watched);
        }
        Step::Moved
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        if let Some(store) = &self.store {
            store.forget_made(&mut self.ticket);
        }
    }
}
