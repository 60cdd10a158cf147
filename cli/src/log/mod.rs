//! What the library logs, for who operates it: on stderr, as much as was asked for.
//!
//! The room `line` makes a line of an event. How many of one kind are told is the business of [`crate::status`], by which all
//! that is said on stderr goes.

mod line;

use anyhow::{Context, Result};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;

/// Which events become lines.
#[derive(Clone, Debug)]
pub(crate) struct Filter(Targets);

impl Filter {
    /// Errors and warnings; or as `verbose` (`-v` counted) and `quiet` say, and beyond that `filter`: a list of
    /// `LEVEL` and `MODULE=LEVEL`, of which the longest module that fits holds.
    ///
    /// # Errors
    /// Says what in the list is not understood.
    pub(crate) fn new(verbose: u8, quiet: bool, filter: Option<&str>) -> Result<Filter> {
        let level = match (quiet, verbose) {
            (true, _) => LevelFilter::ERROR,
            (false, 0) => LevelFilter::WARN,
            (false, 1) => LevelFilter::INFO,
            (false, 2) => LevelFilter::DEBUG,
            (false, _) => LevelFilter::TRACE,
        };
        let mut targets = Targets::new().with_default(level);
        if level == LevelFilter::INFO {
            // What happens to a receiver or a publisher is told by `news` already.
            targets = targets.with_target("netchan_node::event", LevelFilter::WARN);
        }
        for rule in filter.unwrap_or_default().split(',').map(str::trim).filter(|rule| !rule.is_empty()) {
            let (module, level) = match rule.split_once('=') {
                Some((module, level)) => (Some(module.trim()), level.trim()),
                None => (None, rule),
            };
            let known = level.parse().ok().filter(|_: &LevelFilter| !level.is_empty());
            let level = known.with_context(|| {
                format!(
                    "the log filter {rule:?} is not understood: it wants a LEVEL (error, warn, info, debug, trace, \
                     off) or MODULE=LEVEL, as in `warn,netchan_store=debug`"
                )
            })?;
            targets = match module {
                Some(module) => targets.with_target(module, level),
                None => targets.with_default(level),
            };
        }
        Ok(Filter(targets))
    }
}

/// From now on events are told. Once a process: what comes second changes nothing.
pub(crate) fn begin(filter: Filter) {
    let subscriber = tracing_subscriber::registry().with(filter.0).with(line::Lines);
    let _ = tracing::subscriber::set_global_default(subscriber);
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    fn tells(verbose: u8, quiet: bool, filter: &str, target: &str) -> Vec<Level> {
        let filter = Filter::new(verbose, quiet, Some(filter)).unwrap();
        let all = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];
        all.into_iter().filter(|level| filter.0.would_enable(target, level)).collect()
    }

    #[test]
    fn the_more_v_the_more_is_told() {
        let of = |verbose, quiet| tells(verbose, quiet, "", "netchan_store::log").len();
        assert_eq!([of(0, true), of(0, false), of(1, false), of(2, false), of(3, false)], [1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_filter_goes_beyond_v_for_modules_and_for_all() {
        assert_eq!(tells(0, false, "netchan_store=debug", "netchan_store::log").len(), 4);
        assert_eq!(tells(0, false, "netchan_store=debug", "netchan_node::serve").len(), 2);
        assert_eq!(tells(2, false, "netchan_store=off", "netchan_store").len(), 0);
        assert_eq!(tells(2, false, " error , netchan_store::log=info ", "netchan_store::store").len(), 1);
    }

    #[test]
    fn what_is_no_filter_is_refused_with_what_would_be() {
        for bad in ["loud", "netchan_store=", "netchan_store=loud", "=,", "a=b=c"] {
            let error = Filter::new(0, false, Some(bad)).unwrap_err().to_string();
            assert!(error.contains("MODULE=LEVEL"), "{bad}: {error}");
        }
    }
}
