//! The page: what a node tells about itself and its channels, in the text format of OpenMetrics.
//!
//! What the node counts has the name that the registry in `spec/13-status.md` gives it, behind `netchan_`, with its unit
//! where that is not in the name; syncs by how long they took are one histogram.

use std::collections::HashMap;
use std::fmt;

use netchan::{ChannelName, Error, LogInfo, Node};
use netchan_proto::wire::{Counter, CounterKind, CounterUnit, NodeStatus, ReaderKind, ReadersReply};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeMetric, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use super::gauge::{since_1970, tell};
use super::process::Process;

/// Channels that are told one by one; a page of more would be megabytes.
const MAX_CHANNELS: usize = 4096;

/// What is told of a node.
#[derive(Debug)]
pub(super) struct Told {
    status: NodeStatus,
    channels: Vec<Channel>,
    /// How many channels there are beyond those.
    omitted: usize,
}

#[derive(Debug)]
struct Channel {
    info: LogInfo,
    audience: Audience,
}

/// Who reads and publishes a channel.
#[derive(Clone, Copy, Debug, Default)]
struct Audience {
    readers: u64,
    publishers: u64,
    /// Of the reader that is farthest behind.
    lag: Option<u64>,
    lag_bytes: Option<u64>,
    lag_seconds: Option<f64>,
}

impl Told {
    /// Asks the node for what it has itself: if another process has the channels, that one tells them.
    pub(super) async fn ask(node: &Node) -> Result<Told, Error> {
        let status = node.own_status().await?;
        let (infos, readers) = if node.is_holder() {
            (node.channels("").await?, node.readers("").await?)
        } else {
            Default::default()
        };
        let omitted = infos.len().saturating_sub(MAX_CHANNELS);
        let mut audiences = audiences(&readers);
        let channels = infos.into_iter().take(MAX_CHANNELS).map(|info| {
            let audience = audiences.remove(&info.name).unwrap_or_default();
            Channel { info, audience }
        });
        Ok(Told { status, channels: channels.collect(), omitted })
    }

    pub(super) fn text(self) -> Result<String, fmt::Error> {
        let mut process = Registry::with_prefix("process");
        process.register_collector(Box::new(Process::look(self.status.started)));
        let mut node = Registry::with_prefix("netchan");
        node.register_collector(Box::new(self));
        let mut page = String::new();
        text::encode_registry(&mut page, &node)?;
        text::encode_registry(&mut page, &process)?;
        text::encode_eof(&mut page)?;
        Ok(page)
    }

    fn info(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Which node this is, and which program of which version";
        let mut info = encoder.encode_descriptor("node", help, None, MetricType::Info)?;
        let (node, version) = (self.status.node.to_string(), self.status.version.as_str());
        info.encode_info(&[("node", node.as_str()), ("version", version)])
    }

    fn counters(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        for (counter, value) in self.status.counters.iter().filter(|(counter, _)| !is_sync_step(*counter)) {
            let unit = unit_of(counter);
            let (name, help) = (counter.name(), counter.meaning());
            let kind = match counter.kind() {
                CounterKind::Counter => MetricType::Counter,
                CounterKind::Gauge => MetricType::Gauge,
            };
            let metric = encoder.encode_descriptor(name, help, unit.as_ref(), kind)?;
            match (counter.kind(), counter.unit()) {
                (CounterKind::Counter, CounterUnit::Nanos) => {
                    ConstCounter::new(seconds(value)).encode(metric)?
                }
                (CounterKind::Counter, _) => ConstCounter::new(value).encode(metric)?,
                (CounterKind::Gauge, CounterUnit::Nanos) => ConstGauge::new(seconds(value)).encode(metric)?,
                (CounterKind::Gauge, _) => ConstGauge::new(value).encode(metric)?,
            }
        }
        Ok(())
    }

    /// The node's steps hold all that took at most so long; here each has its own, and the last what took longer.
    fn syncs(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let get = |counter| self.status.counters.get(counter);
        let (Some(count), Some(time)) = (get(Counter::SYNCS), get(Counter::SYNC_TIME)) else { return Ok(()) };
        let mut within = 0;
        let mut buckets = Vec::new();
        for (step, nanos) in Counter::sync_steps() {
            // What is counted meanwhile may be in one number and not yet in another.
            let until_here = get(step).unwrap_or(0).max(within);
            buckets.push((seconds(nanos), until_here - within));
            within = until_here;
        }
        buckets.push((f64::INFINITY, count.saturating_sub(within)));
        let (help, unit) = ("Syncs of logs by how long they took", Some(Unit::Seconds));
        let mut metric =
            encoder.encode_descriptor("sync_duration", help, unit.as_ref(), MetricType::Histogram)?;
        metric.encode_histogram::<NoLabelSet>(seconds(time), count.max(within), &buckets, None)
    }

