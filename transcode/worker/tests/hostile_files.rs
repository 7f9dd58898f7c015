//! Files that are made to hurt: each ends as an asset or in words, soon, and within the memory that a worker has. What each took is
//! printed; with TELSTAR_RESULTS set it is written there as well, and with
//! TELSTAR_ATTACKS, a folder, the files are.

mod support;

#[path = "hostile_files/attack.rs"]
mod attack;
#[path = "hostile_files/broken.rs"]
mod broken;
#[path = "hostile_files/indexes.rs"]
mod indexes;
#[path = "hostile_files/playlists.rs"]
mod playlists;
#[path = "hostile_files/streams.rs"]
mod streams;
#[path = "hostile_files/texts.rs"]
mod texts;
#[path = "hostile_files/tracks.rs"]
mod tracks;
