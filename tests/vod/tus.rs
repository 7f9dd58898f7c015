//! tus 1.0 (<https://tus.io/protocols/resumable-upload>), line by line.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use sha1::{Digest, Sha1};
use telstar_units::{AssetName, WallTime};

use super::raw::Raw;
use super::stage::{Stage, UPLOADS, metadata, send};
use super::support::{PATIENCE, assert_problem, header};

fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

#[tokio::test]
async fn options_say_what_there_is_to_everybody() {
    let stage = Stage::set().await;
    for path in [UPLOADS.to_owned(), stage.upload(1).await] {
        // "The Client SHOULD NOT include the Tus-Resumable header in the request and the Server MUST ignore the
        // header."
        for version in ["1.0.0", "0.2.2", ""] {
            let request = stage.rig.request(Method::OPTIONS, &path).header("tus-resumable", version);
            let response = send(request).await;
            assert_eq!(response.status(), 204, "{path} {version}");
            assert_eq!(header(&response, "tus-version"), "1.0.0");
            assert_eq!(header(&response, "tus-checksum-algorithm"), "sha1,sha256");
            assert!(header(&response, "tus-max-size").parse::<u64>().is_ok());
            // Checksums in trailers and parts that are joined before they are whole are not there, and not announced.
            let all =
                "creation,creation-with-upload,creation-defer-length,expiration,checksum,termination,concatenation";
            assert_eq!(header(&response, "tus-extension"), all);
        }
    }
}

#[tokio::test]
async fn another_version_is_refused_and_nothing_is_done() {
    let stage = Stage::set().await;
    let path = stage.upload(3).await;
    for version in ["0.2.2", "2.0.0"] {
        let patch = stage.rig.request(Method::PATCH, &path).bearer_auth(&stage.token);
        let patch = patch.header("tus-resumable", version).header("upload-offset", "0");
        let response = send(patch.header("content-type", "application/offset+octet-stream").body("abc")).await;
        assert_eq!(header(&response, "tus-version"), "1.0.0");
        assert_eq!(header(&response, "tus-resumable"), "1.0.0");
        assert_problem(response, 412, "precondition_failed").await;
    }
    let without = stage.rig.request(Method::POST, UPLOADS).bearer_auth(&stage.token).header("upload-length", "3");
    assert_problem(send(without).await, 412, "precondition_failed").await;
    assert_eq!(stage.offset(&path).await, "0");
}

#[tokio::test]
async fn every_answer_names_the_version() {
    let stage = Stage::set().await;
    let path = stage.upload(3).await;
    let create = || stage.tus(Method::POST, UPLOADS);
    let unsigned = stage.rig.request(Method::POST, UPLOADS).header("tus-resumable", "1.0.0");
    let checksum = stage.patch_request(&path, 0).header("upload-checksum", "sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    for (request, status) in [
        (create().header("upload-length", "1"), 201),
        (create(), 400),
        (unsigned.header("upload-length", "1"), 401),
        (create().header("upload-length", "9000000000000000"), 413),
        (stage.tus(Method::PUT, UPLOADS), 405),
        (stage.tus(Method::HEAD, &path), 200),
        (stage.tus(Method::HEAD, &format!("{UPLOADS}/x")), 404),
        (stage.patch_request(&path, 1), 409),
        (stage.tus(Method::PATCH, &path).header("upload-offset", "0").body("a"), 415),
        (checksum.body("a"), 460),
        (stage.patch_request(&path, 0).body("a"), 204),
        (stage.rig.request(Method::OPTIONS, &path), 204),
        (stage.rig.request(Method::HEAD, &path).bearer_auth(&stage.token).header("tus-resumable", "0.1"), 412),
        (stage.tus(Method::DELETE, &path), 204),
    ] {
        let response = send(request).await;
        assert_eq!((response.status().as_u16(), &*header(&response, "tus-resumable")), (status, "1.0.0"));
    }
}

