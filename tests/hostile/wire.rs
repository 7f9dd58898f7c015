//! The wire: chunk sizes, message lengths, chunk streams and AMF that claim more than they bring.

use telstar_rtmp::chunk::message_type;

use super::encoder;
use super::stage::{SMALL_MIB, Stage};

/// A chunk of type 0 that begins a message of `len` bytes and brings `body` of it.
fn chunk(csid: u32, kind: u8, len: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = if csid < 64 { vec![csid as u8] } else { vec![0, (csid - 64) as u8] };
    bytes.extend([0, 0, 0]);
    bytes.extend(&len.to_be_bytes()[1..]);
    bytes.push(kind);
    bytes.extend(1u32.to_le_bytes());
    bytes.extend(body);
    bytes
}

#[tokio::test]
async fn chunk_sizes_of_1_and_of_2_gigabytes_cost_nothing() {
    let mut stage = Stage::set(|_| {}).await;
    for size in [0, 1, 127, 1 << 31, u32::MAX] {
        let mut client = stage.introduced().await;
        client.send(0, message_type::SET_CHUNK_SIZE, &u32::to_be_bytes(size)).await;
        let words = client.last_words().await;
        assert!(words.contains("chunk size") && words.contains("is outside"), "{size}: {words}");
        stage.others_are_undisturbed().await;
    }
    // The largest is allowed, and reserves nothing: forty connections claim 320 MiB.
    let mut claiming = Vec::new();
    for _ in 0..40 {
        let mut client = stage.introduced().await;
        client.send(0, message_type::SET_CHUNK_SIZE, &(i32::MAX as u32).to_be_bytes()).await;
        client.raw(&chunk(6, message_type::VIDEO, 64 * 1_024, &[0; 100])).await;
        claiming.push(client);
    }
    stage.others_are_undisturbed().await;
    stage.memory_stays_below(SMALL_MIB);
    let mut publisher = stage.publisher().await;
    publisher.send(0, message_type::SET_CHUNK_SIZE, &(i32::MAX as u32).to_be_bytes()).await;
    publisher.raw(&chunk(6, message_type::VIDEO, 8 << 20, &[0; 100])).await;
    stage.others_are_undisturbed().await;
    stage.memory_stays_below(SMALL_MIB);
}

#[tokio::test]
async fn long_messages_on_hundreds_of_chunk_streams_are_limited_together() {
    let mut stage = Stage::set(|_| {}).await;
    // 16 MiB: longer than any message may be.
    let mut client = stage.publisher().await;
    client.raw(&chunk(6, message_type::VIDEO, 0xff_ffff, &[0; 128])).await;
    let words = client.last_words().await;
    assert!(words.contains("a message of 16777215 bytes is longer than the allowed 8388608"), "{words}");
    // As long as allowed, on every chunk stream there can be.
    let mut client = stage.publisher().await;
    for csid in 8..300 {
        if !client.raw(&chunk(csid, message_type::VIDEO, 8 << 20, &[0; 128])).await {
            break;
        }
    }
    let words = client.last_words().await;
    assert!(words.contains("more than 64 chunk streams"), "{words}");
    // And filled: sixteen of them with a megabyte each.
    let mut client = stage.publisher().await;
    client.send(0, message_type::SET_CHUNK_SIZE, &(2u32 << 20).to_be_bytes()).await;
    for csid in 8..40 {
        if !client.raw(&chunk(csid, message_type::VIDEO, 8 << 20, &vec![0; 2 << 20][..1 << 20])).await {
            break;
        }
        // The rest of the chunk belongs to it, so that the next header is one.
        if !client.raw(&vec![0; 1 << 20]).await {
            break;
        }
    }
    let words = client.last_words().await;
    assert!(words.is_empty() || words.contains("bytes in unfinished messages"), "{words}");
    stage.others_are_undisturbed().await;
    stage.memory_stays_below(64);
    // Whoever has shown no key gets 64 KiB.
    let mut stranger = stage.introduced().await;
    stranger.raw(&chunk(6, message_type::VIDEO, 64 * 1_024 + 1, &[0; 128])).await;
    let words = stranger.last_words().await;
    assert!(words.contains("a message of 65537 bytes is longer than the allowed 65536"), "{words}");
    stage.others_are_undisturbed().await;
}

#[tokio::test]
async fn amf_bombs_end_their_connection_and_nothing_else() {
    let mut stage = Stage::set(|_| {}).await;
    let named = |name: &str, bomb: &[u8]| [&encoder::amf_bytes(&[name.into(), 1.0.into()])[..], bomb].concat();
    let bombs: [(&str, Vec<u8>); 6] = [
        ("nested too deep", b"\x03\x00\x01a".repeat(10_000)),
        ("nested too deep", b"\x0a\x00\x00\x00\x01".repeat(10_000)),
        ("nested too deep", b"\x08\xff\xff\xff\xff\x00\x01a".repeat(5_000)),
        ("too many values", [&b"\x0a\xff\xff\xff\xff"[..], &[5; 20_000]].concat()),
        ("too many values", vec![5; 60_000]),
        ("not known", vec![0x11; 100]),
    ];
    for (words, bomb) in &bombs {
        let mut client = stage.client().await;
        client.raw(&encoder::handshake()).await;
        client.send(0, message_type::COMMAND_AMF0, &named("connect", bomb)).await;
        let said = client.last_words().await;
        assert!(said.contains(words), "{words}: {said}");
        let mut client = stage.introduced().await;
        client.send(0, message_type::COMMAND_AMF3, &named("publish", bomb)).await;
        assert!(client.last_words().await.contains(words), "{words}");
        stage.others_are_undisturbed().await;
    }
    // Four thousand million elements that never come are a cut message, which says little and costs nothing.
    let mut client = stage.introduced().await;
    client.send(0, message_type::COMMAND_AMF0, &named("publish", b"\x05\x0a\xff\xff\xff\xff\x05")).await;
    assert!(client.last_words().await.contains("The stream key is not valid."));
    // In metadata they are hints that nobody can read: the stream goes on.
    let mut publisher = stage.publisher().await;
    for (_, bomb) in &bombs {
        publisher.send(0, message_type::DATA_AMF0, &named("onMetaData", bomb)).await;
        publisher.send(0, message_type::DATA_AMF3, bomb).await;
    }
    assert!(publisher.push(30).await);
    publisher.command(&["getStreamLength".into(), 9.0.into()]).await;
    stage.others_are_undisturbed().await;
    stage.memory_stays_below(SMALL_MIB);
}

#[tokio::test]
async fn a_publisher_of_empty_messages_is_cut() {
    let mut stage = Stage::set(|_| {}).await;
    let mut client = stage.publisher().await;
    let nothing = [&chunk(4, message_type::AUDIO, 0, &[])[..], &[0xc4; 20_000]].concat();
    client.raw(&nothing).await;
    let words = client.last_words().await;
    assert!(words.contains("messages in a row carried neither media nor a command"), "{words}");
    stage.others_are_undisturbed().await;
    stage.memory_stays_below(SMALL_MIB);
}
