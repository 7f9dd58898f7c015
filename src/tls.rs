//! Certificates: made at the first start or read from files, and what they say of themselves.
//!
//! In: the section `[tls]` and the data folder. Out: a rustls configuration for the accept loop, and the facts that
//! `telstar doctor` reports. It knows no socket.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, DnType, KeyPair, SanType};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use telstar_units::WallTime;

use crate::config::{Tls, TlsMode};
use crate::files;
use crate::machine;

/// The self-signed certificate in the data folder.
const CERT_FILE: &str = "tls-cert.pem";
/// Its private key, mode 0600.
const KEY_FILE: &str = "tls-key.pem";
/// How long a self-signed certificate is valid. Apple's systems refuse server certificates over 825 days.
const SELF_SIGNED_DAYS: i64 = 820;
/// A self-signed certificate is made anew this long before it ends.
const RENEW_BEFORE_DAYS: i64 = 30;
const DAY_MICROS: i64 = 86_400_000_000;
/// Clocks of phones and cameras are often slow.
const VALID_FROM_DAYS_AGO: i64 = 1;

/// Why there is no usable certificate.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file holds no certificate or key in PEM.
    #[error("{}: no {what} in PEM: {reason}", path.display())]
    Pem {
        /// Which file.
        path: PathBuf,
        /// `certificate` or `private key`.
        what: &'static str,
        /// What the parser said.
        reason: String,
    },
    /// The key does not belong to the certificate, or is of a kind that TLS does not use.
    #[error("the certificate and key do not work together: {0}")]
    Mismatch(#[from] rustls::Error),
    /// The certificate could not be made.
    #[error("cannot make a self-signed certificate: {0}")]
    Generate(#[from] rcgen::Error),
}

/// Where the certificate and key are: the configured files, or those in the data folder.
pub fn paths(tls: &Tls, data: &Path) -> Option<(PathBuf, PathBuf)> {
    match tls.mode {
        TlsMode::Off => None,
        TlsMode::Files => Some((tls.cert.clone(), tls.key.clone())),
        TlsMode::SelfSigned => Some((data.join(CERT_FILE), data.join(KEY_FILE))),
    }
}

/// The configuration of HTTPS and RTMPS, or `None` when TLS is off. Makes the self-signed certificate when there is none, or
/// when it is about to end.
pub fn prepare(tls: &Tls, data: &Path, now: WallTime) -> Result<Option<Arc<ServerConfig>>, TlsError> {
    let Some((cert, key)) = paths(tls, data) else { return Ok(None) };
    if tls.mode == TlsMode::SelfSigned {
        let ends_at = inspect(&cert).ok().map(|facts| facts.not_after);
        let renew_at = now.plus_micros(RENEW_BEFORE_DAYS * DAY_MICROS);
        if !key.exists() || ends_at.is_none_or(|ends_at| ends_at < renew_at) {
            generate(&cert, &key, now)?;
        }
    }
    load(&cert, &key).map(Some)
}

/// The configuration of HTTPS from two files, checked against each other.
pub fn load(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let bad = |path: &Path, what, reason: String| TlsError::Pem { path: path.into(), what, reason };
    let chain = CertificateDer::pem_slice_iter(&read(cert)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| bad(cert, "certificate", error.to_string()))?;
    if chain.is_empty() {
        return Err(bad(cert, "certificate", "the file has none".to_owned()));
    }
    let private_key =
        PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|error| bad(key, "private key", error.to_string()))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, private_key)?;
    // RFC 7301: the client's order does not count, ours does.
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The same for RTMPS, which has no protocol name: a client that offers some of its own would be refused for having none in
/// common with HTTP's (RFC 7301 §3.2).
pub fn without_protocols(config: &Arc<ServerConfig>) -> Arc<ServerConfig> {
    let mut config = ServerConfig::clone(config);
    config.alpn_protocols.clear();
    Arc::new(config)
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::File { path: path.into(), source })
}

