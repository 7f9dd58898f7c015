use proptest::prelude::*;

use super::*;

/// A packet with its length.
fn packet(count: u8, kind: u8, body: &[u8]) -> Vec<u8> {
    assert_eq!(body.len() % 4, 0);
    let [high, low] = ((body.len() / 4) as u16).to_be_bytes();
    [&[0x80 | count, kind, high, low], body].concat()
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// Feedback from SSRC 1 on SSRC 2.
fn feedback(format: u8, kind: u8, body: &[u8]) -> Vec<u8> {
    packet(format, kind, &[&words(&[1, 2]), body].concat())
}

/// A NACK of these numbers, in as few entries as their order allows.
fn write_nack(numbers: &[u16]) -> Vec<u8> {
    let mut entries: Vec<(u16, u16)> = Vec::new();
    for &number in numbers {
        match entries.last_mut() {
            Some((first, mask)) if (1..=16).contains(&number.wrapping_sub(*first)) => {
                let bit = 1_u16 << (number.wrapping_sub(*first) - 1);
                if bit > *mask {
                    *mask |= bit;
                    continue;
                }
                entries.push((number, 0));
            }
            _ => entries.push((number, 0)),
        }
    }
    let body: Vec<u8> =
        entries.iter().flat_map(|(first, mask)| [first.to_be_bytes(), mask.to_be_bytes()].concat()).collect();
    feedback(FORMAT_NACK, TRANSPORT_FEEDBACK, &body)
}

/// Deltas in 250 µs of what arrived.
type Deltas = Vec<Option<i16>>;

fn symbol(delta: Option<i16>) -> u16 {
    match delta {
        None => 0,
        Some(0..=255) => 1,
        Some(_) => 2,
    }
}

/// Transport feedback whose chunks are of the kinds that `kinds` asks for in turn, where the deltas allow.
fn write_transport(base: u16, reference: u32, deltas: &Deltas, kinds: &[u8]) -> Vec<u8> {
    let mut body = [base.to_be_bytes(), (deltas.len() as u16).to_be_bytes()].concat();
    body.extend_from_slice(&((reference << 8) | 3).to_be_bytes());
    let (mut rest, mut kinds) = (&deltas[..], kinds.iter().cycle());
    while !rest.is_empty() {
        let run = rest.iter().take_while(|delta| symbol(**delta) == symbol(rest[0])).count();
        let fourteen = &rest[..rest.len().min(14)];
        let (chunk, length) = match kinds.next() {
            Some(0) => (symbol(rest[0]) << 13 | run as u16, run),
            Some(1) if fourteen.iter().all(|delta| symbol(*delta) < 2) => {
                let bits = fourteen.iter().enumerate().map(|(at, delta)| symbol(*delta) << (13 - at)).sum::<u16>();
                (0b10 << 14 | bits, fourteen.len())
            }
            _ => {
                let seven = &rest[..rest.len().min(7)];
                let pairs = seven.iter().enumerate().map(|(at, delta)| symbol(*delta) << (12 - 2 * at)).sum::<u16>();
                (0b11 << 14 | pairs, seven.len())
            }
        };
        body.extend_from_slice(&chunk.to_be_bytes());
        rest = &rest[length..];
    }
    for delta in deltas.iter().flatten() {
        match u8::try_from(*delta) {
            Ok(small) => body.push(small),
            Err(_) => body.extend_from_slice(&delta.to_be_bytes()),
        }
    }
    body.resize(body.len().next_multiple_of(4), 0);
    feedback(FORMAT_TRANSPORT, TRANSPORT_FEEDBACK, &body)
}

/// Reads all there is, and how many messages and items that was.
fn drain(bytes: &[u8]) -> (usize, usize) {
    let (mut messages, mut items) = (0, 0);
    for message in read(bytes) {
        messages += 1;
        items += match message {
            Message::Nack { lost, .. } => lost.count(),
            Message::Transport(feedback) => {
                let count = feedback.statuses().count();
                assert_eq!(count, usize::from(feedback.count()));
                count
            }
            _ => 0,
        };
    }
    (messages, items)
}

fn only(bytes: &[u8]) -> Message<'_> {
    let mut messages = read(bytes);
    let message = messages.next().expect("there is one");
    assert!(messages.next().is_none());
    message
}

