//! What can be watched of each asset: renditions that are committed, and segments of one that is being made.
//!
//! In: the store's records, and what attempts tell. Out: an immutable listing that requests read. Nothing here knows
//! HTTP.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use telstar_hls::vod::{Label, VodKind, VodPicture, VodRendition, VodSegment};
use telstar_store::{Asset, JobId, RenditionRecord, Store, StoreError};
use telstar_transcode::file::{Index, Output, Rendition, RenditionKind, Source, Storyboard};
use telstar_transcode::plan::FIRST_SUFFIX;
use telstar_units::{AssetName, BlobName};
use tokio::sync::watch;

use super::jobs::records::{Facts, KeptImage, KeptIndex, POSTER, STORYBOARD};
use super::labels::{sound_names, subtitle_names};
use super::serve::{ListingTexts, RenditionTexts, VERSION_PARAMETER, version_of};

/// Listings that are kept in memory; others are read again. Each is some 100 KiB for an hour of video.
const KEPT_MAX: usize = 512;
/// Whether somebody may watch is looked at again after so long, in case it was changed by whoever did not say so here.
/// Longer spares the store a look for each segment; shorter closes an asset sooner.
const KEPT_FOR: Duration = Duration::from_secs(1);

/// A rendition as requests need it.
#[derive(Clone, Debug)]
pub struct Listed {
    /// What its address says.
    pub name: String,
    /// How it was made.
    pub output: Output,
    /// Where its bytes are.
    pub blob: BlobName,
    /// What players load first.
    pub init: Bytes,
    /// What it is.
    pub rendition: Rendition,
    /// What is where.
    pub index: Index,
    /// There is no more to come.
    pub is_whole: bool,
    /// Its playlists, once somebody asked for them.
    pub playlists: RenditionTexts,
}

/// Images of an asset.
#[derive(Clone, Debug)]
pub struct ListedImages {
    /// Where they are.
    pub blob: BlobName,
    /// What is where.
    pub images: Vec<KeptImage>,
    /// How a storyboard's sheets are laid out.
    pub layout: Option<Storyboard>,
}

/// What can be watched of an asset.
#[derive(Debug, Default)]
pub struct Listing {
    /// What is known of its source.
    pub facts: Option<Facts>,
    /// Its renditions, by name.
    pub renditions: Vec<Arc<Listed>>,
    /// Its poster.
    pub poster: Option<ListedImages>,
    /// Its storyboard.
    pub storyboard: Option<ListedImages>,
    /// What is written of all of it, once somebody asked for it.
    pub texts: ListingTexts,
}

/// What is committed of an asset, as it was read.
struct Kept {
    used: u64,
    read_at: Instant,
    asset: Arc<Asset>,
    listing: Arc<Listing>,
}

/// What is live of an asset: the job that makes it, and what there is.
#[derive(Default)]
struct Live {
    job: Option<JobId>,
    renditions: Vec<Arc<Listed>>,
    progress: HashMap<JobId, u16>,
    /// What is committed, and the same with what is live: until either changes.
    merged: Option<(Arc<Listing>, Arc<Listing>)>,
}

#[derive(Default)]
struct State {
    kept: HashMap<AssetName, Kept>,
    /// As many as there are jobs under way.
    live: HashMap<AssetName, Live>,
    uses: u64,
}

/// The listings of all assets. Cheap to clone.
#[derive(Clone)]
pub struct Listings {
    store: Arc<dyn Store>,
    state: Arc<Mutex<State>>,
    changes: watch::Sender<u64>,
}

