//! x
mod api;
pub use api::*;
