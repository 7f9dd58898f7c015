use rtc_srtp::context::Context;

use super::srtp::Profile;
use super::srtp::tests::{keys, other};
use super::*;

const MEDIA: u32 = 0x1111;
const RESENDS: u32 = 0x2222;
const SOUND: u32 = 0x3333;
/// The one-byte id of the transport-wide number, and of the section's name.
const TRANSPORT: u8 = 4;
const NAME: u8 = 5;

/// An egress and the other end of its path, which is another implementation.
struct Line {
    egress: Egress,
    now: Instant,
    other: Context,
    theirs: Sealer,
    reports: u32,
}

/// A packet as the other end reads it.
#[derive(Debug, PartialEq)]
struct Read {
    ssrc: u32,
    sequence: u16,
    time: u32,
    payload_type: u8,
    marker: bool,
    transport: Option<u16>,
    payload: Vec<u8>,
}

impl Line {
    /// Slot 0 carries pictures, slot 1 sound.
    fn new(with_resends: bool) -> Line {
        let now = Instant::now();
        let mut egress = Egress::new(now, 1_000_000);
        let extensions =
            Extensions { mid: Some((NAME, *b"v0\0\0", 2)), transport: Some(TRANSPORT), level: None, orientation: None };
        let section = Section {
            ssrc: MEDIA,
            resend: with_resends.then_some(RESENDS),
            resend_types: if with_resends { vec![(96, 97)] } else { Vec::new() },
            extensions,
            clock_rate: 90_000,
            is_video: true,
        };
        let sound = Section {
            ssrc: SOUND,
            resend: None,
            resend_types: Vec::new(),
            clock_rate: 48_000,
            is_video: false,
            ..section.clone()
        };
        egress.set_section(0, section);
        egress.set_section(1, sound);
        let (theirs, ours) = keys(Profile::AeadAes128Gcm);
        egress.open(now, &ours, &theirs);
        Line { egress, now, other: other(&ours), theirs: Sealer::new(&theirs), reports: 0 }
    }

    fn send(&mut self, slot: usize, sequence: u64) -> bool {
        let payload = Arc::from(vec![sequence as u8; 900]);
        let packet = Outgoing {
            payload_type: if slot == 0 { 96 } else { 111 },
            sequence,
            time: 3_000 * sequence as u32,
            marker: false,
            wall: self.now,
            payload,
            patches: Patches::default(),
            level: None,
            orientation: None,
        };
        self.egress.send(self.now, slot, packet)
    }

    fn raw(&mut self) -> Vec<Vec<u8>> {
        self.egress.handle_timeout(self.now);
        let mut buffers = Buffers::default();
        std::iter::from_fn(|| self.egress.poll_datagram(self.now, &mut buffers)).collect()
    }

    /// Everything that leaves within this time.
    fn run(&mut self, time: Duration) -> Vec<Vec<u8>> {
        let end = self.now + time;
        let mut all = self.raw();
        while let Some(at) = self.egress.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            all.extend(self.raw());
        }
        self.now = end;
        all
    }

    /// The RTP packets of it, opened.
    fn read(&mut self, datagrams: &[Vec<u8>]) -> Vec<Read> {
        let media: Vec<_> = datagrams.iter().filter(|datagram| !(192..=223).contains(&datagram[1])).collect();
        media
            .into_iter()
            .map(|datagram| read(&self.other.decrypt_rtp(datagram).expect("the peer can open it")))
            .collect()
    }

    fn hear(&mut self, control: &[u8]) {
        let mut packet = control.to_vec();
        self.reports += 1;
        self.theirs.seal_rtcp(&mut packet, self.reports);
        self.egress.handle_datagram(self.now, &packet);
    }

    fn nack(&mut self, sequence: u16) {
        let [high, low] = sequence.to_be_bytes();
        self.hear(&[&[0x81, 205, 0, 3, 0, 0, 0, 9][..], &MEDIA.to_be_bytes(), &[high, low, 0, 0]].concat());
    }

    /// Says that these numbers of the connection arrived, and nothing of others.
    fn arrived(&mut self, number: u8, base: u16, count: u16) {
        assert!(count.is_multiple_of(4), "the deltas fill their words");
        let mut body = [&base.to_be_bytes()[..], &count.to_be_bytes(), &[0, 0, 1, number]].concat();
        // A run of packets with small deltas, and two bytes that are none.
        body.extend_from_slice(&(0x2000 | count).to_be_bytes());
        body.extend(std::iter::repeat_n(4, usize::from(count)));
        body.extend_from_slice(&[0, 0]);
        let words = (8 + body.len()) / 4;
        let head = [0x8f, 205, 0, words as u8, 0, 0, 0, 9];
        self.hear(&[&head[..], &MEDIA.to_be_bytes(), &body].concat());
    }
}

