//! What leaves towards a subscriber: headers, what is kept for resends, and when what leaves.

#[cfg_attr(not(test), expect(dead_code, reason = "nothing sends through it yet"))]
pub(crate) mod cache;
#[cfg_attr(not(test), expect(dead_code, reason = "nothing sends through it yet"))]
pub(crate) mod header;
#[cfg_attr(not(test), expect(dead_code, reason = "nothing sends through it yet"))]
pub(crate) mod pacer;
