//! What an app's own server does: it mints tokens, hands out invites and is told what happens, over real sockets.

#[path = "apps/hooks.rs"]
mod hooks;
#[allow(dead_code, reason = "shared with the WebSocket tests, which use all of it")]
#[path = "ws/support.rs"]
mod support;
#[path = "apps/tokens.rs"]
mod tokens;

use sha2::{Digest, Sha256};

/// HMAC-SHA256 written out from RFC 2104 §2, so that what the server signs and verifies is not checked with its own code.
fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut block = [0; 64];
    match key.len() {
        0..=64 => block[..key.len()].copy_from_slice(key),
        _ => block[..32].copy_from_slice(&Sha256::digest(key)),
    }
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
}

#[test]
fn the_tests_own_hmac_is_right() {
    // RFC 4231 §4.3.
    let expect = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    let hex: String = hmac(b"Jefe", b"what do ya want for nothing?").iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, expect);
}
