//! The section `[tls]`: where the certificate comes from.

use std::path::PathBuf;

use super::section::section;
use super::value::word;

word! {
    /// Where the certificate comes from.
    TlsMode {
        /// Made at the first start and kept in the data folder.
        SelfSigned = "self-signed",
        /// Read from `cert` and `key`.
        Files = "files",
        /// No TLS: neither HTTPS nor RTMPS listens.
        Off = "off",
    }
}

section! {
    /// The certificate of HTTPS and RTMPS.
    Tls {
        /// Where the certificate comes from. `self-signed` makes one at the first start: browsers ask once, then cameras
        /// and service workers function. `files` reads `cert` and `key`. `off` is for a server without HTTPS and RTMPS.
        mode: TlsMode = TlsMode::SelfSigned,
        /// The certificate chain in PEM, the server's own first. For the mode `files`.
        cert: PathBuf = PathBuf::new(),
        /// The private key in PEM. For the mode `files`.
        key: PathBuf = PathBuf::new(),
        /// How often the two files are looked at for a renewed certificate. Shorter reads them more often; longer shows an
        /// old one for longer.
        renew_interval_secs: u32 = 60 => 1..=86_400,
    }
}
