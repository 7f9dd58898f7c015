//! One HTTP/1.1 connection that is kept, as a player keeps its own.

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{COOKIE, HOST, LOCATION, SET_COOKIE};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Redirects that are followed for one request: a peer checks for cookies with one.
const REDIRECTS_MAX: usize = 3;

pub struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    host: String,
    cookie: Option<String>,
    /// Moves the bytes, until the connection is dropped.
    _driver: JoinSet<hyper::Result<()>>,
}

impl Connection {
    /// Connects to the host of `uri`.
    pub async fn open(uri: &Uri) -> Result<Connection> {
        let host = uri.authority().context("an address has a host")?.to_string();
        let socket = TcpStream::connect(&host).await?;
        socket.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(socket)).await?;
        // Its end shows as an error of the next request.
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        Ok(Connection { sender, host, cookie: None, _driver: driver })
    }

    /// Another connection of the same player.
    pub async fn another(&self, uri: &Uri) -> Result<Connection> {
        Ok(Connection { cookie: self.cookie.clone(), ..Connection::open(uri).await? })
    }

    /// The body, and the address that it came from in the end.
    pub async fn get(&mut self, uri: &Uri) -> Result<(Bytes, Uri)> {
        self.find(uri).await?.with_context(|| format!("{uri}: not found"))
    }

    /// The same, or nothing where nothing is found.
    pub async fn find(&mut self, uri: &Uri) -> Result<Option<(Bytes, Uri)>> {
        let mut uri = uri.clone();
        for _ in 0..=REDIRECTS_MAX {
            let path = uri.path_and_query().context("an address has a path")?.as_str();
            let mut request = Request::get(path).header(HOST, &self.host);
            if let Some(cookie) = &self.cookie {
                request = request.header(COOKIE, cookie);
            }
            self.sender.ready().await?;
            let response = self.sender.send_request(request.body(Empty::new())?).await?;
            let (head, body) = response.into_parts();
            if let Some(cookie) = head.headers.get(SET_COOKIE) {
                self.cookie = Some(cookie.to_str()?.split(';').next().unwrap_or_default().to_owned());
            }
            let body = body.collect().await?.to_bytes();
            if head.status.is_redirection() {
                let location = head.headers.get(LOCATION).context("a redirect has a location")?.to_str()?;
                uri = resolve(&uri, location)?;
                continue;
            }
            if head.status == StatusCode::NOT_FOUND {
                return Ok(None);
            }
            anyhow::ensure!(head.status == StatusCode::OK, "{path}: {}", head.status);
            return Ok(Some((body, uri)));
        }
        anyhow::bail!("{uri}: redirected too often")
    }
}

/// A reference in a playlist (RFC 3986 §5.2, without `..`), or an absolute address.
pub fn resolve(base: &Uri, reference: &str) -> Result<Uri> {
    if reference.contains("://") {
        return Ok(reference.parse()?);
    }
    let path = base.path();
    let path = match reference.starts_with('/') {
        true => reference.to_owned(),
        false => format!("{}/{reference}", path.rsplit_once('/').map_or("", |(folder, _)| folder)),
    };
    let authority = base.authority().context("a base has a host")?.as_str();
    Ok(Uri::builder().scheme("http").authority(authority).path_and_query(path).build()?)
}
