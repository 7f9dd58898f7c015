//! The key file: 256 random bits, mode 0600, made at the first start and never again.
//!
//! Keys for each purpose are derived from it. The secrets of API keys and webhooks are sealed under one of them, because HMAC needs
//! the secret itself and the database alone should not reveal it. Whoever loses the file makes new API keys.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::secret::{NoRandomness, Secret, random_bytes, random_text};

const KEY_LEN: usize = 32;
/// AES-128's.
pub(super) const SEGMENT_KEY_LEN: usize = 16;
const NONCE_LEN: usize = 24;
const FILE_MODE: u32 = 0o600;
/// The key in base64url, a line end, and room to see that something else is in the file.
const FILE_LEN_MAX: u64 = 128;

type Key = Zeroizing<[u8; KEY_LEN]>;

/// Why the key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// Reading or writing failed.
    #[error("the key file {path} cannot be read or made: {error}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Others than the owner may read it.
    #[error("the key file {path} is open to other users (mode {mode:03o}): chmod 600 it", path = path.display())]
    OpenToOthers {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It holds something else.
    #[error("the key file {path} does not hold a key: restore it from a copy", path = path.display())]
    NotAKey {
        /// The file.
        path: PathBuf,
    },
    /// No random bytes.
    #[error(transparent)]
    Random(#[from] NoRandomness),
}

/// The keys derived from the file. The file's own key is not kept.
pub struct KeyFile {
    sealing: Key,
    playback: Key,
    guest: Key,
    asset_playback: Key,
    segments: Key,
}

impl KeyFile {
    /// Reads the file, or makes it if there is none. Of two programs that make it at once, both use the same key.
    pub fn open_or_create(path: &Path) -> Result<KeyFile, KeyFileError> {
        let io = |error| KeyFileError::Io { path: path.to_owned(), error };
        match File::open(path) {
            Ok(file) => KeyFile::read(path, file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                create(path)?;
                KeyFile::read(path, File::open(path).map_err(io)?)
            }
            Err(error) => Err(io(error)),
        }
    }

    fn read(path: &Path, file: File) -> Result<KeyFile, KeyFileError> {
        let io = |error| KeyFileError::Io { path: path.to_owned(), error };
        let metadata = file.metadata().map_err(io)?;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyFileError::OpenToOthers { path: path.to_owned(), mode });
        }
        let not_a_key = || KeyFileError::NotAKey { path: path.to_owned() };
        if metadata.len() > FILE_LEN_MAX {
            return Err(not_a_key());
        }
        let text = Zeroizing::new(io::read_to_string(file).map_err(io)?);
        let bytes = Zeroizing::new(BASE64URL.decode(text.trim_end()).map_err(|_| not_a_key())?);
        let key: Key = Zeroizing::new(bytes.as_slice().try_into().map_err(|_| not_a_key())?);
        Ok(KeyFile::from_key(&key))
    }

    fn from_key(key: &Key) -> KeyFile {
        KeyFile {
            sealing: derive(key, "telstar seal v1"),
            playback: derive(key, "telstar playback v1"),
            guest: derive(key, "telstar guest v1"),
            asset_playback: derive(key, "telstar asset playback v1"),
            segments: derive(key, "telstar segments v1"),
        }
    }

    /// A key of this process only, for tests and tries.
    pub fn ephemeral() -> Result<KeyFile, NoRandomness> {
        let mut key: Key = Zeroizing::new([0; KEY_LEN]);
        random_bytes(&mut *key)?;
        Ok(KeyFile::from_key(&key))
    }

    /// The key that signs this server's own playback tokens.
    pub(super) fn playback(&self) -> &[u8] {
        &*self.playback
    }

    /// The key that signs the room tokens of guests, who came with an invite.
    pub(super) fn guest(&self) -> &[u8] {
        &*self.guest
    }

    /// The key that signs this server's own playback tokens of assets.
    pub(super) fn asset_playback(&self) -> &[u8] {
        &*self.asset_playback
    }

    /// The key of the segments of one asset.
    pub(super) fn segment_key(&self, asset: &str) -> [u8; SEGMENT_KEY_LEN] {
        let whole = derive(&self.segments, asset);
        let mut key = [0; SEGMENT_KEY_LEN];
        key.copy_from_slice(&whole[..SEGMENT_KEY_LEN]);
        key
    }

    /// Seals the secret of the API key or the webhook `id`. It opens under the same id only, so rows cannot be swapped.
    pub(super) fn seal(&self, id: &str, secret: &Secret) -> Result<Vec<u8>, NoRandomness> {
        let mut nonce = [0; NONCE_LEN];
        random_bytes(&mut nonce)?;
        let payload = Payload { msg: secret.expose().as_bytes(), aad: id.as_bytes() };
        let sealed =
            self.cipher().encrypt(&nonce.into(), payload).expect("a secret is shorter than the cipher's limit");
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Opens what [`Self::seal`] made, or `None` if it was made under another key or id, or was changed.
    pub(super) fn open(&self, id: &str, sealed: &[u8]) -> Option<Secret> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce: [u8; NONCE_LEN] = nonce.try_into().ok()?;
        let opened = self.cipher().decrypt(&nonce.into(), Payload { msg: sealed, aad: id.as_bytes() }).ok()?;
        String::from_utf8(opened).ok().map(Secret::new)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&(*self.sealing).into())
    }
}

