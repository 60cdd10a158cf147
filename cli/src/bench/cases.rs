//! One measurement of each kind: which processes it takes, and what becomes of their figures.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::child::{Actor, Server};
use super::figures::{Done, Figures, Subject};
use super::roles::Role;
use super::terms::{Far, Load, Place, Sending};
use super::vitals::{self, Vitals};

/// Its memory is waited for so many times as long as it has to stand still.
const SETTLING: u32 = 5;
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Where measurements take place.
pub(super) struct Site {
    dir: PathBuf,
    connect: Option<Far>,
    number: u32,
}

/// A channel for one measurement.
struct Home {
    place: Place,
    dir: PathBuf,
    channel: String,
}

impl Site {
    /// Channels come into `dir`, or to the node at `connect`.
    pub(super) fn new(dir: &Path, connect: Option<Far>) -> Site {
        Site { dir: dir.to_owned(), connect, number: 0 }
    }

    /// Whether a node runs that all is sent and received through.
    pub(super) fn is_elsewhere(&self) -> bool {
        self.connect.is_some()
    }

    fn home(&mut self) -> Home {
        self.number += 1;
        let dir = self.dir.join(self.number.to_string());
        match &self.connect {
            None => Home { place: Place::Own(dir.display().to_string()), dir, channel: "bench".into() },
            Some(far) => {
                let channel = format!("netchan-bench/{}/{}", std::process::id(), self.number);
                Home { place: Place::At(far.clone()), dir, channel }
            }
        }
    }

    /// What was sent there goes again.
    fn clear(&self, home: &Home) -> Result<()> {
        if let Place::At(far) = &home.place {
            Actor::run(&Role::Delete { far: far.clone(), channel: home.channel.clone() })?;
        }
        if home.dir.exists() {
            std::fs::remove_dir_all(&home.dir)?;
        }
        Ok(())
    }

    /// Bare framed TCP, as fast as it goes.
    pub(super) fn raw(&self, size: u64, seconds: f64) -> Result<Done> {
        self.framed(&Role::RawReceive { paced: false, skip: 0 }, size, Load { seconds, per_second: None })
    }

    /// Bare framed TCP at an even rate.
    pub(super) fn raw_latency(&self, size: u64, load: Load) -> Result<Done> {
        self.framed(&Role::RawReceive { paced: true, skip: load.warm_up() }, size, load)
    }

    fn framed(&self, receive: &Role, size: u64, load: Load) -> Result<Done> {
        let mut receiver = Actor::start(receive)?;
        let mut sender =
            Actor::start(&Role::RawSend { addr: receiver.says()?, size: usize::try_from(size)?, load })?;
        sender.says()?;
        sender.go()?;
        let (sent, received) = (sender.done()?, receiver.done()?);
        both(&sent.figures, received, size)
    }

    /// Sends as fast as it goes, and nobody looks how fast: memory that a machine of the cloud has given back to its host is slow
    /// when it is touched again, and whoever is measured first would pay for it.
    pub(super) fn warm_up(&mut self, sending: &Sending, seconds: f64) -> Result<()> {
        let home = self.home();
        published(&home, Sending { channel: home.channel.clone(), ..sending.clone() }, seconds)?;
        self.clear(&home)
    }

    /// Sends as fast as it goes while `receivers` receive.
    pub(super) fn stream(&mut self, sending: &Sending, receivers: u32, seconds: f64) -> Result<Done> {
        self.sent_and_received(sending, receivers, Load { seconds, per_second: None })
    }

    /// Sends at an even rate while one receives.
    pub(super) fn latency(&mut self, sending: &Sending, load: Load) -> Result<Done> {
        self.sent_and_received(sending, 1, load)
    }

    fn sent_and_received(&mut self, sending: &Sending, receivers: u32, load: Load) -> Result<Done> {
        let home = self.home();
        let sending = Sending { channel: home.channel.clone(), ..sending.clone() };
        let (on, size) = (sending.on, sending.size as u64);
        let mut sender = Actor::start(&Role::Send { place: home.place.clone(), sending, load, seal: true })?;
        let (paced, skip) = (load.per_second.is_some(), load.warm_up());
        let (addr, channel) = (sender.says()?, home.channel.clone());
        let far = match &home.place {
            Place::Own(_) => Far::open(addr),
            Place::At(far) => far.clone(),
        };
        let mut receiver = Actor::start(&match receivers {
            1 => Role::Receive { on, far, channel, filter: None, paced, skip },
            _ => Role::FanOut { far, channel, receivers },
        })?;
        receiver.says()?;
        sender.go()?;
        sender.says()?;
        let received = receiver.done()?;
        let sent = sender.done()?;
        self.clear(&home)?;
        complete(&sent.figures, &received.figures, receivers)?;
        both(&sent.figures, received, size)
    }

