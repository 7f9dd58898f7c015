//! Uploads, assets and jobs.

use telstar_units::{AccountId, AssetName, BlobName, OPAQUE_NAME_LEN, UploadName};

use super::{Fixture, at, founded};
use crate::job::{Attempt, Class, Failure, SERVER_ENDS_MAX, State};
use crate::{
    Asset, AssetChange, AssetState, AssetsOf, AttemptFailure, Completion, EventId, EventKind, JobKind, JobRecord,
    NewAsset, NewJob, NewRendition, NewUpload, NextJob, OpenState, PageRequest, Quota, Store, StoreError, UploadKind,
};

const ROOM: Quota = Quota { account_bytes_max: 1 << 40, total_bytes_max: 1 << 41 };

fn padded(text: &str) -> String {
    format!("{text:0<OPAQUE_NAME_LEN$}")
}

fn upload_name(text: &str) -> UploadName {
    UploadName::parse(&padded(text)).expect("the test writes a name")
}

fn asset_name(text: &str) -> AssetName {
    AssetName::parse(&padded(text)).expect("the test writes a name")
}

fn blob(text: &str) -> BlobName {
    BlobName::parse(&padded(text)).expect("the test writes a name")
}

fn new_upload(text: &str, len: Option<u64>, kind: UploadKind) -> NewUpload {
    NewUpload { name: upload_name(text), blob: blob(text), len, metadata: "title=x".into(), kind, expires_at: at(100) }
}

fn new_asset(text: &str, from: &str, len: u64) -> NewAsset {
    NewAsset { name: asset_name(text), title: format!("제목 {text}"), blob: blob(from), len, work: "probe".into() }
}

fn create(store: &dyn Store, text: &str, owner: AccountId) -> Asset {
    store.create_asset(new_asset(text, text, 10), owner, ROOM, at(2)).wait().expect("there is room")
}

fn take(store: &dyn Store, now: i64) -> Option<(JobRecord, Attempt)> {
    match store.take_job(Class::Extra, at(now)).wait().expect("a store that works") {
        NextJob::Leased(job, attempt) => Some((*job, attempt)),
        NextJob::At(_) | NextJob::Nothing => None,
    }
}

fn rendition(name: &str, from: &str) -> NewRendition {
    NewRendition { name: name.into(), blob: blob(from), len: 7, facts: "{}".into(), index: vec![1, 2] }
}

pub(crate) fn an_upload_grows_and_becomes_an_asset_with_its_last_byte(fixture: Fixture) {
    let store = fixture.store;
    let owner = founded(&*store);
    let made =
        store.create_upload(new_upload("u1", Some(10), UploadKind::Whole), owner, ROOM, at(1)).wait().expect("made");
    assert!(made.stored == 0 && !made.is_complete() && made.metadata == "title=x");
    let advance = |span, asset| store.advance_upload(upload_name("u1"), span, at(200), asset, ROOM, at(3)).wait();
    let first = advance((0, 4), Some(new_asset("a1", "u1", 10))).expect("in order");
    assert!(first.asset.is_none() && first.upload.stored == 4 && first.upload.expires_at == at(200));
    assert_eq!(advance((0, 4), None).err(), Some(StoreError::Conflict("offset")), "another writer was here");
    assert_eq!(advance((4, 11), None).err(), Some(StoreError::Invalid("offset")), "more than was told");
    let wrong = advance((4, 10), Some(new_asset("a1", "other", 10)));
    assert_eq!(wrong.err(), Some(StoreError::Invalid("asset of an upload")));
    let done = advance((4, 10), Some(new_asset("a1", "u1", 10))).expect("the rest");
    let asset = done.asset.expect("it is whole");
    assert!(asset.state == AssetState::Processing && asset.title == "제목 a1" && !asset.open && asset.source_len == 10);
    assert!(done.upload.is_complete() && done.upload.asset == Some(asset_name("a1")));
    let jobs = store.jobs_of(asset_name("a1")).wait().expect("readable");
    assert!(jobs.len() == 1 && jobs[0].kind == JobKind::Probe && jobs[0].work == "probe");
    let again = advance((10, 10), Some(new_asset("a2", "u1", 10))).expect("nothing more");
    assert!(again.asset.is_none(), "one asset of one upload");
    let gone = store.delete_upload(upload_name("u1")).wait().expect("there");
    assert!(gone.asset.is_some() && store.asset(asset_name("a1")).wait().expect("readable").is_some());
}

