//! What must hold, from a sender in one runtime to a receiver in another.

mod cursors;
mod elsewhere;
mod ends;
mod filters;
mod order;
mod partitions;
mod patterns;
mod places;
mod typed;
mod waiting;
mod weather;

pub use cursors::*;
pub use elsewhere::*;
pub use ends::*;
pub use filters::*;
pub use order::*;
pub use partitions::*;
pub use patterns::*;
pub use places::*;
pub use typed::*;
pub use waiting::*;
pub use weather::*;

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

        /// The names of all of them.
        pub const NAMES: &[&str] = &[$(stringify!($name)),+];
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
