//! Whoever uploads to do harm: who fills the disk, holds places, lies about what it sends, or reaches for what is
//! another's. Each is refused in words, costs nothing that stays, and nobody else notices.

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use telstar::vod::uploads::{Create, UploadError};
use telstar_store::{NewUpload, Quota, StoreError, UPLOADS_PER_ACCOUNT_MAX, UploadKind};
use telstar_units::{AccountId, BlobName, UploadName, WallTime};

use super::raw::Raw;
use super::stage::{Stage, UPLOADS, metadata, send};
use super::support::{assert_problem, header};

const MIB: usize = 1024 * 1024;

fn name_of(path: &str) -> UploadName {
    UploadName::parse(path.rsplit('/').next().unwrap_or_default()).expect("the end of an address is a name")
}

impl Stage {
    /// Bytes of all blobs.
    fn kept_bytes(&self) -> u64 {
        let blobs = &self.rig.running.state().vod.blobs;
        let names = blobs.list().expect("listed");
        names.iter().map(|name| blobs.open(name).expect("there").len().expect("read")).sum()
    }

    async fn deferred(&self) -> String {
        self.upload_with(&[("upload-defer-length", "1")]).await
    }
}

#[tokio::test]
async fn a_length_that_nobody_told_takes_no_more_room_than_there_is() {
    let stage = Stage::set_with(|config| config.vod.account_quota_mib = 2).await;
    let path = stage.deferred().await;
    assert_eq!(stage.patch(&path, 0, vec![1; MIB]).await.status(), 204);
    assert_problem(stage.patch(&path, MIB as u64, vec![2; 2 * MIB]).await, 409, "limit_reached").await;
    assert_eq!(stage.offset(&path).await, MIB.to_string(), "what was acknowledged stays");
    assert_eq!(stage.kept_bytes(), MIB as u64, "and nothing else");
    // What it takes counts for others.
    let other = stage.tus(Method::POST, UPLOADS).header("upload-length", (MIB + 1).to_string());
    assert_problem(send(other).await, 409, "limit_reached").await;
    let told = stage.patch_request(&path, MIB as u64).header("upload-length", (2 * MIB + 1).to_string());
    assert_problem(send(told.body("x")).await, 409, "limit_reached").await;
    let told = stage.patch_request(&path, MIB as u64).header("upload-length", (2 * MIB).to_string());
    assert_eq!(send(told.body(vec![3; MIB])).await.status(), 204);
    assert_eq!(stage.kept_bytes(), 2 * MIB as u64);
}

#[tokio::test]
async fn all_accounts_together_have_an_end_too() {
    let stage = Stage::set_with(|config| (config.vod.account_quota_mib, config.vod.total_quota_mib) = (100, 1)).await;
    let too_much = stage.tus(Method::POST, UPLOADS).header("upload-length", (MIB + 1).to_string());
    assert_problem(send(too_much).await, 409, "limit_reached").await;
    let path = stage.deferred().await;
    assert_problem(stage.patch(&path, 0, vec![0; MIB + 1]).await, 409, "limit_reached").await;
    let whole = stage.rig.request(Method::POST, "/api/v1/assets").bearer_auth(&stage.token).body(vec![0; MIB + 1]);
    assert_problem(send(whole).await, 409, "limit_reached").await;
    assert_eq!(stage.kept_bytes(), 0);
}

#[tokio::test]
async fn parts_are_joined_only_where_there_is_room_for_the_whole() {
    let stage = Stage::set_with(|config| config.vod.account_quota_mib = 1).await;
    let part = stage.upload_with(&[("upload-length", "600000"), ("upload-concat", "partial")]).await;
    assert_eq!(stage.patch(&part, 0, vec![0; 600_000]).await.status(), 204);
    let join = stage.tus(Method::POST, UPLOADS).header("upload-concat", format!("final;{part}"));
    assert_problem(send(join).await, 409, "limit_reached").await;
    assert_eq!(stage.kept_bytes(), 600_000, "what was joined in vain is gone");
}

#[tokio::test]
async fn a_file_beyond_the_limit_ends_with_words_and_without_a_trace() {
    let stage = Stage::set_with(|config| config.vod.upload_max_mib = 1).await;
    let path = stage.deferred().await;
    assert_problem(stage.patch(&path, 0, vec![0; MIB + 1]).await, 413, "body_too_large").await;
    let told = stage.patch_request(&path, 0).header("upload-length", (MIB + 1).to_string());
    assert_problem(send(told.body("x")).await, 413, "body_too_large").await;
    assert_eq!((stage.offset(&path).await, stage.kept_bytes()), ("0".into(), 0));
    let whole = stage.rig.request(Method::POST, "/api/v1/assets").bearer_auth(&stage.token).body(vec![0; MIB + 1]);
    assert_problem(send(whole).await, 413, "body_too_large").await;
    assert_eq!(stage.kept_bytes(), 0);
}

