//! Which asset a request is about, and whether its caller may have what it asks for.

use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use telstar_store::Asset;
use telstar_units::AssetName;

use super::Sender;
use crate::api::error::Problem;
use crate::auth::{Action, AssetFacts, Caller, Credential, Secret, Subject, authorise};
use crate::client::Client;
use crate::door::{TOKEN_PARAMETER, authenticate, caller_of, permit, playback_token_of};
use crate::state::AppState;
use crate::vod::listings::Listing;

/// A request of a caller who may have what it is about.
pub(super) struct Viewing {
    pub(super) state: AppState,
    pub(super) sender: Arc<Sender>,
    /// What it is about.
    pub(super) asset: Arc<Asset>,
    /// What there is of it.
    pub(super) listing: Arc<Listing>,
    /// The answer is for this caller only: shared caches keep it from others.
    pub(super) is_private: bool,
    pub(super) headers: HeaderMap,
    /// What the query says of the version of a rendition.
    pub(super) version: Option<String>,
    /// `t=TOKEN`, for child addresses.
    child_query: Option<String>,
    params: RawPathParams,
}

/// Extracting it is being admitted to watch.
pub(super) struct Watching(pub(super) Viewing);

/// Extracting it is being admitted to the source.
pub(super) struct Downloading(pub(super) Viewing);

impl FromRequestParts<AppState> for Watching {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Watching, Problem> {
        Viewing::admit(parts, state, Action::WatchAsset).await.map(Watching)
    }
}

impl FromRequestParts<AppState> for Downloading {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Downloading, Problem> {
        Viewing::admit(parts, state, Action::DownloadAsset).await.map(Downloading)
    }
}

impl Viewing {
    /// Finds the asset and asks whether the caller may. An open asset costs neither the store nor a signature.
    async fn admit(parts: &mut Parts, state: &AppState, action: Action) -> Result<Viewing, Problem> {
        let sender = parts.extensions.get::<Arc<Sender>>().cloned().expect("the router of assets adds it");
        let client = Client::from_request_parts(parts, state).await?;
        let params = RawPathParams::from_request_parts(parts, state).await.map_err(|_| Problem::not_found("asset"))?;
        let found = match AssetName::parse(param(&params, "asset")) {
            Ok(name) => state.vod.listings.find(&name).await?,
            Err(_) => None,
        };
        let facts = found.as_ref().map(|(asset, _)| AssetFacts::from(&**asset));
        let subject = Subject::Asset(facts.as_ref());
        let query = parts.uri.query().unwrap_or_default();
        let token = playback_token_of(query);
        let is_for_anyone = authorise(&Caller::anonymous(), action, subject).is_ok();
        if !is_for_anyone {
            let caller = match token {
                Some(token) => {
                    authenticate(state, &client, Credential::Playback(Secret::new(token.to_owned()))).await?
                }
                None => caller_of(state, &client, &parts.method, &parts.headers).await?,
            };
            permit(&caller, action, subject)?;
        }
        let (asset, listing) = found.ok_or_else(|| Problem::not_found("asset"))?;
        let version = query.split('&').filter_map(|pair| pair.split_once('='));
        let version = version.filter(|(name, _)| *name == super::VERSION_PARAMETER).map(|(_, value)| value).next();
        Ok(Viewing {
            state: state.clone(),
            sender,
            asset,
            listing,
            is_private: !is_for_anyone,
            headers: parts.headers.clone(),
            version: version.map(str::to_owned),
            child_query: token.map(|token| format!("{TOKEN_PARAMETER}={token}")),
            params,
        })
    }

    /// What is added to every address in a playlist.
    pub(super) fn child_query(&self) -> Option<&str> {
        self.child_query.as_deref()
    }

    /// A segment of the path.
    pub(super) fn param(&self, name: &str) -> &str {
        param(&self.params, name)
    }
}

fn param<'a>(params: &'a RawPathParams, name: &str) -> &'a str {
    params.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value)
}
