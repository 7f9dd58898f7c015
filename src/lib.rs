//! Telstar's shell: sockets, clocks, files and tasks around the cores that decide.
//!
//! In: a checked [`config::Config`]. Out: a [`Running`] server. The cores (`telstar-rtmp`, `telstar-hls`,
//! `telstar-signaling`) do no I/O; everything that touches the outside is here. ARCHITECTURE.md has the map.

pub mod addresses;
pub mod advertise;
pub mod api;
pub mod app;
pub mod auth;
pub mod banner;
pub mod calls;
pub mod cli;
pub mod client;
pub mod config;
pub mod conversions;
pub mod cross_origin;
pub mod data;
pub mod doctor;
pub mod door;
pub mod dvr;
pub mod files;
pub mod gateway;
pub mod http;
pub mod ingest;
pub mod listen;
pub mod machine;
pub mod metrics;
pub mod mixes;
pub mod output;
pub mod representation;
pub mod rooms;
pub mod routes;
pub mod rtmp;
pub mod server;
pub mod shards;
mod slots;
pub mod state;
pub mod tasks;
pub mod telemetry;
mod threads;
pub mod tls;
pub mod vod;
pub mod web;
pub mod webhooks;
pub mod whx;
pub mod workers;

pub use config::Config;
pub use server::{Running, Server, StartError};
