//! HTTP's own promises: limits, protocols, headers, problems.

use std::time::Duration;

use reqwest::{Method, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::support::{PATIENCE, Rig, assert_problem, client, header};

async fn reads_end(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    match tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await {
        Ok(Ok(_)) => true,
        Ok(Err(error)) => error.kind() == std::io::ErrorKind::ConnectionReset,
        Err(_) => false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn https_speaks_http_2_and_http_1_1_as_the_client_likes() {
    let rig = Rig::start().await;
    for (change, expect) in [
        ((|builder| builder) as fn(reqwest::ClientBuilder) -> reqwest::ClientBuilder, Version::HTTP_2),
        (|builder| builder.http1_only(), Version::HTTP_11),
    ] {
        let answer = client(change).get(rig.https("/healthz")).send().await.expect("the server answers");
        assert_eq!((answer.status().as_u16(), answer.version()), (200, expect));
    }
    assert_eq!(rig.get("/healthz").await.version(), Version::HTTP_11);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_says_nothing_is_closed() {
    let rig = Rig::start_with(|config| config.limits.header_timeout_secs = 1).await;
    let addresses = rig.running.addresses();
    for address in [addresses.http, addresses.https] {
        let mut silent = TcpStream::connect(address.expect("it is on")).await.expect("the server listens");
        assert!(reads_end(&mut silent).await, "silent");
    }
    let mut slow = TcpStream::connect(addresses.http.expect("it is on")).await.expect("the server listens");
    slow.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nx-slow: ").await.expect("half a header");
    assert!(reads_end(&mut slow).await, "half a header");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_too_many_is_closed_and_counted() {
    let rig = Rig::start_with(|config| config.limits.http_connections_max = 10).await;
    let address = rig.running.addresses().http.expect("HTTP is on");
    let mut held = Vec::new();
    for _ in 0..10 {
        let mut stream = TcpStream::connect(address).await.expect("the server listens");
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("written");
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.expect("answered");
        held.push(stream);
    }
    let mut refused = TcpStream::connect(address).await.expect("the kernel accepts");
    assert!(reads_end(&mut refused).await);
    let metrics = &rig.running.state().metrics;
    assert_eq!((metrics.http_refused_connections.get(), metrics.http_connections_count.get()), (1, 10));
    drop(held.pop());
    // The server notices the closed connection on its own time; until then newcomers are closed.
    let deadline = std::time::Instant::now() + PATIENCE;
    while metrics.http_connections_count.get() > 9 {
        assert!(std::time::Instant::now() < deadline, "a closed connection makes room");
        tokio::task::yield_now().await;
    }
    assert_eq!(rig.get("/healthz").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_is_too_long_is_refused() {
    let rig = Rig::start().await;
    let answer = rig.request(Method::GET, "/healthz").header("x-long", "x".repeat(32 * 1024)).send().await;
    assert!(answer.map_or(true, |answer| answer.status() == 431));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_is_a_problem_with_a_stable_code() {
    let rig = Rig::start().await;
    let token = rig.token(600).await;
    let post = |body: &'static str, content_type: &'static str| {
        let request = rig.request(Method::POST, "/api/v1/rooms").bearer_auth(&token);
        request.header("content-type", content_type).body(body).send()
    };
    assert_problem(rig.get("/nothing").await, 404, "not_found").await;
    assert_problem(rig.get("/watch/Not-A-Name").await, 404, "not_found").await;
    assert_problem(rig.get("/assets/nothing.js").await, 404, "not_found").await;
    assert_problem(rig.get("/assets/..%2findex.html").await, 404, "not_found").await;
    assert_problem(rig.get("/api/v1/rooms/no-such-room").await, 404, "not_found").await;
    assert_problem(rig.get("/api/v1/rooms").await, 401, "unauthorised").await;
    assert_problem(post("{}", "text/plain").await.expect("answered"), 415, "unsupported_media_type").await;
    assert_problem(post("{", "application/json").await.expect("answered"), 400, "bad_json").await;
    assert_problem(post("{}", "application/json").await.expect("answered"), 422, "invalid_fields").await;
    assert_problem(post(r#"{"title":7}"#, "application/json").await.expect("answered"), 422, "invalid_fields").await;
    let request = rig.request(Method::POST, "/api/v1/rooms").bearer_auth(&token);
    let large = request.header("content-type", "application/json").body(vec![b' '; 64 * 1024 + 1]);
    assert_problem(large.send().await.expect("answered"), 413, "body_too_large").await;
    let put = rig.request(Method::PUT, "/api/v1/rooms").send().await.expect("answered");
    assert_eq!(header(&put, "allow"), "GET,HEAD,POST");
    assert_problem(put, 405, "method_not_allowed").await;
    let bad = rig.request(Method::GET, "/api/v1/rooms").header("authorization", "Basic eDp5").send().await;
    assert_problem(bad.expect("answered"), 401, "unauthorised").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_load_nothing_from_elsewhere_and_only_embeds_can_be_framed() {
    let rig = Rig::start().await;
    let policy = |response: &reqwest::Response| header(response, "content-security-policy");
    for page in ["/", "/sign-in", "/watch/demo", "/embed/watch/demo"] {
        let answer = rig.get(page).await;
        assert_eq!(answer.status(), 200, "{page}");
        let policy = policy(&answer);
        assert!(policy.contains("default-src 'none'; script-src 'self'; style-src 'self'"), "{page} {policy}");
        assert!(!policy.contains("unsafe") && policy.ends_with("frame-ancestors 'none'"), "{page} {policy}");
        assert_eq!(header(&answer, "x-content-type-options"), "nosniff");
        assert_eq!(header(&answer, "referrer-policy"), "same-origin");
        let text = answer.text().await.expect("a page");
        assert!(!text.contains("<style") && !text.contains("javascript:"), "{page}");
    }
    let change = rig.request(Method::PATCH, "/api/v1/rooms/demo").bearer_auth(rig.token(600).await);
    let change = change.json(&serde_json::json!({ "embed_origins": ["https://blog.example"] })).send().await;
    assert_eq!(change.expect("answered").status(), 200);
    assert!(policy(&rig.get("/embed/watch/demo").await).ends_with("frame-ancestors https://blog.example"));
    assert!(policy(&rig.get("/watch/demo").await).ends_with("frame-ancestors 'none'"));
    assert!(policy(&rig.get("/api/v1/server").await).ends_with("frame-ancestors 'none'"));
}

#[tokio::test(flavor = "multi_thread")]
async fn hashed_assets_are_kept_for_ever_and_pages_are_asked_for_again() {
    let rig = Rig::start().await;
    let page = rig.get("/").await;
    assert_eq!(header(&page, "cache-control"), "no-cache");
    let etag = header(&page, "etag");
    let text = page.text().await.expect("a page");
    let again = rig.request(Method::GET, "/").header("if-none-match", &etag).send().await.expect("answered");
    assert_eq!(again.status(), 304);
    let start = text.find("/assets/").expect("the page names an asset");
    let asset: String = text[start..].chars().take_while(|character| *character != '"').collect();
    let plain = rig.get(&asset).await;
    assert_eq!(header(&plain, "cache-control"), "public, max-age=31536000, immutable");
    let plain = plain.bytes().await.expect("an asset");
    let packed = rig.request(Method::GET, &asset).header("accept-encoding", "gzip").send().await.expect("answered");
    assert_eq!(header(&packed, "content-encoding"), "gzip");
    let packed = packed.bytes().await.expect("an asset");
    assert!(packed.len() < plain.len());
    let library = rig.get("/client/v1.js").await;
    assert!(header(&library, "content-type").starts_with("text/javascript"), "{}", header(&library, "content-type"));
    assert_eq!(header(&library, "access-control-allow-origin"), "*");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_for_this_machine_and_for_administrators() {
    let rig = Rig::start().await;
    let text = rig.get("/metrics").await.text().await.expect("metrics");
    assert!(text.contains("http_accepted_connections_total ") && text.ends_with("# EOF\n"), "{text}");
    assert!(!text.contains("demo"), "no label names a room");
    let through_proxy = |request: reqwest::RequestBuilder| request.header("x-forwarded-for", "192.0.2.1").send();
    let answer = through_proxy(rig.request(Method::GET, "/metrics")).await.expect("answered");
    assert_problem(answer, 401, "unauthorised").await;
    let admin = rig.request(Method::GET, "/metrics").bearer_auth(rig.token(600).await);
    assert_eq!(through_proxy(admin).await.expect("answered").status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_guesses_has_to_wait_and_others_do_not() {
    let rig = Rig::start().await;
    let guess = |from: &'static str| {
        let request = rig.request(Method::GET, "/api/v1/rooms").header("x-forwarded-for", from);
        request.bearer_auth(format!("tst_{}", "0".repeat(34))).timeout(Duration::from_secs(30)).send()
    };
    let mut last = 401;
    for _ in 0..150 {
        let answer = guess("192.0.2.1").await.expect("answered");
        last = answer.status().as_u16();
        if last == 429 {
            assert!(!header(&answer, "retry-after").is_empty());
            break;
        }
    }
    assert_eq!(last, 429);
    assert_eq!(guess("192.0.2.2").await.expect("answered").status(), 401);
}
