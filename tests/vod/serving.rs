//! What is sent of assets: playlists, segments, pictures and sources, whole and in ranges.

use std::collections::BTreeSet;
use std::io::Read;

use reqwest::{Method, Response};
use serde_json::json;
use telstar::config::Encryption;
use telstar::vod::jobs::records::STORYBOARD;
use telstar_store::{Asset, AssetChange, NewRendition};

use super::stage::{SEGMENT_LEN, SOURCE, Stage, send};
use super::support::{assert_problem, header};

const HOUR: &str = "public, max-age=3600";
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// A server that does no jobs, with an asset that is open.
async fn open(change: impl FnOnce(&mut telstar::Config)) -> (Stage, Asset) {
    let stage = Stage::set_with(|config| {
        config.vod.enabled = false;
        change(config);
    })
    .await;
    let asset = stage.asset("film", "회의 2026").await;
    let state = stage.rig.running.state();
    let open = AssetChange { open: Some(true), ..AssetChange::default() };
    let asset = state.store.change_asset(asset.name, open, state.authority.now()).await.expect("changed");
    (stage, asset)
}

impl Stage {
    async fn get(&self, asset: &Asset, file: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = self.rig.request(Method::GET, &format!("/vod/{}/{file}", asset.name));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        send(request).await
    }
}

fn cache_of(response: &Response) -> String {
    header(response, "cache-control")
}

async fn text(response: Response) -> String {
    assert_eq!(response.status(), 200, "{}", response.url());
    response.text().await.expect("text")
}

fn sound() -> Vec<u8> {
    (0..2 * SEGMENT_LEN).map(|at| (at % 251) as u8).collect()
}

#[tokio::test]
async fn playlists_lead_to_every_byte_of_an_asset() {
    let (stage, asset) = open(|_| {}).await;
    let response = stage.get(&asset, "index.m3u8", &[]).await;
    assert_eq!(header(&response, "content-type"), "application/vnd.apple.mpegurl");
    assert_eq!(header(&response, "access-control-allow-origin"), "*");
    assert_eq!(header(&response, "x-content-type-options"), "nosniff");
    assert_eq!(cache_of(&response), "public, max-age=1");
    let multivariant = text(response).await;
    assert!(multivariant.contains("mp4a.40.2") && multivariant.contains("\na1/index.m3u8?v="), "{multivariant}");

    let address = multivariant.lines().find(|line| line.starts_with("a1/")).expect("an address");
    let response = stage.get(&asset, address, &[]).await;
    assert_eq!(cache_of(&response), HOUR);
    let media = text(response).await;
    assert!(media.contains("#EXT-X-PLAYLIST-TYPE:VOD") && media.contains("#EXT-X-ENDLIST"), "{media}");
    assert!(media.contains("#EXT-X-TARGETDURATION:2") && !media.contains("#EXT-X-KEY"), "{media}");
    let files: Vec<&str> = media.lines().filter(|line| line.contains(".m4s")).collect();
    assert_eq!(files.len(), 2, "{media}");
    let init = media.split("URI=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a map");

    let response = stage.get(&asset, &format!("a1/{init}"), &[]).await;
    assert_eq!((cache_of(&response), header(&response, "content-type")), (FOR_EVER.into(), "video/mp4".into()));
    assert_eq!(text(response).await, "the init segment");
    let mut bytes = Vec::new();
    for file in files {
        let response = stage.get(&asset, &format!("a1/{file}"), &[]).await;
        assert_eq!(header(&response, "content-type"), "video/iso.segment");
        assert_eq!(cache_of(&response), FOR_EVER);
        assert_eq!(header(&response, "content-length"), SEGMENT_LEN.to_string());
        bytes.extend(response.bytes().await.expect("read"));
    }
    assert_eq!(bytes, sound());
    for nothing in ["a1/2.m4s", "a1/00.m4s", "a1/0.vtt", "a1/iframes.m3u8", "v720/index.m3u8", "key", "a1/..%2fsource"]
    {
        assert_problem(stage.get(&asset, nothing, &[]).await, 404, "not_found").await;
    }
    // Of another version than there is, nobody keeps it.
    for file in ["a1/index.m3u8", "a1/init.mp4", "a1/0.m4s"] {
        assert_eq!(cache_of(&stage.get(&asset, &format!("{file}?v=00000000"), &[]).await), "public, no-cache");
        assert_eq!(cache_of(&stage.get(&asset, file, &[]).await), "public, max-age=60");
    }
}

