//! The media plane.

use super::peer::{Peer, packet, vp8};
use super::sdp::{USUAL, VIDEO_SSRC, VP8};
use super::stage::{SMALL_MIB, Stage};

#[tokio::test(flavor = "multi_thread")]
async fn smoke() {
    let stage = Stage::set().await;
    let mut publisher = Peer::publisher(&stage, "eve", &USUAL).await;
    let mut viewer = Peer::viewer(&stage, "mallory").await;
    for number in 0..100u16 {
        publisher.rtp(&packet(VP8, number, u32::from(number) * 3_000, VIDEO_SSRC, &vp8(number % 10 == 0, &[0; 100]))).await;
        publisher.check().await;
        viewer.check().await;
    }
    eprintln!("{:?}", viewer.came);
    eprintln!("{:?}", publisher.came);
    stage.others_are_undisturbed().await;
    stage.memory_stays_below(SMALL_MIB);
}
