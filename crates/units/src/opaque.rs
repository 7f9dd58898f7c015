//! Names that say nothing: what stands in the addresses of assets and uploads, and on disk.

use std::fmt;
use std::sync::Arc;

/// Characters of an opaque name: 110 bits in an alphabet of 32, so that none is guessed or drawn twice.
pub const OPAQUE_NAME_LEN: usize = 22;

/// Why a text is no opaque name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a name of this server")]
pub struct OpaqueNameError;

macro_rules! opaque {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks a name that came from outside: lower case letters and digits, of one length. It can stand in any path.
            pub fn parse(text: &str) -> Result<$name, OpaqueNameError> {
                let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
                if text.len() != OPAQUE_NAME_LEN || !text.bytes().all(allowed) {
                    return Err(OpaqueNameError);
                }
                Ok($name(text.into()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    };
}

opaque! {
    /// An asset's name, in its addresses.
    AssetName
}
opaque! {
    /// An upload's name, in its address.
    UploadName
}
opaque! {
    /// A blob's name, in the blob store.
    BlobName
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_stand_in_any_path() {
        let good = "0123456789abcdefghijkm";
        assert_eq!(AssetName::parse(good).map(|name| name.to_string()), Ok(good.to_owned()));
        for wrong in [
            "",
            "..",
            "0123456789abcdefghijk",
            "0123456789abcdefghijkmn",
            "0123456789abcdefghij/m",
            "0123456789Abcdefghijkm",
        ] {
            assert_eq!(BlobName::parse(wrong), Err(OpaqueNameError), "{wrong}");
        }
    }
}
