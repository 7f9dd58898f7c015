//! Query strings of any kind never panic, and what is wrong with them is said.

use proptest::prelude::*;
use telstar_hls::Snapshot;
use telstar_hls::request::{Answer, CacheClass, DirectiveError, Directives, Skip, answer};
use telstar_media::MediaKind;

fn check(query: &str, expect: Result<Directives, DirectiveError>) {
    assert_eq!(Directives::parse(query), expect, "{query:?}");
}

#[test]
fn directives_are_read_and_other_parameters_left_alone() {
    let none = Directives::default();
    check("", Ok(none));
    check("t=abc&x", Ok(none));
    check("_HLS_msn=7", Ok(Directives { msn: Some(7), ..none }));
    check("t=a&_HLS_msn=7&_HLS_part=0", Ok(Directives { msn: Some(7), part: Some(0), ..none }));
    check("_HLS_part=2&_HLS_msn=7", Ok(Directives { msn: Some(7), part: Some(2), ..none }));
    check("_HLS_skip=YES", Ok(Directives { skip: Some(Skip::Segments), ..none }));
    check("_HLS_skip=v2", Ok(Directives { skip: Some(Skip::SegmentsAndDateRanges), ..none }));
    check("_HLS_msn=18446744073709551615", Ok(Directives { msn: Some(u64::MAX), ..none }));
    check("_HLS_future=1", Ok(none));
}

#[test]
fn wrong_directives_are_refused() {
    check("_HLS_part=0", Err(DirectiveError::PartWithoutMsn));
    for bad in ["", "-1", "+1", "1.5", "x", " 1", "0x1", "18446744073709551616"] {
        check(&format!("_HLS_msn={bad}"), Err(DirectiveError::NotAnInteger));
        check(&format!("_HLS_msn=1&_HLS_part={bad}"), Err(DirectiveError::NotAnInteger));
    }
    check("_HLS_msn", Err(DirectiveError::NotAnInteger));
    check("_HLS_msn=1&_HLS_msn=2", Err(DirectiveError::Repeated));
    check("_HLS_skip=NO", Err(DirectiveError::Skip));
}

#[test]
fn caches_keep_what_never_changes_longest() {
    let secs = |class: CacheClass| class.max_age_secs(6);
    assert_eq!((secs(CacheClass::BlockingPlaylist), secs(CacheClass::BlockingPlaylistError)), (36, 24));
    assert_eq!((secs(CacheClass::Playlist), secs(CacheClass::PlaylistError)), (3, 6));
    assert_eq!((secs(CacheClass::Media), secs(CacheClass::MediaError)), (36, 6));
}

proptest! {
    #[test]
    fn any_query_is_read_or_refused(query in "([_A-Za-z0-9=&%+. -]|_HLS_(msn|part|skip)=){0,40}") {
        if let Ok(directives) = Directives::parse(&query) {
            let answer = answer(&Snapshot::offline(), MediaKind::Video, &directives);
            prop_assert!(matches!(answer, Answer::NotFound));
        }
    }

    #[test]
    fn numbers_round_trip(msn: u64, part: u32) {
        let read = Directives::parse(&format!("_HLS_msn={msn}&_HLS_part={part}"));
        prop_assert_eq!(read, Ok(Directives { msn: Some(msn), part: Some(part), skip: None }));
    }
}
