//! One request to an endpoint, over a connection of its own.
//!
//! The name is resolved here, each address is looked at, and the connection goes to an address that passed: nobody asks a
//! name server a second time, so a name that leads elsewhere the next moment (DNS rebinding) leads nowhere. Redirects are
//! not followed, because hyper's connection follows none.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderName, Request, header};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;

use super::endpoint::{Endpoint, is_public};
use crate::tasks::Tasks;

/// How long one request may take, from the name to the end of the answer. Standard Webhooks: 15 to 30 s at most.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 4;
/// The longest head of an answer. Its body is read so far and no further, so that the endpoint can finish what it says.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
const USER_AGENT: &str = concat!("telstar/", env!("CARGO_PKG_VERSION"));

/// What turns a name into addresses.
pub type Resolver = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

/// Why a request came to nothing, in words for whoever looks at the deliveries.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The name server did not know.
    #[error("the name cannot be resolved: {0}")]
    Resolve(String),
    /// Every address is in a private network.
    #[error("the name leads to no public address")]
    Private,
    /// Nobody answers there.
    #[error("no connection: {0}")]
    Connect(String),
    /// TLS failed.
    #[error("TLS: {0}")]
    Tls(String),
    /// This machine has no root certificates.
    #[error("this machine has no root certificates: install the package ca-certificates")]
    NoRoots,
    /// What came back is no answer.
    #[error("no answer: {0}")]
    Http(String),
    /// It took too long.
    #[error("no answer within {} s", REQUEST_TIMEOUT.as_secs())]
    TimedOut,
}

/// Sends requests.
#[derive(Clone)]
pub struct Sender {
    resolver: Resolver,
    allow_private: bool,
    tasks: Tasks,
    /// Read at the first request that needs it: most servers have no webhook.
    tls: Arc<OnceCell<Arc<ClientConfig>>>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Sender {
    /// A sender that asks the system for addresses.
    pub fn new(allow_private: bool, tasks: Tasks) -> Sender {
        let resolver: Resolver = Arc::new(|host| Box::pin(resolve(host)));
        Sender::with_resolver(resolver, allow_private, tasks)
    }

    /// A sender that asks `resolver`.
    pub fn with_resolver(resolver: Resolver, allow_private: bool, tasks: Tasks) -> Sender {
        Sender { resolver, allow_private, tasks, tls: Arc::default() }
    }

    /// Whether it may go into private networks.
    pub(super) fn allows_private(&self) -> bool {
        self.allow_private
    }

    /// Sends `body` and returns the status of the answer.
    pub async fn post(
        &self,
        endpoint: &Endpoint,
        headers: [(HeaderName, String); 3],
        body: String,
    ) -> Result<u16, SendError> {
        let request = self.request(endpoint, headers, body);
        tokio::time::timeout(REQUEST_TIMEOUT, request).await.unwrap_or(Err(SendError::TimedOut))
    }

    async fn request(
        &self,
        endpoint: &Endpoint,
        headers: [(HeaderName, String); 3],
        body: String,
    ) -> Result<u16, SendError> {
        let stream = self.connect(endpoint).await?;
        let http = |error: hyper::Error| SendError::Http(error.to_string());
        let handshake = http1::Builder::new().max_buf_size(ANSWER_BYTES_MAX).handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(http)?;
        let mut request = Request::post(endpoint.target.as_str())
            .header(header::HOST, &endpoint.authority)
            .header(header::USER_AGENT, USER_AGENT)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONNECTION, "close");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::from(body))).map_err(|error| SendError::Http(error.to_string()))?;
        let exchange = async {
            let mut answer = sender.send_request(request).await?;
            let mut read = 0;
            // A body that breaks off says no less than its status.
            while let Some(Ok(frame)) = answer.body_mut().frame().await {
                read += frame.data_ref().map_or(0, Bytes::len);
                if read > ANSWER_BYTES_MAX {
                    break;
                }
            }
            Ok(answer.status().as_u16())
        };
        let mut exchange = std::pin::pin!(exchange);
        // The connection has to be driven. Both ends with this function; the connection may end before its answer is read.
        tokio::select! {
            biased;
            status = &mut exchange => status.map_err(http),
            ended = connection => match ended {
                Ok(()) => exchange.await.map_err(http),
                Err(error) => Err(http(error)),
            },
        }
    }

    async fn connect(&self, endpoint: &Endpoint) -> Result<Box<dyn Stream>, SendError> {
        let addresses = self.addresses(endpoint).await?;
        let mut failure = String::from("the name has no address");
        for address in addresses.into_iter().take(ADDRESSES_MAX) {
            match TcpStream::connect(SocketAddr::new(address, endpoint.port)).await {
                Ok(tcp) if endpoint.is_tls => return Ok(Box::new(self.encrypt(tcp, endpoint).await?)),
                Ok(tcp) => return Ok(Box::new(tcp)),
                Err(error) => failure = error.to_string(),
            }
        }
        Err(SendError::Connect(failure))
    }

    /// The addresses that a request may go to.
    pub(super) async fn addresses(&self, endpoint: &Endpoint) -> Result<Vec<IpAddr>, SendError> {
        let resolved = match endpoint.host.parse() {
            Ok(address) => vec![address],
            Err(_) => {
                (self.resolver)(endpoint.host.clone()).await.map_err(|error| SendError::Resolve(error.to_string()))?
            }
        };
        if resolved.is_empty() {
            return Err(SendError::Resolve("no address".to_owned()));
        }
        let allowed: Vec<IpAddr> =
            resolved.into_iter().filter(|address| self.allow_private || is_public(*address)).collect();
        if allowed.is_empty() { Err(SendError::Private) } else { Ok(allowed) }
    }

    async fn encrypt(
        &self,
        tcp: TcpStream,
        endpoint: &Endpoint,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, SendError> {
        let tls = |error: &dyn std::fmt::Display| SendError::Tls(error.to_string());
        let name = ServerName::try_from(endpoint.host.clone()).map_err(|error| tls(&error))?;
        let config = self.tls.get_or_try_init(|| self.tasks.blocking(client_config)).await?;
        TlsConnector::from(Arc::clone(config)).connect(name, tcp).await.map_err(|error| tls(&error))
    }
}

async fn resolve(host: String) -> io::Result<Vec<IpAddr>> {
    Ok(tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect())
}

/// TLS as the system's own programs trust it (docs/adr/0013).
fn client_config() -> Result<Arc<ClientConfig>, SendError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(SendError::NoRoots);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| SendError::Tls(error.to_string()))?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}
