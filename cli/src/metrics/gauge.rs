//! What the page tells of one thing at a time: a number, and a time as a number.

use std::fmt;

use netchan::Timestamp;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// A gauge without labels.
pub(super) fn tell(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<Unit>,
    value: impl EncodeGaugeValue,
) -> fmt::Result {
    let gauge = encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
    ConstGauge::new(value).encode(gauge)
}

/// A time as Prometheus has it; `None` if there is none.
#[expect(clippy::cast_precision_loss, reason = "microseconds are enough")]
pub(super) fn since_1970(time: Timestamp) -> Option<f64> {
    (time != Timestamp::MIN).then_some(time.0 as f64 / 1e9)
}
