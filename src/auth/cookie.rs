//! The session cookie (RFC 6265): how it is set, cleared and read.

use super::Secret;

/// Its name on a connection that is not encrypted.
pub const SESSION_COOKIE: &str = "telstar_session";
/// Its name under TLS. Browsers take a cookie of this prefix only with `Secure`, for this very host and its whole path
/// (RFC 6265bis §4.1.3.2), so no neighbour can plant one. The two names keep out of each other's way: a browser lets no
/// `http:` page replace a `Secure` cookie of the same name, and ports do not tell cookies apart.
pub const SECURE_SESSION_COOKIE: &str = "__Host-telstar_session";

/// The value of `Set-Cookie` that signs a browser in. `secure` under TLS: such a cookie never travels in the clear.
///
/// `HttpOnly`: no script reads it. `SameSite=Lax`: other sites' forms and frames do not carry it.
pub fn session_cookie(session: &Secret, lifetime_secs: i64, secure: bool) -> String {
    cookie(session.expose(), lifetime_secs, secure)
}

/// The values of `Set-Cookie` that sign a browser out, under either name.
pub fn clear_session_cookies() -> [String; 2] {
    [cookie("", 0, true), cookie("", 0, false)]
}

fn cookie(value: &str, max_age_secs: i64, secure: bool) -> String {
    let (name, secure) = if secure { (SECURE_SESSION_COOKIE, "; Secure") } else { (SESSION_COOKIE, "") };
    format!("{name}={value}; Path=/; Max-Age={max_age_secs}; HttpOnly; SameSite=Lax{secure}")
}

/// The sessions in the values of a request's `Cookie` headers (HTTP/2 may split them, RFC 9113 §8.2.3), at most one of
/// each name. The one of TLS comes first; a browser may still show it when its session is over and the other is not.
pub fn sessions_of<'a>(headers: impl IntoIterator<Item = &'a str>) -> impl Iterator<Item = Secret> {
    let pairs = headers.into_iter().flat_map(|header| header.split(';'));
    let mut found = [None, None];
    for (name, value) in pairs.filter_map(|pair| pair.trim().split_once('=')) {
        for (slot, wanted) in found.iter_mut().zip([SECURE_SESSION_COOKIE, SESSION_COOKIE]) {
            if name == wanted && !value.is_empty() {
                slot.get_or_insert(value);
            }
        }
    }
    found.into_iter().flatten().map(|value| Secret::new(value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_for_http_only_and_for_this_site() {
        let secret = Secret::new("abc".into());
        let set = "telstar_session=abc; Path=/; Max-Age=60; HttpOnly; SameSite=Lax";
        assert_eq!(session_cookie(&secret, 60, false), set);
        assert_eq!(session_cookie(&secret, 60, true), format!("__Host-{set}; Secure"));
        let clear = "telstar_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax";
        assert_eq!(clear_session_cookies(), [format!("__Host-{clear}; Secure"), clear.to_owned()]);
    }

    #[test]
    fn a_session_is_found_among_other_cookies() {
        for (headers, expect) in [
            (vec!["telstar_session=abc"], vec!["abc"]),
            (vec!["a=1; telstar_session=abc; b=2"], vec!["abc"]),
            (vec!["a=1", "telstar_session=abc"], vec!["abc"]),
            (vec!["telstar_session=abc; __Host-telstar_session=def"], vec!["def", "abc"]),
            (vec!["telstar_session=abc; telstar_session=def"], vec!["abc"]),
            (vec!["xtelstar_session=abc"], vec![]),
            (vec!["telstar_session="], vec![]),
            (vec!["telstar_session"], vec![]),
            (vec![], vec![]),
        ] {
            let found: Vec<Secret> = sessions_of(headers.iter().copied()).collect();
            assert_eq!(found.iter().map(Secret::expose).collect::<Vec<_>>(), expect, "{headers:?}");
        }
    }
}
