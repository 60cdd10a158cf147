//! An event of the library as a line of text.
//!
//! Fields hold what peers and disks say, so nothing in a line can begin another one, or command a terminal.

use std::fmt::{self, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use crate::status;

/// Writes events to stderr.
#[derive(Debug)]
pub(crate) struct Lines;

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let line = line(metadata, |visitor| event.record(visitor));
        // The name says the file and line of the event. Who asks for the finest levels wants to see all of it.
        let kind = (*metadata.level() <= Level::INFO).then(|| metadata.name());
        status::log(*metadata.level(), kind, &line);
    }
}

/// `WARN netchan_store::log: the volume is nearly full channel=orders`
fn line(metadata: &Metadata<'_>, record: impl FnOnce(&mut dyn Visit)) -> String {
    let mut text = Text::default();
    record(&mut text);
    format!("{} {}: {}{}", metadata.level(), metadata.target(), text.message, text.fields)
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.record_debug(field, &format_args!("{value}"));
    }
}
