//! Who gets what of an asset, over every way to ask for it.

use reqwest::{Method, Response, StatusCode};
use serde_json::json;
use telstar::Config;
use telstar::auth::AssetFacts;
use telstar::config::Encryption;
use telstar_store::{Asset, AssetChange};

use super::stage::{Stage, send};
use super::support::header;

/// One file of each kind that is watched.
const WATCHED: [&str; 7] =
    ["index.m3u8", "a1/index.m3u8", "a1/init.mp4", "a1/0.m4s", "poster.jpg", "storyboard.vtt", "storyboard/0.jpg"];

struct Walk {
    stage: Stage,
    asset: Asset,
    cookie: String,
    /// Playback tokens: of this asset, and of another.
    own: String,
    other: String,
}

async fn walk() -> Walk {
    walk_with(|_| {}).await
}

async fn walk_with(change: impl FnOnce(&mut Config)) -> Walk {
    let stage = Stage::set_with(|config| {
        config.vod.enabled = false;
        change(config);
    })
    .await;
    let cookie = stage.rig.cookie().await;
    let (asset, other) = (stage.asset("film", "Film").await, stage.asset("other", "Other").await);
    let authority = &stage.rig.running.state().authority;
    let token = |asset: &Asset| {
        let minted = authority.create_asset_playback_token(&AssetFacts::from(asset), 600).expect("a token");
        minted.secret.expose().to_owned()
    };
    let (own, other) = (token(&asset), token(&other));
    Walk { stage, asset, cookie, own, other }
}

impl Walk {
    async fn get(&self, file: &str, query: &str, header: Option<(&str, &str)>) -> Response {
        let mut request = self.stage.rig.request(Method::GET, &format!("/vod/{}/{file}{query}", self.asset.name));
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        send(request).await
    }

    async fn set_open(&self, open: bool) {
        let state = self.stage.rig.running.state();
        let change = AssetChange { open: Some(open), ..AssetChange::default() };
        state.store.change_asset(self.asset.name.clone(), change, state.authority.now()).await.expect("changed");
        state.vod.listings.changed(&self.asset.name);
    }
}

#[tokio::test]
async fn a_private_asset_is_its_owners_and_whoever_has_a_token_watches_it() {
    let walk = walk().await;
    let bearer = format!("Bearer {}", walk.stage.token);
    let (own, other) = (format!("?t={}", walk.own), format!("?t={}", walk.other));
    let own_bearer = format!("Bearer {}", walk.own);
    for file in WATCHED {
        for (who, query, shown, expect) in [
            ("nobody", "", None, 404),
            ("the owner's script", "", Some(("authorization", &*bearer)), 200),
            ("the owner's browser", "", Some(("cookie", &*walk.cookie)), 200),
            ("a token in the address", &*own, None, 200),
            ("a token in the field", "", Some(("authorization", &*own_bearer)), 200),
            ("another asset's token", &*other, None, 404),
            ("a guessed token", "?t=eyJhbGciOiJIUzI1NiJ9.e30.AAAA", None, 401),
        ] {
            let response = walk.get(file, query, shown).await;
            assert_eq!(response.status(), expect, "{file} for {who}");
            let cache = header(&response, "cache-control");
            assert!(expect != 200 || cache.starts_with("private"), "{file} for {who}: {cache}");
        }
    }
    assert_eq!(walk.get("source", "", Some(("authorization", &bearer))).await.status(), 200);
    assert_eq!(walk.get("source", &own, None).await.status(), 403, "to watch is not to have the source");
    for query in ["", &*other] {
        assert_eq!(walk.get("source", query, None).await.status(), 404);
    }
}

#[tokio::test]
async fn an_open_asset_is_everybodys_until_it_is_closed() {
    let walk = walk().await;
    walk.set_open(true).await;
    for file in WATCHED.into_iter().chain(["source"]) {
        let response = walk.get(file, "", None).await;
        assert_eq!(response.status(), 200, "{file}");
        assert!(header(&response, "cache-control").starts_with("public"), "{file}");
    }
    walk.set_open(false).await;
    assert_eq!(walk.get("index.m3u8", "", None).await.status(), 404);
}

#[tokio::test]
async fn a_token_reaches_every_address_of_a_playlist() {
    let walk = walk().await;
    let query = format!("?t={}", walk.own);
    for file in ["index.m3u8", "a1/index.m3u8", "storyboard.vtt"] {
        let text = walk.get(file, &query, None).await.text().await.expect("text");
        let is_address = |line: &&str| !line.starts_with('#') && (line.contains(".m") || line.contains(".jpg"));
        let addresses: Vec<&str> = text.lines().filter(is_address).collect();
        assert!(!addresses.is_empty(), "{text}");
        for address in addresses {
            let (path, fragment) = address.split_once('#').unwrap_or((address, ""));
            assert!(path.ends_with(&format!("t={}", walk.own)) && !fragment.contains("t="), "{address}");
            let folder = file.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
            assert_eq!(walk.get(&format!("{folder}{path}"), "", None).await.status(), 200, "{address}");
        }
    }
}

