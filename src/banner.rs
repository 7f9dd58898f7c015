//! What a start prints: every address, box and command that the first minutes need.
//!
//! Secrets go to standard output only, and only when that is a terminal or they were asked for; the log never sees them.

use telstar_units::RoomName;

use crate::addresses::Links;
use crate::data::FIRST_ROOM;

/// What is printed once the server is ready.
pub struct Banner<'a> {
    /// Where the server is.
    pub links: &'a Links,
    /// The one-time sign-in code of the first start, if it may be shown.
    pub sign_in_code: Option<&'a str>,
    /// The first room's stream key, which only the first start knows, if it may be shown.
    pub stream_key: Option<&'a str>,
    /// The data folder, as the other commands need to name it; none for the default.
    pub data_flag: Option<String>,
    /// Whether browsers will ask about the certificate.
    pub is_self_signed: bool,
}

impl Banner<'_> {
    /// The text for the terminal.
    pub fn text(&self) -> String {
        let mut text = format!("\n  Telstar {} is ready.\n", env!("CARGO_PKG_VERSION"));
        let room = RoomName::parse(FIRST_ROOM).expect("the first room's name is a room name");
        let data = self.data_flag.as_deref().map(|data| format!(" {data}")).unwrap_or_default();
        match (self.sign_in_code, self.links.local_origin()) {
            (Some(code), Some(origin)) => {
                section(
                    &mut text,
                    "Sign in (this link works once, for 15 minutes)",
                    &format!("{origin}/sign-in#{code}"),
                );
            }
            (None, Some(_)) => section(&mut text, "Sign in", &format!("telstar sign-in{data}   prints a new link")),
            (_, None) => {}
        }
        if let Some(origin) = self.links.lan_origin() {
            let note = if self.is_self_signed {
                "From other devices in this network (the browser asks once about the certificate)"
            } else {
                "From other devices"
            };
            section(&mut text, note, &origin);
        }
        if let Some(server) = self.links.rtmp_url(None) {
            self.encoder(&mut text, &server, &data);
        }
        if let Some(server) = self.links.rtmps_url(None) {
            let note = if self.is_self_signed {
                "Encrypted (encoders that check certificates need a real one)"
            } else {
                "Encrypted"
            };
            section(&mut text, note, &format!("Server       {server}"));
        }
        if let Some(url) = self.links.watch_url(&room) {
            section(&mut text, "Watch", &url);
        }
        text.push('\n');
        text
    }

    fn encoder(&self, text: &mut String, server: &str, data: &str) {
        let Some(key) = self.stream_key else {
            let line = format!(
                "Server       {server}\n    Stream Key   not shown here: make a new one on the page (Go live), after \
                 telstar sign-in{data}"
            );
            return section(text, "OBS: Settings, Stream, Custom", &line);
        };
        let boxes = format!("Server       {server}\n    Stream Key   {key}");
        section(text, "OBS: Settings, Stream, Custom (the key is shown this once)", &boxes);
        let ffmpeg = format!(
            "ffmpeg -re -f lavfi -i testsrc2=size=1280x720:rate=30 -f lavfi -i sine=frequency=440:sample_rate=48000 \
             -c:v libx264 -preset veryfast -pix_fmt yuv420p -b:v 2500k -g 60 -c:a aac -b:a 160k -f flv {server}/{key}"
        );
        section(text, "Or paste this line, a test picture from ffmpeg", &ffmpeg);
    }
}

fn section(text: &mut String, title: &str, body: &str) {
    text.push_str(&format!("\n  {title}\n    {body}\n"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addresses::Addresses;
    use crate::config::address::PublicUrl;

    fn banner(code: Option<&str>, key: Option<&str>) -> String {
        let address = |text: &str| Some(text.parse().expect("an address"));
        let addresses = Addresses {
            http: address("127.0.0.1:8080"),
            https: address("192.0.2.7:8443"),
            rtmp: address("192.0.2.7:1935"),
            rtmps: address("192.0.2.7:1936"),
            media: address("192.0.2.7:10000"),
        };
        let links = Links::new(addresses, PublicUrl::Auto);
        let banner =
            Banner { links: &links, sign_in_code: code, stream_key: key, data_flag: None, is_self_signed: true };
        banner.text()
    }

    #[test]
    fn a_first_start_shows_everything_that_going_live_needs() {
        let text = banner(Some("abc"), Some("sk_k"));
        for line in [
            "http://127.0.0.1:8080/sign-in#abc",
            "https://192.0.2.7:8443\n",
            "Server       rtmp://192.0.2.7:1935/live\n",
            "Server       rtmps://192.0.2.7:1936/live\n",
            "Stream Key   sk_k\n",
            "-f flv rtmp://192.0.2.7:1935/live/sk_k\n",
            "https://192.0.2.7:8443/watch/demo\n",
        ] {
            assert!(text.contains(line), "{line:?} in {text}");
        }
    }

    #[test]
    fn a_later_start_shows_no_key_and_says_how_to_get_one() {
        let text = banner(None, None);
        assert!(!text.contains("sk_"), "{text}");
        assert!(text.contains("telstar sign-in"), "{text}");
    }
}
