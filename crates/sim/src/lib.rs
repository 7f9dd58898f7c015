//! Calls under a virtual clock and network.