#[tokio::test]
async fn an_offset_is_a_number_of_bytes() {
    let stage = Stage::set().await;
    let path = stage.upload(3).await;
    for offset in ["", "-1", "0x0", "1.0", "99999999999999999999", "\u{ff10}"] {
        let patch = stage.tus(Method::PATCH, &path).header("content-type", "application/offset+octet-stream");
        assert_problem(send(patch.header("upload-offset", offset).body("abc")).await, 400, "bad_request").await;
    }
    let patch = stage.tus(Method::PATCH, &path).header("content-type", "application/offset+octet-stream");
    assert_problem(send(patch.body("abc")).await, 400, "bad_request").await;
    // Nothing more is no harm, before the end and behind it.
    for (offset, bytes) in [(0, ""), (0, "abc"), (3, "")] {
        let response = stage.patch(&path, offset, bytes).await;
        let end = (offset + bytes.len() as u64).to_string();
        assert_eq!((response.status().as_u16(), header(&response, "upload-offset")), (204, end));
    }
    assert_problem(stage.patch(&path, 3, "d").await, 400, "bad_request").await;
}

#[tokio::test]
async fn a_body_may_come_in_chunks_with_a_trailer_that_nobody_asked_for() {
    let stage = Stage::set().await;
    let path = stage.upload(6).await;
    let fields = "upload-offset: 0\r\ntransfer-encoding: chunked\r\ntrailer: upload-checksum\r\n";
    let mut raw = Raw::begin(&stage, "PATCH", &path, fields).await;
    raw.send(b"3\r\nabc\r\n3\r\ndef\r\n0\r\nupload-checksum: sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n").await;
    let head = raw.head().await;
    assert!(head.starts_with("HTTP/1.1 204") && head.contains("telstar-asset: "), "{head}");
}

#[tokio::test]
async fn an_upload_grows_and_becomes_an_asset_with_its_last_byte() {
    let stage = Stage::set().await;
    let pairs = metadata(&[("filename", "회의.mp4"), ("filetype", "video/mp4")]);
    let path = stage.upload_with(&[("upload-length", "10"), ("upload-metadata", &pairs)]).await;
    let response = send(stage.tus(Method::HEAD, &path)).await;
    assert_eq!((header(&response, "upload-offset"), header(&response, "upload-length")), ("0".into(), "10".into()));
    assert_eq!(header(&response, "upload-metadata"), pairs);

    let response = stage.patch(&path, 0, "0123").await;
    assert_eq!((response.status().as_u16(), &*header(&response, "upload-offset")), (204, "4"));
    assert_eq!(header(&response, "telstar-asset"), "");
    for offset in [0, 3, 5] {
        assert_problem(stage.patch(&path, offset, "xx").await, 409, "wrong_offset").await;
    }
    let too_long = stage.patch(&path, 4, "4567890").await;
    assert_problem(too_long, 400, "bad_request").await;
    assert_eq!(stage.offset(&path).await, "4", "nothing of it was kept");

    let response = stage.patch(&path, 4, "456789").await;
    assert_eq!((response.status().as_u16(), &*header(&response, "upload-offset")), (204, "10"));
    let asset = AssetName::parse(&header(&response, "telstar-asset")).expect("it has become one");
    let response = send(stage.tus(Method::HEAD, &path)).await;
    assert_eq!(header(&response, "telstar-asset"), asset.as_str(), "whoever missed it is told again");
    assert_eq!(header(&response, "upload-offset"), "10");

    let state = stage.rig.running.state();
    let asset = state.store.asset(asset).await.expect("answered").expect("there");
    assert_eq!((asset.title.as_str(), asset.source_len), ("회의", 10));
    let reader = state.vod.blobs.open(&asset.source).expect("there");
    let mut bytes = [0; 11];
    assert_eq!(reader.read_at(0, &mut bytes).expect("read"), 10);
    assert_eq!(&bytes[..10], b"0123456789");
}

