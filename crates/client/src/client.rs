//! A connection that has not joined a call yet. In: an address and a credential. Out: a [`Call`].

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::Error;
use crate::call::Call;
use crate::media::engine::default_addresses;
use crate::media::paths::Paths;
use crate::signal::{Pending, Signal};
use crate::wire::{Event, Joined, Request};

/// Who a client is.
#[derive(Clone)]
pub enum Credential {
    /// A room token or an API token.
    Token(String),
    /// Nobody: what is open to everybody.
    Anonymous,
}

/// How to connect.
#[derive(Clone, Default)]
pub struct ConnectOptions {
    /// What `wss://` trusts; the operating system's certificates unless it is set.
    pub tls: Option<Arc<rustls::ClientConfig>>,
}

/// How to join.
#[derive(Clone)]
pub struct JoinOptions {
    /// What people see; the credential's name unless it is set.
    pub name: Option<String>,
    /// The application's own words.
    pub metadata: Option<String>,
    /// Whether to be sent every track without asking for it.
    pub auto_subscribe: bool,
    /// The local addresses for media; empty for every interface, and loopback when the server is there.
    pub addresses: Vec<SocketAddr>,
    /// A relay of UDP in front of the server's media port: media is sent there instead, and the server is told no other
    /// way. For tests that make a path worse than it is.
    pub media_relay: Option<SocketAddr>,
}

impl Default for JoinOptions {
    fn default() -> JoinOptions {
        JoinOptions { name: None, metadata: None, auto_subscribe: true, addresses: Vec::new(), media_relay: None }
    }
}

/// An authenticated connection. It carries at most one call, so [`Client::join`] consumes it.
pub struct Client {
    signal: Signal,
    events: mpsc::Receiver<Event>,
    authenticating: Option<Pending>,
}

impl Client {
    /// Opens the WebSocket at `ws://…/ws` or `wss://…/ws`.
    pub async fn connect(address: &str, credential: Credential) -> Result<Client, Error> {
        Client::connect_with(address, credential, ConnectOptions::default()).await
    }

    /// The same with options.
    pub async fn connect_with(address: &str, credential: Credential, options: ConnectOptions) -> Result<Client, Error> {
        let (signal, events) = Signal::open(address, options.tls).await?;
        let authenticating = match credential {
            Credential::Token(token) => Some(signal.begin(Request::Authenticate { token }).await?),
            Credential::Anonymous => None,
        };
        Ok(Client { signal, events, authenticating })
    }

    /// Enters a room's call. The credential is checked on the way: a wrong one is an error here.
    pub async fn join(self, room: &str, options: JoinOptions) -> Result<Call, Error> {
        let addresses = match options.addresses.is_empty() {
            true => default_addresses(self.signal.peer()),
            false => options.addresses.clone(),
        };
        let paths = Paths { addresses, relay: options.media_relay };
        let (signal, events, joined) = self.join_signalling(room, options).await?;
        Ok(Call::start(signal, events, joined, paths))
    }

    /// Enters a call without media: the caller makes its own connections. For load generators.
    pub async fn join_signalling(
        self,
        room: &str,
        options: JoinOptions,
    ) -> Result<(Signal, mpsc::Receiver<Event>, Joined), Error> {
        let join = Request::Join {
            room: room.to_owned(),
            name: options.name,
            metadata: options.metadata,
            kind: "device",
            auto_subscribe: options.auto_subscribe,
        };
        // Both are on their way at once: requests are carried out in order.
        let joining = self.signal.begin(join).await?;
        if let Some(authenticating) = self.authenticating {
            authenticating.reply().await?;
        }
        let joined = serde_json::from_value(joining.reply().await?);
        let joined = joined.map_err(|error| Error::Protocol(format!("reply to join: {error}")))?;
        Ok((self.signal, self.events, joined))
    }
}
