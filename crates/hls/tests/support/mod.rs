//! What the simulations share: a synthetic encoder and a checker of every playlist rule.
//!
//! Frames with a payload that names them go through a packager at the times they would arrive; after each, the checker
//! reads what a viewer would see.

#![allow(dead_code)] // Each test binary uses a part of it.

pub mod checker;
pub mod disk;
pub mod media;
pub mod room;
pub mod source;