fn generate(cert: &Path, key: &Path, now: WallTime) -> Result<(), TlsError> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Telstar self-signed");
    params.not_before = date_of(now.plus_micros(-VALID_FROM_DAYS_AGO * DAY_MICROS));
    params.not_after = date_of(now.plus_micros(SELF_SIGNED_DAYS * DAY_MICROS));
    params.subject_alt_names = subject_names();
    params.extended_key_usages.push(rcgen::ExtendedKeyUsagePurpose::ServerAuth);
    let key_pair = KeyPair::generate()?;
    let certificate = params.self_signed(&key_pair)?;
    let write = |path: &Path, text: String| {
        files::write_private(path, text.as_bytes()).map_err(|source| TlsError::File { path: path.into(), source })
    };
    write(key, key_pair.serialize_pem())?;
    write(cert, certificate.pem())
}

/// Everything by which a browser on this machine or in the same network may call the server.
fn subject_names() -> Vec<SanType> {
    let host = machine::host_name();
    let names = ["localhost".to_owned(), format!("{host}.local"), host];
    let mut subject_names: Vec<SanType> =
        names.into_iter().filter_map(|name| name.try_into().ok().map(SanType::DnsName)).collect();
    let loopback = [IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])];
    subject_names.extend(loopback.into_iter().chain(machine::lan_addresses()).map(SanType::IpAddress));
    subject_names
}

fn date_of(wall: WallTime) -> ::time::OffsetDateTime {
    let secs = i64::try_from(wall.unix_secs()).unwrap_or(i64::MAX);
    ::time::OffsetDateTime::from_unix_timestamp(secs).expect("the machine's clock is between the years 0 and 9999")
}

/// What a certificate says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// When it ends.
    pub not_after: WallTime,
    /// The names and addresses it is good for.
    pub names: Vec<String>,
}

/// Reads the first certificate of a PEM file.
pub fn inspect(path: &Path) -> Result<CertificateFacts, TlsError> {
    let bad = |reason: String| TlsError::Pem { path: path.into(), what: "certificate", reason };
    let der = CertificateDer::from_pem_slice(&read(path)?).map_err(|error| bad(error.to_string()))?;
    let (_, certificate) = x509_parser::parse_x509_certificate(&der).map_err(|error| bad(error.to_string()))?;
    let not_after = WallTime(certificate.validity().not_after.timestamp().saturating_mul(1_000_000));
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.map(|names| names.value.general_names.iter().filter_map(name_of).collect());
    Ok(CertificateFacts { not_after, names: names.unwrap_or_default() })
}

fn name_of(name: &x509_parser::extensions::GeneralName<'_>) -> Option<String> {
    use x509_parser::extensions::GeneralName;
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
            16 => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: WallTime = WallTime(1_795_270_942_000_000);

    #[test]
    fn a_self_signed_certificate_is_made_once_and_renewed_before_it_ends() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let tls = Tls::default();
        assert!(prepare(&tls, folder.path(), NOW).expect("made").is_some());
        let (cert, key) = paths(&tls, folder.path()).expect("self-signed");
        let first = fs::read(&cert).expect("written");
        let facts = inspect(&cert).expect("ours parses");
        assert!(facts.names.iter().any(|name| name == "localhost"));
        assert!(facts.names.iter().any(|name| name == "127.0.0.1"));
        assert_eq!(
            std::os::unix::fs::PermissionsExt::mode(&fs::metadata(key).expect("there").permissions()) & 0o777,
            0o600
        );

        prepare(&tls, folder.path(), NOW.plus_micros(DAY_MICROS)).expect("kept");
        assert_eq!(fs::read(&cert).expect("there"), first);
        prepare(&tls, folder.path(), facts.not_after.plus_micros(-DAY_MICROS)).expect("renewed");
        assert_ne!(fs::read(&cert).expect("there"), first);
    }

    #[test]
    fn a_file_that_is_no_certificate_is_named_in_the_error() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("cert.pem");
        fs::write(&path, "nothing here").expect("writable");
        let tls = Tls { mode: TlsMode::Files, cert: path.clone(), key: path.clone() };
        let error = prepare(&tls, folder.path(), NOW).expect_err("no certificate").to_string();
        assert!(error.contains("cert.pem") && error.contains("certificate"), "{error}");
    }
}