/// A client that sends a large body reads the answer behind it. A server that has closed by then resets the connection.
#[tokio::test]
async fn whoever_is_refused_in_the_middle_reads_why() {
    let stage = Stage::set_with(|config| config.vod.upload_max_mib = 1).await;
    let path = stage.deferred().await;
    let len = 64 * MIB as u64;
    for (offset, more, expect) in
        [(0, "", 413), (7, "", 409), (0, "upload-checksum: md5 AAAA\r\n", 400), (0, "upload-length: 1\r\n", 400)]
    {
        let mut raw = Raw::patch(&stage, &path, offset, len, more).await;
        for _ in 0..64 {
            raw.send(&[0; MIB]).await;
        }
        assert_eq!(raw.status().await, expect, "{offset} {more}");
    }
}

#[tokio::test]
async fn an_abandoned_upload_expires_and_its_bytes_are_free() {
    let stage = Stage::set().await;
    let path = stage.upload(6).await;
    assert_eq!(stage.patch(&path, 0, "abc").await.status(), 204);
    let (state, name) = (stage.rig.running.state(), name_of(&path));
    let room = Quota { account_bytes_max: 100, total_bytes_max: 100 };
    // As if it had begun long ago.
    let past = state.store.advance_upload(name, (3, 3), WallTime(1), None, room, state.authority.now());
    assert!(past.await.is_ok());
    let response = send(stage.tus(Method::HEAD, &path)).await;
    assert_eq!((response.status().as_u16(), &*header(&response, "upload-offset")), (410, ""));
    assert_problem(stage.patch(&path, 3, "def").await, 410, "gone").await;
    assert_eq!(stage.kept_bytes(), 3);
    state.vod.uploads.expire().await.expect("swept");
    assert_eq!(stage.kept_bytes(), 0);
    assert_eq!(send(stage.tus(Method::HEAD, &path)).await.status(), 404);
}

#[tokio::test]
async fn an_account_has_so_many_uploads_and_no_more() {
    let stage = Stage::set().await;
    let state = stage.rig.running.state();
    let (owner, now) = (stage.owner().await, state.authority.now());
    let rows = (0..UPLOADS_PER_ACCOUNT_MAX).map(|number| {
        let text = format!("{number:0>22}");
        let (name, blob) = (UploadName::parse(&text).expect("a name"), BlobName::parse(&text).expect("a name"));
        let expires_at = now.plus_micros(1_000_000_000);
        let new = NewUpload { name, blob, len: None, metadata: String::new(), kind: UploadKind::Whole, expires_at };
        let room = Quota { account_bytes_max: 100, total_bytes_max: 100 };
        state.store.create_upload(new, owner, room, now)
    });
    // All are asked for before the first is answered, so that they share commits.
    for row in rows.collect::<Vec<_>>() {
        match row.await {
            Ok(_) => {}
            Err(StoreError::Busy) => panic!("the queue holds as many"),
            Err(error) => panic!("{error}"),
        }
    }
    let more = stage.tus(Method::POST, UPLOADS).header("upload-defer-length", "1");
    assert_problem(send(more).await, 409, "limit_reached").await;
    assert!(state.vod.blobs.list().expect("listed").is_empty(), "nothing is left of the one too many");
}

#[tokio::test]
async fn an_account_sends_so_many_bodies_at_once_and_no_more() {
    let stage = Stage::set().await;
    let mut open = Vec::new();
    for _ in 0..64 {
        let mut raw = Raw::patch(&stage, &stage.upload(10).await, 0, 10, "expect: 100-continue\r\n").await;
        assert_eq!(raw.status().await, 100, "it is taken");
        open.push(raw);
    }
    let path = stage.upload(10).await;
    let response = stage.patch(&path, 0, "x").await;
    assert_eq!(header(&response, "retry-after"), "1");
    assert_problem(response, 503, "unavailable").await;
    // One that ends makes room for it.
    let mut first = open.swap_remove(0);
    first.send(&[0; 10]).await;
    assert_eq!(first.status().await, 204);
    assert_eq!(stage.patch(&path, 0, "x").await.status(), 204);
}

