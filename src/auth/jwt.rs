//! The one kind of JSON Web Token that Telstar signs and accepts: JWS compact serialisation, HS256.
//!
//! A closed profile of RFC 7515 and RFC 7519 instead of a general library: the algorithm is pinned, so there is none to
//! confuse; header fields that name keys (`jku`, `jwk`, `x5u`, `kid`) are never read, so there is nothing to fetch.
//! It knows no store and no clock; keys come from the caller, by issuer.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Deserializer, Serialize};
use sha2::Sha256;
use telstar_units::WallTime;

/// The longest token. A room token of ours has about 300 bytes; more would let a peer make us parse for nothing.
pub(super) const TOKEN_LEN_MAX: usize = 4_096;
/// How far two clocks may differ. More: a token lives that much longer than it says; less: tokens of a server whose
/// clock is a little ahead are refused. RFC 7519 §4.1.4 allows "some small leeway, usually no more than a few minutes".
pub(super) const LEEWAY_SECS: i64 = 30;
/// The longest `iss`, `sub` or `jti`.
pub(super) const NAME_LEN_MAX: usize = 256;

/// What a token is for: the header's `typ`. Explicit types keep one kind from being taken for the other (RFC 8725 §3.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    /// A room token. Common libraries write `JWT`, some nothing.
    Room,
    /// A playback token of a room.
    Playback,
    /// A playback token of an asset.
    AssetPlayback,
}

impl Type {
    fn name(self) -> &'static str {
        match self {
            Type::Room => "JWT",
            Type::Playback => "telstar-playback",
            Type::AssetPlayback => "telstar-asset-playback",
        }
    }
}

/// What a token says. Fields that are not here are ignored.
#[derive(Clone, Deserialize, Serialize)]
pub(super) struct Claims {
    /// The issuer: an API key's id, or `local` for this server's own tokens.
    pub(super) iss: String,
    /// Whom it is about.
    pub(super) sub: String,
    /// From when on it is no longer good. Required.
    #[serde(deserialize_with = "numeric_date")]
    pub(super) exp: i64,
    /// From when on it is good.
    #[serde(default, deserialize_with = "optional_numeric_date", skip_serializing_if = "Option::is_none")]
    pub(super) nbf: Option<i64>,
    /// Its own name, by which it can be denied. Required.
    pub(super) jti: String,
    /// The room that it opens. Every kind of token but one has it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) room: String,
    /// The asset that a playback token of an asset opens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) asset: Option<String>,
    /// The room's number, in this server's own tokens: a new room of an old name is a different room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) room_id: Option<i64>,
    /// What it allows there. A playback token always allows to watch, and nothing else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) grants: Vec<String>,
    /// What others in a call see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    /// The app's own words about its user, which others in a call get.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) metadata: Option<String>,
}

/// Why a token is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum JwtError {
    /// Not a token, or not one of this profile.
    #[error("not a token of the accepted form")]
    Malformed,
    /// Signed with another algorithm or not at all.
    #[error("not signed with HS256")]
    Algorithm,
    /// A token of another kind.
    #[error("a token of another kind")]
    WrongType,
    /// The signature is not the key's.
    #[error("the signature does not match")]
    Signature,
    /// Its end has passed.
    #[error("the token has expired")]
    Expired,
    /// Its beginning has not come.
    #[error("the token is not good yet")]
    NotYet,
}

#[derive(Serialize)]
struct HeaderOut {
    alg: &'static str,
    typ: &'static str,
}

#[derive(Deserialize)]
struct HeaderIn {
    alg: String,
    typ: Option<String>,
    // RFC 7515 §4.1.11: a token that says "must understand" what we do not understand is refused.
    #[serde(default)]
    crit: Option<serde_json::Value>,
}

/// Signs `claims`.
pub(super) fn sign(typ: Type, claims: &Claims, key: &[u8]) -> String {
    let header = HeaderOut { alg: "HS256", typ: typ.name() };
    let header = serde_json::to_vec(&header).expect("a struct of strings is JSON");
    let claims = serde_json::to_vec(claims).expect("a struct of strings and numbers is JSON");
    let mut token = format!("{}.{}", BASE64URL.encode(header), BASE64URL.encode(claims));
    let signature = mac(key, token.as_bytes()).finalize().into_bytes();
    token.push('.');
    token.push_str(&BASE64URL.encode(signature));
    token
}

