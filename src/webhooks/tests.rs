//! Where requests go and where they never go, with a resolver of the test's own.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::HeaderName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Endpoint, Resolver, SendError, Sender};
use crate::tasks::Tasks;

/// A resolver that gives these answers one after the other, and counts how often it is asked.
fn resolver(answers: &[&[&str]]) -> (Resolver, Arc<AtomicUsize>) {
    let answers: Vec<Vec<IpAddr>> =
        answers.iter().map(|answer| answer.iter().map(|text| text.parse().expect("an address")).collect()).collect();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let resolver: Resolver = Arc::new(move |_| {
        let answer = answers[count.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1)].clone();
        Box::pin(async move { Ok(answer) })
    });
    (resolver, asked)
}

fn tasks() -> Tasks {
    Tasks::new(Arc::default())
}

async fn post(sender: &Sender, url: &str, allow_private: bool) -> Result<u16, SendError> {
    let endpoint = Endpoint::parse(url, allow_private).unwrap_or_else(|error| panic!("{url}: {error}"));
    let headers = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let headers = headers.map(|name| (HeaderName::from_static(name), "x".to_owned()));
    sender.post(&endpoint, headers, "{}".to_owned()).await
}

/// An endpoint that reads a request's head, writes `answer` and then goes on as it is told.
async fn endpoint<F: Future<Output = ()> + Send>(
    answer: String,
    then: impl Fn(TcpStream) -> F + Send + 'static,
) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let mut head = Vec::new();
            while !head.windows(4).any(|window| window == b"\r\n\r\n") {
                if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                    break;
                }
            }
            // Who asked may have gone already.
            let _ = stream.write_all(answer.as_bytes()).await;
            then(stream).await;
        }
    });
    (address, requests)
}

#[tokio::test]
async fn a_name_that_leads_into_a_private_network_gets_no_connection() {
    for answer in [
        ["127.0.0.1"],
        ["10.0.0.1"],
        ["169.254.169.254"],
        ["100.100.100.200"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["fd00:ec2::254"],
        ["0.0.0.0"],
        ["224.0.0.1"],
    ] {
        let (resolver, asked) = resolver(&[&answer]);
        let sender = Sender::with_resolver(resolver, false, tasks());
        let outcome = post(&sender, "https://app.example/hook", false).await;
        assert_eq!(outcome, Err(SendError::Private), "{answer:?}");
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn of_several_addresses_only_the_public_ones_are_used_and_nobody_asks_twice() {
    // The second answer is what a name server says that has made up its mind (DNS rebinding).
    let (resolver, asked) = resolver(&[&["127.0.0.1", "1.1.1.1", "::1", "fe80::1"], &["127.0.0.1"]]);
    let sender = Sender::with_resolver(resolver, false, tasks());
    let endpoint = Endpoint::parse("https://app.example/hook", false).expect("an endpoint");
    let public: IpAddr = [1, 1, 1, 1].into();
    assert_eq!(sender.addresses(&endpoint).await, Ok(vec![public]));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert_eq!(sender.addresses(&endpoint).await, Err(SendError::Private), "each request looks anew");
}

#[tokio::test]
async fn other_spellings_of_a_private_address_get_no_connection() {
    // The system's resolver takes these for 127.0.0.1, or for nothing.
    let sender = Sender::new(false, tasks());
    for host in ["2130706433", "0x7f000001", "127.1", "0177.0.0.1", "localhost", "localhost."] {
        let outcome = post(&sender, &format!("https://{host}:1/hook"), false).await;
        assert!(matches!(outcome, Err(SendError::Private | SendError::Resolve(_))), "{host}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (inner, seen) = endpoint("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned(), async |_| {}).await;
    for status in ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"] {
        let answer = format!("HTTP/1.1 {status}\r\nlocation: http://{inner}/\r\ncontent-length: 0\r\n\r\n");
        let (outer, _) = endpoint(answer, async |_| {}).await;
        let sender = Sender::new(true, tasks());
        let outcome = post(&sender, &format!("http://{outer}/hook"), true).await;
        assert_eq!(outcome.map(|code| code.to_string()), Ok(status[..3].to_owned()));
    }
    assert_eq!(seen.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let (endless, _) =
        endpoint("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n".to_owned(), async |mut stream| {
            while stream.write_all(&[b'a'; 4_096]).await.is_ok() {}
        })
        .await;
    let sender = Sender::new(true, tasks());
    assert_eq!(post(&sender, &format!("http://{endless}/"), true).await, Ok(200));
    let (head, _) = endpoint(format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "a".repeat(1_000_000)), async |_| {}).await;
    let outcome = post(&sender, &format!("http://{head}/"), true).await;
    assert!(matches!(outcome, Err(SendError::Http(_))), "{outcome:?}");
    let (nonsense, _) = endpoint("SSH-2.0-OpenSSH_9.9\r\n\r\n".to_owned(), async |_| {}).await;
    let outcome = post(&sender, &format!("http://{nonsense}/"), true).await;
    assert!(matches!(outcome, Err(SendError::Http(_))), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_says_nothing_is_waited_for_ten_seconds() {
    let (silent, _) = endpoint(String::new(), async |stream| {
        let _held = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let started = tokio::time::Instant::now();
    let outcome = post(&Sender::new(true, tasks()), &format!("http://{silent}/"), true).await;
    assert_eq!(outcome, Err(SendError::TimedOut));
    assert_eq!(started.elapsed().as_secs(), Duration::from_secs(10).as_secs());
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let der = rustls::pki_types::PrivateKeyDer::Pkcs8(key.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], der)
        .expect("its own key");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a client");
        drop(acceptor.accept(stream).await);
    });
    let (resolver, _) = resolver(&[&["127.0.0.1"]]);
    let sender = Sender::with_resolver(resolver, true, tasks());
    let outcome = post(&sender, &format!("https://localhost:{}/", address.port()), true).await;
    assert!(matches!(outcome, Err(SendError::Tls(_) | SendError::NoRoots)), "{outcome:?}");
}
