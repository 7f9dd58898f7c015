use bytes::{BufMut, Bytes, BytesMut};
use proptest::prelude::*;

use super::*;
use crate::error::Error;
use crate::limits::{ChunkLimits, Limits};

fn reader() -> ChunkReader {
    let mut reader = ChunkReader::new(&Limits::default());
    reader.set_limits(Limits::default().publisher);
    reader
}

fn read_all(reader: &mut ChunkReader, mut input: &[u8]) -> Result<Vec<Message>, Error> {
    let mut messages = Vec::new();
    while let Some(message) = reader.read(&mut input)? {
        messages.push(message);
    }
    assert!(input.is_empty());
    Ok(messages)
}

/// Reads `input` whole and byte by byte, which must not differ, and compares (timestamp, type, stream, length).
fn check(input: &[u8], expect: &[(u32, u8, u32, usize)]) {
    let summary = |messages: Vec<Message>| -> Vec<_> {
        messages.iter().map(|m| (m.timestamp_ms, m.kind, m.stream_id, m.payload.len())).collect()
    };
    assert_eq!(summary(read_all(&mut reader(), input).expect("valid")), expect);
    let mut slow = reader();
    let pieces = input.iter().flat_map(|byte| read_all(&mut slow, &[*byte]).expect("valid")).collect();
    assert_eq!(summary(pieces), expect, "byte by byte");
}

/// A chunk header: `format`, `csid`, and the fields that the format has.
fn header(format: u8, csid: u8, timestamp: u32, len: u32, kind: u8, stream_id: u32) -> Vec<u8> {
    let mut bytes = vec![format << 6 | csid];
    if format <= 2 {
        bytes.put_uint(u64::from(timestamp.min(TIMESTAMP_24_MAX)), 3);
    }
    if format <= 1 {
        bytes.put_uint(u64::from(len), 3);
        bytes.put_u8(kind);
    }
    if format == 0 {
        bytes.put_u32_le(stream_id);
    }
    if format <= 2 && timestamp >= TIMESTAMP_24_MAX {
        bytes.put_u32(timestamp);
    }
    bytes
}

