//! The data folder: made at the first start, then opened by the server and by the other commands alike.
//!
//! In: the configuration. Out: the store and the authority over it. What only the first start can tell comes beside it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use telstar_store::{NewRoom, RoomMode, SqliteStore, Store, StoreError};
use telstar_units::{RoomName, WallTime};

use crate::auth::{AuthError, Authority, KeyFile, KeyFileError, Started};
use crate::files;

/// The database.
const DATABASE_FILE: &str = "telstar.db";
/// The key at the root of all others.
const KEY_FILE: &str = "secret.key";
/// The room that the first start makes.
pub const FIRST_ROOM: &str = "demo";

/// Why the data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The folder cannot be made.
    #[error("the data folder {} cannot be made: {source}; choose another with --data DIR", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is no data yet, and this command makes none.
    #[error("{} holds no Telstar data: start the server first, or name its folder with --data DIR", path.display())]
    NotThere {
        /// Which.
        path: PathBuf,
    },
    /// The key file cannot be used.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The database cannot be opened.
    #[error("{}: {source}", path.display())]
    Store {
        /// Which file.
        path: PathBuf,
        /// What the store said.
        source: StoreError,
    },
    /// The first records cannot be made.
    #[error(transparent)]
    Auth(#[from] AuthError),
}

/// What the data folder holds.
pub struct Data {
    /// Durable records.
    pub store: Arc<dyn Store>,
    /// Who may do what.
    pub authority: Arc<Authority>,
}

impl Data {
    /// Opens the folder, making it and what belongs in it. Touches the disk, so it must not run on the event loop.
    pub fn open_or_create(folder: &Path) -> Result<Data, DataError> {
        files::create_private_folder(folder).map_err(|source| DataError::Folder { path: folder.into(), source })?;
        let keys = KeyFile::open_or_create(&folder.join(KEY_FILE))?;
        let path = folder.join(DATABASE_FILE);
        let store = SqliteStore::open(&path).map_err(|source| DataError::Store { path, source })?;
        let store: Arc<dyn Store> = Arc::new(store);
        let authority = Arc::new(Authority::new(Arc::clone(&store), keys, Arc::new(wall_now)));
        Ok(Data { store, authority })
    }

    /// Opens a folder that a server has made, perhaps one that runs now.
    pub fn open(folder: &Path) -> Result<Data, DataError> {
        if !folder.join(DATABASE_FILE).exists() {
            return Err(DataError::NotThere { path: folder.into() });
        }
        Data::open_or_create(folder)
    }

    /// Counts this run of the server; the number is never given out again.
    pub async fn begin_run(&self) -> Result<u64, DataError> {
        Ok(self.store.begin_run(wall_now()).await.map_err(AuthError::from)?)
    }

    /// Makes the first account and the room `demo`, unless they are there.
    pub async fn start(&self) -> Result<Started, DataError> {
        let name = RoomName::parse(FIRST_ROOM).expect("the first room's name is a room name");
        let room = NewRoom { name, title: "Demo".to_owned(), open: true, mode: RoomMode::Sfu };
        Ok(self.authority.start(room).await?)
    }
}

/// The calendar time.
pub fn wall_now() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallTime(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
