//! What a blocked player needs of a live playlist: where it ends, and what comes next.

/// The end of a media playlist.
#[derive(Debug, PartialEq, Eq)]
pub struct Edge<'a> {
    /// For the next `_HLS_msn` and `_HLS_part`.
    pub msn: u64,
    pub part: u32,
    /// Addresses of the listed parts, oldest first.
    pub parts: Vec<&'a str>,
    /// The address of the part that is to come.
    pub hint: Option<&'a str>,
}

/// Reads a media playlist.
pub fn edge(text: &str) -> Edge<'_> {
    let mut edge = Edge { msn: 0, part: 0, parts: Vec::new(), hint: None };
    for line in text.lines() {
        if let Some(first) = line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:") {
            edge.msn = first.trim().parse().unwrap_or(0);
        } else if line.starts_with("#EXTINF:") {
            edge.msn += 1;
            edge.part = 0;
        } else if line.starts_with("#EXT-X-PART:") {
            edge.part += 1;
            edge.parts.extend(uri(line));
        } else if line.starts_with("#EXT-X-PRELOAD-HINT:TYPE=PART") {
            edge.hint = uri(line);
        }
    }
    edge
}

/// The first variant of a multivariant playlist.
pub fn variant(text: &str) -> Option<&str> {
    text.lines().find(|line| !line.is_empty() && !line.starts_with('#'))
}

fn uri(line: &str) -> Option<&str> {
    line.split_once("URI=\"")?.1.split_once('"').map(|(uri, _)| uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edge_is_behind_the_last_part() {
        let text = "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:7\n#EXTINF:2.0,\na.m4s\n#EXT-X-PART:DURATION=1,URI=\"b.0\"\n\
                    #EXT-X-PART:DURATION=1,URI=\"b.1\"\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"b.2\"\n";
        assert_eq!(edge(text), Edge { msn: 8, part: 2, parts: vec!["b.0", "b.1"], hint: Some("b.2") });
        assert_eq!(variant("#EXTM3U\n#EXT-X-STREAM-INF:\nvideo/index.m3u8\n"), Some("video/index.m3u8"));
    }
}