#[tokio::test]
async fn a_key_is_for_whoever_may_watch() {
    let walk = walk_with(|config| config.vod.encrypt = Encryption::Aes128).await;
    let bearer = format!("Bearer {}", walk.stage.token);
    let (own, other) = (format!("?t={}", walk.own), format!("?t={}", walk.other));
    for (query, shown, expect) in
        [("", None, 404), ("", Some(("authorization", &*bearer)), 200), (&*own, None, 200), (&*other, None, 404)]
    {
        assert_eq!(walk.get("key", query, shown).await.status(), expect, "{query}");
        assert_eq!(walk.get("a1/0.m4s", query, shown).await.status(), expect, "{query}");
    }
    let media = walk.get("a1/index.m3u8", &own, None).await.text().await.expect("text");
    let key = media.split("#EXT-X-KEY:METHOD=AES-128,URI=\"").nth(1).and_then(|rest| rest.split('"').next());
    let key = key.expect("a key").strip_prefix("../").expect("the key is the asset's");
    assert_eq!(walk.get(key, "", None).await.status(), 200, "the token is in the key's address too: {key}");
    walk.set_open(true).await;
    assert_eq!(walk.get("key", "", None).await.status(), 200);
}

/// An asset that is not there and one that is private look the same to whoever may see neither.
#[tokio::test]
async fn what_is_private_does_not_show_that_it_is_there() {
    let walk = walk().await;
    for file in WATCHED.into_iter().chain(["source", "key", "a1/9.m4s", "x/index.m3u8", "storyboard/9.jpg"]) {
        let there = walk.get(file, "", None).await;
        let path = format!("/vod/0123456789abcdefghijkm/{file}");
        let nowhere = send(walk.stage.rig.request(Method::GET, &path)).await;
        assert_eq!((there.status(), nowhere.status()), (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND), "{file}");
        for name in ["content-type", "cache-control", "content-security-policy"] {
            assert_eq!(header(&there, name), header(&nowhere, name), "{file}: {name}");
        }
        let (there, nowhere) = (there.text().await.expect("text"), nowhere.text().await.expect("text"));
        assert_eq!(there, nowhere, "{file}");
    }
}

#[tokio::test]
async fn a_page_is_framed_by_the_origins_that_the_owner_chose() {
    let walk = walk().await;
    let state = walk.stage.rig.running.state();
    let origins = vec!["https://blog.example".to_owned()];
    let change = AssetChange { embed_origins: Some(origins), ..AssetChange::default() };
    state.store.change_asset(walk.asset.name.clone(), change, state.authority.now()).await.expect("changed");
    state.vod.listings.changed(&walk.asset.name);
    let policy = async |path: &str| {
        let response = send(walk.stage.rig.request(Method::GET, path)).await;
        assert_eq!(response.status(), 200, "{path}");
        header(&response, "content-security-policy")
    };
    let (own, other) = (&walk.own, &walk.other);
    let embed = format!("/embed/vod/{}", walk.asset.name);
    let framed = |policy: String| policy.ends_with("frame-ancestors https://blog.example");
    assert!(framed(policy(&format!("{embed}?t={own}")).await), "to whoever may watch it");
    let page = format!("/library/{}", walk.asset.name);
    for path in [&*embed, &format!("{embed}?t={other}"), &page, "/library", "/embed/vod/0123456789abcdefghijkm"] {
        assert!(policy(path).await.ends_with("frame-ancestors 'none'"), "{path}");
    }
    walk.set_open(true).await;
    assert!(framed(policy(&embed).await));
    assert!(policy(&page).await.ends_with("frame-ancestors 'none'"));
}

#[tokio::test]
async fn uploads_and_assets_are_made_by_accounts_alone() {
    let walk = walk().await;
    let upload = |bearer: Option<&str>| {
        let request = walk.stage.rig.request(Method::POST, "/api/v1/uploads").header("tus-resumable", "1.0.0");
        let request = request.header("upload-length", "1");
        match bearer {
            Some(bearer) => request.bearer_auth(bearer),
            None => request,
        }
    };
    assert_eq!(send(upload(None)).await.status(), 401);
    assert_eq!(send(upload(Some(&walk.own))).await.status(), 403, "a link to watch uploads nothing");
    // A browser's request from another site.
    let foreign = upload(None).header("cookie", &walk.cookie).header("origin", "https://evil.example");
    assert_eq!(send(foreign).await.status(), 403);
    let title = walk.stage.rig.request(Method::PATCH, &format!("/api/v1/assets/{}", walk.asset.name));
    let title = title.bearer_auth(&walk.own).json(&json!({ "title": "Mine" }));
    assert_eq!(send(title).await.status(), 403);
}
