//! What WHIP and WHEP ask of a server, line by line, and which test shows it. docs/whip-whep.md has the same table for people.

use std::collections::BTreeSet;

/// A line: its number, what it asks, and the tests that show it or the reason why there is none.
struct Line(u8, &'static str, Proof);

enum Proof {
    Tests(&'static [&'static str]),
    Excuse(&'static str),
    Both(&'static [&'static str], &'static str),
}

use Proof::{Both, Excuse, Tests};

const LINES: [Line; 23] = [
    Line(
        1,
        "an offer is answered 201 with the answer and a Location",
        Tests(&["a_good_offer_is_answered_201_with_an_answer_and_a_location"]),
    ),
    Line(
        2,
        "another type or malformed SDP is a 4xx; media types by essence, in any case",
        Tests(&["another_type_is_415_and_what_is_no_sdp_is_400", "media_types_may_have_parameters_and_any_case"]),
    ),
    Line(
        3,
        "directions: WHIP sends, WHEP receives, and the answer is the other way",
        Tests(&["an_answer_goes_the_other_way_and_no_other_direction_is_taken"]),
    ),
    Line(
        4,
        "more streams or tracks, and a setup:active that is not taken, fail the whole offer",
        Tests(&["more_than_one_stream_of_one_picture_and_one_sound_fails_as_a_whole"]),
    ),
    Line(5, "bundled, rtcp-mux, all candidates in the answer", Tests(&["an_answer_is_bundled_and_has_all_candidates"])),
    Line(
        6,
        "GET is 2xx without content, HEAD finds a player's endpoint, other methods are 405 with Allow",
        Tests(&[
            "a_get_says_nothing_and_the_endpoint_of_viewers_is_found_by_its_head",
            "other_methods_are_405_with_those_that_are_allowed",
        ]),
    ),
    Line(7, "OPTIONS is 200 with Accept-Post", Tests(&["options_are_for_everybody_and_say_what_is_taken"])),
    Line(
        8,
        "CORS: what pages of other sites may send and read",
        Tests(&["pages_of_all_sites_may_read_what_they_need", "options_are_for_everybody_and_say_what_is_taken"]),
    ),
    Line(
        9,
        "Link for each ICE server and extension",
        Both(
            &["there_are_no_links_to_ice_servers_because_there_are_none"],
            "this server has no STUN or TURN server to name, and offers no extension",
        ),
    ),
    Line(
        10,
        "Bearer; 401 with WWW-Authenticate, 403; none for a preflight",
        Tests(&[
            "without_a_good_bearer_it_is_401_and_without_the_right_403_or_404",
            "keys_tokens_and_the_owners_own_page_may_publish",
            "a_session_goes_on_with_the_credential_that_began_it",
            "options_are_for_everybody_and_say_what_is_taken",
        ]),
    ),
    Line(
        11,
        "overload is 503 with Retry-After; a redirect is 307",
        Both(&["too_many_are_503_with_a_time_to_come_back"], "one server redirects nobody"),
    ),
    Line(
        12,
        "WHEP: not live is 409 with Retry-After",
        Tests(&["a_room_that_is_not_live_is_409_with_a_time_to_come_back"]),
    ),
    Line(
        13,
        "WHEP: a counter-offer by 406",
        Excuse("optional: this server takes every offer that it can, and answers 201"),
    ),
    Line(
        14,
        "PATCH takes fragments; another type or a malformed one is a 4xx",
        Tests(&["a_patch_of_another_type_or_without_sense_is_refused"]),
    ),
    Line(15, "422 for whichever of trickling and restarting is not supported", Excuse("both are")),
    Line(
        16,
        "a strong ETag for each ICE session; no If-Match is 428, another is 412",
        Tests(&["each_session_has_a_strong_tag", "a_patch_says_for_which_ice_session_it_is"]),
    ),
    Line(
        17,
        "trickling is 204 without an ETag; useless candidates are left out",
        Tests(&["candidates_are_taken_and_answered_204_without_a_tag"]),
    ),
    Line(
        18,
        "a restart is 200 with new credentials and a new ETag; one that fails changes nothing",
        Tests(&[
            "a_restart_has_new_credentials_and_a_new_tag",
            "a_restart_that_fails_leaves_the_ice_session_as_it_was",
            "media_survives_restarts_of_ice_on_both_sides",
        ]),
    ),
    Line(
        19,
        "DELETE is 200 whatever the entity tag; an end takes the connection along at once",
        Tests(&[
            "delete_is_200_whatever_tag_it_shows_and_then_there_is_nothing",
            "who_is_sent_away_loses_its_connection_at_once",
            "who_vanishes_is_let_go_when_its_consent_is_over",
        ]),
    ),
    Line(
        20,
        "addresses that nobody guesses, limited rates, and an end for who never comes",
        Tests(&[
            "sessions_have_addresses_and_tags_that_nobody_guesses",
            "who_never_comes_is_let_go",
            "floods_of_offers_patches_and_deletes_are_slowed_down",
        ]),
    ),
    Line(
        21,
        "simulcast layers are taken each",
        Tests(&["layers_of_an_offer_are_answered_each", "layers_are_taken_and_a_viewer_gets_what_its_path_carries"]),
    ),
    Line(
        22,
        "HTTPS; errors are problem details",
        Tests(&["errors_are_problem_details_and_everything_is_there_over_tls"]),
    ),
    Line(
        23,
        "WHEP: the extensions for events and layers",
        Excuse("a draft of its own; every viewer gets the layer that its path carries"),
    ),
];

/// The sources of the tests that a line may name.
const SOURCES: [&str; 6] = [
    include_str!("access.rs"),
    include_str!("endings.rs"),
    include_str!("endpoint.rs"),
    include_str!("media.rs"),
    include_str!("restart.rs"),
    include_str!("session.rs"),
];
const DOCUMENT: &str = include_str!("../../docs/whip-whep.md");

#[test]
fn every_line_has_a_check_or_an_excuse() {
    let tests: BTreeSet<&str> = SOURCES
        .iter()
        .flat_map(|source| source.split("async fn ").skip(1))
        .filter_map(|rest| rest.split('(').next())
        .collect();
    for (index, Line(number, says, proof)) in LINES.iter().enumerate() {
        assert_eq!(usize::from(*number), index + 1, "the lines are in their order");
        let (named, excuse) = match proof {
            Tests(named) => (*named, None),
            Excuse(excuse) => (&[][..], Some(excuse)),
            Both(named, excuse) => (*named, Some(excuse)),
        };
        assert!(!named.is_empty() || excuse.is_some_and(|excuse| !excuse.is_empty()), "{number} has neither");
        for name in named {
            assert!(tests.contains(name), "{number}: there is no test {name}");
        }
        assert!(
            DOCUMENT.contains(&format!("| {number} | {says} |")),
            "docs/whip-whep.md has not: | {number} | {says} |"
        );
    }
}