    /// Sends with nobody there, and then receives from a node that has just started: both figures.
    pub(super) fn publish_and_catch_up(&mut self, sending: &Sending, seconds: f64) -> Result<(Done, Done)> {
        let home = self.home();
        let sending = Sending { channel: home.channel.clone(), ..sending.clone() };
        let (on, size) = (sending.on, sending.size as u64);
        let sent = published(&home, sending, seconds)?;
        let (server, far) = started(&home)?;
        let channel = home.channel.clone();
        let receiver = Role::Receive { on, far, channel, filter: None, paced: false, skip: 0 };
        let received = Actor::run_after_word(&receiver)?;
        complete(&sent.figures, &received.figures, 1)?;
        let mut served = Figures::default();
        if let Some(server) = server {
            if let (Some(cpu), Some(peak)) =
                (vitals::processor_seconds(server.pid()), vitals::peak_mib(server.pid()))
            {
                served = served.with("cpu_s", cpu).with("peak_mib", peak);
            }
            server.stop()?;
        }
        self.clear(&home)?;
        Ok((alone(&sent.figures, size)?, both(&served, received, size)?))
    }

    /// Sends records with a hundred keys in turn, and then receives them all, and those of one key, from a node that has just
    /// started.
    pub(super) fn filter(&mut self, sending: &Sending, seconds: f64) -> Result<Done> {
        let home = self.home();
        let sending = Sending { channel: home.channel.clone(), keys: 100, ..sending.clone() };
        let on = sending.on;
        let sent = published(&home, sending, seconds)?.figures;
        let sent = sent.get("records").context("a process told no records")?;
        let (server, far) = started(&home)?;
        let receive = |filter: Option<&str>| {
            let (far, channel, filter) = (far.clone(), home.channel.clone(), filter.map(str::to_owned));
            Actor::run_after_word(&Role::Receive { on, far, channel, filter, paced: false, skip: 0 })
        };
        receive(None)?; // what is touched for the first time costs more
        let all = receive(None)?.figures;
        let some = receive(Some("key ^= 'key-000042'"))?.figures;
        if let Some(server) = server {
            server.stop()?;
        }
        self.clear(&home)?;
        let of = |figures: &Figures, name| figures.get(name).context("a process told no records");
        let (records, passed) = (of(&all, "records")?, of(&some, "records")?);
        if records != sent || (passed - sent / 100.0).abs() > 1.0 {
            bail!("{passed} records of {records} passed, of {sent} that were sent: this is a bug");
        }
        let scanned = of(&some, "records_per_s")? * sent / passed.max(1.0);
        let caught_up = of(&all, "records_per_s")?;
        let figures = Figures::default()
            .with("scanned_per_s", scanned)
            .with("caught_up_per_s", caught_up)
            .with("of_catch_up", scanned / caught_up);
        Ok(Done { figures, ..Done::default() })
    }

    /// Many channels, at an even rate over all of them.
    pub(super) fn channels(&mut self, sending: &Sending, channels: u32, load: Load) -> Result<Done> {
        let home = self.home();
        let sending = Sending { channel: home.channel.clone(), ..sending.clone() };
        let mut sender =
            Actor::start(&Role::Channels { place: home.place.clone(), sending, channels, load })?;
        sender.says()?;
        sender.go()?;
        let mut done = sender.done()?;
        if let Place::At(far) = &home.place {
            for number in 0..channels {
                let channel = format!("{}/{number}", home.channel);
                Actor::run(&Role::Delete { far: far.clone(), channel })?;
            }
        } else {
            self.clear(&home)?;
        }
        per_million(&mut done.figures);
        Ok(done)
    }