/// Every address that caches may keep: of playlists, of what is in them, and of pictures.
async fn addresses(stage: &Stage, asset: &Asset) -> BTreeSet<String> {
    let multivariant = text(stage.get(asset, "index.m3u8", &[]).await).await;
    let mut found: BTreeSet<String> =
        multivariant.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
    for playlist in found.clone() {
        let media = text(stage.get(asset, &playlist, &[]).await).await;
        let map = media.split("URI=\"").nth(1).and_then(|rest| rest.split('"').next());
        let files = media.lines().filter(|line| !line.starts_with('#')).chain(map);
        found.extend(files.map(|file| format!("a1/{file}")));
    }
    let cues = text(stage.get(asset, "storyboard.vtt", &[]).await).await;
    found.extend(cues.lines().filter_map(|line| line.split_once('#').map(|(sheet, _)| sheet.to_owned())));
    found
}

#[tokio::test]
async fn what_is_made_anew_has_addresses_that_no_cache_knows() {
    let (stage, asset) = open(|_| {}).await;
    let before = addresses(&stage, &asset).await;
    assert_eq!(before.len(), 1 + 3 + 2, "{before:?}");
    stage.commit(&asset, vec![stage.sound("again"), stage.images("again", STORYBOARD, 2)]).await;
    let after = addresses(&stage, &asset).await;
    assert!(after.len() == before.len() && after.is_disjoint(&before), "{before:?} {after:?}");
    for address in &after {
        let cache = cache_of(&stage.get(&asset, address, &[]).await);
        assert_eq!(cache, if address.contains(".m3u8") { HOUR } else { FOR_EVER }, "{address}");
    }
    // Whoever still has the old playlists gets what there is, and no cache keeps it under that address.
    for address in &before {
        assert_eq!(cache_of(&stage.get(&asset, address, &[]).await), "public, no-cache", "{address}");
    }
}

#[tokio::test]
async fn sound_that_stood_in_for_better_is_offered_to_nobody_and_played_to_the_end() {
    let (stage, asset) = open(|_| {}).await;
    let (path, offered) = (format!("/assets/{}", asset.name), addresses(&stage, &asset).await);
    let kept = stage.json("GET", &path, None, 200).await["kept_bytes"].as_u64().expect("a number");
    stage.commit(&asset, vec![NewRendition { name: "a1-first".to_owned(), ..stage.sound("early") }]).await;
    let body = stage.json("GET", &path, None, 200).await;
    let names: Vec<_> = body["renditions"].as_array().expect("a list").iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["a1"]);
    assert_eq!(body["kept_bytes"], kept + 2 * SEGMENT_LEN as u64, "it takes room until it goes");
    assert_eq!(addresses(&stage, &asset).await, offered);
    let media = text(stage.get(&asset, "a1-first/index.m3u8", &[]).await).await;
    for file in media.lines().filter(|line| line.contains(".m4s")) {
        assert_eq!(stage.get(&asset, &format!("a1-first/{file}"), &[]).await.status(), 200, "{file}");
    }
}

#[tokio::test]
async fn texts_are_compressed_and_not_sent_twice() {
    let (stage, asset) = open(|_| {}).await;
    let plain = text(stage.get(&asset, "a1/index.m3u8", &[]).await).await;
    let response = stage.get(&asset, "a1/index.m3u8", &[("accept-encoding", "gzip")]).await;
    assert_eq!(
        (header(&response, "content-encoding"), header(&response, "vary")),
        ("gzip".into(), "accept-encoding".into())
    );
    let etag = header(&response, "etag");
    let mut unpacked = String::new();
    let bytes = response.bytes().await.expect("read");
    flate2::read::GzDecoder::new(&*bytes).read_to_string(&mut unpacked).expect("gzip");
    assert_eq!(unpacked, plain);
    let response = stage.get(&asset, "a1/index.m3u8", &[("if-none-match", &etag)]).await;
    assert_eq!((response.status().as_u16(), header(&response, "etag")), (304, etag));
    let response = stage.get(&asset, "a1/0.m4s", &[("if-none-match", "*")]).await;
    assert_eq!(response.status(), 304);
}

