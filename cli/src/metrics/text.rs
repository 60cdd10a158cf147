//! The page: what a node tells about itself and its channels, in the text format of OpenMetrics.
//!
//! Numbers that the node counts keep the names of the registry in `spec/`, with their units; see [`name_of`].

use std::fmt;

use netchan::{Error, LogInfo, Node, Timestamp};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

/// Channels that are told one by one; a page of more would be megabytes.
const MAX_CHANNELS: usize = 4096;

/// What is told of a node.
#[derive(Debug)]
pub(super) struct Told {
    channels: Vec<Channel>,
    /// How many channels there are beyond those.
    omitted: usize,
}

#[derive(Debug)]
struct Channel {
    info: LogInfo,
}

impl Told {
    /// Asks the node.
    pub(super) async fn ask(node: &Node) -> Result<Told, Error> {
        // Another process has the channels, and tells them.
        let channels = if node.is_holder() { node.channels("").await? } else { Vec::new() };
        let omitted = channels.len().saturating_sub(MAX_CHANNELS);
        let channels = channels.into_iter().take(MAX_CHANNELS).map(|info| Channel { info }).collect();
        Ok(Told { channels, omitted })
    }

    pub(super) fn text(self) -> Result<String, fmt::Error> {
        let mut registry = Registry::with_prefix("netchan");
        registry.register_collector(Box::new(self));
        let mut page = String::new();
        text::encode(&mut page, &registry)?;
        Ok(page)
    }

    /// One number of every channel that has it.
    fn each_channel<N: prometheus_client::encoding::EncodeGaugeValue>(
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
}

impl Collector for Told {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        let omitted = "Channels that are not told below, because there are too many";
        let family = encoder.encode_descriptor("channels_omitted", omitted, None, MetricType::Gauge)?;
        ConstGauge::new(self.omitted as u64).encode(family)?;

        let what = ("channel_first_offset", None, "Offset of the channel's first record that is there");
        self.each_channel(encoder, what, |channel| Some(channel.info.first.0))?;
        let what = ("channel_next_offset", None, "Offset of the channel's next record: its visible end");
        self.each_channel(encoder, what, |channel| Some(channel.info.next.0))?;
        let what = ("channel_durable_offset", None, "Offset up to which the channel survives power loss");
        self.each_channel(encoder, what, |channel| Some(channel.info.durable.0))?;
        let what = ("channel_size", Some(Unit::Bytes), "What the channel takes on the disk");
        self.each_channel(encoder, what, |channel| Some(channel.info.bytes))?;
        let what = ("channel_segments", None, "Files of the channel");
        self.each_channel(encoder, what, |channel| Some(channel.info.segments))?;
        let what = ("channel_sealed", None, "Whether the channel is complete: 1 if so");
        self.each_channel(encoder, what, |channel| Some(u64::from(channel.info.sealed)))?;
        let help = "Time of the channel's last record, since 1970";
        let what = ("channel_last_record_timestamp", Some(Unit::Seconds), help);
        self.each_channel(encoder, what, |channel| seconds(channel.info.last_time))
    }
}

/// A time as Prometheus has it; `None` if there is none.
fn seconds(time: Timestamp) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "microseconds are enough")]
    let seconds = time.0 as f64 / 1e9;
    (time != Timestamp::MIN).then_some(seconds)
}
