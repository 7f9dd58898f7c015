//! The network edge: STUN, DTLS and garbage of strangers, ICE-TCP.

use super::stage::{SMALL_MIB, Stage};
use super::stun::{self, Credentials};

#[tokio::test(flavor = "multi_thread")]
async fn checks_for_names_that_nobody_has_are_dropped_unanswered() {
    let stage = Stage::set().await;
    let socket = stage.stranger().await;
    stage
        .nobody_is_answered(&socket, 5_000, |number| {
            let of = Credentials { ufrag: format!("{number:016x}"), password: "x".repeat(24) };
            stun::check(&of, number as u32)
        })
        .await;
    stage.others_are_undisturbed().await;
    stage.memory_stays_below(SMALL_MIB);
}
