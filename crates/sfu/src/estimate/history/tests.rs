use super::*;

fn packet(at: Micros) -> Sent {
    Sent { at, probe: 0, bytes: 1_000, fate: Fate::Unknown }
}

#[test]
fn the_ring_grows_while_reports_may_come_and_no_further() {
    let mut history = History::new();
    assert_eq!(history.ring.capacity(), 0);
    for number in 0..10_000 {
        history.push(number, packet(number));
        assert!(history.ring.len() <= PACKETS_MAX);
        assert_eq!(history.get_mut(number, number).map(|sent| sent.at), Some(number));
    }
    assert_eq!(history.ring.len(), PACKETS_MAX);
    assert!(history.get_mut(10_000 - PACKETS_MAX as u64, 10_000).is_some());
    assert!(history.get_mut(9_999 - PACKETS_MAX as u64, 10_000).is_none());
}

#[test]
fn the_ring_stays_small_when_reports_come() {
    let mut history = History::new();
    for number in 500..20_000 {
        history.push(number, packet(number));
        if let Some(sent) = number.checked_sub(100).and_then(|number| history.get_mut(number, number)) {
            sent.fate = Fate::Done;
        }
    }
    assert_eq!(history.ring.len(), PACKETS_MIN);
}

#[test]
fn numbers_that_are_passed_over_were_never_sent() {
    let mut history = History::new();
    for number in [7, 8, 300, 301, 100_000, 100_001] {
        history.push(number, packet(number));
    }
    history.push(100_000, packet(1));
    assert_eq!(history.get_mut(100_000, 100_001).map(|sent| sent.at), Some(100_000));
    assert!(history.get_mut(301, 100_001).is_none_or(|sent| sent.fate == Fate::Done));
    assert!(history.get_mut(100_002, 100_001).is_none());
    assert_eq!(history.extend(100_001u64 as u16), Some(100_001));
    assert_eq!(history.extend(100_002u64 as u16), Some(100_002 - 65_536));
}
