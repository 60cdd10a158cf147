//! What is done to a store until the power goes, and what was told meanwhile.

use netchan_proto::{AsRecord, Durability, LogId, Offset, Position};
use netchan_store::disk::SimDisk;
use netchan_store::{Log, Retention, Store};

use super::rig::{commit, name, small, try_open};

/// The one channel of a script.
pub(crate) const CHANNEL: &str = "a";
/// The key in the state log that a script sets.
pub(crate) const KEY: &[u8] = b"key";

#[derive(Clone, Copy, Debug)]
enum Step {
    Append { count: u64, size: usize },
    Commit,
    Sync,
    State,
    Trim { bytes: u64 },
    Truncate { part: u64 },
    Seal,
    Delete,
    Close,
    Kill,
    PowerCut,
}

/// A series of steps, by a seed.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) durability: Durability,
    steps: Vec<Step>,
}

impl Script {
    pub(crate) fn new(seed: u64) -> Script {
        let mut random = fastrand::Rng::with_seed(seed);
        let modes = [Durability::Sync, Durability::Sync, Durability::Interval, Durability::Os];
        let durability = modes[random.usize(..modes.len())];
        let steps = (0..random.usize(8..30)).map(|_| match random.u32(..100) {
            0..40 => Step::Append { count: random.u64(1..8), size: random.usize(..1500) },
            40..66 => Step::Commit,
            66..74 => Step::Sync,
            74..78 => Step::State,
            78..82 => Step::Trim { bytes: random.u64(8_000..40_000) },
            82..84 => Step::Truncate { part: random.u64(0..5) },
            84..86 => Step::Seal,
            86..89 => Step::Delete,
            89..93 => Step::Close,
            93..97 => Step::Kill,
            _ => Step::PowerCut,
        });
        Script { durability, steps: steps.collect() }
    }
}

/// What was told of a channel until the power went, from its making on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    /// It is there.
    pub(crate) exists: bool,
    /// Its deletion began.
    pub(crate) is_going: bool,
    /// It was made anew, or was about to be.
    pub(crate) is_coming: bool,
    /// The identity of its log, once it was seen, and those of logs that were deleted.
    pub(crate) log: Option<LogId>,
    pub(crate) gone: Vec<LogId>,
    /// What was appended, in order.
    pub(crate) sent: Vec<String>,
    /// How much of it was told to be durable.
    pub(crate) durable: Offset,
    /// As far as it could be read.
    pub(crate) seen: Option<Position>,
    /// Whether it was being trimmed, and the oldest record that must be there still.
    pub(crate) trims: bool,
    /// Up to where it was being truncated, and where that was told to be done.
    pub(crate) start_begun: Offset,
    pub(crate) start_done: Offset,
    /// Whether it was being sealed, and whether that was told to be done.
    pub(crate) is_sealing: bool,
    pub(crate) is_sealed: bool,
    /// What was put into the state log, and what is durable there.
    pub(crate) state_begun: u64,
    pub(crate) state_done: u64,
}

/// Plays a script until its end or the power's, which goes at the `cut`th operation.
pub(crate) fn play(disk: &SimDisk, script: &Script, cut: u64) -> Told {
    disk.cut_power_at(cut);
    let mut player = Player { cut, ..Player::new(disk, script) };
    player.play();
    player.told
}

/// Plays a script until its end or the first step that fails, and says what was told and what is open then.
pub(crate) fn play_to_failure(disk: &SimDisk, script: &Script) -> (Told, Option<(Store, Log)>) {
    let mut player = Player { may_fail: true, ..Player::new(disk, script) };
    player.play();
    (player.told, player.open)
}

struct Player<'a> {
    disk: &'a SimDisk,
    script: &'a Script,
    cut: u64,
    /// Something fails though the power is on.
    may_fail: bool,
    told: Told,
    open: Option<(Store, Log)>,
    made: u64,
}

