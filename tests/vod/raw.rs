//! Uploads over a bare connection, for what no client library does: stopping in the middle, sending on after a refusal.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::stage::Stage;
use super::support::PATIENCE;

pub struct Raw(pub TcpStream);

impl Raw {
    /// Begins a PATCH of so many bytes, without any of them.
    pub async fn patch(stage: &Stage, path: &str, offset: u64, len: u64, more: &str) -> Raw {
        let head = format!("upload-offset: {offset}\r\ncontent-length: {len}\r\n{more}");
        Raw::begin(stage, "PATCH", path, &head).await
    }

    /// Sends a request's head, with the type of bytes.
    pub async fn begin(stage: &Stage, method: &str, path: &str, fields: &str) -> Raw {
        let host = stage.rig.running.addresses().http.expect("HTTP is on");
        let stream = TcpStream::connect(host).await.expect("the server listens");
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {}\r\ntus-resumable: 1.0.0\r\n\
             content-type: application/offset+octet-stream\r\n{fields}\r\n",
            stage.token
        );
        let mut raw = Raw(stream);
        raw.send(head.as_bytes()).await;
        raw
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        let sent = tokio::time::timeout(PATIENCE, self.0.write_all(bytes)).await;
        sent.expect("the server takes it").expect("the connection stands");
    }

    /// The answer's head.
    pub async fn head(&mut self) -> String {
        let mut text = Vec::new();
        let read = async {
            while !text.ends_with(b"\r\n\r\n") {
                text.push(self.0.read_u8().await.expect("an answer"));
            }
        };
        tokio::time::timeout(PATIENCE, read).await.expect("the server answers");
        String::from_utf8(text).expect("a head is ASCII")
    }

    /// The answer's status.
    pub async fn status(&mut self) -> u16 {
        let head = self.head().await;
        head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{head}"))
    }
}
