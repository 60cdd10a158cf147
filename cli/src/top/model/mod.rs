//! What is to be seen: pure, from looks at a node and keys.
//!
//! Owns what is known of the node, what is selected, sorted, filtered and open. Knows nothing of terminals, of the
//! network, or of the time but what it is told.
//!
//! | room | holds |
//! |---|---|
//! | [`history`] | a rate at each look |
//! | [`rows`] | channels and peers: two looks make rates and lags |
//! | [`node`] | the node itself |
//! | [`columns`], [`list`] | what lists are sorted by; which row is selected |

use std::time::Duration;

use super::sample::Sample;

mod columns;
mod history;
mod list;
mod node;
mod rows;

pub(crate) use self::columns::{ChannelColumn, PeerColumn};
pub(crate) use self::history::History;
pub(crate) use self::list::{Column, List};
pub(crate) use self::node::NodeRow;
pub(crate) use self::rows::{Channel, Lag, PeerRow};

/// How long news of the node stay on the screen.
const NEWS: Duration = Duration::from_secs(30);
/// The shortest and the longest time between looks.
const INTERVALS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));
/// The longest filter that can be typed.
const MAX_FILTER: usize = 64;

/// The three pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tab {
    Channels,
    Peers,
    Node,
}

impl Tab {
    pub(crate) const ALL: [Tab; 3] = [Tab::Channels, Tab::Peers, Tab::Node];

    fn beside(self, by: isize) -> Tab {
        let at = (self as isize + by).rem_euclid(Tab::ALL.len() as isize);
        Tab::ALL.get(at as usize).copied().unwrap_or(self)
    }
}

/// What somebody wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Quit,
    Interrupt,
    Suspend,
    Redraw,
    /// So many rows down, or up.
    Go(isize),
    GoPages(isize),
    Open,
    Back,
    Show(Tab),
    /// The page so many to the right, or the left.
    Beside(isize),
    /// The column so many to the right, or the left.
    SortNext(isize),
    Reverse,
    Filter,
    Type(char),
    Erase,
    Accept,
    Clear,
    Pause,
    Slower,
    Faster,
    Help,
}

/// What comes of an action, beyond what is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Goes,
    Quits,
    /// By Ctrl-C.
    Interrupted,
    /// To the background, by Ctrl-Z.
    Suspends,
    /// The screen is to be drawn from scratch.
    Redraws,
}

/// Something that happened to the node.
#[derive(Clone, Debug)]
pub(crate) struct News {
    pub(crate) what: String,
    pub(crate) at: Duration,
}

/// All that is seen.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    /// Where the node is, as it was said.
    pub(crate) place: String,
    pub(crate) interval: Duration,
    /// Now, on this machine's clock that never goes back.
    pub(crate) now: Duration,
    /// When the last look was.
    pub(crate) looked: Option<Duration>,
    pub(crate) node: Option<NodeRow>,
    channels: Vec<Channel>,
    peers: Vec<PeerRow>,
    /// Why the last look failed, and when that began.
    pub(crate) trouble: Option<News>,
    news: Option<News>,
    pub(crate) tab: Tab,
    /// The channel that is open on the page of channels or of peers.
    pub(crate) open: Option<String>,
    pub(crate) channel_list: List<ChannelColumn>,
    pub(crate) peer_list: List<PeerColumn>,
    /// The first line on the page of the node.
    pub(crate) node_top: usize,
    pub(crate) filter: String,
    pub(crate) is_filtering: bool,
    pub(crate) is_paused: bool,
    pub(crate) is_helping: bool,
}

impl Model {
    pub(crate) fn new(place: String, interval: Duration) -> Model {
        Model {
            place,
            interval: interval.clamp(INTERVALS.0, INTERVALS.1),
            now: Duration::ZERO,
            looked: None,
            node: None,
            channels: Vec::new(),
            peers: Vec::new(),
            trouble: None,
            news: None,
            tab: Tab::Channels,
            open: None,
            channel_list: List::new(ChannelColumn::Records),
            peer_list: List::new(PeerColumn::Lag),
            node_top: 0,
            filter: String::new(),
            is_filtering: false,
            is_paused: false,
            is_helping: false,
        }
    }

