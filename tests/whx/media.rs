//! Media: what is published over WHIP is in the call and is watched over WHEP.

use telstar_client::{Codec, Kind};

use crate::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_over_whip_is_watched_over_whep() {
    let stage = Stage::with_media().await;
    let _publication = stage.publisher(Codec::Vp8, &[]).await;
    let mut viewer = stage.viewer(None, &[Codec::H264, Codec::Vp8, Codec::Opus]).await;
    viewer.pictures.more(50).await;
    viewer.sounds.more(100).await;
    viewer.pictures.assert_whole();
    viewer.sounds.assert_whole();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ingest_is_a_participant_whom_the_others_see_and_hear() {
    let stage = Stage::with_media().await;
    let mut alice = stage.person("alice").await;
    let token = stage.token("studio", &["publish"]).await;
    let publication = stage.publisher_with(token, Codec::Vp8, &[]).await;
    let mut pictures = alice.watch_of("studio", Kind::Video).await;
    let mut sounds = alice.watch_of("studio", Kind::Audio).await;
    pictures.more(50).await;
    sounds.more(100).await;
    pictures.assert_whole();
    sounds.assert_whole();
    let ingest = stage.participants().await.into_iter().find(|one| one["kind"] == "ingest").expect("it takes part");
    assert_eq!((&ingest["identity"], &ingest["name"]), (&"studio".into(), &"studio".into()));
    publication.close().await.expect("it ends");
    pictures.ended().await;
    stage.participants_become(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn layers_are_taken_and_a_viewer_gets_what_its_path_carries() {
    let stage = Stage::with_media().await;
    let publication = stage.publisher(Codec::Vp8, &[320, 640, 1280]).await;
    assert!(publication.answer().contains("a=simulcast:recv l;m;h"), "{}", publication.answer());
    let ingest = stage.participants().await.remove(0);
    let rids: Vec<&str> = ingest["tracks"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|track| track["layers"].as_array())
        .flatten()
        .filter_map(|layer| layer["rid"].as_str())
        .collect();
    assert_eq!(rids, ["l", "m", "h"]);
    let mut viewer = stage.viewer(None, &[Codec::Vp8, Codec::Opus]).await;
    viewer.pictures.until(|arrival| arrival.layer == 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_stay_while_a_publisher_comes_back() {
    let stage = Stage::with_media().await;
    let first = stage.publisher(Codec::Vp8, &[]).await;
    let mut viewer = stage.viewer(None, &[Codec::Vp8, Codec::Opus]).await;
    viewer.pictures.more(10).await;
    first.close().await.expect("it ends");
    let _second = stage.publisher(Codec::Vp8, &[]).await;
    viewer.pictures.more(20).await;
    viewer.sounds.more(20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_over_webrtc_are_viewers_of_the_room() {
    let stage = Stage::with_media().await;
    let _publication = stage.publisher(Codec::Vp8, &[]).await;
    let viewer = stage.viewer(None, &[Codec::Vp8, Codec::Opus]).await;
    let viewers = async |expect: u64| stage.live_becomes(|live| live.viewers == expect).await;
    viewers(1).await;
    viewer.view.close().await.expect("it ends");
    viewers(0).await;
}
