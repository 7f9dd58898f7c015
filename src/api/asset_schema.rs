//! Assets as they go out, over REST and as events.
//!
//! In: the store's records, what is listed of an asset, how far its jobs are. Out: bodies. What only the owner may know
//! is left out for everybody else here, so that no handler forgets it.

use serde::Serialize;
use telstar_store::{Asset, AssetState};
use telstar_units::WallTime;
use utoipa::ToSchema;

use super::job_schema::{JobBody, JobFacts};
use super::rendition_schema::{RenditionBody, SourceBody, rendition_body, source_body};
use crate::addresses::Links;
use crate::vod::listings::Listing;

/// A video on demand.
#[derive(Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Asset)]
pub(super) struct AssetBody {
    /// Its name in addresses.
    #[schema(pattern = "^[a-z0-9]{22}$", example = "0a1b2c3d4e5f6g7h8j9kmn")]
    asset: String,
    /// Its title.
    title: String,
    /// `ready`: it can be watched from its beginning to its end.
    state: AssetStateBody,
    /// Something can be watched, and what is there grows until it is whole.
    pub(super) playable: bool,
    /// Whether whoever has the link may watch.
    open: bool,
    /// The origins whose pages may frame it; empty for whoever may not change it.
    embed_origins: Vec<String>,
    /// Bytes of the source.
    bytes: u64,
    /// Bytes of the source and of everything that was made of it.
    kept_bytes: u64,
    /// When it was made (RFC 3339).
    #[schema(format = "date-time")]
    created_at: String,
    /// When it could be watched from its beginning to its end (RFC 3339), or null.
    #[schema(format = "date-time")]
    ready_at: Option<String>,
    /// When anything of it changed last (RFC 3339).
    #[schema(format = "date-time")]
    updated_at: String,
    /// Why it failed, or why nothing is done for it now, for people, or null.
    #[schema(example = "the file has neither a picture nor sound")]
    problem: Option<String>,
    /// How far its jobs are that are not over, all alike: 0 to 1. Without any it is 1.
    #[schema(minimum = 0, maximum = 1)]
    progress: f64,
    /// Seconds until they are done, or null: known once every one of them is under way.
    eta_secs: Option<f64>,
    /// What the source is, or null until that is known.
    source: Option<SourceBody>,
    /// What can be watched of it.
    renditions: Vec<RenditionBody>,
    /// Where it is.
    links: AssetLinks,
}

/// How an asset is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = AssetState)]
pub(super) enum AssetStateBody {
    Processing,
    Ready,
    Failed,
}

/// Where an asset is: beginning with `public_url` where one is configured, else paths.
#[derive(Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = AssetLinks)]
pub(super) struct AssetLinks {
    /// Its page.
    page: String,
    /// The page that others may frame.
    embed: String,
    /// The multivariant playlist.
    playlist: String,
    /// The poster, or null while there is none.
    poster: Option<String>,
    /// The storyboard (WebVTT), or null while there is none.
    storyboard: Option<String>,
    /// The original, or null for whoever may not have it.
    source: Option<String>,
}

/// What a caller may know of an asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sight {
    /// It may change it, and so knows all of it.
    pub(super) changes: bool,
    /// It may have the original.
    pub(super) downloads: bool,
}

impl Sight {
    /// What the owner may know.
    pub(super) const OWNER: Sight = Sight { changes: true, downloads: true };
}

impl AssetBody {
    /// Nothing is done now.
    pub(super) fn waits_because(&mut self, standstill: Option<String>) {
        self.problem = self.problem.take().or(standstill);
    }
}

/// An asset's body, as far as the caller may know it.
pub(super) fn asset_body(asset: &Asset, listing: &Listing, jobs: &[JobBody], links: &Links, sight: Sight) -> AssetBody {
    let (progress, eta_secs) = outlook(jobs);
    let renditions = listing.offered().map(|one| rendition_body(one, listing.facts.as_ref())).collect();
    // What nobody is offered any more takes room until it goes.
    let media = listing.renditions.iter().map(|one| one.index.len());
    let images = listing.poster.iter().chain(&listing.storyboard).flat_map(|images| &images.images);
    let made: u64 = media.chain(images.map(|image| image.len)).sum();
    AssetBody {
        asset: asset.name.to_string(),
        title: asset.title.clone(),
        state: match asset.state {
            AssetState::Processing => AssetStateBody::Processing,
            AssetState::Ready => AssetStateBody::Ready,
            AssetState::Failed => AssetStateBody::Failed,
        },
        playable: listing.is_playable(),
        open: asset.open,
        embed_origins: if sight.changes { asset.embed_origins.clone() } else { Vec::new() },
        bytes: asset.source_len,
        kept_bytes: asset.source_len.saturating_add(made),
        created_at: asset.created_at.to_rfc3339_millis(),
        ready_at: asset.ready_at.map(WallTime::to_rfc3339_millis),
        updated_at: asset.updated_at.to_rfc3339_millis(),
        problem: words(&asset.problem),
        progress,
        eta_secs,
        source: listing.facts.as_ref().map(source_body),
        renditions,
        links: links_of(asset, listing, links, sight),
    }
}