pub(crate) fn a_length_is_told_once_and_room_is_set_aside(fixture: Fixture) {
    let store = fixture.store;
    let owner = founded(&*store);
    let quota = Quota { account_bytes_max: 20, total_bytes_max: 100 };
    let make = |text, len| store.create_upload(new_upload(text, len, UploadKind::Whole), owner, quota, at(1)).wait();
    make("u1", Some(15)).expect("there is room");
    assert!(matches!(make("u2", Some(6)), Err(StoreError::Limit { what: "bytes of one account", max: 20 })));
    make("u3", None).expect("nothing is known of it");
    let advance = |span| store.advance_upload(upload_name("u3"), span, at(9), None, quota, at(2)).wait();
    advance((0, 5)).expect("there is room");
    assert!(matches!(advance((5, 6)), Err(StoreError::Limit { .. })));
    let tell = |len| store.set_upload_len(upload_name("u3"), len, quota).wait();
    assert_eq!(tell(4).err(), Some(StoreError::Invalid("length of an upload")), "more is there");
    assert!(matches!(tell(6), Err(StoreError::Limit { .. })));
    assert_eq!(tell(5).expect("as much as there is").len, Some(5));
    assert_eq!(tell(5).err(), Some(StoreError::Conflict("length")));
    store.delete_upload(upload_name("u1")).wait().expect("there");
    make("u2", Some(15)).expect("its room is free again");
    let all = Quota { account_bytes_max: 1_000, total_bytes_max: 20 };
    let refused = store.create_upload(new_upload("u4", Some(1), UploadKind::Whole), owner, all, at(1)).wait();
    assert!(matches!(refused, Err(StoreError::Limit { what: "bytes of all accounts", .. })));
    for (account_bytes_max, total_bytes_max, expect) in [(30, 100, 10), (30, 25, 5), (15, 100, 0)] {
        let quota = Quota { account_bytes_max, total_bytes_max };
        assert_eq!(store.quota_left(owner, quota).wait().expect("readable"), expect, "20 are taken or set aside");
    }
}

pub(crate) fn parts_become_one_in_their_order(fixture: Fixture) {
    let store = fixture.store;
    let owner = founded(&*store);
    for (text, len, stored) in [("p1", 4, 4), ("p2", 6, 6), ("p3", 5, 2)] {
        store.create_upload(new_upload(text, Some(len), UploadKind::Part), owner, ROOM, at(1)).wait().expect("made");
        let advanced =
            store.advance_upload(upload_name(text), (0, stored), at(9), Some(new_asset(text, text, len)), ROOM, at(2));
        assert!(advanced.wait().expect("in order").asset.is_none(), "a part is no asset");
    }
    let join = |parts: &[&str], len| {
        let parts = parts.iter().map(|part| upload_name(part)).collect();
        let upload = new_upload("f1", Some(len), UploadKind::Final);
        store.create_final_upload(upload, parts, new_asset("a1", "f1", len), owner, ROOM, at(3)).wait()
    };
    assert_eq!(join(&["p1", "p3"], 9).err(), Some(StoreError::Invalid("part of an upload")), "it is not whole");
    assert_eq!(join(&["p1", "gone"], 9).err(), Some(StoreError::NotFound("upload")));
    assert_eq!(join(&["p1", "p2"], 9).err(), Some(StoreError::Invalid("length of an upload")));
    let made = join(&["p2", "p1", "p2"], 16).expect("whole");
    assert!(made.asset.is_some_and(|asset| asset.source_len == 16));
    let made = store.upload(upload_name("f1")).wait().expect("readable").expect("there");
    assert!(made.parts == ["p2", "p1", "p2"].map(upload_name) && made.is_complete() && made.kind == UploadKind::Final);
}