#[tokio::test]
async fn what_is_no_upload_is_not_found_and_has_no_offset() {
    let stage = Stage::set().await;
    for path in
        [format!("{UPLOADS}/0123456789abcdefghijkm"), format!("{UPLOADS}/..%2f..%2fetc"), format!("{UPLOADS}/x")]
    {
        let response = send(stage.tus(Method::HEAD, &path)).await;
        assert_eq!((response.status().as_u16(), &*header(&response, "upload-offset")), (404, ""), "{path}");
        assert_problem(stage.patch(&path, 0, "x").await, 404, "not_found").await;
        assert_problem(send(stage.tus(Method::DELETE, &path)).await, 404, "not_found").await;
    }
    let path = stage.upload(1).await;
    assert_problem(send(stage.tus(Method::GET, &path)).await, 405, "method_not_allowed").await;
    let other_type = stage.tus(Method::PATCH, &path).header("upload-offset", "0").header("content-type", "text/plain");
    assert_problem(send(other_type.body("x")).await, 415, "unsupported_media_type").await;
    let nobody = stage.rig.request(Method::HEAD, &path).header("tus-resumable", "1.0.0");
    assert_eq!(send(nobody).await.status(), 401);
}

#[tokio::test]
async fn what_came_before_the_connection_broke_is_kept() {
    let stage = Stage::set().await;
    let path = stage.upload(100).await;
    let mut raw = Raw::patch(&stage, &path, 0, 100, "").await;
    raw.send(&[7; 40]).await;
    let received = &stage.rig.running.state().metrics.vod_received_bytes;
    let came = async {
        while received.get() < 40 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, came).await.expect("the server takes what came");
    drop(raw);
    assert_eq!(stage.offset(&path).await, "40");
    assert_eq!(stage.patch(&path, 40, vec![7; 60]).await.status(), 204);
    assert_eq!(stage.offset(&path).await, "100");
}

#[tokio::test]
async fn whoever_comes_back_takes_over_from_a_connection_that_hangs() {
    let stage = Stage::set().await;
    let path = stage.upload(100).await;
    let mut hanging = Raw::patch(&stage, &path, 0, 100, "expect: 100-continue\r\n").await;
    assert_eq!(hanging.status().await, 100, "a client that asks first is told to go on");
    let response = stage.patch(&path, 0, vec![7; 100]).await;
    assert_eq!((response.status().as_u16(), &*header(&response, "upload-offset")), (204, "100"));
}

#[tokio::test]
async fn a_client_that_asks_before_it_sends_is_told_to_or_why_not() {
    let stage = Stage::set().await;
    let fields = "upload-length: 6\r\ncontent-length: 3\r\nexpect: 100-continue\r\n";
    let mut created = Raw::begin(&stage, "POST", UPLOADS, fields).await;
    assert_eq!(created.status().await, 100);
    created.send(b"abc").await;
    let head = created.head().await;
    assert!(head.starts_with("HTTP/1.1 201") && head.contains("upload-offset: 3\r\n"), "{head}");
    let path = stage.upload(6).await;
    for (offset, more, expect) in [(5, "", 409), (0, "upload-checksum: md5 x\r\n", 400)] {
        let fields = format!("expect: 100-continue\r\n{more}");
        let mut refused = Raw::patch(&stage, &path, offset, 6, &fields).await;
        assert_eq!(refused.status().await, expect, "without a byte of the body");
    }
}

#[tokio::test]
async fn the_method_may_stand_in_a_field() {
    let stage = Stage::set().await;
    let path = stage.upload(3).await;
    let by_post = |method: &str| stage.tus(Method::POST, &path).header("x-http-method-override", method);
    let patch = by_post("PATCH").header("upload-offset", "0").header("content-type", "application/offset+octet-stream");
    assert_eq!(send(patch.body("ab")).await.status(), 204);
    let response = send(by_post("HEAD")).await;
    assert_eq!((response.status().as_u16(), &*header(&response, "upload-offset")), (200, "2"));
    // Nothing is made of what is safe by its name: a browser sends it from anywhere.
    let by_get = stage.tus(Method::GET, &path).header("x-http-method-override", "DELETE");
    assert_problem(send(by_get).await, 405, "method_not_allowed").await;
    assert_eq!(send(by_post("DELETE")).await.status(), 204);
    assert_eq!(send(stage.tus(Method::HEAD, &path)).await.status(), 404);
}