    /// It is `now`.
    pub(crate) fn tick(&mut self, now: Duration) {
        self.now = self.now.max(now);
    }

    /// A look succeeded.
    pub(crate) fn saw(&mut self, sample: &Sample) {
        self.tick(sample.taken);
        let before = self.node.take();
        let same = before.as_ref().is_some_and(|before| before.status.node == sample.node.node);
        let runs_on =
            same && before.as_ref().is_some_and(|before| before.status.started == sample.node.started);
        let took = self.looked.map(|looked| sample.taken.saturating_sub(looked)).filter(|_| same);
        let news = match (&before, &self.trouble) {
            (Some(_), _) if !same => Some("another node answers here now".to_owned()),
            (Some(_), _) if !runs_on => Some("the node was restarted".to_owned()),
            (Some(_), Some(_)) => Some("connected again".to_owned()),
            _ => None,
        };
        if let Some(what) = news {
            self.news = Some(News { what, at: sample.taken });
        }
        self.trouble = None;
        self.node = Some(NodeRow::new(sample, before.filter(|_| runs_on).zip(took)));
        let channels = std::mem::take(&mut self.channels);
        self.channels = rows::channels(sample, if same { channels } else { Vec::new() }, took);
        let peers = std::mem::take(&mut self.peers);
        self.peers = rows::peers(sample, if runs_on { peers } else { Vec::new() }, took);
        self.looked = Some(sample.taken);
    }

    /// A look failed.
    pub(crate) fn missed(&mut self, why: String, now: Duration) {
        self.tick(now);
        let at = self.trouble.as_ref().map_or(now, |trouble| trouble.at);
        self.trouble = Some(News { what: why, at });
    }

    /// What happened lately.
    pub(crate) fn news(&self) -> Option<&News> {
        self.news.as_ref().filter(|news| self.now.saturating_sub(news.at) < NEWS)
    }

    /// The channel that is open, if it is there.
    pub(crate) fn open_channel(&self) -> Option<&Channel> {
        let open = self.open.as_ref()?;
        self.channels.iter().find(|channel| channel.info.name.as_str() == open)
    }

    fn passes(&self, texts: &[&str]) -> bool {
        let filter = self.filter.to_lowercase();
        filter.is_empty() || texts.iter().any(|text| text.to_lowercase().contains(&filter))
    }

    /// The channels that are shown, in their order.
    pub(crate) fn shown_channels(&self) -> Vec<&Channel> {
        let passing = self.channels.iter().filter(|channel| self.passes(&[channel.info.name.as_str()]));
        self.channel_list.order(passing)
    }

    /// The peers that are shown, in their order: those of the open channel, or all that pass the filter.
    pub(crate) fn shown_peers(&self) -> Vec<&PeerRow> {
        let is_shown = |row: &&PeerRow| match &self.open {
            Some(open) => row.peer.channel.as_str() == open,
            None => self.passes(&[row.peer.channel.as_str(), &row.peer.peer, &row.peer.node.to_string()]),
        };
        self.peer_list.order(self.peers.iter().filter(is_shown))
    }

    /// The peers of a channel, those that are furthest behind first.
    pub(crate) fn peers_of(&self, channel: &str) -> Vec<&PeerRow> {
        List::new(PeerColumn::Lag).order(self.peers.iter().filter(|row| row.peer.channel.as_str() == channel))
    }

    /// The rows of the list that are on the screen, if they are not all of them, and how many there are.
    pub(crate) fn rows_shown(&self) -> Option<(std::ops::Range<usize>, usize)> {
        let (shown, count) = match self.list() {
            Shows::Channels => {
                let count = self.shown_channels().len();
                (self.channel_list.shown(count), count)
            }
            Shows::Peers => {
                let count = self.shown_peers().len();
                (self.peer_list.shown(count), count)
            }
            Shows::Node => return None,
        };
        (shown.len() < count).then_some((shown, count))
    }