#[tokio::test]
async fn metadata_is_words_whatever_is_in_them() {
    let stage = Stage::set().await;
    let value = "evil.mp4\r\nSet-Cookie: telstar_session=1\r\n\r\n<script>\0\u{1b}[31m\u{2028}\u{202e}";
    let pairs = metadata(&[("filename", value), ("filetype", "text/html\r\n")]);
    let path = stage.upload_with(&[("upload-length", "1"), ("upload-metadata", &pairs)]).await;
    let response = send(stage.tus(Method::HEAD, &path)).await;
    assert_eq!(header(&response, "upload-metadata"), pairs, "encoded as it was");
    assert!(header(&response, "set-cookie").is_empty());
    let response = stage.patch(&path, 0, "x").await;
    let asset = header(&response, "telstar-asset");
    let read = stage.json("GET", &format!("/assets/{asset}"), None, 200).await;
    let title = read["title"].as_str().expect("a title").to_owned();
    assert!(!title.chars().any(char::is_control), "{title:?}");
    let source = stage.rig.request(Method::GET, &format!("/vod/{asset}/source")).bearer_auth(&stage.token);
    let source = send(source).await;
    assert!(header(&source, "set-cookie").is_empty());
    assert!(header(&source, "content-disposition").starts_with("attachment; "));
    assert_eq!(header(&source, "content-type"), "application/octet-stream", "what it says it is, it is not");
}

#[tokio::test]
async fn metadata_has_an_end() {
    let stage = Stage::set().await;
    let encoded = |len: usize| STANDARD.encode(vec![b'x'; len]);
    let many = |count: usize| (0..count).map(|at| format!("k{at} eA==")).collect::<Vec<_>>().join(",");
    for (pairs, expect) in [
        (format!("title {}", encoded(2_048)), 201),
        (format!("title {}", encoded(2_049)), 400),
        (many(32), 201),
        (many(33), 400),
        ("title YQ==,title Yg==".to_owned(), 400),
        (format!("{} YQ==", "k".repeat(65)), 400),
        ("title YQ==, ,".to_owned(), 201),
        ("title !".to_owned(), 400),
    ] {
        let request = stage.tus(Method::POST, UPLOADS).header("upload-length", "1").header("upload-metadata", &pairs);
        assert_eq!(send(request).await.status(), expect, "{pairs}");
    }
    let huge = stage.tus(Method::POST, UPLOADS).header("upload-length", "1");
    let huge = huge.header("upload-metadata", format!("title {}", encoded(64 * 1024))).send().await;
    // More than any header may be: it is not even read to its end.
    assert!(huge.is_ok_and(|response| response.status() == 431), "refused by the door");
    // A field that comes twice is as good as a list to some proxies, and here one of them at most.
    let twice = stage.tus(Method::POST, UPLOADS).header("upload-length", "5").header("upload-length", "6");
    let twice = send(twice).await.status();
    assert!(twice == 400 || twice == 201, "{twice}");
}

/// There is one account so far; another's request is one with another number, as the door would make it.
#[tokio::test]
async fn anothers_upload_is_as_good_as_none() {
    let stage = Stage::set().await;
    let part = stage.upload_with(&[("upload-length", "3"), ("upload-concat", "partial")]).await;
    assert_eq!(stage.patch(&part, 0, "abc").await.status(), 204);
    let uploads = &stage.rig.running.state().vod.uploads;
    let other = AccountId(stage.owner().await.0 + 1);
    let unknown = UploadName::parse("0123456789abcdefghijkm").expect("a name");
    for name in [name_of(&part), unknown] {
        let create = Create { owner: other, len: None, metadata: String::new(), title: "x".to_owned(), is_part: false };
        assert!(matches!(uploads.join(create, vec![name.clone()]).await, Err(UploadError::NotFound)));
        assert!(matches!(uploads.read(&name, other).await, Err(UploadError::NotFound)));
        assert!(matches!(uploads.delete(&name, other).await, Err(UploadError::NotFound)));
    }
    let nobodys = format!("final;{part} {UPLOADS}/0123456789abcdefghijkm");
    let join = stage.tus(Method::POST, UPLOADS).header("upload-concat", nobodys);
    assert_problem(send(join).await, 404, "not_found").await;
    assert_eq!((stage.offset(&part).await, stage.kept_bytes()), ("3".into(), 3));
}

