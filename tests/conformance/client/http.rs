//! One request over HTTP/1.1, or HTTP/2 where TLS offers it, with everything about its answer that a rule may ask for.

use std::io::Read;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, Version, redirect};
use tokio::sync::Semaphore;

use super::record::{Exchange, MediaKind, What};

/// The page that a player runs in, for CORS.
const ORIGIN: &str = "https://player.example";
/// How often an HTTP/2 connection is pinged, and how long an answer may take (RFC 8216bis Appendix B.1: PING).
const PING: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(10));
/// An answer that unpacks to more is none.
const UNPACKED_BYTES_MAX: u64 = 64 << 20;

/// Media that is fetched at once. A player asks for less; more would only cost connections.
const FETCHES_MAX: usize = 8;

/// What to ask besides the address.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    pub range: Option<String>,
    pub no_gzip: bool,
}

/// A client and everything it has asked.
#[derive(Debug)]
pub struct Http {
    client: Client,
    log: Mutex<Vec<Exchange>>,
    fetches: Semaphore,
}

impl Http {
    pub fn new() -> Http {
        // Another test of this process may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .tls_danger_accept_invalid_certs(true)
            // A redirect is an answer to be judged.
            .redirect(redirect::Policy::none())
            .http2_keep_alive_interval(PING.0)
            .http2_keep_alive_timeout(PING.1)
            .http2_keep_alive_while_idle(true);
        Http { client: client.build().expect("a client"), log: Mutex::default(), fetches: Semaphore::new(FETCHES_MAX) }
    }

    pub async fn get(&self, what: What, url: &str, patience: Duration) -> Exchange {
        self.ask(what, url, &Ask::default(), patience).await
    }

    pub async fn ask(&self, what: What, url: &str, ask: &Ask, patience: Duration) -> Exchange {
        let waits_its_turn = match what {
            What::Media(_, kind, _) => kind != MediaKind::Hint,
            What::Removed(..) => true,
            _ => false,
        };
        let _turn = match waits_its_turn {
            true => Some(self.fetches.acquire().await.expect("it is never closed")),
            false => None,
        };
        let exchange = self.exchange(what, url, ask, patience).await;
        self.note(exchange.clone());
        exchange
    }

    /// Asks without keeping the answer: the caller decides whether it says anything.
    pub async fn exchange(&self, what: What, url: &str, ask: &Ask, patience: Duration) -> Exchange {
        let sent = Instant::now();
        let mut exchange = Exchange {
            what,
            url: url.to_owned(),
            sent,
            first_byte: None,
            done: sent,
            status: 0,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            gzip: false,
            http2: false,
            error: None,
        };
        let answer = tokio::time::timeout(patience, self.receive(&mut exchange, ask)).await;
        exchange.done = Instant::now();
        exchange.error = match answer {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error),
            Err(_) => Some(format!("no whole answer within {:.1} s", patience.as_secs_f64())),
        };
        exchange
    }

    pub fn note(&self, exchange: Exchange) {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).push(exchange);
    }

    /// Everything that was asked, in order of the answers.
    pub fn take_log(&self) -> Vec<Exchange> {
        std::mem::take(&mut *self.log.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn receive(&self, exchange: &mut Exchange, ask: &Ask) -> Result<(), String> {
        let mut request = self.client.request(Method::GET, &exchange.url).header("origin", ORIGIN);
        if !ask.no_gzip {
            request = request.header("accept-encoding", "gzip");
        }
        if let Some(range) = &ask.range {
            request = request.header("range", range);
        }
        let mut response = request.send().await.map_err(|error| format!("{error:?}"))?;
        exchange.status = response.status().as_u16();
        exchange.headers = response.headers().clone();
        exchange.http2 = response.version() == Version::HTTP_2;
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| format!("{error:?}"))? {
            exchange.first_byte.get_or_insert_with(Instant::now);
            body.extend_from_slice(&chunk);
        }
        exchange.gzip = exchange.header("content-encoding") == Some("gzip");
        exchange.body = if exchange.gzip { unpack(&body)? } else { body.freeze() };
        Ok(())
    }
}

fn unpack(packed: &[u8]) -> Result<Bytes, String> {
    let mut unpacked = Vec::new();
    let mut reader = flate2::read::GzDecoder::new(packed).take(UNPACKED_BYTES_MAX);
    reader.read_to_end(&mut unpacked).map_err(|error| format!("gzip: {error}"))?;
    Ok(unpacked.into())
}