#[test]
fn report_blocks_are_read_of_sender_and_receiver_reports() {
    let block = words(&[7, 0x40ff_fffe, 0x0001_0005, 33, 0x1234_5678, 65_536]);
    let expect = Block {
        ssrc: 7,
        fraction_lost: 64,
        cumulative_lost: -2,
        highest: 65_541,
        jitter: 33,
        last_report: 0x1234_5678,
        delay: 65_536,
    };
    let second = words(&[8, 3, 0, 0, 0, 0]);
    let receiver = packet(2, RECEIVER_REPORT, &[&words(&[1])[..], &block, &second].concat());
    let sender = packet(1, SENDER_REPORT, &[&words(&[1, 2, 3, 4, 5, 6])[..], &block, &words(&[99])].concat());
    let compound = [receiver, sender].concat();
    let blocks: Vec<Block> = read(&compound)
        .map(|message| match message {
            Message::Receiver(block) => block,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(blocks.len(), 3);
    assert_eq!((blocks[0], blocks[2]), (expect, expect));
    assert_eq!((blocks[1].ssrc, blocks[1].cumulative_lost), (8, 3));
}

#[test]
fn requests_for_pictures_are_read_and_unknown_kinds_passed_over() {
    let compound = [
        packet(0, RECEIVER_REPORT, &words(&[1])),
        packet(1, DESCRIPTION, &words(&[1, 0])),
        // REMB, which nobody here asked for, and an extended report.
        feedback(15, PAYLOAD_FEEDBACK, b"REMB"),
        packet(0, 207, &words(&[1])),
        feedback(FORMAT_PLI, PAYLOAD_FEEDBACK, &[]),
        feedback(FORMAT_FIR, PAYLOAD_FEEDBACK, &words(&[3, 0x0100_0000, 4, 0x0200_0000])),
        packet(1, BYE, &words(&[1])),
    ]
    .concat();
    let mut messages = read(&compound);
    assert!(matches!(messages.next(), Some(Message::Pli { ssrc: 2 })));
    assert!(matches!(messages.next(), Some(Message::Fir { ssrc: 3 })));
    assert!(matches!(messages.next(), Some(Message::Fir { ssrc: 4 })));
    assert!(matches!(messages.next(), Some(Message::Bye)));
    assert!(messages.next().is_none());
}

#[test]
fn a_nack_names_its_number_and_its_mask() {
    let bytes = feedback(FORMAT_NACK, TRANSPORT_FEEDBACK, &words(&[0xfffe_8005, 0x000a_0000]));
    let Message::Nack { ssrc: 2, lost } = only(&bytes) else { panic!("a NACK") };
    assert_eq!(lost.collect::<Vec<_>>(), [0xfffe, 0xffff, 1, 14, 10]);
    let all = feedback(FORMAT_NACK, TRANSPORT_FEEDBACK, &words(&[0xffff]));
    assert_eq!(drain(&all), (1, 17));
}

#[test]
fn transport_feedback_gives_each_number_its_arrival() {
    let body = [
        &[0xff, 0xfe, 0, 9, 0, 0, 2, 1][..], // nine from 65,534 on, 128 ms
        &[0x20, 2, 0, 1, 0xe6, 0x10],        // two small, one missing; large, small, large, missing, small, two missing
        &[4, 8, 0xff, 0xfe, 1, 1, 0, 16, 0, 0],
    ]
    .concat();
    let bytes = feedback(FORMAT_TRANSPORT, TRANSPORT_FEEDBACK, &body);
    let Message::Transport(feedback) = only(&bytes) else { panic!("transport feedback") };
    assert_eq!((feedback.base(), feedback.count()), (65_534, 9));
    let expect = [
        (65_534, Some(129_000)),
        (65_535, Some(131_000)),
        (0, None),
        (1, Some(130_500)),
        (2, Some(130_750)),
        (3, Some(194_750)),
        (4, None),
        (5, Some(198_750)),
        (6, None),
    ];
    assert_eq!(feedback.statuses().collect::<Vec<_>>(), expect);
}

#[test]
fn padding_at_the_end_is_not_read() {
    let mut bytes = feedback(FORMAT_NACK, TRANSPORT_FEEDBACK, &words(&[5 << 16, 0x0000_0004]));
    bytes[0] |= 0b10_0000;
    assert_eq!(drain(&bytes), (1, 1));
    for wrong in [0, 17, 255] {
        *bytes.last_mut().expect("it is not empty") = wrong;
        assert_eq!(drain(&bytes).0, usize::from(wrong == 0), "padding of {wrong}");
    }
}

#[test]
fn reading_stops_at_what_cannot_be_read() {
    let good = feedback(FORMAT_PLI, PAYLOAD_FEEDBACK, &[]);
    let bad = [
        packet(1, RECEIVER_REPORT, &words(&[1, 2])),
        packet(0, SENDER_REPORT, &words(&[1])),
        packet(FORMAT_PLI, PAYLOAD_FEEDBACK, &words(&[1])),
        packet(FORMAT_NACK, TRANSPORT_FEEDBACK, &words(&[1])),
        // No chunk for the packet it tells of; no delta for it; a symbol that means nothing.
        feedback(FORMAT_TRANSPORT, TRANSPORT_FEEDBACK, &words(&[1, 0])),
        feedback(FORMAT_TRANSPORT, TRANSPORT_FEEDBACK, &words(&[3, 0, 0x2003_0000])),
        feedback(FORMAT_TRANSPORT, TRANSPORT_FEEDBACK, &words(&[1, 0, 0x6001_0000])),
        feedback(FORMAT_TRANSPORT, TRANSPORT_FEEDBACK, &words(&[1, 0, 0xf000_0000])),
        vec![0x40, 201, 0, 1, 0, 0, 0, 1],
        vec![0x80, 201, 0, 9, 0, 0, 0, 1],
    ];
    for bad in bad {
        assert_eq!(drain(&[&good[..], &bad, &good].concat()).0, 1, "{bad:?}");
    }
}

#[test]
fn transport_feedback_of_runs_of_nothing_ends() {
    let body = [&words(&[4, 0])[..], &[0; 1_000], &[0, 4, 0, 0]].concat();
    assert_eq!(drain(&feedback(FORMAT_TRANSPORT, TRANSPORT_FEEDBACK, &body)), (1, 4));
}

#[test]
fn feedback_on_more_packets_than_are_remembered_is_not_read() {
    let of = |count: u32| {
        let chunks = vec![0x1fff_1fff; 5];
        feedback(FORMAT_TRANSPORT, TRANSPORT_FEEDBACK, &[words(&[count, 0]), words(&chunks)].concat())
    };
    let most = usize::from(STATUSES_MAX);
    assert_eq!(drain(&of(most as u32)), (1, most));
    assert_eq!(drain(&of(most as u32 + 1)), (0, 0));
    let halves = [of(most as u32 / 2), of(most as u32 / 2), of(1)].concat();
    assert_eq!(drain(&halves), (2, most));
    let many: Vec<u8> = (0..40).flat_map(|_| of(65_535)).collect();
    assert_eq!(drain(&many), (0, 0));
}

/// What a compound packet names: kind and count of each packet, and the SSRCs of its description.
fn shape(bytes: &[u8]) -> Vec<(u8, u8)> {
    let (mut rest, mut shape) = (bytes, Vec::new());
    while let Some(packet) = Packet::split(&mut rest) {
        shape.push((packet.kind, packet.count));
    }
    assert!(rest.is_empty());
    shape
}

#[test]
fn reports_stand_as_rfc_3550_has_them() {
    let report = SenderReport { ssrc: 7, ntp: 0x0102_0304_0506_0708, rtp_time: 9, packets: 10, bytes: 11 };
    let mut bytes = Vec::new();
    write_reports(&mut bytes, &[report], "ab");
    let expect = [
        words(&[0x80c8_0006, 7, 0x0102_0304, 0x0506_0708, 9, 10, 11]),
        // The item fills a word, so the zero that ends it takes another.
        words(&[0x81ca_0003, 7]),
        vec![1, 2, b'a', b'b', 0, 0, 0, 0],
    ];
    assert_eq!(bytes, expect.concat());
    bytes.clear();
    write_reports(&mut bytes, &[], "ab");
    assert!(bytes.is_empty());
}

#[test]
fn as_many_reports_as_there_may_be_fit_a_datagram() {
    let report = SenderReport { ssrc: 7, ntp: 1, rtp_time: 9, packets: 10, bytes: 11 };
    let mut bytes = Vec::new();
    write_reports(&mut bytes, &[report; REPORTS_MAX], "0123456789abcdef");
    assert!(bytes.len() <= 1_180, "{}", bytes.len());
    bytes.clear();
    write_reports(&mut bytes, &[report; 40], &"é".repeat(200));
    let expect = [vec![(SENDER_REPORT, 0); 40], vec![(DESCRIPTION, 31), (DESCRIPTION, 9)]].concat();
    assert_eq!(shape(&bytes), expect);
}

#[test]
fn an_end_begins_with_a_report() {
    let mut bytes = Vec::new();
    write_bye(&mut bytes, &[7, 8]);
    assert_eq!(bytes, words(&[0x80c9_0001, 7, 0x82cb_0002, 7, 8]));
    assert!(matches!(only(&bytes), Message::Bye));
    write_bye(&mut bytes, &[9; 40]);
    assert_eq!(shape(&bytes), [(RECEIVER_REPORT, 0), (BYE, 2), (BYE, 31), (BYE, 9)]);
    bytes.clear();
    write_bye(&mut bytes, &[]);
    assert!(bytes.is_empty());
}

proptest! {
    #[test]
    fn numbers_of_a_nack_come_back(numbers in prop::collection::vec(any::<u16>(), 1..200), gaps in prop::collection::vec(1..20_u16, 1..200)) {
        let near: Vec<u16> = gaps.iter().scan(numbers[0], |at, gap| { *at = at.wrapping_add(*gap); Some(*at) }).collect();
        for numbers in [numbers, near] {
            let bytes = write_nack(&numbers);
            let Message::Nack { ssrc: 2, lost } = only(&bytes) else { panic!("a NACK") };
            prop_assert_eq!(lost.collect::<Vec<_>>(), numbers);
        }
    }

    #[test]
    fn arrivals_come_back_however_they_are_written(
        base in any::<u16>(), reference in 0..1_u32 << 24,
        runs in prop::collection::vec((prop_oneof![Just(None), (0..256_i16).prop_map(Some), any::<i16>().prop_map(Some)], 1..40_usize), 0..30),
        kinds in prop::collection::vec(0..3_u8, 1..10),
    ) {
        let deltas: Deltas = runs.into_iter().flat_map(|(delta, length)| vec![delta; length]).collect();
        let bytes = write_transport(base, reference, &deltas, &kinds);
        let Message::Transport(feedback) = only(&bytes) else { panic!("transport feedback") };
        prop_assert_eq!((feedback.base(), usize::from(feedback.count())), (base, deltas.len()));
        let mut time = i64::from(reference) * 64_000;
        let mut expect = Vec::new();
        for (at, delta) in deltas.iter().enumerate() {
            time += delta.map_or(0, |delta| i64::from(delta) * 250);
            expect.push((base.wrapping_add(at as u16), delta.map(|_| time)));
        }
        prop_assert_eq!(feedback.statuses().collect::<Vec<_>>(), expect);
        for cut in 0..bytes.len() {
            prop_assert_eq!(drain(&bytes[..cut]), (0, 0));
        }
    }

    #[test]
    fn reports_of_streams_come_back(ssrcs in prop::collection::vec(any::<u32>(), 1..70), cname in ".{0,300}") {
        let reports: Vec<_> =
            ssrcs.iter().map(|&ssrc| SenderReport { ssrc, ntp: 1, rtp_time: 2, packets: 3, bytes: 4 }).collect();
        let mut bytes = Vec::new();
        write_reports(&mut bytes, &reports, &cname);
        let mut rest = &bytes[..];
        let (mut reported, mut described) = (Vec::new(), Vec::new());
        while let Some(packet) = Packet::split(&mut rest) {
            let mut body = packet.body;
            if packet.kind == SENDER_REPORT {
                reported.push(word(body, 0).expect("an SSRC"));
                continue;
            }
            for _ in 0..packet.count {
                described.push(word(body, 0).expect("an SSRC"));
                let length = usize::from(body[5]);
                prop_assert!(cname.as_bytes().starts_with(&body[6..6 + length]));
                prop_assert!(length == cname.len().min(length) && (length == cname.len() || length > 251));
                let end = 4 + (2 + length + 1).next_multiple_of(4);
                prop_assert!(body[6 + length..end].iter().all(|byte| *byte == 0));
                body = &body[end..];
            }
            prop_assert!(body.is_empty());
        }
        prop_assert!(rest.is_empty());
        prop_assert_eq!(&reported, &ssrcs);
        prop_assert_eq!(&described, &ssrcs);
    }

    #[test]
    fn no_bytes_panic_or_give_more_than_they_hold(bytes in prop::collection::vec(any::<u8>(), 0..300), kind in 198..209_u8, count in 0..32_u8) {
        drain(&bytes);
        let whole = packet(count, kind, &bytes[..bytes.len() / 4 * 4]);
        let (messages, _) = drain(&whole);
        prop_assert!(messages <= whole.len() / 8 + 1);
        for cut in 0..whole.len() {
            drain(&whole[..cut]);
        }
    }
}