    pub(crate) fn channel_count(&self) -> usize {
        self.channels.len()
    }

    pub(crate) fn peer_count(&self) -> usize {
        self.peers.len()
    }

    /// Somebody wants something.
    pub(crate) fn act(&mut self, action: Action) -> Outcome {
        match action {
            Action::Quit => return Outcome::Quits,
            Action::Interrupt => return Outcome::Interrupted,
            Action::Suspend => return Outcome::Suspends,
            Action::Redraw => return Outcome::Redraws,
            Action::Go(rows) => self.go(rows),
            Action::GoPages(pages) => self.go(pages.saturating_mul(self.page())),
            Action::Open => self.open_selected(),
            Action::Back if self.is_helping => self.is_helping = false,
            Action::Back if self.open.is_some() => self.open = None,
            Action::Back => self.filter.clear(),
            Action::Show(tab) => self.show(tab),
            Action::Beside(by) => self.show(self.tab.beside(by)),
            Action::SortNext(by) => match self.list() {
                Shows::Channels => self.channel_list.sort_next(by),
                Shows::Peers => self.peer_list.sort_next(by),
                Shows::Node => {}
            },
            Action::Reverse => match self.list() {
                Shows::Channels => self.channel_list.is_reversed ^= true,
                Shows::Peers => self.peer_list.is_reversed ^= true,
                Shows::Node => {}
            },
            Action::Filter => {
                self.open = None;
                self.is_filtering = self.tab != Tab::Node;
            }
            Action::Type(c) => {
                if self.filter.chars().count() < MAX_FILTER {
                    self.filter.push(c);
                }
            }
            Action::Erase => drop(self.filter.pop()),
            Action::Accept => self.is_filtering = false,
            Action::Clear => {
                self.filter.clear();
                self.is_filtering = false;
            }
            Action::Pause => self.is_paused ^= true,
            Action::Slower => self.interval = (self.interval * 2).min(INTERVALS.1),
            Action::Faster => self.interval = (self.interval / 2).max(INTERVALS.0),
            Action::Help => self.is_helping ^= true,
        }
        Outcome::Goes
    }

    /// What the keys for lists move.
    fn list(&self) -> Shows {
        match (self.tab, &self.open) {
            (Tab::Node, _) => Shows::Node,
            (_, Some(_)) | (Tab::Peers, None) => Shows::Peers,
            (Tab::Channels, None) => Shows::Channels,
        }
    }

    fn page(&self) -> isize {
        match self.list() {
            Shows::Channels => self.channel_list.page(),
            Shows::Peers => self.peer_list.page(),
            Shows::Node => 10,
        }
    }

    fn show(&mut self, tab: Tab) {
        (self.tab, self.open, self.is_helping) = (tab, None, false);
    }

    fn go(&mut self, by: isize) {
        match self.list() {
            Shows::Channels => {
                let mut list = self.channel_list.clone();
                list.go(&self.shown_channels(), by);
                self.channel_list = list;
            }
            Shows::Peers => {
                let mut list = self.peer_list.clone();
                list.go(&self.shown_peers(), by);
                self.peer_list = list;
            }
            Shows::Node => self.node_top = self.node_top.saturating_add_signed(by),
        }
    }

    fn open_selected(&mut self) {
        match self.list() {
            Shows::Channels => self.open = self.channel_list.selected_key(&self.shown_channels()),
            Shows::Peers if self.open.is_none() => {
                let rows = self.shown_peers();
                let selected = self.peer_list.selected(&rows).and_then(|at| rows.get(at));
                self.open = selected.map(|row| row.peer.channel.to_string());
            }
            Shows::Peers | Shows::Node => {}
        }
    }
}

/// Which list is on the screen.
enum Shows {
    Channels,
    Peers,
    Node,
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