pub(crate) fn parts_that_were_joined_do_not_take_their_room_for_long(fixture: Fixture) {
    let store = fixture.store;
    let owner = founded(&*store);
    let day = 24 * 3_600;
    let part = NewUpload { expires_at: at(day), ..new_upload("p1", Some(4), UploadKind::Part) };
    store.create_upload(part, owner, ROOM, at(1)).wait().expect("made");
    store.advance_upload(upload_name("p1"), (0, 4), at(day), None, ROOM, at(2)).wait().expect("in order");
    let upload = NewUpload { expires_at: at(day), ..new_upload("f1", Some(4), UploadKind::Final) };
    let joined =
        store.create_final_upload(upload, vec![upload_name("p1")], new_asset("a1", "f1", 4), owner, ROOM, at(3)).wait();
    assert!(joined.is_ok());
    let hour = 3_600;
    assert!(store.delete_expired_uploads(at(2 + hour)).wait().expect("works").is_empty(), "it may be joined again");
    let gone = store.delete_expired_uploads(at(3 + hour)).wait().expect("works");
    assert!(gone.len() == 1 && gone[0].name == upload_name("p1"));
}

pub(crate) fn an_upload_that_expires_is_given_up_and_an_asset_is_not(fixture: Fixture) {
    let store = fixture.store;
    let owner = founded(&*store);
    for text in ["u1", "u2"] {
        store.create_upload(new_upload(text, Some(1), UploadKind::Whole), owner, ROOM, at(1)).wait().expect("made");
    }
    let done =
        store.advance_upload(upload_name("u2"), (0, 1), at(150), Some(new_asset("a2", "u2", 1)), ROOM, at(2)).wait();
    assert!(done.expect("whole").asset.is_some());
    assert!(store.delete_expired_uploads(at(99)).wait().expect("works").is_empty());
    let gone = store.delete_expired_uploads(at(100)).wait().expect("works");
    assert!(gone.len() == 1 && gone[0].name == upload_name("u1") && gone[0].asset.is_none());
    assert_eq!(store.delete_expired_uploads(at(150)).wait().expect("works").len(), 1);
    assert!(store.asset(asset_name("a2")).wait().expect("readable").is_some());
    let blobs = store.unknown_blobs(vec![blob("u1"), blob("u2")]).wait();
    assert!(blobs == Ok(vec![blob("u1")]), "the asset's source stays");
}

pub(crate) fn assets_are_listed_newest_first_and_leave_nothing_behind(fixture: Fixture) {
    let store = fixture.store;
    let owner = founded(&*store);
    for text in ["a1", "a2", "a3"] {
        create(&*store, text, owner);
    }
    let first = store.assets(AssetsOf::Owner(owner), PageRequest::new(None, 2)).wait().expect("readable");
    assert!(first.items.iter().map(|asset| asset.name.clone()).eq([asset_name("a3"), asset_name("a2")]));
    let second = store.assets(AssetsOf::Everyone, PageRequest::new(first.next, 2)).wait().expect("readable");
    assert!(second.items.len() == 1 && second.items[0].name == asset_name("a1") && second.next.is_none());
    let change = AssetChange { title: Some("new".into()), open: Some(true), ..AssetChange::default() };
    let changed = store.change_asset(asset_name("a1"), change, at(5)).wait().expect("there");
    assert!(changed.title == "new" && changed.open && changed.embed_origins.is_empty() && changed.updated_at == at(5));
    let (job, attempt) = take(&*store, 6).expect("a probe");
    let completion = Completion { renditions: vec![rendition("v", "r1")], ..Completion::default() };
    store.complete_job(job.id, attempt, completion, at(7)).wait().expect("current");
    let freed = store.delete_asset(job.asset.clone(), at(8)).wait().expect("there");
    assert!(freed.len() == 2 && freed.contains(&blob("r1")));
    assert!(store.jobs_of(job.asset.clone()).wait().expect("readable").is_empty());
    assert_eq!(store.delete_asset(job.asset, at(8)).wait(), Err(StoreError::NotFound("asset")));
}

