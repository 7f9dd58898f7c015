//! What every backend must do, as functions on an empty store.
//!
//! A backend's tests call the `conformance!` macro with a way to make an empty store; each case becomes a test.

pub(crate) mod assets;
pub(crate) mod blobs;
pub(crate) mod durability;
pub(crate) mod invites;
pub(crate) mod people;
pub(crate) mod rooms;
pub(crate) mod secrets;
pub(crate) mod webhooks;

use telstar_units::{AccountId, RoomName, WallTime};

use crate::{Founding, NewApiKey, NewBearer, NewRoom, NewStreamKey, RoomMode, SecretHash, Store};

/// An empty store, and a way to open the same data again; a backend without durable data has none.
pub(crate) struct Fixture {
    pub store: Box<dyn Store>,
    pub again: Option<Box<dyn Fn() -> Box<dyn Store>>>,
    /// Keeps the data's folder until the case is over.
    pub _folder: Option<tempfile::TempDir>,
}

macro_rules! conformance {
    ($fresh:expr) => {
        crate::conformance::conformance!($fresh;
            people::a_store_is_founded_once,
            people::two_founders_at_once_make_one_admin,
            people::equal_subjects_of_two_issuers_are_different_people,
            people::a_principal_has_an_owner_that_exists,
            rooms::a_room_name_is_taken_once,
            rooms::a_rooms_mode_stays,
            rooms::a_change_leaves_the_rest_as_it_was,
            rooms::a_room_lists_few_and_short_origins,
            rooms::pages_hold_every_room_once,
            rooms::a_list_holds_the_rooms_of_its_owner_only,
            rooms::an_account_has_a_limit_of_rooms,
            rooms::a_deleted_room_takes_its_stream_keys_along,
            rooms::every_change_leaves_one_event_and_a_failure_none,
            secrets::a_stream_key_is_found_by_its_locator,
            secrets::a_revoked_stream_key_says_so_and_leaves_the_list,
            secrets::a_stream_key_is_revoked_in_its_own_room_only,
            secrets::a_room_has_a_limit_of_stream_keys,
            secrets::a_sign_in_code_works_once,
            secrets::of_two_that_redeem_one_code_one_wins,
            secrets::a_code_cannot_sign_another_account_in,
            secrets::what_has_expired_is_not_found,
            secrets::one_session_too_many_signs_the_oldest_out,
            secrets::a_session_ends_when_it_is_deleted,
            secrets::an_account_can_end_all_its_bearers_at_once,
            secrets::one_api_token_too_many_is_refused_until_others_expire,
            secrets::a_revoked_api_key_is_gone,
            secrets::a_denied_token_is_denied_until_it_expires,
            secrets::a_sweep_removes_what_has_ended_and_nothing_else,
            invites::an_invite_is_found_by_its_locator_until_it_ends,
            invites::an_invite_is_used_no_more_often_than_it_says,
            invites::a_revoked_invite_is_gone_and_only_from_its_own_room,
            invites::a_room_has_a_limit_of_invites,
            webhooks::an_event_goes_to_every_webhook_that_wants_it,
            webhooks::an_attempt_ends_once_and_only_the_newest_counts,
            webhooks::what_was_under_way_is_free_after_a_start,
            webhooks::what_waits_for_a_webhook_has_a_limit_and_the_oldest_goes,
            webhooks::a_deleted_webhook_takes_its_deliveries_along,
            webhooks::an_account_has_a_limit_of_webhooks,
            assets::an_upload_grows_and_becomes_an_asset_with_its_last_byte,
            assets::a_length_is_told_once_and_room_is_set_aside,
            assets::parts_become_one_in_their_order,
            assets::parts_that_were_joined_do_not_take_their_room_for_long,
            assets::an_upload_that_expires_is_given_up_and_an_asset_is_not,
            assets::assets_are_listed_newest_first_and_leave_nothing_behind,
            assets::open_jobs_are_listed_as_they_are_under_way,
            assets::only_the_current_attempt_commits_and_all_of_it_or_nothing,
            assets::a_rendition_that_stood_in_for_another_goes_when_that_has_been_there_for_long,
            assets::a_job_that_always_fails_fails_its_asset_until_it_is_wanted_again,
            assets::nobody_waits_for_who_wants_much,
            assets::a_job_that_is_given_back_has_not_failed,
            assets::jobs_of_a_server_that_is_gone_are_begun_again,
            assets::a_job_in_which_the_server_ends_again_and_again_is_given_up,
            durability::runs_are_counted_over_reopening,
            durability::what_was_acknowledged_is_there_after_reopening,
            durability::a_failed_operation_leaves_its_neighbours_alone,
            durability::an_answer_is_visible_to_the_next_read,
            durability::a_closing_store_does_what_it_accepted,
        );
    };
    ($fresh:expr; $($module:ident :: $case:ident),* $(,)?) => {
        $(#[test] fn $case() { crate::conformance::$module::$case($fresh()); })*
    };
}
pub(crate) use conformance;

/// A wall clock of whole seconds.
pub(crate) fn at(secs: i64) -> WallTime {
    WallTime(secs * 1_000_000)
}

pub(crate) fn name(text: &str) -> RoomName {
    RoomName::parse(text).expect("the test writes a slug")
}

pub(crate) fn new_room(text: &str) -> NewRoom {
    NewRoom { name: name(text), title: format!("Title of {text}"), open: true, mode: RoomMode::Sfu }
}

/// A secret's shadow, told apart by `locator`.
pub(crate) fn hash(locator: &str) -> SecretHash {
    let mut bytes = [0; 32];
    for (byte, from) in bytes.iter_mut().zip(locator.bytes()) {
        *byte = from;
    }
    SecretHash(bytes)
}

pub(crate) fn new_key(locator: &str) -> NewStreamKey {
    let hint = format!("sk_{}…", &locator[..1]);
    NewStreamKey { label: "OBS".into(), hint, locator: locator.into(), hash: hash(locator) }
}

pub(crate) fn new_api_key(id: &str) -> NewApiKey {
    NewApiKey { id: id.into(), label: "app".into(), sealed_secret: vec![3; 72] }
}

pub(crate) fn bearer(owner: AccountId, locator: &str, expires_secs: i64) -> NewBearer {
    NewBearer { owner, locator: locator.into(), hash: hash(locator), expires_at: at(expires_secs) }
}

pub(crate) fn founding() -> Founding {
    Founding {
        admin: "admin".into(),
        api_key: new_api_key("ak_first"),
        room: new_room("demo"),
        stream_key: new_key("first"),
    }
}

/// Founds a store and returns the admin's number.
pub(crate) fn founded(store: &dyn Store) -> AccountId {
    let founded = store.found(founding(), at(1)).wait().expect("an empty store can be founded");
    assert!(founded.fresh);
    founded.admin.id
}