#[tokio::test]
async fn an_upload_says_how_long_it_will_be_or_that_it_does_not_know() {
    let stage = Stage::set_with(|config| config.vod.upload_max_mib = 1).await;
    for headers in [
        &[][..],
        &[("upload-length", "-1")],
        &[("upload-length", "abc")],
        &[("upload-defer-length", "2")],
        &[("upload-length", "1"), ("upload-defer-length", "1")],
    ] {
        let mut request = stage.tus(Method::POST, UPLOADS);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        assert_problem(send(request).await, 400, "bad_request").await;
    }
    let too_large = stage.tus(Method::POST, UPLOADS).header("upload-length", (1024 * 1024 + 1).to_string());
    assert_problem(send(too_large).await, 413, "body_too_large").await;

    // A length that is told later is told once.
    let path = stage.upload_with(&[("upload-defer-length", "1")]).await;
    let response = send(stage.tus(Method::HEAD, &path)).await;
    assert_eq!(
        (header(&response, "upload-defer-length"), header(&response, "upload-length")),
        ("1".into(), String::new())
    );
    assert_eq!(stage.patch(&path, 0, "abc").await.status(), 204);
    let last = stage.patch_request(&path, 3).header("upload-length", "6").body("def");
    let response = send(last).await;
    assert_eq!((response.status().as_u16(), &*header(&response, "upload-offset")), (204, "6"));
    assert!(!header(&response, "telstar-asset").is_empty());
    let other = stage.patch_request(&path, 6).header("upload-length", "7").body("g");
    assert_problem(send(other).await, 400, "bad_request").await;
    let response = send(stage.tus(Method::HEAD, &path)).await;
    assert_eq!(
        (header(&response, "upload-defer-length"), header(&response, "upload-length")),
        (String::new(), "6".into())
    );

    // Nothing to come is whole at once.
    let empty = send(stage.tus(Method::POST, UPLOADS).header("upload-length", "0")).await;
    assert_eq!((empty.status().as_u16(), &*header(&empty, "upload-offset")), (201, "0"));
    assert!(!header(&empty, "telstar-asset").is_empty());
}

#[tokio::test]
async fn metadata_is_what_was_understood_and_smuggles_nothing() {
    let stage = Stage::set().await;
    let hostile = metadata(&[("filename", "a\r\nSet-Cookie: telstar_session=1\r\n\r\n<b>")]);
    let pairs = format!(" {hostile} ,is_confidential");
    let path = stage.upload_with(&[("upload-length", "5"), ("upload-metadata", &pairs)]).await;
    let response = send(stage.tus(Method::HEAD, &path)).await;
    assert_eq!(header(&response, "upload-metadata"), format!("{hostile},is_confidential"));
    assert_eq!(header(&response, "set-cookie"), "");
    for wrong in ["a YQ==,a YQ==", "a !!", ",,a b c"] {
        let request = stage.tus(Method::POST, UPLOADS).header("upload-length", "5").header("upload-metadata", wrong);
        assert_problem(send(request).await, 400, "bad_request").await;
    }
}