pub(crate) fn open_jobs_are_listed_as_they_are_under_way(fixture: Fixture) {
    let store = fixture.store;
    let owner = founded(&*store);
    for text in ["a1", "a2", "a3"] {
        create(&*store, text, owner);
    }
    let (done, attempt) = take(&*store, 6).expect("a probe");
    store.complete_job(done.id, attempt, Completion::default(), at(7)).wait().expect("current");
    take(&*store, 8).expect("a probe");
    let open = |state| {
        let jobs = store.open_jobs(owner, state).wait().expect("readable");
        jobs.into_iter().map(|job| job.asset).collect::<Vec<_>>()
    };
    assert_eq!(open(None), [asset_name("a2"), asset_name("a3")], "the one under way first, the done one not");
    assert_eq!(open(Some(OpenState::Ready)), [asset_name("a3")]);
    let waiting = store.open_jobs(owner, Some(OpenState::Ready)).wait().expect("readable");
    store.cancel_job(waiting[0].id, at(9)).wait().expect("it waits");
    assert_eq!(open(Some(OpenState::Cancelled)), [asset_name("a3")]);
    assert!(open(Some(OpenState::Failed)).is_empty() && open(Some(OpenState::Blocked)).is_empty());
}

pub(crate) fn only_the_current_attempt_commits_and_all_of_it_or_nothing(fixture: Fixture) {
    let store = fixture.store;
    let owner = founded(&*store);
    create(&*store, "a1", owner);
    let (job, first) = take(&*store, 2).expect("a probe");
    assert!(take(&*store, 2).is_none(), "it is leased");
    assert_eq!(store.expire_leases(at(40)).wait().expect("works").len(), 1);
    let (_, second) = take(&*store, 60).expect("again");
    let completion = |blob: &str, jobs| Completion {
        facts: Some("facts".into()),
        renditions: vec![rendition("v", blob)],
        jobs,
        log: "line".into(),
    };
    let late = store.complete_job(job.id, first, completion("r1", Vec::new()), at(61)).wait();
    assert_eq!(late.err(), Some(StoreError::NotFound("attempt")));
    let bad = NewJob { kind: JobKind::More, class: Class::Extra, work: "w".into(), after: vec![0] };
    let broken = store.complete_job(job.id, second, completion("r1", vec![bad]), at(61)).wait();
    assert_eq!(broken.err(), Some(StoreError::Invalid("order of jobs")));
    assert!(store.renditions(asset_name("a1")).wait().expect("readable").is_empty(), "nothing of it");
    let next = NewJob { kind: JobKind::First, class: Class::First, work: "first".into(), after: Vec::new() };
    let then = NewJob { kind: JobKind::More, class: Class::Extra, work: "more".into(), after: vec![0] };
    let done = store.complete_job(job.id, second, completion("r2", vec![next, then]), at(62)).wait().expect("current");
    assert!(done.asset.facts == "facts" && done.freed.is_empty() && done.asset.state == AssetState::Processing);
    let attempts = store.job_attempts(job.id).wait().expect("readable");
    assert!(attempts.len() == 2 && attempts[1].log == "line" && attempts[1].ended_at == Some(at(62)));
    let (job, attempt) = take(&*store, 63).expect("the first rendition");
    assert!(job.kind == JobKind::First && take(&*store, 63).is_none(), "the other waits for it");
    let done = store.complete_job(job.id, attempt, completion("r3", Vec::new()), at(64)).wait().expect("current");
    assert!(done.freed == [blob("r2")] && done.asset.state == AssetState::Ready && done.asset.ready_at == Some(at(64)));
    assert_eq!(take(&*store, 65).map(|(job, _)| job.kind), Some(JobKind::More));
}

