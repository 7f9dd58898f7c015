//! The session cookie (RFC 6265): how it is set, cleared and read.

use super::Secret;

/// Its name.
pub const SESSION_COOKIE: &str = "telstar_session";

/// The value of `Set-Cookie` that signs a browser in. `secure` under TLS: such a cookie never travels in the clear.
///
/// `HttpOnly`: no script reads it. `SameSite=Lax`: other sites' forms and frames do not carry it.
pub fn session_cookie(session: &Secret, lifetime_secs: i64, secure: bool) -> String {
    cookie(session.expose(), lifetime_secs, secure)
}

/// The value of `Set-Cookie` that signs a browser out.
pub fn clear_session_cookie(secure: bool) -> String {
    cookie("", 0, secure)
}

fn cookie(value: &str, max_age_secs: i64, secure: bool) -> String {
    let secure = if secure { "; Secure" } else { "" };
    format!("{SESSION_COOKIE}={value}; Path=/; Max-Age={max_age_secs}; HttpOnly; SameSite=Lax{secure}")
}

/// The session in the values of a request's `Cookie` headers (HTTP/2 may split them, RFC 9113 §8.2.3).
pub fn session_of<'a>(headers: impl IntoIterator<Item = &'a str>) -> Option<Secret> {
    let pairs = headers.into_iter().flat_map(|header| header.split(';'));
    let value = pairs.filter_map(|pair| pair.trim().split_once('=')).find(|(name, _)| *name == SESSION_COOKIE)?.1;
    (!value.is_empty()).then(|| Secret::new(value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_for_http_only_and_for_this_site() {
        let secret = Secret::new("abc".into());
        let set = "telstar_session=abc; Path=/; Max-Age=60; HttpOnly; SameSite=Lax";
        assert_eq!(session_cookie(&secret, 60, false), set);
        assert_eq!(session_cookie(&secret, 60, true), format!("{set}; Secure"));
        let clear = "telstar_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax";
        assert_eq!(clear_session_cookie(false), clear);
    }

    #[test]
    fn a_session_is_found_among_other_cookies() {
        for (headers, expect) in [
            (vec!["telstar_session=abc"], Some("abc")),
            (vec!["a=1; telstar_session=abc; b=2"], Some("abc")),
            (vec!["a=1", "telstar_session=abc"], Some("abc")),
            (vec!["xtelstar_session=abc"], None),
            (vec!["telstar_session="], None),
            (vec!["telstar_session"], None),
            (vec![], None),
        ] {
            let found = session_of(headers.iter().copied());
            assert_eq!(found.as_ref().map(Secret::expose), expect, "{headers:?}");
        }
    }
}
