use super::super::tests::request;
use super::*;

const MEDIA: &[u8] = &[0x80, 96, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 1];

fn address(number: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, (number >> 8) as u8, number as u8], 1))
}

#[test]
fn media_follows_the_request_that_named_somebody() {
    let (ufrags, mut map, now) = (Ufrags::default(), AddressMap::new(), Instant::now());
    ufrags.insert("abcd".to_owned(), 1);
    assert_eq!(map.route(now, address(1), MEDIA, &ufrags), Route::Unknown);
    assert_eq!(map.route(now, address(1), &request("nobody"), &ufrags), Route::Unknown);
    assert!(map.known.is_empty(), "a stranger leaves no trace");
    assert_eq!(map.route(now, address(1), &request("abcd"), &ufrags), Route::Shard(1));
    assert_eq!(map.route(now, address(1), MEDIA, &ufrags), Route::Shard(1));
    assert_eq!(map.route(now, address(2), MEDIA, &ufrags), Route::Unknown);
    for alien in [&[][..], &[4, 0], &[64; 30], &[255; 30]] {
        assert_eq!(map.route(now, address(1), alien, &ufrags), Route::Alien);
    }
}

#[test]
fn a_forged_address_does_not_take_media_away_while_there_is_some() {
    let (ufrags, mut map, now) = (Ufrags::default(), AddressMap::new(), Instant::now());
    ufrags.insert("mine".to_owned(), 0);
    ufrags.insert("evil".to_owned(), 1);
    map.route(now, address(1), &request("mine"), &ufrags);
    for second in 0..20 {
        let now = now + Duration::from_secs(second);
        assert_eq!(map.route(now, address(1), MEDIA, &ufrags), Route::Shard(0));
        assert_eq!(map.route(now, address(1), &request("evil"), &ufrags), Route::Shard(1), "it is for whom it names");
    }
    // Whoever joins another room from the same port waits for silence.
    let later = now + Duration::from_secs(20) + TAKEOVER_SILENCE;
    map.route(later, address(1), &request("evil"), &ufrags);
    assert_eq!(map.route(later, address(1), MEDIA, &ufrags), Route::Shard(1));
}

#[test]
fn silent_addresses_are_forgotten_and_there_are_never_too_many() {
    let (ufrags, mut map, now) = (Ufrags::default(), AddressMap::new(), Instant::now());
    ufrags.insert("abcd".to_owned(), 0);
    for number in 0..ADDRESSES_MAX as u32 + 10 {
        let remote = SocketAddr::from((number.to_be_bytes(), 1));
        assert_eq!(map.route(now, remote, &request("abcd"), &ufrags), Route::Shard(0));
    }
    assert_eq!(map.known.len(), ADDRESSES_MAX);
    assert_eq!(map.handle_timeout(now), 10);
    let later = now + ADDRESS_AGE_MAX;
    assert!(map.poll_timeout().is_some_and(|at| at <= later));
    map.handle_timeout(later);
    assert!(map.known.is_empty() && map.poll_timeout().is_none());
}

#[test]
fn a_name_is_known_until_it_is_taken_back() {
    let ufrags = Ufrags::default();
    ufrags.insert("a".to_owned(), 3);
    assert_eq!((ufrags.shard_of("a"), ufrags.shard_of("b"), ufrags.len()), (Some(3), None, 1));
    ufrags.remove("a");
    assert_eq!((ufrags.shard_of("a"), ufrags.len()), (None, 0));
}