fn concat(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

#[test]
fn short_headers_inherit_what_they_leave_out() {
    let input = concat(&[
        &header(0, 4, 1_000, 2, 8, 1),
        &[1, 2],
        &header(1, 4, 23, 3, 8, 0),
        &[1, 2, 3],
        &header(2, 4, 24, 0, 0, 0),
        &[1, 2, 3],
        &header(3, 4, 0, 0, 0, 0),
        &[1, 2, 3],
    ]);
    check(&input, &[(1_000, 8, 1, 2), (1_023, 8, 1, 3), (1_047, 8, 1, 3), (1_071, 8, 1, 3)]);
}

#[test]
fn a_type_3_after_a_type_0_repeats_its_stamp_as_delta_only_near_zero() {
    let input = concat(&[&header(0, 4, 40, 1, 8, 1), &[1], &[0xc4, 1], &[0xc4, 1]]);
    check(&input, &[(40, 8, 1, 1), (80, 8, 1, 1), (120, 8, 1, 1)]);
    let input = concat(&[&header(0, 4, 3_600_000, 1, 8, 1), &[1], &[0xc4, 1]]);
    check(&input, &[(3_600_000, 8, 1, 1), (3_600_000, 8, 1, 1)]);
}

#[test]
fn a_stream_may_begin_with_type_1_but_not_with_a_chunk_without_length() {
    check(&concat(&[&header(1, 2, 5, 6, 4, 0), &[0; 6]]), &[(5, 4, 0, 6)]);
    for format in [2, 3] {
        let error = read_all(&mut reader(), &header(format, 5, 0, 0, 0, 0));
        assert_eq!(error, Err(Error::NoPreviousHeader { csid: 5, format }));
    }
}

#[test]
fn chunk_stream_ids_of_two_and_three_bytes() {
    let body = [0, 0, 7, 0, 0, 1, 9, 1, 0, 0, 0, 0xaa];
    check(&concat(&[&[0x00, 10], &body, &[0xc0, 10, 0xbb]]), &[(7, 9, 1, 1), (14, 9, 1, 1)]);
    check(&concat(&[&[0x01, 10, 2], &body, &[0xc1, 10, 2, 0xbb]]), &[(7, 9, 1, 1), (14, 9, 1, 1)]);
}

#[test]
fn messages_of_several_chunk_streams_interleave() {
    let input = concat(&[
        &header(0, 6, 0, 300, 9, 1),
        &[9; 128],
        &header(0, 4, 1, 130, 8, 1),
        &[8; 128],
        &[0xc6],
        &[9; 128],
        &[0xc4],
        &[8; 2],
        &[0xc6],
        &[9; 44],
    ]);
    check(&input, &[(1, 8, 1, 130), (0, 9, 1, 300)]);
    let messages = read_all(&mut reader(), &input).expect("valid");
    assert!(messages[0].payload.iter().all(|byte| *byte == 8));
    assert!(messages[1].payload.iter().all(|byte| *byte == 9));
}

#[test]
fn extended_timestamps_are_read_in_both_conventions() {
    for stamp in [TIMESTAMP_24_MAX, 0x0100_0000, u32::MAX] {
        let head = header(0, 6, stamp, 300, 9, 1);
        let field = stamp.to_be_bytes();
        let repeated = concat(&[&head, &[1; 128], &[0xc6], &field, &[1; 128], &[0xc6], &field, &[1; 44]]);
        check(&repeated, &[(stamp, 9, 1, 300)]);
        let once = concat(&[&head, &[1; 128], &[0xc6], &[1; 128], &[0xc6], &[1; 44]]);
        // Bytes that may still become an extended timestamp are waited for, so another message follows.
        check(&concat(&[&once, &header(0, 2, 0, 4, 3, 0), &[0; 4]]), &[(stamp, 9, 1, 300), (0, 3, 0, 4)]);
    }
}

#[test]
fn a_last_chunk_shorter_than_an_extended_timestamp_is_payload() {
    for tail in 1..6u8 {
        let len = 128 + u32::from(tail);
        let head = header(0, 6, 0x0100_0000, len, 9, 1);
        let payload = vec![7; tail.into()];
        let once = concat(&[&head, &[1; 128], &[0xc6], &payload, &header(0, 2, 0, 1, 3, 0), &[0]]);
        check(&once, &[(0x0100_0000, 9, 1, len as usize), (0, 3, 0, 1)]);
    }
}

#[test]
fn a_type_3_that_begins_a_message_may_carry_a_new_extended_time() {
    let (first, second) = (0x0100_0000u32, 0x0100_0017u32);
    let head = header(0, 4, first, 1, 8, 1);
    let input = concat(&[&head, &[1], &[0xc4], &second.to_be_bytes(), &[2]]);
    check(&input, &[(first, 8, 1, 1), (second, 8, 1, 1)]);
    // A sender that does not repeat the field: the payload is not near the time.
    let body = [0xaf, 1, 0x21, 0x10, 5];
    let input = concat(&[&header(0, 4, first, 5, 8, 1), &body, &[0xc4], &body]);
    check(&input, &[(first, 8, 1, 5), (first, 8, 1, 5)]);
}

#[test]
fn negative_deltas_go_back_in_both_codings() {
    let input = concat(&[&header(0, 4, 1_000, 1, 8, 1), &[1], &header(2, 4, (-40i32) as u32, 0, 0, 0), &[1]]);
    check(&input, &[(1_000, 8, 1, 1), (960, 8, 1, 1)]);
    let cut = (-40i32) as u32 & TIMESTAMP_24_MAX;
    let input = concat(&[&header(0, 4, 1_000, 1, 8, 1), &[1], &header(2, 4, cut, 0, 0, 0), &[1]]);
    check(&input, &[(1_000, 8, 1, 1), (960, 8, 1, 1)]);
}

#[test]
fn stamps_cut_to_24_bits_continue_after_4_66_hours() {
    let last = TIMESTAMP_24_MAX - 20;
    let mut input = concat(&[&header(0, 4, last, 1, 8, 1), &[1]]);
    for stamp in [3, 26, 10, 40_000, 99_000] {
        input.extend(concat(&[&header(0, 4, stamp, 1, 8, 1), &[1]]));
    }
    let high = 1 << 24;
    check(
        &input,
        &[
            (last, 8, 1, 1),
            (high + 3, 8, 1, 1),
            (high + 26, 8, 1, 1),
            (high + 10, 8, 1, 1),
            (high + 40_000, 8, 1, 1),
            (high + 99_000, 8, 1, 1),
        ],
    );
    // A stream that starts anew elsewhere is not a wrap.
    check(
        &concat(&[&header(0, 4, 9_000_000, 1, 8, 1), &[1], &header(0, 4, 3, 1, 8, 1), &[1]]),
        &[(9_000_000, 8, 1, 1), (3, 8, 1, 1)],
    );
}

#[test]
fn a_new_chunk_size_counts_from_the_next_chunk_of_a_message_in_progress() {
    let mut reader = reader();
    let head = concat(&[&header(0, 6, 0, 1_000, 9, 1), &[1; 128]]);
    assert_eq!(read_all(&mut reader, &head), Ok(vec![]));
    reader.set_chunk_size(4_096).expect("in range");
    let rest = concat(&[&[0xc6], &[1; 872]]);
    assert_eq!(read_all(&mut reader, &rest).map(|messages| messages[0].payload.len()), Ok(1_000));
    for size in [0, 1, 127, 1 << 31, u32::MAX] {
        assert_eq!(reader.set_chunk_size(size), Err(Error::ChunkSize { size, min: 128 }));
    }
    reader.set_chunk_size(i32::MAX as u32).expect("the largest chunk size allocates nothing");
}

#[test]
fn abort_forgets_the_unfinished_message_only() {
    let mut reader = reader();
    read_all(&mut reader, &concat(&[&header(0, 6, 0, 300, 9, 1), &[1; 128]])).expect("valid");
    assert!(reader.held_bytes() >= 300);
    reader.abort(6);
    reader.abort(99);
    assert_eq!(reader.held_bytes(), 0);
    let next = concat(&[&header(1, 6, 40, 2, 9, 1), &[5; 2]]);
    assert_eq!(read_all(&mut reader, &next).map(|messages| messages[0].payload.len()), Ok(2));
}

#[test]
fn a_full_header_inside_a_message_abandons_it() {
    let input = concat(&[&header(0, 6, 0, 300, 9, 1), &[1; 128], &header(0, 6, 40, 2, 9, 1), &[5; 2]]);
    check(&input, &[(40, 9, 1, 2)]);
    let mut reader = reader();
    read_all(&mut reader, &input).expect("valid");
    assert_eq!((reader.abandoned_messages(), reader.held_bytes()), (1, 0));
}

#[test]
fn a_short_header_of_the_same_length_inside_a_message_continues_it() {
    let input = concat(&[&header(0, 6, 5, 130, 9, 1), &[1; 128], &header(1, 6, 0, 130, 9, 1), &[1; 2]]);
    check(&input, &[(5, 9, 1, 130)]);
}

#[test]
fn memory_is_bounded_over_all_chunk_streams() {
    let limits = Limits::default();
    let mut reader = reader();
    reader.set_chunk_size(1 << 20).expect("in range");
    let mut worst = 0;
    let mut result = Ok(vec![]);
    for csid in 2..64u8 {
        let piece = concat(&[&header(0, csid, 0, 10 << 20, 9, 1), &vec![0; 1 << 20]]);
        result = read_all(&mut reader, &piece);
        if result.is_err() {
            break;
        }
        worst = worst.max(reader.held_bytes());
    }
    assert_eq!(result, Err(Error::Held { max: limits.publisher.held_bytes_max }));
    assert!(worst <= limits.publisher.held_bytes_max);
}

#[test]
fn a_claimed_length_alone_reserves_little() {
    let mut reader = reader();
    read_all(&mut reader, &header(0, 6, 0, 10 << 20, 9, 1)).expect("valid");
    assert!(reader.held_bytes() <= 64 * 1_024);
    let too_long = header(0, 7, 0, (10 << 20) + 1, 9, 1);
    let max = 10 << 20;
    assert_eq!(read_all(&mut self::reader(), &too_long), Err(Error::MessageTooLong { bytes: max + 1, max }));
}

#[test]
fn strangers_get_little_memory_and_everyone_few_chunk_streams() {
    let limits = Limits::default();
    let mut stranger = ChunkReader::new(&limits);
    let max = ChunkLimits::STRANGER.message_bytes_max;
    let long = header(0, 3, 0, max as u32 + 1, 20, 0);
    assert_eq!(read_all(&mut stranger, &long), Err(Error::MessageTooLong { bytes: max + 1, max }));

    let mut reader = reader();
    for csid in 2..66u32 {
        let head = if csid < 64 { vec![csid as u8] } else { vec![0, csid as u8 - 64] };
        let full = header(0, 2, 0, 1, 9, 1);
        assert!(read_all(&mut reader, &concat(&[&head, &full[1..], &[0]])).is_ok(), "{csid}");
    }
    let error = read_all(&mut reader, &concat(&[&[0, 200], &header(0, 2, 0, 1, 9, 1)[1..]]));
    assert_eq!(error, Err(Error::ChunkStreams { max: limits.chunk_streams_max }));
}

fn messages() -> impl Strategy<Value = Vec<Message>> {
    let message = (any::<u32>(), 1..23u8, any::<u32>(), proptest::collection::vec(any::<u8>(), 0..600)).prop_map(
        |(timestamp_ms, kind, stream_id, payload)| Message { timestamp_ms, kind, stream_id, payload: payload.into() },
    );
    proptest::collection::vec(message, 0..8)
}

proptest! {
    #[test]
    fn what_is_written_is_read(messages in messages(), chunk_size in 128..5_000u32, cuts in proptest::collection::vec(1..300usize, 1..40)) {
        let mut writer = ChunkWriter::default();
        writer.set_chunk_size(chunk_size);
        let mut bytes = BytesMut::new();
        for (index, message) in messages.iter().enumerate() {
            writer.write(2 + (index % 60) as u8, message, &mut bytes);
        }
        let mut reader = reader();
        reader.set_chunk_size(chunk_size).expect("in range");
        let (mut read, mut rest, mut cuts) = (Vec::new(), &bytes[..], cuts.into_iter().cycle());
        while !rest.is_empty() {
            let (piece, later) = rest.split_at(cuts.next().expect("not empty").min(rest.len()));
            read.extend(read_all(&mut reader, piece).expect("valid"));
            rest = later;
        }
        prop_assert_eq!(read, messages);
        prop_assert_eq!(reader.held_bytes(), 0);
    }

    #[test]
    fn no_bytes_panic_or_exceed_the_memory(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        let mut reader = ChunkReader::new(&Limits::default());
        let mut input = &bytes[..];
        while let Ok(Some(_)) = reader.read(&mut input) {}
        prop_assert!(reader.held_bytes() <= ChunkLimits::STRANGER.held_bytes_max + 64 * 1_024);
    }
}

#[test]
fn payloads_are_never_printed() {
    let message = Message { timestamp_ms: 1, kind: 20, stream_id: 0, payload: Bytes::from_static(b"sk_secret") };
    assert_eq!(format!("{message:?}"), "Message { type 20, stream 0, 1 ms, 9 bytes }");
}