impl Listings {
    /// Of what is in `store`.
    pub fn new(store: Arc<dyn Store>) -> Listings {
        Listings { store, state: Arc::default(), changes: watch::Sender::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes whenever anything of any asset does.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn tell(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// What can be watched of `asset` now.
    pub async fn of(&self, asset: &Asset) -> Result<Arc<Listing>, StoreError> {
        Ok(self.find(&asset.name).await?.map(|(_, listing)| listing).unwrap_or_default())
    }

    /// An asset, and what can be watched of it now. Costs the store nothing while it is looked at often.
    pub async fn find(&self, name: &AssetName) -> Result<Option<(Arc<Asset>, Arc<Listing>)>, StoreError> {
        let now = Instant::now();
        let kept = {
            let mut state = self.lock();
            state.uses += 1;
            let uses = state.uses;
            state.kept.get_mut(name).map(|kept| {
                kept.used = uses;
                (Arc::clone(&kept.asset), Arc::clone(&kept.listing), kept.read_at)
            })
        };
        let (asset, listing) = match kept {
            Some((asset, listing, read_at)) if now.saturating_duration_since(read_at) < KEPT_FOR => (asset, listing),
            kept => match self.read(name, kept.map(|(asset, listing, _)| (asset, listing)), now).await? {
                Some(read) => read,
                None => return Ok(None),
            },
        };
        let merged = self.with_live(name, listing);
        Ok(Some((asset, merged)))
    }

    /// Reads it again; if nothing of the asset has changed, what is committed of it is what it was.
    async fn read(
        &self,
        name: &AssetName,
        known: Option<(Arc<Asset>, Arc<Listing>)>,
        now: Instant,
    ) -> Result<Option<(Arc<Asset>, Arc<Listing>)>, StoreError> {
        let before = *self.changes.borrow();
        let Some(asset) = self.store.asset(name.clone()).await? else { return Ok(None) };
        let listing = match known {
            Some((known, listing)) if *known == asset => listing,
            _ => match self.store.renditions(name.clone()).await {
                Ok(records) => Arc::new(listing_of(&asset, records)),
                Err(StoreError::NotFound(_)) => return Ok(None),
                Err(error) => return Err(error),
            },
        };
        let asset = Arc::new(asset);
        let mut state = self.lock();
        // What changed meanwhile may not be in it.
        if *self.changes.borrow() == before {
            if state.kept.len() >= KEPT_MAX && !state.kept.contains_key(name) {
                let oldest = state.kept.iter().min_by_key(|(_, kept)| kept.used).map(|(name, _)| name.clone());
                oldest.iter().for_each(|name| drop(state.kept.remove(name)));
            }
            let (used, asset, listing) = (state.uses, Arc::clone(&asset), Arc::clone(&listing));
            state.kept.insert(name.clone(), Kept { used, read_at: now, asset, listing });
        }
        Ok(Some((asset, listing)))
    }

    /// What is committed, with what is being made beside it.
    fn with_live(&self, name: &AssetName, kept: Arc<Listing>) -> Arc<Listing> {
        let mut state = self.lock();
        let Some(live) = state.live.get_mut(name).filter(|live| !live.renditions.is_empty()) else { return kept };
        if let Some((base, merged)) = &live.merged
            && Arc::ptr_eq(base, &kept)
        {
            return Arc::clone(merged);
        }
        // What is committed is whole, and counts before what is being made anew.
        let mut renditions = kept.renditions.clone();
        for one in &live.renditions {
            if !renditions.iter().any(|known| known.name == one.name) {
                renditions.push(Arc::clone(one));
            }
        }
        let merged = Arc::new(Listing {
            facts: kept.facts.clone(),
            renditions,
            poster: kept.poster.clone(),
            storyboard: kept.storyboard.clone(),
            texts: ListingTexts::default(),
        });
        live.merged = Some((kept, Arc::clone(&merged)));
        merged
    }

    /// Something of an asset is not what it was.
    pub fn changed(&self, asset: &AssetName) {
        self.lock().kept.remove(asset);
        self.tell();
    }

    /// A rendition has grown that a job makes.
    pub fn list_live(&self, asset: &Asset, job: JobId, listed: Listed) {
        {
            let mut state = self.lock();
            let live = state.live.entry(asset.name.clone()).or_default();
            if live.job != Some(job) {
                live.job = Some(job);
                live.renditions.clear();
            }
            live.merged = None;
            let listed = Arc::new(listed);
            match live.renditions.iter_mut().find(|known| known.name == listed.name) {
                Some(known) => *known = listed,
                None => live.renditions.push(listed),
            }
        }
        self.tell();
    }

    /// How far a job is, of 10,000.
    pub fn progress(&self, asset: &AssetName, job: JobId, share: u16) {
        self.lock().live.entry(asset.clone()).or_default().progress.insert(job, share);
        self.tell();
    }

    /// How far a job is, if it said so in this run.
    pub fn progress_of(&self, asset: &AssetName, job: JobId) -> Option<u16> {
        self.lock().live.get(asset)?.progress.get(&job).copied()
    }

    /// An attempt has ended: what it made is committed, or gone.
    pub fn end_live(&self, asset: &AssetName, job: JobId) {
        let mut state = self.lock();
        let Some(live) = state.live.get_mut(asset) else { return };
        live.progress.remove(&job);
        if live.job == Some(job) {
            live.job = None;
            live.renditions.clear();
            live.merged = None;
        }
        if live.job.is_none() && live.progress.is_empty() {
            state.live.remove(asset);
        }
    }
}

/// The listing of what is committed. A record that cannot be read is left out: it is of another version, and can be
/// made anew.
fn listing_of(asset: &Asset, records: Vec<RenditionRecord>) -> Listing {
    let mut listing = Listing { facts: serde_json::from_str(&asset.facts).ok(), ..Listing::default() };
    for record in records {
        if record.name == POSTER || record.name == STORYBOARD {
            let Ok(images) = postcard::from_bytes(&record.index) else { continue };
            let layout = serde_json::from_str(&record.facts).ok();
            let images = Some(ListedImages { blob: record.blob, images, layout });
            if record.name == POSTER {
                listing.poster = images
            } else {
                listing.storyboard = images
            }
            continue;
        }
        let (Ok(kept), Ok(output)) =
            (postcard::from_bytes::<KeptIndex>(&record.index), serde_json::from_str(&record.facts))
        else {
            continue;
        };
        listing.renditions.push(Arc::new(Listed {
            name: record.name,
            output,
            blob: record.blob,
            init: kept.init.into(),
            rendition: kept.rendition,
            index: kept.index,
            is_whole: true,
            playlists: RenditionTexts::default(),
        }));
    }
    listing
}

impl Listing {
    /// A rendition by the name in its address.
    pub fn rendition(&self, name: &str) -> Option<&Arc<Listed>> {
        self.renditions.iter().find(|one| one.name == name)
    }

    /// Something can be played.
    pub fn is_playable(&self) -> bool {
        let has = |wanted: fn(&RenditionKind) -> bool| {
            self.renditions.iter().any(|one| wanted(&one.rendition.kind) && !one.index.is_empty())
        };
        let needs_picture = self.facts.as_ref().is_some_and(|facts| facts.source.video.is_some());
        let needs_sound = self.facts.as_ref().is_some_and(|facts| !facts.source.audio.is_empty());
        self.facts.is_some()
            && (!needs_picture || has(|kind| matches!(kind, RenditionKind::Video { .. })))
            && (!needs_sound || has(|kind| matches!(kind, RenditionKind::Audio { .. })))
    }

    /// What is offered: a sound track as it came only until that of even loudness is there. Whoever plays it by then
    /// goes on with it, so that it is there for some time still.
    pub fn offered(&self) -> impl Iterator<Item = &Arc<Listed>> {
        self.renditions.iter().filter(|one| {
            let better = one.name.strip_suffix(FIRST_SUFFIX);
            better.and_then(|better| self.rendition(better)).is_none_or(|better| better.index.is_empty())
        })
    }

    /// What the multivariant playlist is made of.
    pub fn playable(&self) -> Vec<VodRendition> {
        let Some(facts) = &self.facts else { return Vec::new() };
        self.offered().filter_map(|one| as_playlist(one, &facts.source)).collect()
    }
}

/// A rendition as its playlists need it.
pub fn as_playlist(one: &Listed, source: &Source) -> Option<VodRendition> {
    let hz = f64::from(one.rendition.timescale.max(1));
    let segments = one.index.segments().iter().map(|segment| VodSegment {
        secs: segment.duration as f64 / hz,
        len: segment.len,
        pictures: segment
            .keys
            .iter()
            .map(|key| VodPicture {
                offset: key.offset,
                len: key.len,
                at_secs: (key.start - segment.start) as f64 / hz,
            })
            .collect(),
    });
    let kind = match one.rendition.kind {
        RenditionKind::Video { width, height, fps_millis } => {
            let is_copy = matches!(one.output, Output::CopyVideo { .. });
            let range = (is_copy && source.video.as_ref().is_some_and(|video| video.hdr)).then_some("PQ");
            VodKind::Video { width, height, fps: f64::from(fps_millis) / 1_000.0, range }
        }
        RenditionKind::Audio { channels, .. } => {
            let (Output::CopyAudio { stream } | Output::Audio { stream, .. }) = one.output else { return None };
            let place = source.audio.iter().position(|audio| audio.stream == stream)?;
            let (name, language) = (sound_names(source).swap_remove(place), source.audio[place].language.clone());
            VodKind::Audio { channels, label: Label { name, language, is_default: place == 0 } }
        }
        RenditionKind::Subtitles => {
            let Output::Subtitles { stream } = one.output else { return None };
            let place = source.subtitles.iter().position(|text| text.stream == stream)?;
            let text = &source.subtitles[place];
            let (name, language) = (subtitle_names(source).swap_remove(place), text.language.clone());
            let label = Label { name, language, is_default: false };
            VodKind::Subtitles { label, forced: text.forced, hearing_impaired: text.hearing_impaired }
        }
    };
    Some(VodRendition {
        name: one.name.clone(),
        query: format!("?{VERSION_PARAMETER}={}", version_of(one)),
        codecs: one.rendition.codecs.clone(),
        kind,
        segments: segments.collect(),
        is_whole: one.is_whole,
    })
}
