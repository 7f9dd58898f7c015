//! The section `[shutdown]`: how the server ends.

use super::section::section;

section! {
    /// How the server ends after SIGTERM or Ctrl-C: it stops accepting, ends the live playlists, drains, then aborts.
    Shutdown {
        /// The longest a shutdown may take before what is left is aborted. A second signal aborts at once.
        deadline_secs: u32 = 10 => 1..=600,
    }
}