#[tokio::test]
async fn the_first_bytes_may_come_with_the_creation() {
    let stage = Stage::set().await;
    let create = |len: &str| {
        let request = stage.tus(Method::POST, UPLOADS).header("upload-length", len);
        request.header("content-type", "application/offset+octet-stream")
    };
    let response = send(create("6").body("abc")).await;
    assert_eq!((response.status().as_u16(), &*header(&response, "upload-offset")), (201, "3"));
    let path = header(&response, "location");
    assert_eq!(stage.patch(&path, 3, "def").await.status(), 204);
    let whole = send(create("3").body("abc")).await;
    assert_eq!((whole.status().as_u16(), &*header(&whole, "upload-offset")), (201, "3"));
    assert!(!header(&whole, "telstar-asset").is_empty());
    assert_problem(send(create("2").body("abc")).await, 400, "bad_request").await;
}

#[tokio::test]
async fn an_upload_that_nobody_goes_on_with_is_given_up() {
    let stage = Stage::set().await;
    let created = send(stage.tus(Method::POST, UPLOADS).header("upload-length", "5")).await;
    let path = header(&created, "location");
    let patched = stage.patch(&path, 0, "ab").await;
    for response in [&created, &patched] {
        let expires = httpdate::parse_http_date(&header(response, "upload-expires")).expect("a date");
        let wait = expires.duration_since(std::time::SystemTime::now()).expect("in the future");
        assert!(wait > Duration::from_secs(23 * 3_600) && wait <= Duration::from_secs(24 * 3_600), "{wait:?}");
    }
    let state = stage.rig.running.state();
    let gone = state.store.delete_expired_uploads(WallTime(i64::MAX)).await.expect("answered");
    assert_eq!(gone.len(), 1);
    let response = send(stage.tus(Method::HEAD, &path)).await;
    assert_eq!((response.status().as_u16(), &*header(&response, "upload-offset")), (404, ""));
}

#[tokio::test]
async fn a_body_whose_checksum_is_another_is_thrown_away() {
    let stage = Stage::set().await;
    let path = stage.upload(6).await;
    let sum = |bytes: &[u8]| format!("sha1 {}", STANDARD.encode(Sha1::digest(bytes)));
    let patch = |offset, checksum: &str, body: &'static str| {
        stage.patch_request(&path, offset).header("upload-checksum", checksum).body(body)
    };
    assert_eq!(send(patch(0, &sum(b"abc"), "abc")).await.status(), 204);
    let response = send(patch(3, &sum(b"def"), "dex")).await;
    assert_problem(response, 460, "checksum_mismatch").await;
    assert_eq!(stage.offset(&path).await, "3");
    for wrong in ["md5 AAAA", "sha1", "sha1 !!!!", "sha1 AAAA"] {
        assert_problem(send(patch(3, wrong, "def")).await, 400, "bad_request").await;
    }
    assert_eq!(stage.offset(&path).await, "3");
    let response = send(patch(3, &sum(b"def"), "def")).await;
    assert!(!header(&response, "telstar-asset").is_empty());
}

#[tokio::test]
async fn an_upload_that_is_given_up_frees_its_bytes() {
    let stage = Stage::set().await;
    let path = stage.upload(6).await;
    assert_eq!(stage.patch(&path, 0, "abc").await.status(), 204);
    let blobs = || stage.rig.running.state().vod.blobs.list().expect("listed").len();
    assert_eq!(blobs(), 1);
    assert_eq!(send(stage.tus(Method::DELETE, &path)).await.status(), 204);
    assert_eq!(blobs(), 0);
    assert_problem(stage.patch(&path, 3, "def").await, 404, "not_found").await;
    assert_eq!(send(stage.tus(Method::HEAD, &path)).await.status(), 404);
}

