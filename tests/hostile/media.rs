//! Media that lies: pictures that are too large, parameter sets that claim more, clocks that jump, players that do not read.

use telstar_rtmp::chunk::message_type;
use telstar_signaling::wire::RoomState;

use super::encoder::{self, IDR, P_SLICE, PPS, SPS};
use super::rtmp::Client;
use super::stage::{SMALL_MIB, Stage};

/// Bits of a parameter set, most significant first.
#[derive(Default)]
struct Bits(Vec<bool>);

impl Bits {
    fn ue(mut self, value: u32) -> Bits {
        let code = u64::from(value) + 1;
        let len = 64 - code.leading_zeros();
        self.0.extend((1..len).map(|_| false));
        self.0.extend((0..len).rev().map(|bit| code >> bit & 1 == 1));
        self
    }

    fn flag(mut self, value: bool) -> Bits {
        self.0.push(value);
        self
    }

    fn bytes(mut self) -> Vec<u8> {
        self.0.push(true);
        let byte =
            |bits: &[bool]| bits.iter().enumerate().fold(0u8, |byte, (at, bit)| byte | u8::from(*bit) << (7 - at));
        self.0.chunks(8).map(byte).collect()
    }
}

/// A baseline SPS of so many macroblocks, with so much cropped on each side.
fn sps(width_mbs: u32, height_mbs: u32, crop: Option<u32>) -> Vec<u8> {
    // Id, log2_max_frame_num, poc type 2, reference frames, gaps; then the size.
    let bits = Bits::default().ue(0).ue(0).ue(2).ue(1).flag(false);
    let bits = bits.ue(width_mbs - 1).ue(height_mbs - 1).flag(true).flag(true);
    let bits = match crop {
        None => bits.flag(false),
        Some(crop) => bits.flag(true).ue(crop).ue(crop).ue(crop).ue(crop),
    };
    let mut unit = vec![0x67, 66, 0xc0, 30];
    unit.extend(bits.flag(false).bytes());
    unit
}

/// Pushes pictures with these parameter sets, and sound beside them.
async fn push(client: &mut Client, sps: &[u8], pps: &[u8], frames: u32) -> bool {
    let mut taken = client.send(0, message_type::VIDEO, &encoder::avc_header(sps, pps)).await;
    taken &= client.send(0, message_type::AUDIO, &encoder::aac_header()).await;
    for index in 0..frames {
        let (key, unit) = if index.is_multiple_of(25) { (true, IDR) } else { (false, P_SLICE) };
        taken &= client.send(index * 40, message_type::VIDEO, &encoder::avc_frame(key, 0, &[unit])).await;
        taken &= client.send(index * 40, message_type::AUDIO, &encoder::aac_frame()).await;
    }
    taken
}

#[tokio::test]
async fn parameter_sets_that_lie_about_size_are_refused_or_believed_at_no_cost() {
    let mut stage = Stage::set(|_| {}).await;
    // Without parameter sets a picture is of no use. The last of them is a picture of 16 pixels, and believed.
    let lies = [
        sps(4_096, 4_096, None),
        sps(0x0fff_ffff, 0x0fff_ffff, None),
        sps(8, 6, Some(0x7fff_fffe)),
        sps(8, 6, Some(64)),
        sps(1, 1, Some(8)),
        vec![0x67, 66, 0xc0, 30],
        vec![0x67],
        [&sps(8, 6, None)[..4], &[0; 200]].concat(),
        [&sps(8, 6, None)[..4], &[0xff; 200]].concat(),
    ];
    let mut refused = 0;
    for (index, lie) in lies.iter().enumerate() {
        let mut client = stage.publisher().await;
        if lie.len() >= 4 {
            assert!(push(&mut client, lie, PPS, 30).await);
            refused += if index + 1 < lies.len() { 30 } else { 0 };
        }
        // In-band, too: where a good record came first.
        assert!(push(&mut client, SPS, PPS, 1).await);
        let units: [&[u8]; 3] = [lie, PPS, IDR];
        assert!(client.send(4_000, message_type::VIDEO, &encoder::avc_frame(true, 0, &units)).await);
        // It ends in order, so that the next is not refused as a second one.
        client.command(&["FCUnpublish".into(), 7.0.into()]).await;
        client.until_code("NetStream.Unpublish.Success").await;
        stage.others_are_undisturbed().await;
        stage.becomes("the refused pictures are counted", |_| stage.unusable_frames() == refused).await;
    }
    stage.memory_stays_below(SMALL_MIB);
}

#[tokio::test]
async fn parameter_sets_that_change_with_every_picture_fall_silent() {
    let mut stage = Stage::set(|_| {}).await;
    let mut client = stage.publisher().await;
    push(&mut client, SPS, PPS, 1).await;
    for index in 1..=1_500u32 {
        let units: [&[u8]; 3] = [&sps(8 + index % 200, 6, None), PPS, IDR];
        assert!(client.send(index * 40, message_type::VIDEO, &encoder::avc_frame(true, 0, &units)).await);
        assert!(client.send(index * 40, message_type::AUDIO, &encoder::aac_frame()).await);
        if index.is_multiple_of(250) {
            stage.others_are_undisturbed().await;
        }
    }
    client.command(&["FCUnpublish".into(), 7.0.into()]).await;
    client.until_code("NetStream.Unpublish.Success").await;
    stage.room_becomes("attacker", |room| room.ingest.is_none()).await;
    let list = stage.rig.get("/live/attacker/video/index.m3u8").await.text().await.expect("text");
    assert!(list.contains("#EXTM3U") && list.matches("#EXT-X-MAP").count() <= 70, "{list}");
    stage.others_are_undisturbed().await;
    stage.memory_stays_below(SMALL_MIB);
}