pub(crate) fn a_rendition_that_stood_in_for_another_goes_when_that_has_been_there_for_long(fixture: Fixture) {
    let store = fixture.store;
    create(&*store, "a1", founded(&*store));
    let name = asset_name("a1");
    let commit = |made: &[(&str, &str)], now| {
        let more = NewJob { kind: JobKind::More, class: Class::Extra, work: "w".into(), after: Vec::new() };
        store.add_job(name.clone(), more, at(now)).wait().expect("made");
        while let Some((job, attempt)) = take(&*store, now) {
            let renditions = if job.kind == JobKind::More { made } else { &[] };
            let renditions = renditions.iter().map(|(name, blob)| rendition(name, blob)).collect();
            let completion = Completion { renditions, ..Completion::default() };
            store.complete_job(job.id, attempt, completion, at(now)).wait().expect("current");
        }
    };
    commit(&[("s-first", "r1"), ("t-first", "r2"), ("first", "r3")], 10);
    commit(&[("s", "r4")], 20);
    let delete = |before| store.delete_stand_ins("-first", at(before)).wait().expect("works");
    assert!(delete(20).is_empty(), "whoever began with it goes on");
    assert!(delete(21) == [(name.clone(), blob("r1"))]);
    assert!(delete(21).is_empty());
    let left = store.renditions(name.clone()).wait().expect("readable");
    assert_eq!(left.iter().map(|one| &*one.name).collect::<Vec<_>>(), ["first", "s", "t-first"]);
}

pub(crate) fn a_job_that_always_fails_fails_its_asset_until_it_is_wanted_again(fixture: Fixture) {
    let store = fixture.store;
    let owner = founded(&*store);
    create(&*store, "a1", owner);
    let (job, attempt) = take(&*store, 2).expect("a probe");
    let failure = |failure| AttemptFailure { failure, problem: "it is text".into(), log: "x".repeat(100_000) };
    let waiting = store.fail_job(job.id, attempt, failure(Failure::Transient), at(3)).wait().expect("current");
    assert!(matches!(waiting.job.state, State::Ready(from) if from > at(3)) && waiting.problem == "it is text");
    assert!(take(&*store, 3).is_none());
    let (_, attempt) = take(&*store, 50).expect("behind the back-off");
    store.fail_job(job.id, attempt, failure(Failure::Permanent), at(51)).wait().expect("current");
    let asset = store.asset(asset_name("a1")).wait().expect("readable").expect("there");
    assert!(asset.state == AssetState::Failed && asset.problem == "it is text");
    assert!(store.job_attempts(job.id).wait().expect("readable")[0].log.len() < 20_000);
    store.retry_job(job.id, at(52)).wait().expect("it is over");
    assert!(store.asset(asset_name("a1")).wait().expect("readable").expect("there").state == AssetState::Processing);
    let (again, attempt) = take(&*store, 53).expect("wanted again");
    assert_eq!((again.id, attempt), (job.id, Attempt(3)));
    store.cancel_job(job.id, at(54)).wait().expect("under way");
    assert_eq!(store.heartbeat_job(job.id, attempt, 1, at(55)).wait(), Err(StoreError::NotFound("attempt")));
    let kinds: Vec<EventKind> =
        store.events_after(EventId(0)).wait().expect("readable").iter().map(|event| event.kind).collect();
    for kind in [EventKind::AssetCreated, EventKind::AssetFailed, EventKind::AssetChanged, EventKind::JobChanged] {
        assert!(kinds.contains(&kind), "{kind:?}");
    }
}

