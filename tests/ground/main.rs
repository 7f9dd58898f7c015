//! The server's ground, over real sockets: configuration, commands, HTTP, the API and its description, shutdown.

mod api;
mod cli;
mod config;
mod http;
mod openapi;
mod shutdown;
#[path = "../support/mod.rs"]
mod support;
