//! The section `[webhooks]`: where the server may call.

use super::section::section;

section! {
    /// Calls to the endpoints of apps, see docs/webhooks.md.
    Webhooks {
        /// Whether endpoints may be on this machine or in a private network, and without TLS. Everybody with an account can
        /// then make the server send requests into that network.
        allow_private: bool = false,
    }
}