#[tokio::test]
async fn a_source_is_sent_in_ranges_under_its_title_and_runs_nowhere() {
    let (stage, asset) = open(|_| {}).await;
    let response = stage.get(&asset, "source", &[]).await;
    assert_eq!(header(&response, "content-type"), "audio/mp4");
    assert_eq!(header(&response, "accept-ranges"), "bytes");
    assert!(header(&response, "content-security-policy").contains("sandbox"));
    let disposition = "attachment; filename=\"__ 2026.m4a\"; filename*=UTF-8''%ED%9A%8C%EC%9D%98%202026.m4a";
    assert_eq!(header(&response, "content-disposition"), disposition);
    let (etag, modified) = (header(&response, "etag"), header(&response, "last-modified"));
    assert_eq!(response.bytes().await.expect("read"), SOURCE);
    let len = SOURCE.len();
    for (range, expect) in [
        ("bytes=0-0", 0..1),
        ("bytes=4-9", 4..10),
        ("bytes=4-", 4..len),
        ("bytes=-5", len - 5..len),
        ("bytes=20-9007199254740991", 20..len),
    ] {
        let response = stage.get(&asset, "source", &[("range", range)]).await;
        assert_eq!(response.status(), 206, "{range}");
        let said = format!("bytes {}-{}/{len}", expect.start, expect.end - 1);
        assert_eq!(
            (header(&response, "content-range"), header(&response, "content-length")),
            (said, expect.len().to_string())
        );
        assert_eq!(response.bytes().await.expect("read"), &SOURCE[expect], "{range}");
    }
    let beyond = stage.get(&asset, "source", &[("range", "bytes=1000-")]).await;
    assert_eq!((beyond.status().as_u16(), header(&beyond, "content-range")), (416, format!("bytes */{len}")));
    for (fields, status) in [
        (&[("range", "bytes=0-1,4-5")][..], 200),
        (&[("range", "bytes=0-1"), ("if-range", &etag)], 206),
        (&[("range", "bytes=0-1"), ("if-range", &modified)], 206),
        (&[("range", "bytes=0-1"), ("if-range", "\"another\"")], 200),
        (&[("range", "bytes=0-1"), ("if-range", "Thu, 01 Jan 1970 00:00:00 GMT")], 200),
        (&[("if-none-match", &etag)], 304),
        (&[("if-modified-since", &modified)], 304),
        (&[("if-none-match", "\"another\""), ("if-modified-since", &modified)], 200),
    ] {
        assert_eq!(stage.get(&asset, "source", fields).await.status(), status, "{fields:?}");
    }
    let head = send(stage.rig.request(Method::HEAD, &format!("/vod/{}/source", asset.name))).await;
    assert_eq!((head.status().as_u16(), header(&head, "content-length")), (200, len.to_string()));
    assert!(head.bytes().await.expect("read").is_empty());
    let asked = send(stage.rig.request(Method::OPTIONS, &format!("/vod/{}/source", asset.name))).await;
    assert_eq!((asked.status().as_u16(), header(&asked, "access-control-allow-headers")), (204, "range".into()));
}

/// Whatever is sent of a blob is sent as RFC 9110 has it: whole, in part, not again, or by its head alone.
#[tokio::test]
async fn every_file_has_a_head_a_tag_and_ranges() {
    for encrypt in [Encryption::Off, Encryption::Aes128] {
        let (stage, asset) = open(|config| config.vod.encrypt = encrypt).await;
        for file in ["source", "a1/init.mp4", "a1/0.m4s", "a1/1.m4s", "poster.jpg", "storyboard/1.jpg"] {
            let whole = stage.get(&asset, file, &[]).await;
            let (etag, kind) = (header(&whole, "etag"), header(&whole, "content-type"));
            let bytes = whole.bytes().await.expect("read");
            assert!(etag.starts_with('"') && bytes.len() >= 10, "{file}: {etag}");
            let head = send(stage.rig.request(Method::HEAD, &format!("/vod/{}/{file}", asset.name))).await;
            assert_eq!((header(&head, "etag"), header(&head, "content-type")), (etag.clone(), kind), "{file}");
            assert_eq!(header(&head, "content-length"), bytes.len().to_string(), "{file}");
            assert!(head.bytes().await.expect("read").is_empty(), "{file}");
            let part = stage.get(&asset, file, &[("range", "bytes=3-6"), ("if-range", &etag)]).await;
            let range = format!("bytes 3-6/{}", bytes.len());
            assert_eq!((part.status().as_u16(), header(&part, "content-range")), (206, range), "{file}");
            assert_eq!(part.bytes().await.expect("read"), &bytes[3..7], "{file}");
            for (fields, status) in [
                (&[("range", "bytes=99999-")][..], 416),
                (&[("range", "bytes=-0")], 416),
                (&[("range", "bytes=0-1,3-4")], 200),
                (&[("range", "bytes=4-3")], 200),
                (&[("range", "lines=1-2")], 200),
                (&[("range", "bytes=0-1"), ("if-range", &format!("W/{etag}"))], 200),
                (&[("if-none-match", &etag)], 304),
                (&[("if-none-match", &format!("\"x\", W/{etag}"))], 304),
                // RFC 9110 §13.2.2: what is known is not sent, whatever part of it is asked for.
                (&[("if-none-match", &etag), ("range", "bytes=0-1")], 304),
            ] {
                let response = stage.get(&asset, file, fields).await;
                assert_eq!(response.status(), status, "{file}: {fields:?}");
                assert_eq!(header(&response, "etag"), etag, "{file}: {fields:?}");
                let len = response.bytes().await.expect("read").len();
                assert_eq!(len, if status == 200 { bytes.len() } else { 0 }, "{file}: {fields:?}");
            }
        }
        let key = stage.get(&asset, "key", &[]).await.status();
        assert_eq!(key, if encrypt == Encryption::Off { 404 } else { 200 });
    }
}