#[tokio::test]
async fn two_writers_never_mix_their_bytes() {
    let stage = Stage::set().await;
    const LEN: usize = 3 * MIB;
    for round in 0..8 {
        let path = stage.upload(LEN as u64).await;
        let (a, b) = tokio::join!(stage.patch(&path, 0, vec![b'a'; LEN]), stage.patch(&path, 0, vec![b'b'; LEN]));
        let mut statuses = [a.status().as_u16(), b.status().as_u16()];
        statuses.sort_unstable();
        // Whoever came second found the upload where the first one had left it, which may be where it began.
        assert!(statuses == [204, 204] || statuses == [204, 409], "{round}: {statuses:?}");
        let state = stage.rig.running.state();
        let upload = state.store.upload(name_of(&path)).await.expect("answered").expect("there");
        let mut bytes = vec![0; upload.stored as usize];
        state.vod.blobs.open(&upload.blob).expect("there").read_at(0, &mut bytes).expect("read");
        assert!(bytes.windows(2).all(|two| two[0] == two[1]), "{round}: of one writer alone");
        assert!(bytes.first().is_none_or(|first| matches!(first, b'a' | b'b')), "{round}");
    }
}

#[tokio::test]
async fn a_wrong_sum_leaves_nothing_however_long_its_body_was() {
    let stage = Stage::set().await;
    let path = stage.upload(9 * MIB as u64).await;
    let wrong = format!("sha256 {}", STANDARD.encode([0; 32]));
    for _ in 0..2 {
        let patch = stage.patch_request(&path, 0).header("upload-checksum", &wrong).body(vec![7; 9 * MIB]);
        assert_problem(send(patch).await, 460, "checksum_mismatch").await;
        assert_eq!((stage.offset(&path).await, stage.kept_bytes()), ("0".into(), 0));
    }
    let with = |request: reqwest::RequestBuilder| request.header("upload-checksum", &wrong).body("abc");
    let create = stage.tus(Method::POST, UPLOADS).header("upload-length", "3");
    let create = create.header("content-type", "application/offset+octet-stream");
    assert_problem(send(with(create)).await, 460, "checksum_mismatch").await;
    assert_eq!(stage.rig.running.state().vod.blobs.list().expect("listed").len(), 1, "of it nothing is left");
}

/// A small disk of its own, for as long as this lives.
struct Disk(PathBuf);

impl Disk {
    /// `None` where nobody may mount one.
    fn of(mib: u32, at: &Path) -> Option<Disk> {
        let options = format!("size={mib}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "telstar-test"]).arg(at).output();
        mounted.is_ok_and(|mounted| mounted.status.success()).then(|| Disk(at.to_owned()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: the server may not have closed its last file.
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

#[tokio::test]
async fn a_disk_that_fills_up_refuses_uploads_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Some(_disk) = Disk::of(64, folder.path()) else {
        eprintln!("skipped: mounting a small disk needs root");
        return;
    };
    let data = folder.path().join("data");
    let stage = Stage::set_with(|config| (config.general.data, config.vod.disk_free_mib) = (data, 0)).await;
    let state = stage.rig.running.state();
    let path = stage.deferred().await;
    assert_problem(stage.patch(&path, 0, vec![1; 80 * MIB]).await, 507, "disk_full").await;
    let offset: u64 = stage.offset(&path).await.parse().expect("a number");
    assert_eq!(stage.kept_bytes(), offset, "what was not acknowledged takes no room");
    assert_eq!(send(stage.rig.request(Method::GET, "/readyz")).await.status(), 200);
    assert_eq!(send(stage.tus(Method::DELETE, &path)).await.status(), 204);
    assert_eq!(state.vod.blobs.list().expect("listed").len(), 0);
    let path = stage.upload(MIB as u64).await;
    assert_eq!(stage.patch(&path, 0, vec![2; MIB]).await.status(), 204, "and there is room again");
}

#[tokio::test]
async fn what_must_stay_free_of_a_disk_stays_free_while_bytes_come() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Some(_disk) = Disk::of(96, folder.path()) else {
        eprintln!("skipped: mounting a small disk needs root");
        return;
    };
    let data = folder.path().join("data");
    let stage = Stage::set_with(|config| (config.general.data, config.vod.disk_free_mib) = (data, 48)).await;
    let declared = stage.tus(Method::POST, UPLOADS).header("upload-length", (60 * MIB).to_string());
    assert_problem(send(declared).await, 507, "disk_full").await;
    let path = stage.deferred().await;
    assert_problem(stage.patch(&path, 0, vec![1; 80 * MIB]).await, 507, "disk_full").await;
    let offset: usize = stage.offset(&path).await.parse().expect("a number");
    assert!((30 * MIB..64 * MIB).contains(&offset), "{offset}: what came is kept, and it is not the whole disk");
    let free = stage.rig.running.state().vod.blobs.free_bytes().expect("read").expect("an end");
    assert!(free > 30 * MIB as u64, "{free}");
    // Whoever goes on is refused before a byte is taken.
    assert_problem(stage.patch(&path, offset as u64, "x").await, 507, "disk_full").await;
    assert_eq!(send(stage.tus(Method::DELETE, &path)).await.status(), 204);
}