    /// One number of every channel that has it.
    fn each_channel<N: EncodeGaugeValue>(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        (name, unit, help): (&str, Option<Unit>, &str),
        value: impl Fn(&Channel) -> Option<N>,
    ) -> fmt::Result {
        let mut family = encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
        for channel in &self.channels {
            if let Some(value) = value(channel) {
                let labels = [("channel", channel.info.name.as_str())];
                ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn channels(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let what = ("channel_first_offset", None, "Offset of the channel's first record that is there.");
        self.each_channel(encoder, what, |channel| Some(channel.info.first.0))?;
        let what = ("channel_next_offset", None, "Offset of the channel's next record: its visible end.");
        self.each_channel(encoder, what, |channel| Some(channel.info.next.0))?;
        let what = ("channel_durable_offset", None, "Offset up to which the channel survives power loss.");
        self.each_channel(encoder, what, |channel| Some(channel.info.durable.0))?;
        let what = ("channel_size", Some(Unit::Bytes), "What the channel takes on the disk.");
        self.each_channel(encoder, what, |channel| Some(channel.info.bytes))?;
        let what = ("channel_segments", None, "Files of the channel.");
        self.each_channel(encoder, what, |channel| Some(channel.info.segments))?;
        let what = ("channel_sealed", None, "Whether the channel is complete: 1 if so.");
        self.each_channel(encoder, what, |channel| Some(u64::from(channel.info.sealed)))?;
        let help = "Time of the channel's last record, since 1970.";
        let what = ("channel_last_record_timestamp", Some(Unit::Seconds), help);
        self.each_channel(encoder, what, |channel| since_1970(channel.info.last_time))?;
        let what = ("channel_readers", None, "Streams that read the channel.");
        self.each_channel(encoder, what, |channel| Some(channel.audience.readers))?;
        let what = ("channel_publishers", None, "Streams that publish to the channel.");
        self.each_channel(encoder, what, |channel| Some(channel.audience.publishers))?;
        let help = "Records that the reader farthest behind has not been sent; nothing without readers.";
        self.each_channel(encoder, ("channel_lag_records", None, help), |channel| channel.audience.lag)?;
        let help = "Bytes of log that the reader farthest behind has not been sent, roughly.";
        let what = ("channel_lag", Some(Unit::Bytes), help);
        self.each_channel(encoder, what, |channel| channel.audience.lag_bytes)?;
        let help = "Age of the oldest record that some reader has not been sent.";
        let what = ("channel_lag", Some(Unit::Seconds), help);
        self.each_channel(encoder, what, |channel| channel.audience.lag_seconds)
    }
}

impl Collector for Told {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        self.info(encoder)?;
        self.counters(encoder)?;
        self.syncs(encoder)?;
        let help = "Channels that are not told one by one, because there are too many.";
        tell(encoder, "channels_omitted", help, None, self.omitted as u64)?;
        self.channels(encoder)
    }
}

fn audiences(reply: &ReadersReply) -> HashMap<ChannelName, Audience> {
    let mut audiences: HashMap<ChannelName, Audience> = HashMap::new();
    for reader in &reply.readers {
        let audience = audiences.entry(reader.channel.clone()).or_default();
        match reader.kind {
            ReaderKind::Publishes => audience.publishers += 1,
            ReaderKind::Reads => {
                audience.readers += 1;
                let Some(lag) = reader.lag() else { continue };
                audience.lag = audience.lag.max(Some(lag));
                audience.lag_bytes = audience.lag_bytes.max(Some(reader.behind));
                let age = reader.lag_time(reply.now).map(|age| age.as_secs_f64());
                audience.lag_seconds = match (audience.lag_seconds, age) {
                    (Some(a), Some(b)) => Some(a.max(b)),
                    (a, b) => a.or(b),
                };
            }
        }
    }
    audiences
}

fn is_sync_step(counter: Counter) -> bool {
    Counter::sync_steps().any(|(step, _)| step == counter)
}

/// The unit that is to be behind the name.
fn unit_of(counter: Counter) -> Option<Unit> {
    match counter.unit() {
        CounterUnit::Bytes if !counter.name().contains("bytes") => Some(Unit::Bytes),
        CounterUnit::Nanos => Some(Unit::Seconds),
        _ => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds are enough")]
fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}
