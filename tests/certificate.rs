//! A renewed certificate: HTTPS and RTMPS show it without a restart, and the old one as long as the new is not usable.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use telstar::config::TlsMode;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

#[allow(dead_code, reason = "shared with the HTTP tests, which use all of it")]
mod support;
#[path = "support/tls.rs"]
mod tls;

use support::{PATIENCE, Rig};

/// Writes a certificate and its key, as an authority's client does; returns what a client is shown of it.
fn issue(folder: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).expect("written");
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).expect("written");
    made.cert.der().clone()
}

/// What both doors show now.
async fn shown(rig: &Rig) -> [CertificateDer<'static>; 2] {
    let addresses = rig.running.addresses();
    let mut shown = Vec::new();
    for address in [addresses.https, addresses.rtmps] {
        let socket = TcpStream::connect(address.expect("TLS is on")).await.expect("the server listens");
        let name = ServerName::try_from("localhost").expect("a name");
        let connector = TlsConnector::from(Arc::new(tls::trusting_config(&[])));
        let stream = connector.connect(name, socket).await.expect("a TLS handshake");
        let chain = stream.get_ref().1.peer_certificates().expect("a certificate");
        shown.push(chain[0].clone());
    }
    shown.try_into().expect("two doors")
}

async fn becomes(rig: &Rig, certificate: &CertificateDer<'static>) {
    let waiting = async { while shown(rig).await.iter().any(|shown| shown != certificate) {} };
    tokio::time::timeout(PATIENCE, waiting).await.expect("it comes into force");
}

#[tokio::test]
async fn a_renewed_certificate_is_taken_without_a_restart_and_a_broken_one_is_not() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let first = issue(folder.path());
    let rig = Rig::start_with(|config| {
        config.tls.mode = TlsMode::Files;
        config.tls.cert = folder.path().join("cert.pem");
        config.tls.key = folder.path().join("key.pem");
        config.tls.renew_interval_secs = 1;
    })
    .await;
    assert_eq!(shown(&rig).await, [first.clone(), first.clone()]);
    let second = issue(folder.path());
    becomes(&rig, &second).await;

    // A file that is none, one that is empty, one without its key, and none at all: the old certificate stays.
    let cert = folder.path().join("cert.pem");
    let foreign = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made").cert.pem();
    for broken in [Some("nothing here"), Some(""), Some(foreign.as_str()), None] {
        match broken {
            Some(text) => std::fs::write(&cert, text).expect("written"),
            None => std::fs::remove_file(&cert).expect("removed"),
        }
        let failures = &rig.running.state().metrics.tls_failed_renewals;
        let before = failures.get();
        let noticed = async {
            while failures.get() == before {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, noticed).await.expect("it is noticed");
        assert_eq!(shown(&rig).await, [second.clone(), second.clone()], "{broken:?}");
    }
    let third = issue(folder.path());
    becomes(&rig, &third).await;
}
