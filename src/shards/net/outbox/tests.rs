use super::*;

fn packet(to: u16, length: usize) -> Packet {
    let remote = SocketAddr::from(([10, 0, 0, 1], to));
    Packet { local: [10, 0, 0, 9].into(), remote, payload: vec![to as u8; length] }
}

/// What one call had: the piece size, and for each message the port and the lengths.
type Seen = (u16, Vec<(u16, Vec<usize>)>);

fn seen(call: &Call<'_>, taken: usize) -> Seen {
    let messages = call.messages[..taken].iter();
    let message = |(remote, slices): &(SocketAddr, &[IoSlice<'_>])| {
        (remote.port(), slices.iter().map(|slice| slice.len()).collect())
    };
    (call.segment, messages.map(message).collect())
}

fn flushed(outbox: &mut Outbox, counters: &NetCounters) -> Vec<Seen> {
    let mut calls = Vec::new();
    outbox.flush(Instant::now(), counters, &mut |call| {
        calls.push(seen(call, call.messages.len()));
        Ok(call.messages.len())
    });
    calls
}

fn count(counter: &AtomicU64) -> u64 {
    counter.load(std::sync::atomic::Ordering::Relaxed)
}

#[test]
fn a_picture_for_many_is_one_message_for_each_and_one_call_for_all() {
    let (mut outbox, counters) = (Outbox::new(), NetCounters::default());
    // As they come: one packet for everybody, then the next.
    for length in [1_200, 1_200, 1_200, 700] {
        (1..=3).for_each(|to| outbox.push(packet(to, length), &counters));
    }
    let lengths = vec![1_200, 1_200, 1_200, 700];
    let expect = vec![(1_200, vec![(1, lengths.clone()), (2, lengths.clone()), (3, lengths)])];
    assert_eq!(flushed(&mut outbox, &counters), expect);
    assert_eq!((count(&counters.sent_packets), count(&counters.sent_bytes)), (12, 3 * 4_300));
    assert!(flushed(&mut outbox, &counters).is_empty(), "once");
}

#[test]
fn packets_of_one_destination_stay_in_order_whatever_their_sizes() {
    let (mut outbox, counters) = (Outbox::new(), NetCounters::default());
    for length in [100, 900, 900, 300, 1_000, 0, 50] {
        outbox.push(packet(1, length), &counters);
    }
    outbox.push(packet(2, 900), &counters);
    let calls = flushed(&mut outbox, &counters);
    let order: Vec<usize> = calls
        .iter()
        .flat_map(|(_, messages)| messages)
        .filter(|(to, _)| *to == 1)
        .flat_map(|(_, lengths)| lengths.clone())
        .collect();
    assert_eq!(order, [100, 900, 900, 300, 1_000, 0, 50]);
    assert!(calls.contains(&(900, vec![(1, vec![900, 900, 300])])), "{calls:?}");
}

#[test]
fn a_message_has_no_more_pieces_and_bytes_than_the_kernel_cuts() {
    let (mut outbox, counters) = (Outbox::new(), NetCounters::default());
    (0..200).for_each(|_| outbox.push(packet(1, 10), &counters));
    let pieces: Vec<usize> = flushed(&mut outbox, &counters).iter().map(|(_, messages)| messages[0].1.len()).collect();
    assert_eq!(pieces, [64, 64, 64, 8]);
    (0..100).for_each(|_| outbox.push(packet(1, 1_400), &counters));
    for (_, messages) in flushed(&mut outbox, &counters) {
        assert!(messages[0].1.iter().sum::<usize>() <= MESSAGE_BYTES_MAX);
    }
}

#[test]
fn what_the_kernel_does_not_take_waits_in_order_and_the_oldest_goes_when_it_is_too_much() {
    let (mut outbox, counters) = (Outbox::new(), NetCounters::default());
    (1..=5).for_each(|to| outbox.push(packet(to, 100), &counters));
    let mut taken = 0;
    let now = Instant::now();
    outbox.flush(now, &counters, &mut |_| {
        taken += 1;
        if taken <= 2 { Ok(1) } else { Err(io::Error::from_raw_os_error(Errno::EAGAIN as i32)) }
    });
    assert_eq!(count(&counters.sent_packets), 2);
    outbox.flush(now, &counters, &mut |_| panic!("the socket is not writable"));
    outbox.handle_writable();
    let rest: Vec<u16> = flushed(&mut outbox, &counters).iter().flat_map(|(_, m)| m).map(|(to, _)| *to).collect();
    assert_eq!(rest, [3, 4, 5]);

    outbox.push(packet(1, 100), &counters);
    outbox.flush(now, &counters, &mut |_| Err(io::Error::from_raw_os_error(Errno::ENOBUFS as i32)));
    let again = outbox.poll_timeout().expect("nobody says when the card has room again");
    for _ in 0..=WAITING_BYTES_MAX / 1_000 {
        outbox.push(packet(2, 1_000), &counters);
    }
    assert!(count(&counters.late_packets) >= 1 && outbox.bytes <= WAITING_BYTES_MAX);
    let mut first = None;
    outbox.flush(again, &counters, &mut |call| {
        first.get_or_insert(call.messages[0].0.port());
        Ok(call.messages.len())
    });
    assert_eq!(first, Some(2), "the oldest was lost");
}

#[test]
fn what_cannot_be_cut_goes_one_by_one_and_what_cannot_go_at_all_is_counted() {
    let (mut outbox, counters) = (Outbox::new(), NetCounters::default());
    (0..3).for_each(|_| outbox.push(packet(1, 100), &counters));
    outbox.push(packet(2, 100), &counters);
    let mut calls = Vec::new();
    let refuse = |errno: Errno| Err(io::Error::from_raw_os_error(errno as i32));
    outbox.flush(Instant::now(), &counters, &mut |call| {
        calls.push(seen(call, call.messages.len()));
        match (call.segment, call.messages[0].0.port()) {
            (0, 2) => refuse(Errno::EPERM),
            (0, _) => Ok(1),
            _ => refuse(Errno::EIO),
        }
    });
    assert_eq!((count(&counters.sent_packets), count(&counters.refused_packets)), (3, 1));
    assert!(calls.iter().filter(|(segment, _)| *segment > 0).count() == 1, "{calls:?}");
    (0..3).for_each(|_| outbox.push(packet(1, 100), &counters));
    assert!(flushed(&mut outbox, &counters).iter().all(|(segment, _)| *segment == 0), "the card cannot cut");
}