/// HKDF's expand step for one block (RFC 5869 §2.3); the file's key is uniform, so no extract step is needed.
fn derive(key: &Key, purpose: &str) -> Key {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key.as_slice()).expect("HMAC takes keys of every length");
    mac.update(purpose.as_bytes());
    mac.update(&[1]);
    Zeroizing::new(mac.finalize().into_bytes().into())
}

/// Writes a draft and links it to its name. A link, unlike a rename, fails when the name is taken: the other one's key
/// stands. After a crash the file is whole or not there.
fn create(path: &Path) -> Result<(), KeyFileError> {
    let mut key: Key = Zeroizing::new([0; KEY_LEN]);
    random_bytes(&mut *key)?;
    let text = Zeroizing::new(format!("{}\n", BASE64URL.encode(key.as_slice())));
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", *random_text(8)?));
    let draft = path.with_file_name(name);
    let written = write_draft(&draft, text.as_bytes()).and_then(|()| match fs::hard_link(&draft, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    });
    let removed = fs::remove_file(&draft);
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // The name is durable only after its folder is.
    written
        .and(removed)
        .and_then(|()| File::open(folder)?.sync_all())
        .map_err(|error| KeyFileError::Io { path: path.to_owned(), error })
}

fn write_draft(draft: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(draft)?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path) -> KeyFile {
        KeyFile::open_or_create(path).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn the_key_file_is_made_once_and_private() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("secret.key");
        let first = open(&path);
        assert_eq!(fs::metadata(&path).expect("made").permissions().mode() & 0o777, FILE_MODE);
        assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 1, "no draft stays behind");
        let again = open(&path);
        assert!(first.playback() == again.playback() && *first.sealing == *again.sealing);
        assert!(first.playback() != first.sealing.as_slice() && first.guest() == again.guest());
        assert!(first.guest() != first.sealing.as_slice() && first.guest() != first.playback());
        assert!(first.asset_playback() != first.playback() && first.asset_playback() != first.guest());
        assert!(first.segment_key("a") == again.segment_key("a") && first.segment_key("a") != first.segment_key("b"));
    }

    #[test]
    fn programs_that_make_the_key_file_at_once_share_one_key() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("secret.key");
        let threads: Vec<_> = (0..8)
            .map(|_| path.clone())
            .map(|path| std::thread::spawn(move || open(&path).playback().to_vec()))
            .collect();
        let keys: Vec<_> = threads.into_iter().map(|thread| thread.join().expect("no thread panics")).collect();
        assert!(keys.windows(2).all(|pair| pair[0] == pair[1]));
    }

    #[test]
    fn a_key_file_open_to_others_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("secret.key");
        open(&path);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("ours to change");
        let error = KeyFile::open_or_create(&path).err().expect("refused").to_string();
        assert!(error.contains("chmod 600") && error.contains("640"), "{error}");
    }

    #[test]
    fn a_key_file_with_something_else_in_it_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("secret.key");
        for content in ["", "hello", &"A".repeat(42), &"A".repeat(1_000)] {
            fs::write(&path, content).expect("writable");
            fs::set_permissions(&path, fs::Permissions::from_mode(FILE_MODE)).expect("ours to change");
            assert!(matches!(KeyFile::open_or_create(&path), Err(KeyFileError::NotAKey { .. })), "{content:?}");
            assert_eq!(fs::read_to_string(&path).expect("readable"), content);
        }
    }

    #[test]
    fn what_was_sealed_opens_under_its_own_key_and_id_only() {
        let (one, two) = (KeyFile::ephemeral().expect("randomness"), KeyFile::ephemeral().expect("randomness"));
        let secret = Secret::new("the secret".into());
        let sealed = one.seal("ak_1", &secret).expect("randomness");
        assert!(one.open("ak_1", &sealed).is_some_and(|opened| opened.expose() == "the secret"));
        assert!(one.open("ak_2", &sealed).is_none());
        assert!(two.open("ak_1", &sealed).is_none());
        assert!(!sealed.windows(10).any(|window| window == b"the secret"));
        assert!(sealed != one.seal("ak_1", &secret).expect("randomness"), "every sealing has its own nonce");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(one.open("ak_1", &changed).is_none(), "changed at {at}");
            assert!(one.open("ak_1", &sealed[..at]).is_none(), "cut at {at}");
        }
    }
}