/// A token that was taken apart and not yet believed.
pub(super) struct Unverified<'a> {
    typ: Option<String>,
    signed: &'a str,
    signature: Vec<u8>,
    claims: Claims,
}

/// Takes a token apart.
pub(super) fn parse(token: &str) -> Result<Unverified<'_>, JwtError> {
    if token.len() > TOKEN_LEN_MAX {
        return Err(JwtError::Malformed);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(JwtError::Malformed)?;
    let (header, claims) = signed.split_once('.').ok_or(JwtError::Malformed)?;
    // The strict decoder: no padding, no white space, no second spelling of the same bytes.
    let decode = |part: &str| BASE64URL.decode(part).map_err(|_| JwtError::Malformed);
    let header: HeaderIn = serde_json::from_slice(&decode(header)?).map_err(|_| JwtError::Malformed)?;
    // RFC 8725 §3.1: the algorithm is ours to choose, not the token's.
    if header.alg != "HS256" {
        return Err(JwtError::Algorithm);
    }
    if header.crit.is_some() {
        return Err(JwtError::Malformed);
    }
    let claims: Claims = serde_json::from_slice(&decode(claims)?).map_err(|_| JwtError::Malformed)?;
    let named = |name: &str| !name.is_empty() && name.len() <= NAME_LEN_MAX;
    if ![&claims.iss, &claims.sub, &claims.jti].into_iter().all(|name| named(name)) {
        return Err(JwtError::Malformed);
    }
    let token = Unverified { typ: header.typ, signed, signature: decode(signature)?, claims };
    // Each kind names the thing that it opens.
    let opens_its_kind = match token.typ() {
        Some(Type::Room | Type::Playback) => !token.claims.room.is_empty(),
        Some(Type::AssetPlayback) => token.claims.asset.is_some(),
        None => true,
    };
    if opens_its_kind { Ok(token) } else { Err(JwtError::Malformed) }
}

impl Unverified<'_> {
    /// What kind of token it says it is.
    pub(super) fn typ(&self) -> Option<Type> {
        match self.typ.as_deref() {
            // RFC 7515 §4.1.9: `application/` may be left out, and media types have no case.
            None => Some(Type::Room),
            Some(typ) => {
                let known = [Type::Room, Type::Playback, Type::AssetPlayback];
                known.into_iter().find(|known| typ.eq_ignore_ascii_case(known.name()))
            }
        }
    }

    /// Who it says signed it: by this the caller finds the key. Nothing else may be done with it before [`Self::verify`].
    pub(super) fn issuer(&self) -> &str {
        &self.claims.iss
    }

    /// Believes the token if `key` signed it, it is of this kind and good at `now`.
    pub(super) fn verify(self, typ: Type, key: &[u8], now: WallTime) -> Result<Claims, JwtError> {
        if self.typ() != Some(typ) {
            return Err(JwtError::WrongType);
        }
        // `verify_slice` compares in constant time, and refuses a signature that was cut short.
        mac(key, self.signed.as_bytes()).verify_slice(&self.signature).map_err(|_| JwtError::Signature)?;
        let now_secs = now.0.div_euclid(1_000_000);
        if now_secs >= self.claims.exp.saturating_add(LEEWAY_SECS) {
            return Err(JwtError::Expired);
        }
        if self.claims.nbf.is_some_and(|nbf| now_secs < nbf.saturating_sub(LEEWAY_SECS)) {
            return Err(JwtError::NotYet);
        }
        Ok(self.claims)
    }
}

fn mac(key: &[u8], signed: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
    mac.update(signed);
    mac
}