/// How far the jobs are that are not over, and how long they take if every one of them is under way.
fn outlook(jobs: &[JobBody]) -> (f64, Option<f64>) {
    let open: Vec<&JobFacts> = jobs.iter().map(|job| &job.facts).filter(|job| job.state.is_to_be_done()).collect();
    if open.is_empty() {
        return (1.0, None);
    }
    let progress = open.iter().map(|job| job.progress).sum::<f64>() / open.len() as f64;
    let etas: Option<Vec<f64>> = open.iter().map(|job| job.eta_secs).collect();
    (progress, etas.map(|etas| etas.into_iter().fold(0.0, f64::max)))
}

fn links_of(asset: &Asset, listing: &Listing, links: &Links, sight: Sight) -> AssetLinks {
    let name = &asset.name;
    let media = |file: &str| links.located(&format!("/vod/{name}/{file}"));
    AssetLinks {
        page: links.located(&format!("/library/{name}")),
        embed: links.located(&format!("/embed/vod/{name}")),
        playlist: media("index.m3u8"),
        poster: listing.poster.as_ref().map(|_| media("poster.jpg")),
        storyboard: listing.storyboard.as_ref().map(|_| media("storyboard.vtt")),
        source: sight.downloads.then(|| media("source")),
    }
}

/// Of a record's text, if there is any.
pub(super) fn words(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use telstar_store::AssetId;
    use telstar_store::job::State;
    use telstar_units::{AccountId, AssetName, BlobName};

    use super::super::job_schema::job_body;
    use super::super::job_schema::tests::{NAME, leased, record};
    use super::*;
    use crate::addresses::Addresses;
    use crate::config::address::PublicUrl;

    fn asset() -> Asset {
        Asset {
            id: AssetId(1),
            name: AssetName::parse(NAME).expect("a name"),
            owner: AccountId(1),
            title: "Film".to_owned(),
            open: true,
            embed_origins: vec!["https://blog.example".to_owned()],
            state: AssetState::Processing,
            source: BlobName::parse(NAME).expect("a name"),
            source_len: 5,
            facts: String::new(),
            problem: String::new(),
            created_at: WallTime(0),
            ready_at: None,
            updated_at: WallTime(0),
        }
    }

    #[test]
    fn what_is_left_is_told_only_when_it_can_be_known() {
        for (share, secs, expect) in
            [(0.0, 60.0, None), (0.5, 1.0, None), (0.01, 60.0, None), (0.25, 10.0, Some(30.0)), (1.0, 10.0, Some(0.0))]
        {
            assert_eq!(leased(share, secs).facts.eta_secs, expect, "{share} after {secs} s");
        }
        let waiting = job_body(&record(State::Ready(WallTime(0)), ""), None);
        assert_eq!(outlook(&[leased(0.5, 10.0), waiting]), (0.25, None), "what waits may take any time");
        let done = job_body(&record(State::Done, ""), None);
        let failed = job_body(&record(State::Failed, "x"), None);
        assert_eq!(outlook(&[leased(0.5, 10.0), leased(0.25, 10.0), done.clone(), failed]), (0.375, Some(30.0)));
        assert_eq!(outlook(&[done]), (1.0, None));
    }

    #[test]
    fn whoever_only_watches_is_told_no_more_than_that_needs() {
        let links = Links::new(Addresses::default(), PublicUrl::Auto);
        let listing = Listing::default();
        let own = asset_body(&asset(), &listing, &[], &links, Sight::OWNER);
        assert_eq!(own.links.source.as_deref(), Some(&*format!("/vod/{NAME}/source")));
        assert_eq!((own.embed_origins.len(), own.playable, own.kept_bytes), (1, false, 5));
        let other = asset_body(&asset(), &listing, &[], &links, Sight { changes: false, downloads: false });
        assert_eq!((other.links.source, other.embed_origins.len()), (None, 0));
    }
}
