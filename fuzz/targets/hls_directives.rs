//! The query string of a playlist request.
#![no_main]

use libfuzzer_sys::fuzz_target;
use telstar_hls::request::Directives;

fuzz_target!(|query: &str| {
    let _ = Directives::parse(query);
});