#[tokio::test]
async fn an_encoder_above_the_bitrate_is_told_and_closed() {
    let mut stage = Stage::set(|config| config.rtmp.bitrate_max_kbps = 8_000).await;
    let mut client = stage.publisher().await;
    push(&mut client, SPS, PPS, 5).await;
    client.send(0, message_type::SET_CHUNK_SIZE, &(1u32 << 20).to_be_bytes()).await;
    client.writer.set_chunk_size(1 << 20);
    let unit = [IDR, &vec![7; 256 * 1_024]].concat();
    // Four seconds at once are 4 MB; these are 16.
    for index in 5..69u32 {
        client.send(index * 40, message_type::VIDEO, &encoder::avc_frame(true, 0, &[&unit])).await;
    }
    let words = client.last_words().await;
    assert!(words.is_empty() || words.contains("The bitrate is higher than the server takes."), "{words}");
    stage.becomes("it is gone", |metrics| metrics.rtmp_connections_count.get() == 2).await;
    stage.others_are_undisturbed().await;
    stage.memory_stays_below(SMALL_MIB);
}

#[tokio::test]
async fn a_keyframe_of_20_mebibytes_ends_its_connection_with_a_word() {
    let mut stage = Stage::set(|_| {}).await;
    let mut client = stage.publisher().await;
    push(&mut client, SPS, PPS, 5).await;
    client.send(0, message_type::SET_CHUNK_SIZE, &(1u32 << 20).to_be_bytes()).await;
    client.writer.set_chunk_size(1 << 20);
    // A message's length has 24 bits: 20 MiB can only be claimed as what is left of them, or as 16 MiB.
    let claimed = [&[6, 0, 0, 0, 0xff, 0xff, 0xff, message_type::VIDEO, 1, 0, 0, 0][..], &[0x17; 100]].concat();
    client.raw(&claimed).await;
    for _ in 0..20 {
        if !client.raw(&vec![0x17; 1 << 20]).await {
            break;
        }
    }
    let words = client.last_words().await;
    assert!(words.is_empty() || words.contains("is longer than the allowed"), "{words}");
    stage.others_are_undisturbed().await;
    // One below the limit goes through.
    let mut client = stage.publisher().await;
    push(&mut client, SPS, PPS, 5).await;
    client.send(0, message_type::SET_CHUNK_SIZE, &(1u32 << 20).to_be_bytes()).await;
    client.writer.set_chunk_size(1 << 20);
    let unit = [IDR, &vec![7; 7 << 20]].concat();
    assert!(client.send(200, message_type::VIDEO, &encoder::avc_frame(true, 0, &[&unit])).await);
    client.command(&["FCUnpublish".into(), 7.0.into()]).await;
    client.until_code("NetStream.Unpublish.Success").await;
    stage.others_are_undisturbed().await;
    stage.memory_stays_below(64);
}

#[tokio::test]
async fn clocks_that_jump_by_hours_are_told_and_cost_nothing() {
    let mut stage = Stage::set(|_| {}).await;
    let mut client = stage.publisher().await;
    push(&mut client, SPS, PPS, 60).await;
    let hour = 3_600_000u32;
    for round in 0..400u32 {
        // Forward, back, across both wraps, and on sound and picture at different times.
        let ms = [5 * hour, 0, u32::MAX - 10, 30, 0xff_fff0, 20, 1_000 * hour][round as usize % 7];
        let taken = client.send(ms, message_type::VIDEO, &encoder::avc_frame(true, 0, &[IDR])).await;
        assert!(taken && client.send(ms ^ (round & 1), message_type::AUDIO, &encoder::aac_frame()).await);
        if round.is_multiple_of(100) {
            stage.others_are_undisturbed().await;
        }
    }
    client.command(&["getStreamLength".into(), 9.0.into()]).await;
    stage.others_are_undisturbed().await;
    let told = |room: &RoomState| room.ingest.is_some() && format!("{:?}", room.warnings).contains("TimestampsJump");
    stage.room_becomes("attacker", told).await;
    stage.memory_stays_below(SMALL_MIB);
}

#[tokio::test]
async fn a_player_that_does_not_read_loses_pictures_and_nobody_else_does() {
    let mut stage = Stage::set(|config| config.play.buffer_max_kib = 5_120).await;
    let mut deaf = stage.client().await;
    deaf.introduce(&[]).await;
    deaf.play("attacker").await;
    deaf.until_code("NetStream.Play.Start").await;
    let mut client = stage.publisher().await;
    client.send(0, message_type::SET_CHUNK_SIZE, &(1u32 << 20).to_be_bytes()).await;
    client.writer.set_chunk_size(1 << 20);
    push(&mut client, SPS, PPS, 1).await;
    let before = stage.frames_dropped();
    // 48 MiB in pictures of 256 KiB, a keyframe every ten.
    let picture = vec![7; 256 * 1_024];
    for index in 1..=192u32 {
        let unit = if index.is_multiple_of(10) { [IDR, &picture].concat() } else { [P_SLICE, &picture].concat() };
        let body = encoder::avc_frame(index.is_multiple_of(10), 0, &[&unit]);
        assert!(client.send(index * 40, message_type::VIDEO, &body).await, "the encoder is not slowed down");
        if index.is_multiple_of(24) {
            stage.others_are_undisturbed().await;
        }
    }
    client.command(&["FCUnpublish".into(), 7.0.into()]).await;
    client.until_code("NetStream.Unpublish.Success").await;
    assert!(stage.frames_dropped() > before, "the ring was full");
    stage.memory_stays_below(128);
    // It takes nothing for ten seconds, and is given up.
    stage.room_becomes("attacker", |room| room.viewers == 0).await;
    stage.others_are_undisturbed().await;
}