impl<'a> Player<'a> {
    fn new(disk: &'a SimDisk, script: &'a Script) -> Player<'a> {
        Player { disk, script, cut: u64::MAX, may_fail: false, told: Told::default(), open: None, made: 0 }
    }

    fn play(&mut self) {
        let steps = self.script.steps.iter();
        let _ = self.begin().and_then(|()| steps.copied().try_for_each(|step| self.step(step)));
    }

    fn begin(&mut self) -> Option<()> {
        self.told.is_coming = true;
        let store = try_open(self.disk).ok()?;
        self.make(store)
    }

    fn make(&mut self, store: Store) -> Option<()> {
        let log = store.create_or_open(&name(CHANNEL), &small(self.script.durability)).ok()?;
        (self.told.exists, self.told.is_coming, self.told.log) = (true, false, Some(log.id()));
        self.open = Some((store, log));
        Some(())
    }

    /// `None`: the power is gone.
    fn step(&mut self, step: Step) -> Option<()> {
        let (store, log) = self.open.clone()?;
        self.look(&log);
        let done = if let Step::Close | Step::Kill | Step::PowerCut = step {
            if let Step::Close = step {
                store.close();
                self.look(&log);
            }
            drop((store, log));
            self.restart(step)
        } else {
            let done = self.act(step, &store, &log);
            self.look(&log);
            done
        };
        assert!(done.is_some() || self.may_fail || !self.disk.is_on(), "{step:?} failed under power");
        done
    }

    fn restart(&mut self, step: Step) -> Option<()> {
        self.open = None;
        let seen = self.told.seen;
        if !self.disk.is_on() {
            return None;
        }
        match step {
            // All is written and synced.
            Step::Close if !self.may_fail => self.told.durable = Offset(self.told.sent.len() as u64),
            Step::Close => {}
            Step::PowerCut => {
                self.disk.crash();
                if self.cut < u64::MAX {
                    self.disk.cut_power_at(self.cut.checked_sub(self.disk.operations())?);
                }
            }
            _ => self.disk.kill(),
        }
        self.again()?;
        let (_, log) = self.open.as_ref()?;
        let stays = matches!(step, Step::PowerCut) || seen.is_none_or(|seen| seen.offset <= log.visible());
        assert!(stays, "what was written is gone without a power cut");
        Some(())
    }

    /// Notes what the log tells. What it told before the power went holds, also in the midst of a step.
    fn look(&mut self, log: &Log) {
        if self.told.log == Some(log.id()) {
            let offset = log.visible();
            self.told.durable = self.told.durable.max(log.durable());
            if offset > Offset::ZERO {
                // A position carries the epoch of the record before it.
                let epoch = log.epoch_before(offset);
                self.told.seen = Some(Position { log: log.id(), epoch, offset });
            }
        }
    }

    fn act(&mut self, step: Step, store: &Store, log: &Log) -> Option<()> {
        match step {
            Step::Append { count, size } => (0..count).try_for_each(|_| self.append(log, size)),
            Step::Commit => {
                commit(store);
                log.poisoned().is_none().then_some(())
            }
            Step::Sync => log.sync().map(drop).ok(),
            Step::State => {
                self.told.state_begun += 1;
                store.state().put(KEY, &self.told.state_begun.to_le_bytes()).ok()?;
                self.told.state_done = self.told.state_begun;
                Some(())
            }
            Step::Trim { bytes } => {
                self.told.trims = true;
                log.set_retention(Retention { max_bytes: Some(bytes), ..Retention::default() }).ok()?;
                log.set_retention(Retention::default()).ok()
            }
            Step::Truncate { part } => {
                self.told.trims = true;
                let before = Offset(self.told.sent.len() as u64 * part / 4);
                self.told.start_begun = self.told.start_begun.max(before);
                let first = log.truncate_before(before).ok()?;
                // What the disk has no room for is not durable, and not truncated.
                assert!(first >= before.min(log.durable()));
                self.told.start_done = self.told.start_done.max(before.min(first));
                Some(())
            }
            Step::Seal => {
                self.told.is_sealing = true;
                let end = log.seal().ok()?;
                assert_eq!(end.0, self.told.sent.len() as u64);
                self.told.is_sealed = true;
                Some(())
            }
            Step::Delete => {
                self.told.is_going = true;
                store.delete(&name(CHANNEL)).ok()?;
                let Told { state_begun, state_done, ref gone, .. } = self.told;
                let gone = gone.iter().copied().chain([log.id()]).collect();
                self.told = Told { state_begun, state_done, gone, is_coming: true, ..Told::default() };
                self.make(store.clone())
            }
            Step::Close | Step::Kill | Step::PowerCut => None,
        }
    }

    fn append(&mut self, log: &Log, size: usize) -> Option<()> {
        if self.told.is_sealing {
            return Some(());
        }
        self.made += 1;
        let number = self.told.sent.len();
        let text = format!("{number} of {}, {}", self.made, "x".repeat(size));
        let offset = log.append(&text.as_record()).ok()?;
        assert_eq!(offset.0, number as u64);
        self.told.sent.push(text);
        Some(())
    }

    /// Opens the directory anew, without a word to who had it. What was not on the disk is forgotten; that must not be
    /// what was durable.
    fn again(&mut self) -> Option<()> {
        let opened = try_open(self.disk).and_then(|store| Ok((store.open_existing(&name(CHANNEL))?, store)));
        let (log, store) = match opened {
            Ok((log, store)) => (log.expect("the channel is gone"), store),
            Err(error) => {
                assert!(self.may_fail || !self.disk.is_on(), "{error}");
                return None;
            }
        };
        let visible = log.visible();
        assert!(visible >= self.told.durable, "{visible} of {}", self.told.durable);
        self.told.sent.truncate(usize::try_from(visible.0).unwrap());
        self.told.is_sealing = log.is_sealed();
        self.open = Some((store, log));
        Some(())
    }
}
