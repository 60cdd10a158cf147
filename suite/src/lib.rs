//! What every runtime's netchan must do: scenarios written once, run over each adapter and each pair of two, through the
//! handles that programs hold and real sockets.
//!
//! The author of a runtime implements [`Runtime`] (for one that is awaited, by [`awaited!`]) and names it in
//! [`scenarios!`]; `runtimes` and `tests/pairs.rs` do that for those of this repository. In a scenario everything blocks: it has threads
//! where two things happen at a time, and no clock but for what is about time.
//!
//! | room | holds |
//! |---|---|
//! | `runtime` | what a scenario does with the handles of any runtime |
//! | `pair` | two nodes, each in its runtime, and what comes from one to the other |
//! | `scenarios` | what must hold |
//! | `proxy` | a network between them that cuts connections |
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

use std::io::Write;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

mod pair;
mod proxy;
mod runtime;
mod runtimes;
pub mod scenarios;

pub use pair::{Pair, payload};
pub use runtime::{Given, Runtime};

/// Longer than a scenario takes on a machine that is slow and busy.
const LIMIT: Duration = Duration::from_secs(240);

/// Runs a scenario; one that hangs has failed. `NETCHAN_SUITE_LIMIT` is after how many seconds, if not 240.
///
/// # Panics
/// If the scenario does, or takes too long. Its threads go on then, as long as the process does.
pub fn in_time(scenario: fn()) {
    let limit = std::env::var("NETCHAN_SUITE_LIMIT").ok();
    let limit = limit.map_or(LIMIT, |seconds| Duration::from_secs(seconds.parse().unwrap()));
    let (done, is_done) = mpsc::channel();
    let name = thread::current().name().unwrap_or("a scenario").to_owned();
    let running = thread::Builder::new().name(name).spawn(move || {
        // Dropped also by a panic.
        let _done: mpsc::Sender<()> = done;
        scenario();
    });
    match is_done.recv_timeout(limit) {
        Err(RecvTimeoutError::Timeout) => panic!("it hangs: after {limit:?} it is not done"),
        _ => running.unwrap().join().unwrap_or_else(|panicked| std::panic::resume_unwind(panicked)),
    }
}

/// Says how many scenarios there are, also where what tests print is kept back.
///
/// # Panics
/// If there are none.
pub fn tell_count(pairs: usize) {
    let count = scenarios::NAMES.len();
    assert!(count > 0 && pairs > 0);
    let _ = writeln!(std::io::stdout(), "{count} scenarios over {pairs} pairs: {} runs", count * pairs);
}

/// Makes a module of tests for each pair of runtimes, with a test for each scenario, and one that counts them.
///
/// ```ignore
/// netchan_suite::scenarios! {
///     tokio_to_std: Tokio => Std,
/// }
/// ```
#[macro_export]
macro_rules! scenarios {
    ($($pair:ident: $from:ty => $to:ty),+ $(,)?) => {
        $(
            mod $pair {
                use super::*;
                $crate::each_scenario!($from, $to);
            }
        )+

        #[test]
        fn each_scenario_is_run_over_each_pair() {
            let pairs = [$(stringify!($pair)),+];
            $crate::tell_count(pairs.len());
        }
    };
}

macro_rules! name_scenarios {
    ($dollar:tt $($name:ident),+ $(,)?) => {
        /// A test for each scenario, from one runtime to another.
        #[macro_export]
        macro_rules! each_scenario {
            ($dollar from:ty, $dollar to:ty) => {
                $(
                    #[test]
                    fn $name() {
                        $crate::in_time($crate::scenarios::$name::<$dollar from, $dollar to>);
                    }
                )+
            };
        }

        /// The names of all scenarios.
        const ALL: &[&str] = &[$(stringify!($name)),+];
    };
}

name_scenarios! { $
    what_is_sent_is_received_with_its_key_headers_and_time,
    a_record_is_as_safe_as_it_was_said_to_be,
    a_receiver_may_come_before_the_channel_and_before_its_node,
    who_does_not_want_to_wait_is_told_that_there_is_no_channel,
    nothing_sent_after_open_is_missed,
    a_seal_is_the_end_and_nothing_else_is,
    reading_begins_where_it_is_told_and_goes_on_from_a_position,
    a_gap_is_told_once_and_reading_goes_on,
    what_is_taken_together_is_what_would_have_come_one_by_one,
    only_what_passes_a_filter_is_received,
    a_cursor_goes_on_where_it_was_committed_from_any_node,
    of_two_who_read_by_one_cursor_the_later_one_has_it,
    channels_that_match_are_received_and_join_in_and_leave,
    channels_merged_by_time_come_in_the_order_of_time,
    positions_of_many_channels_go_on_elsewhere,
    over_connections_that_are_cut_each_channel_of_many_comes_once_and_in_order,
    records_of_a_key_stay_in_order_under_eight_senders,
    over_connections_that_are_cut_records_of_a_key_stay_in_order,
    a_channel_keeps_its_number_of_partitions,
    a_late_joiner_reads_all_of_it,
    ten_receivers_get_a_hundred_values_each,
    a_large_record_goes_through_a_small_window,
    many_threads_send_through_clones_of_one_handle,
    records_pass_both_ways_at_once,
    a_publisher_elsewhere_is_counted_once,
    a_note_is_given_back_to_its_producer,
    what_waits_too_long_is_refused_and_not_lost,
    who_has_the_token_comes_in_and_nobody_else_does,
    one_bad_client_harms_nobody,
    channels_are_asked_about_listed_sealed_and_deleted,
    readers_are_told_with_their_places,
    a_guest_works_through_the_socket_of_who_holds_the_directory,
    when_the_holder_goes_the_guest_takes_over,
    a_stream_that_the_program_brings_is_as_good_as_any,
    streams_are_made_anew_when_they_are_lost,
    a_node_that_cannot_be_called_calls_its_receiver,
    over_connections_that_are_cut_everything_comes_once_and_in_order,
    over_connections_of_which_half_ends_everything_comes_once_and_in_order,
    over_connections_that_are_cut_everything_is_delivered_once,
    what_comes_in_crumbs_is_received,
    what_goes_in_crumbs_is_delivered,
    events_tell_what_happens_beside_the_records,
    values_come_as_they_were_sent_also_to_who_comes_late,
    ten_receivers_get_a_hundred_structs_each_in_any_codec,
    who_means_other_values_is_told_so_at_open,
    values_of_many_channels_come_with_their_channel_and_others_are_told_once,
    a_receiver_of_values_may_come_before_anybody_says_what_they_are,
    a_record_that_is_no_value_is_told_once_and_reading_goes_on,
    who_has_the_key_reads_and_who_has_another_is_told_so_each_time,
    compressed_channels_are_received_as_they_were_sent,
    ones_own_transforms_are_undone_in_the_reverse_order,
    who_answers_without_a_preface_delivers_nothing,
    who_waits_for_receivers_waits_until_they_are_there,
    done_is_when_all_who_are_there_have_all,
    who_leaves_is_waited_for_no_longer,
    a_send_without_a_buffer_is_done_when_its_receiver_has_the_record,
    what_does_not_pass_is_had_once_that_is_known,
    who_publishes_elsewhere_is_told_that_nobody_knows_there_who_receives,
    waiting_ends_with_the_node_and_the_channel,
    what_was_sent_is_there_after_a_restart,
    who_shuts_down_delivers_and_says_what_is_left,
    handles_are_dropped_at_any_time_without_waiting,
    nothing_is_left_of_nodes_that_are_gone,
}