fn read(packet: &[u8]) -> Read {
    let number = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
    let word = |at: usize| u32::from_be_bytes([packet[at], packet[at + 1], packet[at + 2], packet[at + 3]]);
    assert_eq!((packet[0] & 0xd0, number(12)), (0x90, 0xbede), "a header with extensions of one byte");
    let end = 16 + usize::from(number(14)) * 4;
    let (mut at, mut transport) = (16, None);
    while at < end {
        let (id, length) = (packet[at] >> 4, usize::from(packet[at] & 0xf) + 1);
        if id == TRANSPORT {
            transport = Some(number(at + 1));
        }
        at += if packet[at] == 0 { 1 } else { 1 + length };
    }
    Read {
        ssrc: word(8),
        sequence: number(2),
        time: word(4),
        payload_type: packet[1] & 0x7f,
        marker: packet[1] & 0x80 != 0,
        transport,
        payload: packet[end..].to_vec(),
    }
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn nothing_leaves_before_the_keys_are_there() {
    let now = Instant::now();
    let mut egress = Egress::new(now, 1_000_000);
    assert_eq!((egress.poll_timeout(), egress.poll_datagram(now, &mut Buffers::default())), (None, None));
    assert_eq!(egress.bye(), None);
    egress.handle_datagram(now, &[0x80, 200, 0, 1, 0, 0, 0, 1]);
}

#[test]
fn packets_leave_in_order_with_one_count_for_all_streams() {
    let mut line = Line::new(true);
    for sequence in 10..20 {
        assert!(line.send(0, sequence) && line.send(1, sequence));
    }
    let sent = line.run(millis(80));
    let read = line.read(&sent);
    for ssrc in [MEDIA, SOUND] {
        let numbers: Vec<u16> =
            read.iter().filter(|packet| packet.ssrc == ssrc).map(|packet| packet.sequence).collect();
        assert_eq!(numbers, (10..20).collect::<Vec<u16>>());
    }
    let transport: Vec<u16> = read.iter().filter_map(|packet| packet.transport).collect();
    assert_eq!(transport, (1..=read.len() as u16).collect::<Vec<u16>>());
    assert!(!line.send(7, 1), "nothing was negotiated for it");
}

#[test]
fn a_picture_waits_for_the_pace_and_sound_does_not() {
    let mut line = Line::new(true);
    for sequence in 0..100 {
        line.send(0, sequence);
    }
    line.send(1, 1);
    let now = line.raw();
    let now = line.read(&now);
    let of = |ssrc: u32| now.iter().filter(|packet| packet.ssrc == ssrc).count();
    assert!((1..20).contains(&of(MEDIA)), "{} packets at once", of(MEDIA));
    assert_eq!(of(SOUND), 1);
    // 100 kB at 2.5 Mbit/s.
    let later = line.run(millis(450));
    assert_eq!(line.read(&later).iter().filter(|packet| packet.ssrc == MEDIA).count() + of(MEDIA), 100);
}

#[test]
fn a_lost_packet_is_sent_again_as_rfc_4588_has_it() {
    let mut line = Line::new(true);
    line.send(0, 65_530);
    let first = line.run(millis(50));
    let first = line.read(&first).remove(0);
    line.nack(65_530);
    let again = line.run(millis(50));
    let again = line.read(&again);
    let resent = again.iter().find(|packet| packet.ssrc == RESENDS).expect("it is sent again");
    assert_eq!((resent.payload_type, resent.time), (97, first.time));
    assert_eq!(resent.payload, [&65_530_u16.to_be_bytes()[..], &first.payload].concat());
    line.nack(65_531);
    let nothing = line.run(millis(50));
    assert!(line.read(&nothing).iter().all(|packet| packet.payload[0] == 0), "what was never sent is not sent again");
}

#[test]
fn who_knows_no_resends_gets_the_same_bytes_again() {
    let mut line = Line::new(false);
    line.send(0, 7);
    let first = line.run(millis(50));
    let first = first.into_iter().find(|datagram| datagram[1] == 96).expect("it left");
    line.now += millis(200);
    line.nack(7);
    let again = line.run(millis(50));
    assert!(again.contains(&first), "another packet under the same numbers would give its key away");
    line.egress.set_bitrate(line.now, 800_000, 3_000_000);
    let padded = line.run(millis(500));
    assert!(
        padded.iter().all(|datagram| (192..=223).contains(&datagram[1])),
        "and no padding, which it would count as lost"
    );
}

#[test]
fn what_is_sent_again_has_a_share() {
    let mut line = Line::new(true);
    let mut resent = 0;
    for sequence in 0..1_000 {
        line.send(0, sequence);
        let mut sent = line.run(millis(10));
        line.nack(sequence as u16);
        sent.extend(line.run(millis(1)));
        resent += line.read(&sent).iter().filter(|packet| packet.ssrc == RESENDS).count();
    }
    assert!((100..=180).contains(&resent), "{resent} of 1,000");
}

#[test]
fn reports_tell_where_each_stream_is_and_only_those_that_send() {
    let mut line = Line::new(true);
    line.send(0, 1);
    let sent = line.run(millis(2_500));
    let reports: Vec<_> = sent.iter().filter(|datagram| datagram[1] == 200).collect();
    assert!((2..=4).contains(&reports.len()), "{} reports in 2.5 s", reports.len());
    let report = line.other.decrypt_rtcp(reports[reports.len() - 1]).expect("the peer can open it");
    let word = |at: usize| u32::from_be_bytes([report[at], report[at + 1], report[at + 2], report[at + 3]]);
    assert_eq!((word(4), report[29]), (MEDIA, 202), "one report, then whose it is");
    // RTP time moves with NTP time: 90,000 a second after the packet's 3,000.
    let passed = f64::from(word(8).wrapping_sub(0xe000_0000)) + f64::from(word(12)) / 4_294_967_296.0;
    let expected = 3_000.0 + passed * 90_000.0;
    assert!((f64::from(word(16)) - expected).abs() < 1_000.0, "{} against {expected}", word(16));
    assert_eq!((word(20), word(24)), (1, 900), "packets and bytes");
    let quiet = line.run(millis(8_000));
    assert!(quiet.iter().filter(|datagram| datagram[1] == 200).count() <= 4, "then it is silent");
}

#[test]
fn a_request_for_a_keyframe_names_its_slot_once() {
    let mut line = Line::new(true);
    let request = [&[0x81, 206, 0, 2, 0, 0, 0, 9][..], &MEDIA.to_be_bytes()].concat();
    line.hear(&request);
    line.hear(&request);
    line.hear(&[&[0x81, 206, 0, 2, 0, 0, 0, 9][..], &9_u32.to_be_bytes()].concat());
    assert_eq!((line.egress.poll_keyframe(), line.egress.poll_keyframe()), (Some(0), None));
    let forged = line.now;
    line.egress.handle_datagram(forged, &[&request[..], &[0; 20]].concat());
    assert_eq!(line.egress.poll_keyframe(), None, "whoever has no keys asks for nothing");
}

#[test]
fn what_feedback_passes_over_was_lost_unless_feedback_was() {
    for (second, expected) in [(1, true), (2, false)] {
        let mut line = Line::new(true);
        for sequence in 0..40 {
            line.send(0, sequence);
            line.run(millis(10));
        }
        line.arrived(0, 1, 8);
        // Numbers 9 to 16 are in neither.
        line.arrived(second, 17, 8);
        let loss = line.egress.estimator.loss().expect("something was reported");
        assert_eq!(loss > 0.2, expected, "{loss}");
    }
}

#[test]
fn who_tells_of_packets_that_never_were_is_not_listened_to_for_long() {
    let mut line = Line::new(true);
    line.send(0, 1);
    line.run(millis(10));
    // 8,188 packets that did not arrive, in a few bytes.
    let count = 8_188_u16.to_be_bytes();
    let mut heard = 0;
    for number in 0..200 {
        let body = [&1_u16.to_be_bytes()[..], &count, &[0, 0, 1, number], &count, &[0, 0]].concat();
        line.hear(&[&[0x8f, 205, 0, 5, 0, 0, 0, 9][..], &MEDIA.to_be_bytes(), &body].concat());
        heard += u32::from(line.egress.fed.is_some_and(|(last, _)| last == number));
        line.now += millis(5);
    }
    assert!((3..=8).contains(&heard), "{heard} of 200 reports in a second");
    line.now += millis(2_000);
    line.arrived(201, 1, 4);
    assert_eq!(line.egress.fed.map(|(number, _)| number), Some(201), "and is heard again");
}

#[test]
fn a_path_of_which_nothing_is_told_has_no_estimate() {
    let mut line = Line::new(true);
    for stream in line.egress.streams.iter_mut().flatten() {
        stream.section.extensions.transport = None;
    }
    line.egress.set_bitrate(line.now, 500_000, 5_000_000);
    line.send(0, 1);
    let sent = line.run(millis(300));
    assert_eq!(line.read(&sent).len(), 1, "nor is it padded");
    let known = line.egress.poll_known().expect("ten times a second");
    assert_eq!((known.estimate_bps, known.round_trip), (None, None));
}
