//! Images in registries, over HTTPS; over plain HTTP only from this machine itself.
//!
//! Source: the OCI distribution specification 1.1, "Pull"; "Token Authentication Specification" of
//! the distribution project, for whoever has no account.

mod challenge;
mod client;
mod dns;
mod download;
mod names;

use std::io::{Cursor, Read};
use std::sync::{Arc, Mutex, PoisonError};

use self::challenge::Bearer;
use self::client::Client;
use self::download::Download;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::image::oci::{Part, Reference, Store, is_local};

/// The documents that are taken, and the two of Docker's that are the same by another name.
const DOCUMENTS: &str = "application/vnd.oci.image.index.v1+json, \
                         application/vnd.oci.image.manifest.v1+json, \
                         application/vnd.docker.distribution.manifest.list.v2+json, \
                         application/vnd.docker.distribution.manifest.v2+json";

/// As much of a document as is read; more is refused by whoever reads it.
const DOCUMENT_MOST: u64 = (2 << 20) + 1;
/// No token is longer.
const TOKEN_MOST: u64 = 256 << 10;

/// One image in a registry.
pub(super) struct Remote(Arc<Repository>);

/// A repository of a registry, and what leads into it.
struct Repository {
    image: Reference,
    name: String,
    client: Client,
    token: Mutex<Option<String>>,
}

impl Remote {
    /// Nothing is asked yet.
    pub(super) fn new(image: &Reference) -> Result<Self> {
        let (image, name) = (image.clone(), image.to_string());
        let client = Client::new(image.is_local()).map_err(|error| error.at(&name))?;
        Ok(Self(Arc::new(Repository { image, name, client, token: Mutex::default() })))
    }
}

impl Store for Remote {
    fn name(&self) -> &str {
        &self.0.name
    }

    /// Made of what the registry has under that tag or digest.
    fn index(&self) -> Result<Box<dyn Read + Send>> {
        let wanted = self.0.image.wanted();
        let url = self.0.url("manifests", &wanted);
        let found = Download::begin(Arc::clone(&self.0), url, DOCUMENTS)?;
        let media_type = found.media_type.clone();
        let mut bytes = Vec::new();
        let read = found.take(DOCUMENT_MOST).read_to_end(&mut bytes);
        read.map_err(|error| Error::io(error).op("read the manifest").at(&self.0.name))?;
        let digest = self.0.image.digest().unwrap_or_else(|| Digest::of(&bytes));
        let index = serde_json::json!({"schemaVersion": 2, "manifests": [
            {"mediaType": media_type, "digest": digest.to_string(), "size": bytes.len()}
        ]});
        Ok(Box::new(Cursor::new(index.to_string())))
    }

    fn part(&self, digest: &Digest, part: Part) -> Result<Box<dyn Read + Send>> {
        let (folder, accept) = match part {
            Part::Manifest => ("manifests", DOCUMENTS),
            Part::Blob => ("blobs", "*/*"),
        };
        let url = self.0.url(folder, &digest.to_string());
        Ok(Box::new(Download::begin(Arc::clone(&self.0), url, accept)?))
    }
}

impl Repository {
    fn url(&self, folder: &str, wanted: &str) -> String {
        let scheme = if self.image.is_local() { "http" } else { "https" };
        let (host, name) = (self.image.host(), self.image.name());
        format!("{scheme}://{host}/v2/{name}/{folder}/{wanted}")
    }

    /// What is there from that byte on, with a token where one is wanted.
    fn get(&self, url: &str, accept: &str, from: u64) -> Result<client::Response> {
        let found = self.try_get(url, accept, from).map_err(|error| error.at(&self.name));
        found.map_err(|error| error.op("read the registry"))
    }

    fn try_get(&self, url: &str, accept: &str, from: u64) -> Result<client::Response> {
        let token = self.token.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let response = self.client.get(url, accept, token.as_deref(), from)?;
        if response.status != 401 {
            return response.checked(url);
        }
        let challenge = response.header("www-authenticate").unwrap_or_default();
        let bearer = Bearer::of(&challenge).ok_or_else(|| {
            let why = "it lets nobody in without an account, and none is known here: copy the image \
                       to a folder first";
            Error::new(ErrorKind::Denied, why)
        })?;
        let token = self.new_token(&bearer)?;
        let response = self.client.get(url, accept, Some(&token), from)?;
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(token);
        response.checked(url)
    }

    fn new_token(&self, bearer: &Bearer) -> Result<String> {
        let realm = bearer.realm.as_str();
        let rest = realm.strip_prefix("http://");
        let is_local =
            rest.is_some_and(|rest| is_local(rest.split('/').next().unwrap_or_default()));
        let is_safe = realm.starts_with("https://") || is_local && self.image.is_local();
        if !is_safe {
            let why = format!("it sends for a token to '{}'", realm.escape_debug());
            return Err(Error::new(ErrorKind::Unsupported, why));
        }
        log::debug!("{}: a token of {realm}", self.name);
        let response = self.client.get_with(realm, &bearer.query)?.checked(realm)?;
        let mut json = Vec::new();
        let read = response.body.take(TOKEN_MOST).read_to_end(&mut json);
        read.map_err(|error| Error::io(error).op("read the token"))?;
        challenge::token(&json).ok_or_else(|| {
            Error::new(ErrorKind::Corrupt, "what it gives for a token is none").at(realm)
        })
    }
}

#[cfg(test)]
mod tests;
