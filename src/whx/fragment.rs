//! Fragments of a session description: `application/trickle-ice-sdpfrag` (RFC 8840 §9).
//!
//! In: the body of a PATCH. Out: ICE credentials and candidates. All media are bundled, so that which section a candidate
//! stands in says nothing. Candidates are not judged here: what cannot be used is left out further in, silently.

/// The longest fragment, in bytes. Higher: more to read for nothing. A browser with ten interfaces needs some 4 KiB.
pub(super) const FRAGMENT_BYTES_MAX: usize = 16 * 1024;
/// Candidates in one fragment. Browsers have about ten in all.
const CANDIDATES_MAX: usize = 64;
/// The longest candidate, as `/ws` takes it.
const CANDIDATE_BYTES_MAX: usize = telstar_signaling::limits::CANDIDATE_BYTES_MAX;

/// What a fragment says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fragment {
    /// `a=ice-ufrag` and `a=ice-pwd`.
    pub(super) credentials: Option<Credentials>,
    /// `candidate:…`, in their order.
    pub(super) candidates: Vec<String>,
    /// `a=end-of-candidates`.
    pub(super) is_last: bool,
}

/// A peer's name and password of one ICE session (RFC 8839 §5.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) ufrag: String,
    pub(super) password: String,
}

/// Why a fragment cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FragmentError {
    /// A line is none of SDP.
    #[error("a line is not `letter=text`")]
    Line,
    /// There is nothing in it.
    #[error("there is neither a candidate nor its end nor a credential")]
    Empty,
    /// Not both credentials, several of them, or malformed ones.
    #[error("ice-ufrag and ice-pwd must be one pair (RFC 8839 §5.4)")]
    Credentials,
    /// Too many or too long.
    #[error("there are too many candidates, or one is too long")]
    Candidates,
}

impl Fragment {
    /// Reads a fragment.
    pub(super) fn parse(text: &str) -> Result<Fragment, FragmentError> {
        let mut fragment = Fragment::default();
        let (mut ufrag, mut password): (Option<&str>, Option<&str>) = (None, None);
        for line in text.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
            let letter = line.as_bytes();
            if letter.len() < 2
                || !letter[0].is_ascii_lowercase()
                || letter[1] != b'='
                || line.contains(char::is_control)
            {
                return Err(FragmentError::Line);
            }
            let Some(attribute) = line.strip_prefix("a=") else { continue };
            if let Some(value) = attribute.strip_prefix("ice-ufrag:") {
                one(&mut ufrag, value)?;
            } else if let Some(value) = attribute.strip_prefix("ice-pwd:") {
                one(&mut password, value)?;
            } else if attribute == "end-of-candidates" {
                fragment.is_last = true;
            } else if attribute.starts_with("candidate:") {
                if fragment.candidates.len() == CANDIDATES_MAX || attribute.len() > CANDIDATE_BYTES_MAX {
                    return Err(FragmentError::Candidates);
                }
                fragment.candidates.push(attribute.to_owned());
            }
        }
        fragment.credentials = match (ufrag, password) {
            (None, None) => None,
            (Some(ufrag), Some(password)) if is_credential(ufrag, 4) && is_credential(password, 22) => {
                Some(Credentials { ufrag: ufrag.to_owned(), password: password.to_owned() })
            }
            _ => return Err(FragmentError::Credentials),
        };
        let is_empty = fragment.credentials.is_none() && fragment.candidates.is_empty() && !fragment.is_last;
        if is_empty { Err(FragmentError::Empty) } else { Ok(fragment) }
    }
}

/// Bundled sections have one and the same.
fn one<'a>(slot: &mut Option<&'a str>, value: &'a str) -> Result<(), FragmentError> {
    match slot.replace(value) {
        Some(before) if before != value => Err(FragmentError::Credentials),
        _ => Ok(()),
    }
}

/// RFC 8839 §5.4: `ice-char`, so many of them to 256.
fn is_credential(text: &str, length_min: usize) -> bool {
    let is_ice_char = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    (length_min..=256).contains(&text.len()) && text.bytes().all(is_ice_char)
}

/// What the server answers to an ICE restart (RFC 9725 §4.3.3): its own new credentials and candidates, and what of its
/// answer belongs to ICE.
pub(super) fn of_answer(answer: &str, ufrag: &str, password: &str, candidates: &[String]) -> String {
    let mut lines: Vec<&str> = Vec::new();
    let mut sections = answer.split("\r\nm=");
    let session = sections.next().unwrap_or_default();
    let kept = ["a=ice-lite", "a=ice-options:", "a=group:BUNDLE"];
    lines.extend(session.lines().filter(|line| kept.iter().any(|start| line.starts_with(start))));
    // The first section that takes part stands for the transport.
    let first = sections.find(|section| section.split(' ').nth(1) != Some("0")).unwrap_or_default();
    let mut section = first.lines();
    let media = section.next().map(|line| format!("m={line}")).unwrap_or_default();
    let mid = section.find(|line| line.starts_with("a=mid:")).unwrap_or_default();
    let (ufrag, password) = (format!("a=ice-ufrag:{ufrag}"), format!("a=ice-pwd:{password}"));
    let candidates: Vec<String> = candidates.iter().map(|candidate| format!("a={candidate}")).collect();
    lines.extend([media.as_str(), mid, &ufrag, &password]);
    lines.extend(candidates.iter().map(String::as_str));
    lines.push("a=end-of-candidates");
    lines.iter().filter(|line| !line.is_empty()).map(|line| format!("{line}\r\n")).collect()
}