    /// A node that does nothing any more: alone with one channel; with connections; with channels.
    pub(super) fn idle(
        &mut self,
        connections: u32,
        channels: u32,
        still: Duration,
    ) -> Result<Vec<(Subject, Done)>> {
        let mut all = Vec::new();
        let one = |what, figure: &str, bytes: f64| {
            let figures = Figures::default().with(figure, bytes);
            (what, Done { figures, ..Done::default() })
        };

        let home = self.home();
        let server = Server::start(&home.dir)?;
        Actor::run(&Role::Fill { far: server.far(), channel: "idle".into(), channels: 1 })?;
        let alone = settled(server.pid(), still)?;
        all.push(one(Subject::of("idle node"), "memory_mib", alone.memory as f64 / f64::from(1 << 20)));
        let far = server.far();
        let mut waiting = Actor::start(&Role::Wait { far, channel: "idle/0".into(), connections })?;
        waiting.says()?;
        let with = settled(server.pid(), still)?;
        let each = (with.memory as f64 - alone.memory as f64) / f64::from(connections) / 1024.0;
        all.push(one(Subject::of("idle connection").count(connections), "kib_each", each));
        drop(waiting);
        server.stop()?;
        self.clear(&home)?;

        let home = self.home();
        let server = Server::start(&home.dir)?;
        Actor::run(&Role::Fill { far: server.far(), channel: "one".into(), channels: 1 })?;
        let alone = settled(server.pid(), still)?;
        Actor::run(&Role::Fill { far: server.far(), channel: "idle".into(), channels })?;
        let with = settled(server.pid(), still)?;
        let each = (with.memory as f64 - alone.memory as f64) / f64::from(channels) / 1024.0;
        let descriptors = with.descriptors as f64 - alone.descriptors as f64;
        let (subject, mut done) = one(Subject::of("idle channel").count(channels), "kib_each", each);
        done.figures.set("descriptors_each", descriptors / f64::from(channels));
        all.push((subject, done));
        server.stop()?;
        self.clear(&home)?;
        Ok(all)
    }
}

impl Actor {
    /// Runs a role that says once that it is ready, and goes on by itself.
    fn run_after_word(role: &Role) -> Result<Done> {
        let mut actor = Actor::start(role)?;
        actor.says()?;
        actor.done()
    }
}

/// Fails unless every receiver got all records.
fn complete(sent: &Figures, received: &Figures, receivers: u32) -> Result<()> {
    let records = |figures: &Figures| figures.get("records").context("a process told no records");
    let (sent, received) = (records(sent)? * f64::from(receivers), records(received)?);
    if sent != received || received == 0.0 {
        bail!("{received} records were received, but {sent} should have been: this is a bug");
    }
    Ok(())
}

/// What a sender tells that nobody receives from.
fn alone(sender: &Figures, size: u64) -> Result<Done> {
    let mut figures = sender.clone();
    figures.set_ratio("sender_peak_mib", "peak_mib", Some(1.0));
    finish(&mut figures, size)?;
    Ok(Done { figures, ..Done::default() })
}

/// What sender and receiver tell, as figures of the one measurement.
fn both(sender: &Figures, mut receiver: Done, size: u64) -> Result<Done> {
    let figures = &mut receiver.figures;
    figures.set_ratio("receiver_peak_mib", "peak_mib", Some(1.0));
    if let Some(peak) = sender.get("peak_mib") {
        figures.set("sender_peak_mib", peak);
    }
    if let (Some(theirs), Some(ours)) = (sender.get("cpu_s"), figures.get("cpu_s")) {
        figures.set("cpu_s", theirs + ours);
    }
    finish(figures, size)?;
    Ok(receiver)
}

fn finish(figures: &mut Figures, size: u64) -> Result<()> {
    per_million(figures);
    let rate = figures.get("records_per_s").context("a process told no rate")?;
    figures.set("mb_per_s", rate * size as f64 / 1e6);
    Ok(())
}

fn per_million(figures: &mut Figures) {
    if let (Some(cpu), Some(records)) = (figures.get("cpu_s"), figures.get("records")) {
        figures.set("cpu_s_per_million", cpu / records * 1e6);
    }
}

/// Sends with nobody there, until all is durable.
fn published(home: &Home, sending: Sending, seconds: f64) -> Result<Done> {
    let load = Load { seconds, per_second: None };
    let mut sender = Actor::start(&Role::Send { place: home.place.clone(), sending, load, seal: true })?;
    sender.says()?;
    sender.go()?;
    sender.says()?;
    sender.done()
}

/// A node that has just started, unless there is one elsewhere; and how it is called.
fn started(home: &Home) -> Result<(Option<Server>, Far)> {
    match &home.place {
        Place::Own(dir) => {
            let server = Server::start(Path::new(dir))?;
            let far = server.far();
            Ok((Some(server), far))
        }
        Place::At(far) => Ok((None, far.clone())),
    }
}

/// What a process takes once that has stood still for so long.
fn settled(pid: u32, still: Duration) -> Result<Vitals> {
    let began = Instant::now();
    let look = || Vitals::of(pid).context("this system does not tell what a process takes");
    let (mut last, mut since) = (look()?, Instant::now());
    loop {
        std::thread::sleep(LOOK);
        let now = look()?;
        if now != last {
            (last, since) = (now, Instant::now());
        }
        if since.elapsed() >= still || began.elapsed() >= still * SETTLING {
            return Ok(last);
        }
    }
}
