//! Data channels: SCTP (RFC 9260) in DTLS by hand, from those who never finish a handshake and from those who have.

use std::time::Duration;

use super::peer::{Pair, Peer};
use super::stage::{SMALL_MIB, Stage};
use super::support::PATIENCE;

/// The attacker's verification tag, which the server puts into what it sends.
const OWN_TAG: u32 = 77;
/// What is not answered is said again.
const REPEAT: Duration = Duration::from_millis(200);
/// The first and the last fragment of a message (RFC 9260 §3.3.1), not in order.
const BEGIN: u8 = 2;
const END: u8 = 1;
const UNORDERED: u8 = 4;
/// What a message is (RFC 8831 §8).
const CONTROL: u32 = 50;
const BINARY: u32 = 53;

/// A packet of SCTP (RFC 9260 §3) with these chunks.
fn sctp(tag: u32, chunks: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x13, 0x88, 0x13, 0x88];
    bytes.extend_from_slice(&tag.to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(chunks);
    let sum = crc32c(&bytes);
    bytes[8..12].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// The checksum of SCTP (RFC 9260 appendix A).
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0x82f6_3b78 } else { sum >> 1 })
    })
}

fn chunk(kind: u8, flags: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, flags];
    bytes.extend_from_slice(&((body.len() + 4) as u16).to_be_bytes());
    bytes.extend_from_slice(body);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// An INIT (RFC 9260 §3.3.2) that wants so many streams and gives so much window.
fn init(tag: u32, window: u32, streams: u16) -> Vec<u8> {
    let mut body = tag.to_be_bytes().to_vec();
    body.extend_from_slice(&window.to_be_bytes());
    body.extend_from_slice(&streams.to_be_bytes());
    body.extend_from_slice(&streams.to_be_bytes());
    body.extend_from_slice(&1u32.to_be_bytes());
    chunk(1, 0, &body)
}

#[tokio::test(flavor = "multi_thread")]
async fn associations_that_never_end_or_never_read_hold_little() {
    let stage = Stage::set().await;
    let mut pair = Pair::connect(&stage).await;
    pair.forwards().await;
    // INITs, each another association with as many streams as there are and a window of nothing.
    for number in 1..1_500u32 {
        let window = [0, 1, u32::MAX][number as usize % 3];
        let packet = sctp(0, &init(number, window, 65_535));
        pair.publisher.sctp(&packet).await;
        pair.viewer.sctp(&packet).await;
        pair.publisher.pace(number).await;
        pair.viewer.pace(number).await;
    }
    assert!(pair.publisher.came.sctp <= 1_600, "{} answers", pair.publisher.came.sctp);
    // Data without an association: the beginnings of messages of gigabytes, on every stream, none of which ends.
    for number in 0..1_500u32 {
        let mut data = number.wrapping_mul(2).to_be_bytes().to_vec();
        data.extend_from_slice(&(number as u16).to_be_bytes());
        data.extend_from_slice(&[0, 0, 0, 0, 0, 53]);
        data.extend_from_slice(&[7; 1_000]);
        pair.publisher.sctp(&sctp(0, &chunk(0, 2, &data))).await;
        pair.publisher.pace(number).await;
    }
    // Chunks that lie: no length, the length of the packet and more, cookies of nothing, a hundred in one.
    let lies = [
        vec![0, 0, 0, 0],
        vec![1, 0, 0, 0, 1, 0, 0, 0],
        vec![0, 3, 0xff, 0xff, 0, 0, 0, 0],
        chunk(10, 0, &[0; 300]),
        chunk(11, 0, &[]),
        chunk(3, 0, &[0xff; 12]),
        chunk(192, 0, &[0xff; 64]),
        chunk(130, 0, &[0xff; 64]),
        chunk(4, 0, &[1, 2]).repeat(100),
        chunk(255, 0xff, &[0; 900]),
        chunk(6, 0, &[]),
        chunk(14, 1, &[]),
    ];
    for number in 0..400u32 {
        let lie = &lies[number as usize % lies.len()];
        pair.publisher.sctp(&sctp(0, lie)).await;
        pair.viewer.sctp(&sctp(number, lie)).await;
        pair.publisher.sctp(&lie[..lie.len().min(11)]).await;
        pair.publisher.pace(number).await;
        pair.viewer.pace(number).await;
    }
    stage.others_are_undisturbed().await;
    stage.costs_little(SMALL_MIB);
    pair.recovers(&stage).await;
}