/// An answer that says that its candidates are all (RFC 9725 §4.3: the server trickles none).
pub(super) fn complete(answer: &str) -> String {
    let mut text = String::with_capacity(answer.len() + 32);
    let mut lines = answer.lines().peekable();
    while let Some(line) = lines.next() {
        text.push_str(line);
        text.push_str("\r\n");
        let is_last =
            line.starts_with("a=candidate:") && lines.peek().is_none_or(|next| !next.starts_with("a=candidate:"));
        if is_last && lines.peek() != Some(&"a=end-of-candidates") {
            text.push_str("a=end-of-candidates\r\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const USUAL: &str = "a=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:EsAw\r\n\
        a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\na=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\na=end-of-candidates\r\n";

    #[test]
    fn a_browsers_fragment_is_read() {
        let fragment = Fragment::parse(USUAL).expect("it is good");
        let credentials = fragment.credentials.expect("it has them");
        assert_eq!((credentials.ufrag.as_str(), credentials.password.len()), ("EsAw", 24));
        assert_eq!(fragment.candidates, ["candidate:1 1 udp 1 192.0.2.1 9 typ host"]);
        assert!(fragment.is_last);
        let bare = Fragment::parse("a=candidate:x\n").expect("a candidate alone will do");
        assert!(bare.credentials.is_none() && !bare.is_last);
    }

    #[test]
    fn what_is_no_fragment_is_refused() {
        let password = "a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n";
        for (text, expect) in [
            (String::new(), FragmentError::Empty),
            ("m=audio 9 RTP/AVP 0\r\n".to_owned(), FragmentError::Empty),
            ("{\"candidate\":1}".to_owned(), FragmentError::Line),
            ("a=candidate:\u{7}\r\n".to_owned(), FragmentError::Line),
            ("a=ice-ufrag:EsAw\r\n".to_owned(), FragmentError::Credentials),
            (format!("a=ice-ufrag:E:w\r\n{password}"), FragmentError::Credentials),
            (format!("a=ice-ufrag:Esa\r\n{password}"), FragmentError::Credentials),
            (format!("a=ice-ufrag:EsAw\r\na=ice-ufrag:EsAx\r\n{password}"), FragmentError::Credentials),
            ("a=candidate:1\r\n".repeat(CANDIDATES_MAX + 1), FragmentError::Candidates),
            (format!("a=candidate:{}\r\n", "1".repeat(CANDIDATE_BYTES_MAX)), FragmentError::Candidates),
        ] {
            assert_eq!(Fragment::parse(&text).expect_err("it is refused"), expect, "{text:?}");
        }
    }

    #[test]
    fn the_answer_to_a_restart_names_one_transport() {
        let answer = "v=0\r\ns=-\r\na=group:BUNDLE 1\r\na=ice-lite\r\nm=audio 0 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n\
            m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=ice-ufrag:old\r\n";
        let fragment = of_answer(answer, "newu", "newp", &["candidate:1".to_owned()]);
        assert_eq!(
            fragment,
            "a=group:BUNDLE 1\r\na=ice-lite\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\na=ice-ufrag:newu\r\n\
             a=ice-pwd:newp\r\na=candidate:1\r\na=end-of-candidates\r\n"
        );
    }

    #[test]
    fn an_answers_candidates_have_an_end() {
        let answer =
            "v=0\r\nm=audio 9 X 0\r\na=candidate:1\r\na=candidate:2\r\na=mid:0\r\nm=video 9 X 0\r\na=mid:1\r\n";
        let ended = answer.replace("a=candidate:2\r\n", "a=candidate:2\r\na=end-of-candidates\r\n");
        assert_eq!(complete(answer), ended);
        assert_eq!(complete(&ended), ended);
    }

    proptest! {
        #[test]
        fn no_text_panics(at in 0..USUAL.len(), text in "\\PC{0,20}|[\r\n\t\0]{0,3}") {
            let mut fragment = USUAL.to_owned();
            fragment.insert_str(at, &text);
            let _ = Fragment::parse(&fragment);
            let _ = of_answer(&fragment, "u", "p", &[]);
        }
    }
}
