//! Opaque secrets: stream keys, API tokens, sign-in codes and session cookies.
//!
//! Each is a prefix, a locator and a random part. The locator is public: the store finds the record by it, so that no
//! look-up compares the random part. What is compared is the SHA-256 of the whole, in constant time. The random part has
//! 130 bits, so it cannot be guessed and needs no slow hash.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use telstar_store::SecretHash;
use zeroize::Zeroizing;

/// A text that opens something. It has no `Debug` and no `Display`, so it cannot get into a log by accident, and it is
/// wiped from memory when it is dropped.
///
/// ```compile_fail
/// println!("{:?}", telstar::auth::Secret::new("sk_1".into()));
/// ```
/// ```compile_fail
/// println!("{}", telstar::auth::Secret::new("sk_1".into()));
/// ```
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps a text that came from outside.
    pub fn new(text: String) -> Secret {
        Secret(Zeroizing::new(text))
    }

    /// The text, for the one place that hands it to its holder.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What the store keeps.
    pub fn hash(&self) -> SecretHash {
        SecretHash(Sha256::digest(self.0.as_bytes()).into())
    }

    /// Whether this is the secret of a kept hash, in a time that depends on neither.
    pub fn matches(&self, kept: &SecretHash) -> bool {
        self.hash().0.ct_eq(&kept.0).into()
    }
}

/// The alphabet of locators and random parts: lower case without the look-alikes `i l o u`, so that a key can be read
/// to somebody who types it into a hardware encoder (Crockford's base 32).
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const BITS_PER_CHARACTER: usize = 5;
/// 40 bits: two of a million keys are alike with a chance of one in two, and the store then refuses the second.
const LOCATOR_CHARACTERS: usize = 8;
const RANDOM_CHARACTERS: usize = 26;
/// Characters of the locator that a hint shows.
const HINT_CHARACTERS: usize = 4;

const _: () = assert!(RANDOM_CHARACTERS * BITS_PER_CHARACTER >= 128, "a secret has at least 128 random bits");
const _: () = assert!(ALPHABET.len() == 1 << BITS_PER_CHARACTER, "every character carries whole bits");
const _: () = assert!(HINT_CHARACTERS < LOCATOR_CHARACTERS, "a hint shows nothing of the random part");

/// What kind of opaque secret. The prefix tells kinds apart, and lets scanners find leaked ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    StreamKey,
    ApiToken,
    SignInCode,
    Session,
    Invite,
}

impl Kind {
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Kind::StreamKey => "sk_",
            Kind::ApiToken => "tst_",
            Kind::Invite => "inv_",
            Kind::SignInCode | Kind::Session => "",
        }
    }
}

/// Why no random bytes came. The operating system always has some after it has started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random bytes")]
pub struct NoRandomness;

/// A new secret with what the store needs of it.
pub(super) struct Opaque {
    pub(super) secret: Secret,
    pub(super) locator: String,
}

impl Opaque {
    /// Draws one from the operating system's generator.
    pub(super) fn draw(kind: Kind) -> Result<Opaque, NoRandomness> {
        let drawn = random_text(LOCATOR_CHARACTERS + RANDOM_CHARACTERS)?;
        let locator = drawn[..LOCATOR_CHARACTERS].to_owned();
        Ok(Opaque { secret: Secret::new(format!("{}{}", kind.prefix(), *drawn)), locator })
    }

    /// The beginning of the secret, by which its owner recognises it.
    pub(super) fn hint(&self, kind: Kind) -> String {
        format!("{}{}…", kind.prefix(), &self.locator[..HINT_CHARACTERS])
    }
}

/// The locator of a secret, or `None` when it does not even look like one of this kind.
pub(super) fn locator_of(kind: Kind, secret: &Secret) -> Option<String> {
    let rest = secret.expose().strip_prefix(kind.prefix())?;
    let whole = rest.len() == LOCATOR_CHARACTERS + RANDOM_CHARACTERS && rest.bytes().all(|b| ALPHABET.contains(&b));
    whole.then(|| rest[..LOCATOR_CHARACTERS].to_owned())
}

/// `characters` random characters of the alphabet.
pub fn random_text(characters: usize) -> Result<Zeroizing<String>, NoRandomness> {
    let mut bytes = Zeroizing::new(vec![0; characters]);
    random_bytes(&mut bytes)?;
    // 256 is a multiple of 32, so every character is as likely as any other.
    Ok(Zeroizing::new(bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect()))
}

/// Fills `bytes` from the operating system's generator.
pub(super) fn random_bytes(bytes: &mut [u8]) -> Result<(), NoRandomness> {
    getrandom::fill(bytes).map_err(|_| NoRandomness)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn draw(kind: Kind) -> Opaque {
        Opaque::draw(kind).expect("tests run on a system with randomness")
    }

    #[test]
    fn a_secret_matches_its_own_hash_only() {
        let (one, two) = (draw(Kind::StreamKey), draw(Kind::StreamKey));
        assert!(one.secret.matches(&one.secret.hash()));
        assert!(!one.secret.matches(&two.secret.hash()));
    }

    #[test]
    fn a_secret_is_found_by_its_locator_and_kind() {
        for kind in [Kind::StreamKey, Kind::ApiToken, Kind::SignInCode, Kind::Session, Kind::Invite] {
            let drawn = draw(kind);
            assert_eq!(locator_of(kind, &drawn.secret).as_deref(), Some(drawn.locator.as_str()));
        }
        assert_eq!(locator_of(Kind::ApiToken, &draw(Kind::StreamKey).secret), None);
    }

    #[test]
    fn what_is_no_secret_has_no_locator() {
        let good = draw(Kind::StreamKey).secret.expose().to_owned();
        for bad in
            ["", "sk_", &good[3..], &good[..good.len() - 1], &format!("{good}0"), &good.to_uppercase(), "sk_회의실"]
        {
            assert_eq!(locator_of(Kind::StreamKey, &Secret::new(bad.into())), None, "{bad:?}");
        }
    }

    #[test]
    fn a_hint_shows_nothing_of_the_random_part() {
        let drawn = draw(Kind::StreamKey);
        let hint = drawn.hint(Kind::StreamKey);
        let shown = hint.strip_suffix('…').expect("a hint ends in an ellipsis");
        assert!(drawn.secret.expose().starts_with(shown) && shown.len() < "sk_".len() + LOCATOR_CHARACTERS);
    }

    #[test]
    fn no_two_draws_are_alike() {
        let drawn: HashSet<String> = (0..1_000).map(|_| draw(Kind::Session).secret.expose().to_owned()).collect();
        assert_eq!(drawn.len(), 1_000);
    }
}