/// RFC 7519 §2: a NumericDate may have a fraction. It is cut off, which never makes a token live longer.
fn numeric_date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let secs = f64::deserialize(deserializer)?;
    // Beyond 2^53 seconds an f64 no longer counts them; such a date is a mistake or an attack.
    if !(0.0..=9.0e15).contains(&secs) {
        return Err(serde::de::Error::custom("not a date"));
    }
    Ok(secs.floor() as i64)
}

fn optional_numeric_date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    numeric_date(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

    fn claims() -> Claims {
        Claims {
            iss: "ak_1".into(),
            sub: "alice".into(),
            exp: 1_000,
            nbf: None,
            jti: "j".into(),
            room: "demo".into(),
            asset: None,
            room_id: None,
            grants: vec!["publish".into()],
            name: None,
            metadata: None,
        }
    }

    fn at(secs: i64) -> WallTime {
        WallTime(secs * 1_000_000)
    }

    /// A token of any header and claims, rightly signed.
    fn token(header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", BASE64URL.encode(header), BASE64URL.encode(claims));
        let signature = mac(KEY, signed.as_bytes()).finalize().into_bytes();
        format!("{signed}.{}", BASE64URL.encode(signature))
    }

    fn check(token: &str, typ: Type, now_secs: i64) -> Result<(), JwtError> {
        parse(token)?.verify(typ, KEY, at(now_secs)).map(|_| ())
    }

    const GOOD: &str = r#"{"iss":"ak_1","sub":"a","exp":1000,"jti":"j","room":"demo","grants":[]}"#;

    #[test]
    fn the_example_of_the_standard_is_signed_as_the_standard_says() {
        // RFC 7515 appendix A.1.
        let key = BASE64URL
            .decode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
            .expect("the standard's key");
        let signed = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
                      eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let signature = BASE64URL.encode(mac(&key, signed.as_bytes()).finalize().into_bytes());
        assert_eq!(signature, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    }

    #[test]
    fn what_was_signed_is_read_back() {
        for typ in [Type::Room, Type::Playback] {
            let token = sign(typ, &claims(), KEY);
            let read = parse(&token).and_then(|token| token.verify(typ, KEY, at(0)));
            let read = read.unwrap_or_else(|error| panic!("{error}"));
            assert_eq!((read.iss.as_str(), read.sub.as_str(), read.exp), ("ak_1", "alice", 1_000));
            assert_eq!((read.room.as_str(), read.grants), ("demo", vec!["publish".to_owned()]));
        }
    }

    #[test]
    fn a_header_cannot_choose_the_algorithm_or_the_key() {
        for (header, expect) in [
            (r#"{"alg":"HS256"}"#, Ok(())),
            (r#"{"alg":"HS256","typ":"jwt"}"#, Ok(())),
            (
                r#"{"alg":"HS256","typ":"JWT","kid":"../../dev/null","jku":"http://127.0.0.1/","x5u":"http://a/"}"#,
                Ok(()),
            ),
            (r#"{"alg":"HS256","jwk":{"kty":"oct","k":"AAAA"}}"#, Ok(())),
            (r#"{"alg":"none"}"#, Err(JwtError::Algorithm)),
            (r#"{"alg":"None"}"#, Err(JwtError::Algorithm)),
            (r#"{"alg":"hs256"}"#, Err(JwtError::Algorithm)),
            (r#"{"alg":"HS512"}"#, Err(JwtError::Algorithm)),
            (r#"{"alg":"RS256"}"#, Err(JwtError::Algorithm)),
            (r#"{"alg":"HS256","alg":"HS256"}"#, Err(JwtError::Malformed)),
            (r#"{"alg":"HS256","crit":["exp"]}"#, Err(JwtError::Malformed)),
            (r#"{"typ":"JWT"}"#, Err(JwtError::Malformed)),
            (r#"[]"#, Err(JwtError::Malformed)),
            (r#"{"alg":"HS256","typ":"telstar-playback"}"#, Err(JwtError::WrongType)),
            (r#"{"alg":"HS256","typ":"at+jwt"}"#, Err(JwtError::WrongType)),
        ] {
            assert_eq!(check(&token(header, GOOD), Type::Room, 0), expect, "{header}");
        }
    }

    #[test]
    fn a_room_token_is_no_playback_token() {
        for header in [r#"{"alg":"HS256"}"#, r#"{"alg":"HS256","typ":"JWT"}"#] {
            assert_eq!(check(&token(header, GOOD), Type::Playback, 0), Err(JwtError::WrongType));
        }
    }

    #[test]
    fn a_token_needs_its_claims() {
        let header = r#"{"alg":"HS256"}"#;
        for (claims, expect) in [
            (GOOD.to_owned(), Ok(())),
            (GOOD.replace("1000", "1000.75"), Ok(())),
            (GOOD.replace('}', r#","more":{"a":[1]}}"#), Ok(())),
            (GOOD.replace(r#""exp":1000,"#, ""), Err(JwtError::Malformed)),
            (GOOD.replace("1000", "null"), Err(JwtError::Malformed)),
            (GOOD.replace("1000", "\"1000\""), Err(JwtError::Malformed)),
            (GOOD.replace("1000", "-1"), Err(JwtError::Malformed)),
            (GOOD.replace("1000", "1e300"), Err(JwtError::Malformed)),
            (GOOD.replace(r#""jti":"j","#, ""), Err(JwtError::Malformed)),
            (GOOD.replace(r#""jti":"j""#, r#""jti":"""#), Err(JwtError::Malformed)),
            (GOOD.replace(r#""sub":"a","#, ""), Err(JwtError::Malformed)),
            (GOOD.replace(r#""sub":"a""#, &format!(r#""sub":"{}""#, "a".repeat(257))), Err(JwtError::Malformed)),
            (GOOD.replace(r#""room":"demo","#, ""), Err(JwtError::Malformed)),
            (GOOD.replace(r#""iss":"ak_1""#, r#""iss":"ak_1","iss":"ak_2""#), Err(JwtError::Malformed)),
        ] {
            assert_eq!(check(&token(header, &claims), Type::Room, 0), expect, "{claims}");
        }
    }

    #[test]
    fn a_token_is_good_from_nbf_to_exp_give_or_take_the_leeway() {
        let claims = Claims { nbf: Some(500), ..claims() };
        let token = sign(Type::Room, &claims, KEY);
        for (now, expect) in [
            (500 - LEEWAY_SECS - 1, Err(JwtError::NotYet)),
            (500 - LEEWAY_SECS, Ok(())),
            (1_000 + LEEWAY_SECS - 1, Ok(())),
            (1_000 + LEEWAY_SECS, Err(JwtError::Expired)),
        ] {
            assert_eq!(check(&token, Type::Room, now), expect, "at {now}");
        }
    }

    #[test]
    fn another_key_does_not_open_a_token() {
        let token = sign(Type::Room, &claims(), KEY);
        let parsed = parse(&token).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(parsed.verify(Type::Room, b"another key", at(0)).err(), Some(JwtError::Signature));
    }

    #[test]
    fn a_token_cut_or_changed_anywhere_is_refused() {
        let token = sign(Type::Room, &claims(), KEY);
        for end in 0..token.len() {
            assert!(check(&token[..end], Type::Room, 0).is_err(), "cut at {end}");
        }
        for (at, _) in token.char_indices() {
            let other = if &token[at..=at] == "A" { "B" } else { "A" };
            let changed = format!("{}{other}{}", &token[..at], &token[at + 1..]);
            assert!(check(&changed, Type::Room, 0).is_err(), "changed at {at}");
        }
        for more in
            [format!("{token}."), format!("{token}.x"), format!(".{token}"), format!("{token}="), format!(" {token}")]
        {
            assert!(check(&more, Type::Room, 0).is_err(), "{more}");
        }
        assert_eq!(check(&"a".repeat(TOKEN_LEN_MAX + 1), Type::Room, 0), Err(JwtError::Malformed));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,200}") {
            let _ = check(&text, Type::Room, 0);
        }

        #[test]
        fn no_claims_make_the_parser_panic(header in "\\PC{0,80}", claims in "\\PC{0,120}") {
            let _ = check(&token(&header, &claims), Type::Playback, 0);
        }
    }
}
