//! The HTTP client, and what of it is used.

use std::fs;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use ureq::config::{Config, RedirectAuthHeaders};
use ureq::http::HeaderMap;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::transport::{Connector, RustlsConnector, TcpConnector};
use ureq::{Agent, Body, RequestBuilder, typestate::WithoutBody};

use super::names::Names;
use crate::error::{Error, ErrorKind, Result};

/// Where distributions keep the authorities that they trust.
const AUTHORITIES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// What names another file.
const AUTHORITIES_NAMED: &str = "SSL_CERT_FILE";

const CONNECT: Duration = Duration::from_secs(20);
/// A registry behind a store of another's may take its time.
const RESPOND: Duration = Duration::from_secs(60);
/// So long nothing may come.
const STALL: Duration = Duration::from_secs(30);

pub(super) struct Client(Agent);

/// What came.
pub(super) struct Response {
    pub(super) status: u16,
    headers: HeaderMap,
    pub(super) body: Box<dyn Read + Send>,
}

impl Client {
    /// One for this machine itself, or for the world.
    pub(super) fn new(local: bool) -> Result<Self> {
        let mut config = Config::builder()
            .http_status_as_error(false)
            .https_only(!local)
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .max_redirects(5)
            .user_agent(concat!("imgbase/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(RESPOND))
            .timeout_per_read(Some(STALL))
            .timeout_per_write(Some(STALL));
        // Also this machine itself may lead elsewhere.
        let trusted = if local { authorities().unwrap_or_default() } else { authorities()? };
        let provider = rustls::crypto::ring::default_provider();
        let tls = TlsConfig::builder().unversioned_rustls_crypto_provider(Arc::new(provider));
        let tls = tls.root_certs(RootCerts::new_with_certs(&trusted)).build();
        config = config.tls_config(tls);
        if local {
            config = config.proxy(None);
        }
        let connector = ().chain(TcpConnector::default()).chain(RustlsConnector::default());
        Ok(Self(Agent::with_parts(config.build(), connector, Names)))
    }

    /// Asks for what is there from that byte on.
    pub(super) fn get(
        &self,
        url: &str,
        accept: &str,
        token: Option<&str>,
        from: u64,
    ) -> Result<Response> {
        // What is packed on the way would have another digest.
        let mut request =
            self.0.get(url).header("accept", accept).header("accept-encoding", "identity");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if from > 0 {
            request = request.header("range", format!("bytes={from}-"));
        }
        answered(request, url)
    }

    /// Asks with some words behind the question mark.
    pub(super) fn get_with(&self, url: &str, query: &[(&'static str, String)]) -> Result<Response> {
        let request = query.iter().fold(self.0.get(url), |to, (key, value)| to.query(key, value));
        answered(request, url)
    }
}

fn answered(request: RequestBuilder<WithoutBody>, url: &str) -> Result<Response> {
    let response = request.call().map_err(|error| failed(error).at(url))?;
    let (parts, body): (_, Body) = response.into_parts();
    let (status, headers) = (parts.status.as_u16(), parts.headers);
    log::debug!("GET {url}: {status}");
    Ok(Response { status, headers, body: Box::new(body.into_reader()) })
}

fn failed(error: ureq::Error) -> Error {
    match error {
        ureq::Error::HostNotFound => Error::new(ErrorKind::NotFound, "no such host is known"),
        ureq::Error::RequireHttpsOnly(_) => {
            Error::new(ErrorKind::Denied, "it leads to plain HTTP, where anybody may read along")
        }
        ureq::Error::Io(error) => Error::io(error).with_kind(ErrorKind::Io),
        other => Error::new(ErrorKind::Io, other.to_string()),
    }
}

impl Response {
    pub(super) fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name)?.to_str().ok().map(str::to_owned)
    }

    /// What it is said to be, without what follows a semicolon.
    pub(super) fn media_type(&self) -> String {
        let said = self.header("content-type").unwrap_or_default();
        said.split(';').next().unwrap_or_default().trim().to_owned()
    }

    /// Refuses what is not what was asked for.
    pub(super) fn checked(self, url: &str) -> Result<Self> {
        let (kind, why) = match self.status {
            200 | 206 => return Ok(self),
            404 => (ErrorKind::NotFound, "the registry has no such image".to_owned()),
            401 | 403 => {
                (ErrorKind::Denied, "the registry gives it to nobody without an account".to_owned())
            }
            status => (ErrorKind::Io, format!("the registry answers with the status {status}")),
        };
        log::debug!("{url}: {why}");
        Err(Error::new(kind, why))
    }
}

/// Those that this machine trusts.
fn authorities() -> Result<Vec<Certificate<'static>>> {
    let named = std::env::var_os(AUTHORITIES_NAMED).filter(|name| !name.is_empty());
    let file = match &named {
        Some(name) => Some(fs::read(name).map_err(|error| {
            Error::io(error).op("read the trusted authorities").at(name.display())
        })?),
        None => AUTHORITIES.iter().find_map(|path| fs::read(path).ok()),
    };
    let found: Vec<Certificate<'static>> = parse_pem(&file.unwrap_or_default())
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if found.is_empty() {
        let why = format!(
            "this machine trusts nobody: neither {} nor {AUTHORITIES_NAMED} has the certificate of \
             an authority",
            AUTHORITIES.join(", ")
        );
        return Err(Error::new(ErrorKind::NotFound, why));
    }
    Ok(found)
}
