//! What the shell decides about a connection before it starts.

use crate::limits::Limits;

/// The configuration of one connection.
#[derive(Clone, Debug)]
pub struct Config {
    /// The application that takes publishes: the first path segment of the address. Others are refused.
    pub app: String,
    /// Random bytes for the handshake, other ones for each connection. A core draws none itself.
    pub handshake_seed: [u8; 32],
    /// Limits and deadlines.
    pub limits: Limits,
}

impl Config {
    /// The default limits and the application `live`.
    pub fn new(handshake_seed: [u8; 32]) -> Config {
        Config { app: "live".into(), handshake_seed, limits: Limits::default() }
    }
}
