//! Certificates: made at the first start or read from files, and what they say of themselves.
//!
//! In: the section `[tls]` and the data folder. Out: rustls configurations for the accept loops, whose certificate a
//! renewed one replaces while they run, and the facts that `telstar doctor` reports. It knows no socket.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rcgen::{CertificateParams, DnType, KeyPair, SanType};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use telstar_units::WallTime;
use tracing::{info, warn};

use crate::config::{Tls, TlsMode};
use crate::data::wall_now;
use crate::files;
use crate::machine;
use crate::metrics::Counter;
use crate::tasks::Tasks;

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

/// The certificate of HTTPS and RTMPS, which their configurations ask for at each handshake.
#[derive(Debug)]
pub struct Certificate {
    mode: TlsMode,
    cert: PathBuf,
    key: PathBuf,
    in_force: ArcSwap<CertifiedKey>,
}

impl Certificate {
    /// The configured one, or `None` when TLS is off. A self-signed one is made when there is none, or when it is about to
    /// end.
    pub fn open(tls: &Tls, data: &Path, now: WallTime) -> Result<Option<Arc<Certificate>>, TlsError> {
        let Some((cert, key)) = paths(tls, data) else { return Ok(None) };
        make_if_due(tls.mode, &cert, &key, now)?;
        let in_force = ArcSwap::from_pointee(load(&cert, &key)?);
        Ok(Some(Arc::new(Certificate { mode: tls.mode, cert, key, in_force })))
    }

    /// Looks at the files again; true when they had another certificate, which is in force from here on. With an error the
    /// old one stays: between the writing of a chain and that of its key, the two do not work together.
    pub fn renew(&self, now: WallTime) -> Result<bool, TlsError> {
        make_if_due(self.mode, &self.cert, &self.key, now)?;
        if read_chain(&self.cert)? == self.in_force.load().cert {
            return Ok(false);
        }
        self.in_force.store(Arc::new(load(&self.cert, &self.key)?));
        Ok(true)
    }

    /// The configuration of a listener that speaks these protocols (RFC 7301: the client's order does not count, ours
    /// does). RTMPS has none: with some, a client that offers only others would be refused (§3.2).
    pub fn config(self: &Arc<Certificate>, protocols: &[&[u8]]) -> Arc<ServerConfig> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has the ciphers of every version")
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.in_force.load_full())
    }
}

/// Takes a renewed certificate when its files have one, so that nobody restarts for it.
pub async fn follow(certificate: Arc<Certificate>, interval: Duration, tasks: Tasks, failures: Arc<Counter>) {
    let mut interval = tokio::time::interval(interval);
    let mut stopping = std::pin::pin!(tasks.stopping());
    loop {
        // Cancel-safe: an interval and a token.
        tokio::select! {
            () = &mut stopping => return,
            _ = interval.tick() => {}
        }
        let renewing = Arc::clone(&certificate);
        match tasks.blocking(move || renewing.renew(wall_now())).await {
            Ok(true) => info!("a renewed certificate is in force"),
            Ok(false) => {}
            Err(error) => {
                failures.add(1);
                warn!(%error, "the certificate was not renewed; the old one stays in force");
            }
        }
    }
}

fn make_if_due(mode: TlsMode, cert: &Path, key: &Path, now: WallTime) -> Result<(), TlsError> {
    let renew_at = now.plus_micros(RENEW_BEFORE_DAYS * DAY_MICROS);
    let is_good = || key.exists() && inspect(cert).is_ok_and(|facts| facts.not_after >= renew_at);
    if mode == TlsMode::SelfSigned && !is_good() { generate(cert, key, now) } else { Ok(()) }
}

/// Chain and key from two files, checked against each other.
pub fn load(cert: &Path, key: &Path) -> Result<CertifiedKey, TlsError> {
    let chain = read_chain(cert)?;
    let private_key = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|error| TlsError::Pem {
        path: key.into(),
        what: "private key",
        reason: error.to_string(),
    })?;
    Ok(CertifiedKey::from_der(chain, private_key, &rustls::crypto::ring::default_provider())?)
}

/// The certificates of a file, at least one.
fn read_chain(cert: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bad = |reason: String| TlsError::Pem { path: cert.into(), what: "certificate", reason };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(cert)?).collect();
    match chain.map_err(|error| bad(error.to_string()))? {
        chain if chain.is_empty() => Err(bad("the file has none".to_owned())),
        chain => Ok(chain),
    }
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
        let made = Certificate::open(&tls, folder.path(), NOW).expect("made").expect("TLS is on");
        let (cert, key) = paths(&tls, folder.path()).expect("self-signed");
        let first = fs::read(&cert).expect("written");
        let facts = inspect(&cert).expect("ours parses");
        assert!(facts.names.iter().any(|name| name == "localhost"));
        assert!(facts.names.iter().any(|name| name == "127.0.0.1"));
        assert_eq!(
            std::os::unix::fs::PermissionsExt::mode(&fs::metadata(key).expect("there").permissions()) & 0o777,
            0o600
        );

        Certificate::open(&tls, folder.path(), NOW.plus_micros(DAY_MICROS)).expect("kept");
        assert_eq!(fs::read(&cert).expect("there"), first);
        assert!(!made.renew(NOW.plus_micros(DAY_MICROS)).expect("still good"));
        assert!(made.renew(facts.not_after.plus_micros(-DAY_MICROS)).expect("made anew"));
        assert_ne!(fs::read(&cert).expect("there"), first);
    }

    #[test]
    fn a_file_that_is_no_certificate_is_named_in_the_error() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("cert.pem");
        fs::write(&path, "nothing here").expect("writable");
        let tls = Tls { mode: TlsMode::Files, cert: path.clone(), key: path.clone(), ..Tls::default() };
        let error = Certificate::open(&tls, folder.path(), NOW).expect_err("no certificate").to_string();
        assert!(error.contains("cert.pem") && error.contains("certificate"), "{error}");
    }
}