#[tokio::test]
async fn parts_become_one_upload_in_their_order() {
    let stage = Stage::set().await;
    let mut parts = Vec::new();
    for bytes in ["abc", "def"] {
        let pairs = metadata(&[("title", "Part")]);
        let fields = [("upload-length", "3"), ("upload-concat", "partial"), ("upload-metadata", &*pairs)];
        let path = stage.upload_with(&fields).await;
        let response = stage.patch(&path, 0, bytes).await;
        assert_eq!((response.status().as_u16(), &*header(&response, "telstar-asset")), (204, ""), "a part is no asset");
        let response = send(stage.tus(Method::HEAD, &path)).await;
        assert_eq!(header(&response, "upload-concat"), "partial");
        parts.push(path);
    }
    let concat = format!("final;{} {}{} {}", parts[1], stage.rig.http(""), parts[0], parts[1]);
    let pairs = metadata(&[("title", "Joined")]);
    let request = stage.tus(Method::POST, UPLOADS).header("upload-concat", &concat).header("upload-metadata", &pairs);
    let response = send(request).await;
    assert_eq!(response.status(), 201);
    let path = header(&response, "location");
    let asset = AssetName::parse(&header(&response, "telstar-asset")).expect("it is whole");
    let response = send(stage.tus(Method::HEAD, &path)).await;
    assert_eq!((header(&response, "upload-length"), header(&response, "upload-offset")), ("9".into(), "9".into()));
    let expect = format!("final;{UPLOADS}/{1} {UPLOADS}/{0} {UPLOADS}/{1}", name_of(&parts[0]), name_of(&parts[1]));
    assert_eq!(header(&response, "upload-concat"), expect);
    assert_eq!(header(&response, "upload-metadata"), pairs, "its own, and none of its parts'");
    assert_problem(stage.patch(&path, 9, "x").await, 403, "forbidden").await;

    let state = stage.rig.running.state();
    let asset = state.store.asset(asset).await.expect("answered").expect("there");
    let mut bytes = [0; 9];
    state.vod.blobs.open(&asset.source).expect("there").read_at(0, &mut bytes).expect("read");
    assert_eq!((&bytes, asset.title.as_str()), (b"defabcdef", "Joined"));

    // How long a part will be may be told with it, like of any other upload.
    let part = stage.upload_with(&[("upload-defer-length", "1"), ("upload-concat", "partial")]).await;
    let join = |part: &str| stage.tus(Method::POST, UPLOADS).header("upload-concat", format!("final;{part}"));
    assert_problem(send(join(&part)).await, 400, "bad_request").await;
    let told = stage.patch_request(&part, 0).header("upload-length", "1").body("x");
    assert_eq!(send(told).await.status(), 204);
    let response = send(join(&part)).await;
    assert_eq!(response.status(), 201);
    let response = send(stage.tus(Method::HEAD, &header(&response, "location"))).await;
    assert_eq!((header(&response, "upload-length"), header(&response, "upload-metadata")), ("1".into(), String::new()));

    let unfinished = stage.upload_with(&[("upload-length", "3"), ("upload-concat", "partial")]).await;
    for concat in [format!("final;{unfinished}"), "final;".to_owned(), "whole".to_owned(), format!("final;{path}")] {
        let request = stage.tus(Method::POST, UPLOADS).header("upload-concat", &concat);
        assert_problem(send(request).await, 400, "bad_request").await;
    }
    let with_length = stage.tus(Method::POST, UPLOADS).header("upload-concat", &concat).header("upload-length", "9");
    assert_problem(send(with_length).await, 400, "bad_request").await;
}

#[tokio::test]
async fn what_has_no_room_is_refused_before_it_comes() {
    let stage = Stage::set_with(|config| config.vod.account_quota_mib = 1).await;
    let half = (600 * 1024).to_string();
    stage.upload_with(&[("upload-length", &half)]).await;
    let more = stage.tus(Method::POST, UPLOADS).header("upload-length", &half);
    assert_problem(send(more).await, 409, "limit_reached").await;

    let stage = Stage::set_with(|config| config.vod.disk_free_mib = 16_777_216).await;
    let any = stage.tus(Method::POST, UPLOADS).header("upload-length", "1");
    assert_problem(send(any).await, 507, "disk_full").await;

    let stage = Stage::set_with(|config| config.vod.enabled = false).await;
    let any = stage.tus(Method::POST, UPLOADS).header("upload-length", "1");
    assert_problem(send(any).await, 403, "forbidden").await;
}