/// The chunks of a packet.
fn chunks(packet: &[u8]) -> Vec<&[u8]> {
    let (mut rest, mut found) = (packet.get(12..).unwrap_or_default(), Vec::new());
    while let [_, _, high, low, ..] = *rest {
        let length = usize::from(u16::from_be_bytes([high, low])).max(4);
        found.push(&rest[..length.min(rest.len())]);
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

/// An association that stands.
struct Association {
    /// The server's tag.
    tag: u32,
    /// The number of the server's first chunk.
    theirs: u32,
    number: u32,
}

impl Association {
    /// The four messages of its beginning (RFC 9260 §5.1), with this much window for what the server sends.
    async fn begin(peer: &mut Peer, window: u32) -> Association {
        let first = sctp(0, &init(OWN_TAG, window, 1_024));
        let accepted = said(peer, &first, 2).await;
        let tag = u32::from_be_bytes(accepted[4..8].try_into().expect("four bytes"));
        let mut rest = &accepted[20..];
        let cookie = loop {
            let [kind_high, kind_low, high, low, ..] = *rest else { panic!("a cookie in {accepted:?}") };
            let length = usize::from(u16::from_be_bytes([high, low]));
            if [kind_high, kind_low] == [0, 7] {
                break rest[4..length].to_vec();
            }
            rest = &rest[length.next_multiple_of(4)..];
        };
        said(peer, &sctp(tag, &chunk(10, 0, &cookie)), 11).await;
        let theirs = u32::from_be_bytes(accepted[16..20].try_into().expect("four bytes"));
        Association { tag, theirs, number: 0 }
    }

    /// A fragment of a message, with the next number.
    fn data(&mut self, flags: u8, stream: u16, kind: u32, body: &[u8]) -> Vec<u8> {
        self.number += 1;
        self.data_at(self.number, flags, stream, kind, body)
    }

    fn data_at(&self, number: u32, flags: u8, stream: u16, kind: u32, body: &[u8]) -> Vec<u8> {
        let head = [&number.to_be_bytes()[..], &stream.to_be_bytes(), &[0, 0], &kind.to_be_bytes(), body].concat();
        sctp(self.tag, &chunk(0, flags, &head))
    }

    /// Opens a channel without order and resends (RFC 8832 §5.1).
    fn open(&mut self, stream: u16, label: &str) -> Vec<u8> {
        let length = (label.len() as u16).to_be_bytes();
        let body = [&[3, 0x81, 0, 0, 0, 0, 0, 0][..], &length, &[0, 0], label.as_bytes()].concat();
        self.data(BEGIN | END, stream, CONTROL, &body)
    }
}

/// Says something until the server answers with a chunk of this kind; the chunk.
async fn said(peer: &mut Peer, packet: &[u8], kind: u8) -> Vec<u8> {
    let asking = async {
        loop {
            peer.sctp(packet).await;
            let _ = tokio::time::timeout(REPEAT, peer.socket.readable()).await;
            peer.take();
            let found = peer.messages.iter().flat_map(|packet| chunks(packet)).find(|chunk| chunk[0] == kind);
            if let Some(found) = found {
                return found.to_vec();
            }
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.expect("the server takes part in the handshake")
}

/// A publisher and a viewer of the attacker, each with an association that stands.
struct Misuse {
    pair: Pair,
    loud: Association,
    deaf: Association,
}

impl Misuse {
    async fn begin(stage: &Stage) -> Misuse {
        let mut pair = Pair::connect(stage).await;
        pair.forwards().await;
        // The least window (RFC 9260 §3.3.2): the viewer will let nothing through.
        let deaf = Association::begin(&mut pair.viewer, 1_500).await;
        let mut loud = Association::begin(&mut pair.publisher, 1 << 20).await;
        let open = loud.open(0, "lossy");
        pair.publisher.sctp(&open).await;
        pair.publisher.check().await;
        Misuse { pair, loud, deaf }
    }

    /// Waits for the server now and then. False once it has ended one of the connections, which is an answer as well.
    async fn goes_on(&mut self, number: u32) -> bool {
        number % 64 != 63 || (self.pair.publisher.is_known().await && self.pair.viewer.is_known().await)
    }

    /// Nobody else noticed, and the attacker may begin anew.
    async fn ends(self, stage: &Stage) {
        stage.others_are_undisturbed().await;
        stage.costs_little(SMALL_MIB);
        self.pair.recovers(stage).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_without_window_holds_little_of_what_it_is_sent() {
    let stage = Stage::set().await;
    let mut misuse = Misuse::begin(&stage).await;
    let message = [&[0][..], &[7; 1_000]].concat();
    for number in 0..3_000u32 {
        let message = misuse.loud.data(BEGIN | END | UNORDERED, 0, BINARY, &message);
        misuse.pair.publisher.sctp(&message).await;
        // It acknowledges nothing, or what it was never sent with holes everywhere, and has no window.
        let theirs = misuse.deaf.theirs;
        let body = if number % 2 == 0 {
            [&theirs.wrapping_sub(1).to_be_bytes()[..], &[0; 8]].concat()
        } else {
            let holes = (0..100u16).flat_map(|hole| [hole * 600 + 2, hole * 600 + 3]).flat_map(u16::to_be_bytes);
            let head = [&number.wrapping_mul(0x0100_0001).to_be_bytes()[..], &[0; 4], &[0, 100, 0, 0]].concat();
            head.into_iter().chain(holes).collect()
        };
        misuse.pair.viewer.sctp(&sctp(misuse.deaf.tag, &chunk(3, 0, &body))).await;
        if !misuse.goes_on(number).await {
            break;
        }
    }
    misuse.ends(&stage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_never_end_hold_little() {
    let stage = Stage::set().await;
    let mut misuse = Misuse::begin(&stage).await;
    // First they begin, one on every stream; then one goes on for as long as all of them.
    for number in 0..3_000u32 {
        let flags = if number < 1_500 { BEGIN } else { 0 };
        let piece = misuse.loud.data(flags, (number % 1_024) as u16, BINARY, &[7; 1_000]);
        misuse.pair.publisher.sctp(&piece).await;
        if !misuse.goes_on(number).await {
            break;
        }
    }
    misuse.ends(&stage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_jump_and_channels_without_end_hold_little() {
    let stage = Stage::set().await;
    let mut misuse = Misuse::begin(&stage).await;
    for number in 0..3_000u32 {
        let at = [number.wrapping_mul(0x0101_0101), misuse.loud.number + 2 * number, 1][number as usize % 3];
        let jump = misuse.loud.data_at(at, BEGIN | END, 0, BINARY, &[7; 500]);
        misuse.pair.publisher.sctp(&jump).await;
        // On streams that there are, and that there are not.
        let open = misuse.deaf.open(number.wrapping_mul(37) as u16, &"x".repeat(200));
        misuse.pair.viewer.sctp(&open).await;
        if !misuse.goes_on(number).await {
            break;
        }
    }
    misuse.ends(&stage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn associations_that_skip_reset_and_begin_again_hold_little() {
    let stage = Stage::set().await;
    let mut misuse = Misuse::begin(&stage).await;
    for number in 0..1_000u32 {
        // Everything is skipped (RFC 3758 §3.2), every stream is reset (RFC 6525 §4.1), a heartbeat, the end.
        let forward = [&number.wrapping_mul(0x0800_0001).to_be_bytes()[..], &[0; 400]].concat();
        let reset = [&[0, 13, 1, 0xa0][..], &number.to_be_bytes(), &[0; 8], &[9; 400]].concat();
        let all = [chunk(192, 0, &forward), chunk(130, 0, &reset), chunk(4, 0, &[0, 1, 0, 4]), chunk(7, 0, &[0; 4])];
        let tags = [misuse.loud.tag, misuse.deaf.tag];
        for (tag, peer) in tags.into_iter().zip([&mut misuse.pair.publisher, &mut misuse.pair.viewer]) {
            peer.sctp(&sctp(tag, &all[number as usize % 4])).await;
            peer.sctp(&sctp(0, &init(number, 0, 65_535))).await;
        }
        if !misuse.goes_on(number).await {
            break;
        }
    }
    misuse.ends(&stage).await;
}