#[tokio::test]
async fn a_storyboard_leads_to_its_sheets() {
    let (stage, asset) = open(|_| {}).await;
    let poster = stage.get(&asset, "poster.jpg", &[]).await;
    assert_eq!(header(&poster, "content-type"), "image/jpeg");
    assert_eq!(poster.bytes().await.expect("read"), &[0; 10][..]);
    let cues = text(stage.get(&asset, "storyboard.vtt", &[]).await).await;
    let sheets: Vec<&str> = cues.lines().filter_map(|line| line.split_once('#').map(|(sheet, _)| sheet)).collect();
    assert_eq!(sheets.len(), 2, "{cues}");
    for (number, sheet) in sheets.into_iter().enumerate() {
        let response = stage.get(&asset, sheet, &[]).await;
        assert_eq!(cache_of(&response), FOR_EVER);
        assert_eq!(response.bytes().await.expect("read"), &[number as u8; 10][..]);
    }
    assert_problem(stage.get(&asset, "storyboard/2.jpg", &[]).await, 404, "not_found").await;
}

#[tokio::test]
async fn encrypted_segments_open_with_the_key_that_the_playlist_names() {
    use aes::Aes128;
    use aes::cipher::{BlockCipherDecrypt, KeyInit};

    let (stage, asset) = open(|config| config.vod.encrypt = Encryption::Aes128).await;
    let media = text(stage.get(&asset, "a1/index.m3u8", &[]).await).await;
    assert!(media.contains("#EXT-X-KEY:METHOD=AES-128,URI=\"../key\""), "{media}");
    let map = media.find("#EXT-X-MAP").expect("a map");
    assert!(map < media.find("#EXT-X-KEY").expect("a key"), "the init segment stays clear: {media}");
    let response = stage.get(&asset, "key", &[]).await;
    assert_eq!(cache_of(&response), "no-store");
    let key: [u8; 16] = response.bytes().await.expect("read").as_ref().try_into().expect("16 bytes");
    let sealed = stage.get(&asset, "a1/1.m4s", &[]).await.bytes().await.expect("read").to_vec();
    assert_eq!(sealed.len(), SEGMENT_LEN / 16 * 16 + 16);
    // RFC 8216bis §4.4.4.4: without IV the vector is the media sequence number.
    let (mut chain, mut opened) = (1_u128.to_be_bytes(), Vec::new());
    for block in sealed.chunks_exact(16) {
        let block: [u8; 16] = block.try_into().expect("16 bytes");
        let mut plain = block.into();
        Aes128::new(&key.into()).decrypt_block(&mut plain);
        opened.extend(plain.iter().zip(chain).map(|(byte, chain)| byte ^ chain));
        chain = block;
    }
    let padding = usize::from(*opened.last().expect("not empty"));
    opened.truncate(opened.len() - padding);
    assert_eq!(opened, &sound()[SEGMENT_LEN..]);
    let part = stage.get(&asset, "a1/1.m4s", &[("range", "bytes=100-199")]).await;
    assert_eq!(part.bytes().await.expect("read"), &sealed[100..200]);
}

#[tokio::test]
async fn what_is_deleted_is_gone_with_its_bytes() {
    let (stage, asset) = open(|_| {}).await;
    assert_eq!(stage.get(&asset, "index.m3u8", &[]).await.status(), 200);
    let path = format!("/api/v1/assets/{}", asset.name);
    let renamed = stage.rig.request(Method::PATCH, &path).bearer_auth(&stage.token).json(&json!({ "open": false }));
    assert_eq!(send(renamed).await.status(), 200);
    assert_problem(stage.get(&asset, "index.m3u8", &[]).await, 404, "not_found").await;
    let gone = send(stage.rig.request(Method::DELETE, &path).bearer_auth(&stage.token)).await;
    assert_eq!(gone.status(), 204);
    assert!(stage.rig.running.state().vod.blobs.list().expect("listed").is_empty());
}
