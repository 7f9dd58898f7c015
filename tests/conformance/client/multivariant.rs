//! A multivariant playlist (RFC 8216bis §4.4.6).

use reqwest::Url;

use super::line::{Attributes, Kind, lines};

/// One EXT-X-STREAM-INF, EXT-X-I-FRAME-STREAM-INF or EXT-X-MEDIA with its address.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub attributes: Attributes,
    pub url: Option<String>,
    pub uri: Option<String>,
    pub text: String,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Multivariant {
    pub version: Option<u64>,
    pub independent_segments: bool,
    pub variants: Vec<Entry>,
    pub i_frames: Vec<Entry>,
    pub media: Vec<Entry>,
    pub grammar: Vec<String>,
    pub order: Vec<String>,
}

/// Tags of media playlists, which have no place here (§4.1).
const FOREIGN: &[&str] = &[
    "EXTINF",
    "EXT-X-TARGETDURATION",
    "EXT-X-MEDIA-SEQUENCE",
    "EXT-X-PART",
    "EXT-X-PART-INF",
    "EXT-X-SERVER-CONTROL",
    "EXT-X-ENDLIST",
];

impl Multivariant {
    pub fn read(text: &str, url: &str) -> Multivariant {
        let mut list = Multivariant::default();
        let mut complaints = Vec::new();
        let base = Url::parse(url).ok();
        let absolute = |uri: &str| base.as_ref().and_then(|base| base.join(uri).ok()).map(String::from);
        let mut stream: Option<(Attributes, String)> = None;
        for line in lines(text, &mut complaints) {
            match &line.kind {
                Kind::Comment | Kind::Blank => {}
                Kind::Uri => match stream.take() {
                    Some((attributes, tag)) => list.variants.push(Entry {
                        attributes,
                        url: absolute(&line.text),
                        uri: Some(line.text.clone()),
                        text: tag,
                    }),
                    None => list.order.push(format!("line {}: a URI without EXT-X-STREAM-INF", line.number)),
                },
                Kind::Tag { name, value } => {
                    let value = value.as_deref().unwrap_or("");
                    if stream.is_some() {
                        list.order.push(format!("line {}: EXT-X-STREAM-INF without a URI behind it", line.number));
                        stream = None;
                    }
                    if FOREIGN.contains(&name.as_str()) {
                        list.order.push(format!("line {}: a tag of media playlists: {}", line.number, line.text));
                    }
                    if !matches!(name.as_str(), "EXT-X-STREAM-INF" | "EXT-X-I-FRAME-STREAM-INF" | "EXT-X-MEDIA") {
                        match name.as_str() {
                            "EXT-X-VERSION" => list.version = value.parse().ok(),
                            "EXT-X-INDEPENDENT-SEGMENTS" => list.independent_segments = true,
                            _ => {}
                        }
                        continue;
                    }
                    let attributes = Attributes::read(name, value, &mut complaints);
                    let uri = attributes.text("URI").map(str::to_owned);
                    let url = uri.as_deref().and_then(absolute);
                    match name.as_str() {
                        "EXT-X-STREAM-INF" => stream = Some((attributes, line.text.clone())),
                        "EXT-X-MEDIA" => list.media.push(Entry { attributes, url, uri, text: line.text.clone() }),
                        _ => list.i_frames.push(Entry { attributes, url, uri, text: line.text.clone() }),
                    }
                }
            }
        }
        list.grammar = complaints;
        list
    }

    /// Every address in it, as it is written.
    pub fn uris(&self) -> impl Iterator<Item = &str> {
        self.variants.iter().chain(&self.i_frames).chain(&self.media).filter_map(|entry| entry.uri.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_have_addresses_and_tags_have_their_place() {
        let text = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,URI=\"a.m3u8\",GROUP-ID=\"a\",NAME=\"A\"\n\
                    #EXT-X-STREAM-INF:BANDWIDTH=1000,AUDIO=\"a\"\nv.m3u8\n";
        let list = Multivariant::read(text, "http://h/live/index.m3u8");
        assert!(list.grammar.is_empty() && list.order.is_empty());
        assert_eq!(list.variants[0].url.as_deref(), Some("http://h/live/v.m3u8"));
        assert_eq!(list.media[0].url.as_deref(), Some("http://h/live/a.m3u8"));
        let wrong = Multivariant::read("#EXTM3U\n#EXT-X-TARGETDURATION:2\nv.m3u8\n", "http://h/");
        assert_eq!(wrong.order.len(), 2);
    }
}
