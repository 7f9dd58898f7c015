//! ICE restarts with media: it goes on, under new credentials.

use telstar_client::Codec;

use crate::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn media_survives_restarts_of_ice_on_both_sides() {
    let stage = Stage::with_media().await;
    let mut publication = stage.publisher(Codec::Vp8, &[]).await;
    let mut viewer = stage.viewer(None, &[Codec::Vp8, Codec::Opus]).await;
    viewer.pictures.more(10).await;
    let tags = (publication.http().tag(), viewer.view.http().tag());
    publication.restart_ice().await.expect("the server takes it");
    viewer.view.restart_ice().await.expect("the server takes it");
    assert_ne!((publication.http().tag(), viewer.view.http().tag()), tags);
    // The client's engine forgets its path until it has found the next one, and loses what comes meanwhile.
    viewer.pictures.more(50).await;
    viewer.sounds.more(100).await;
}