pub(crate) fn nobody_waits_for_who_wants_much(fixture: Fixture) {
    let store = fixture.store;
    let owner = founded(&*store);
    for index in 0..5 {
        create(&*store, &format!("a{index}"), owner);
    }
    // The first in line is done, and leaves work that nobody waits for.
    let (job, attempt) = take(&*store, 2).expect("a probe");
    let extra = NewJob { kind: JobKind::More, class: Class::Extra, work: "more".into(), after: Vec::new() };
    let completion = Completion { jobs: vec![extra], ..Completion::default() };
    store.complete_job(job.id, attempt, completion, at(3)).wait().expect("current");
    let urgent = || store.take_job(Class::First, at(4)).wait().expect("a store that works");
    for _ in 0..4 {
        assert!(matches!(urgent(), NextJob::Leased(job, _) if job.kind == JobKind::Probe));
    }
    assert!(matches!(urgent(), NextJob::At(_)), "nobody waits for what is left");
    assert!(take(&*store, 4).is_some_and(|(job, _)| job.kind == JobKind::More));
}

pub(crate) fn a_job_that_is_given_back_has_not_failed(fixture: Fixture) {
    let store = fixture.store;
    let owner = founded(&*store);
    create(&*store, "a1", owner);
    for round in 1..=20 {
        let (job, attempt) = take(&*store, 10 + round).expect("it is ready again at once");
        assert_eq!((attempt.0, job.job.failures), (round as u32, 0));
        store.release_job(job.id, attempt, "no worker".to_owned(), at(10 + round)).wait().expect("current");
        let again = store.release_job(job.id, attempt, "no worker".to_owned(), at(10 + round)).wait();
        assert!(again.is_err(), "it is nobody's now");
        let attempts = store.job_attempts(job.id).wait().expect("readable");
        assert!(
            attempts.last().is_some_and(|last| last.outcome == "no worker" && last.ended_at == Some(at(10 + round)))
        );
    }
}

pub(crate) fn jobs_of_a_server_that_is_gone_are_begun_again(fixture: Fixture) {
    let owner = founded(&*fixture.store);
    create(&*fixture.store, "a1", owner);
    let (job, attempt) = take(&*fixture.store, 2).expect("a probe");
    fixture.store.heartbeat_job(job.id, attempt, 5_000, at(3)).wait().expect("current");
    let store = match &fixture.again {
        Some(again) => {
            drop(fixture.store);
            again()
        }
        None => fixture.store,
    };
    assert_eq!(store.release_jobs(at(500)).wait(), Ok(1));
    let (again, second) = take(&*store, 500).expect("at once: it was no failure of its own");
    assert!(again.id == job.id && second == Attempt(2) && again.job.failures == 0 && again.progress == 0);
    let late = store.complete_job(job.id, attempt, Completion::default(), at(501)).wait();
    assert_eq!(late.err(), Some(StoreError::NotFound("attempt")));
}

pub(crate) fn a_job_in_which_the_server_ends_again_and_again_is_given_up(fixture: Fixture) {
    let store = fixture.store;
    let owner = founded(&*store);
    create(&*store, "a1", owner);
    let ends_until_failed = |from: i64| {
        (1..=SERVER_ENDS_MAX + 1).find(|end| {
            let (job, _) = take(&*store, from + i64::from(*end)).expect("it is begun again");
            assert_eq!(store.release_jobs(at(from + i64::from(*end))).wait(), Ok(1));
            let job = store.job(job.id).wait().expect("readable").expect("there");
            job.job.state == State::Failed
        })
    };
    assert_eq!(ends_until_failed(10), Some(SERVER_ENDS_MAX));
    let asset = store.asset(asset_name("a1")).wait().expect("readable").expect("there");
    assert_eq!(asset.state, AssetState::Failed);
    assert!(asset.problem.contains("10 times"), "{}", asset.problem);
    let job = store.jobs_of(asset.name).wait().expect("readable").remove(0);
    store.retry_job(job.id, at(100)).wait().expect("by hand");
    assert_eq!(ends_until_failed(100), Some(SERVER_ENDS_MAX), "what was before does not count");
}
