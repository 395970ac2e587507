//! Where an image is in a registry: `oci://HOST[:PORT]/NAME[:TAG][@DIGEST]`.
//!
//! Source: the OCI distribution specification 1.1, "Pulling manifests".

use std::fmt;
use std::str::FromStr;

use crate::digest::Digest;
use crate::name::BadName;

/// What such a word begins with.
pub const SCHEME: &str = "oci://";

/// An image in a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    host: String,
    name: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// The registry: `host` or `host:port`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The repository in it: `library/debian`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The digest that the image, or the index that leads to it, must have.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// What a registry is asked for: the digest, or else the tag.
    pub fn wanted(&self) -> String {
        let tag = || self.tag.clone().unwrap_or_else(|| "latest".to_owned());
        self.digest.map_or_else(tag, |digest| digest.to_string())
    }

    /// True where the registry is on this machine itself.
    pub fn is_local(&self) -> bool {
        is_local(&self.host)
    }
}

/// True for a host, with a port or not, that is this machine itself.
pub fn is_local(host: &str) -> bool {
    if host == "[::1]" || host.starts_with("[::1]:") {
        return true;
    }
    let host = host.split(':').next().unwrap_or_default();
    let address = host.parse::<std::net::Ipv4Addr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

impl FromStr for Reference {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let bad = |why| BadName::new(text, "image in a registry", why);
        let rest = text.strip_prefix(SCHEME).ok_or_else(|| bad("it begins with oci://"))?;
        let (host, path) =
            rest.split_once('/').ok_or_else(|| bad("give oci://HOST[:PORT]/NAME:TAG"))?;
        let (path, digest) = match path.split_once('@') {
            Some((path, digest)) => (path, Some(digest)),
            None => (path, None),
        };
        let digest = digest.map(str::parse).transpose();
        let digest = digest.map_err(|_| bad("a digest is sha256: and 64 hexadecimal digits"))?;
        let (name, tag) = match path.split_once(':') {
            Some((name, tag)) => (name, Some(tag.to_owned())),
            None => (path, None),
        };
        match () {
            () if !is_host(host) => Err(bad("the registry is no HOST or HOST:PORT")),
            () if !is_name(name) => Err(bad("a repository has small letters, digits and . _ - /")),
            () if !tag.as_deref().is_none_or(is_tag) => {
                Err(bad("a tag has at most 128 letters, digits and . _ -"))
            }
            () => Ok(Self { host: host.to_owned(), name: name.to_owned(), tag, digest }),
        }
    }
}

fn is_host(text: &str) -> bool {
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    if let Some(rest) = text.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        let port = port.strip_prefix(':').map_or(port.is_empty(), is_port);
        return port && address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let (host, port) = text.split_once(':').unwrap_or((text, "443"));
    let is_label = |label: &str| {
        let inside =
            label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        inside && !label.is_empty() && !label.starts_with('-') && label.len() < 64
    };
    is_port(port) && host.len() < 254 && host.split('.').all(is_label)
}

fn is_name(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = |part: &str| {
        let bytes = part.as_bytes();
        bytes.first().copied().is_some_and(is_word) && bytes.last().copied().is_some_and(is_word)
    };
    let inside = |part: &str| part.bytes().all(|byte| is_word(byte) || b"._-".contains(&byte));
    text.len() < 256
        && text.split('/').all(|part| ends(part) && inside(part) && !part.contains(".."))
}

fn is_tag(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let first = text.bytes().next().is_some_and(is_word);
    first && text.len() <= 128 && text.bytes().all(|byte| is_word(byte) || b".-".contains(&byte))
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.host, self.name)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let digest = Digest::of(b"x");
        for (text, wanted) in [
            ("oci://localhost:5000/debian:12", "12"),
            ("oci://registry.example/library/debian", "latest"),
            ("oci://[::1]:5000/a/b__c-d.e:v1.2_3-4", "v1.2_3-4"),
            (&format!("oci://host/a@{digest}"), &digest.to_string()),
            (&format!("oci://host/a:1@{digest}"), &digest.to_string()),
        ] {
            let reference: Reference = text.parse().expect(text);
            assert_eq!(
                (reference.to_string().as_str(), reference.wanted()),
                (text, wanted.to_owned())
            );
        }
    }

    #[test]
    fn nothing_else_gets_into_a_request() {
        for bad in [
            "oci://",
            "oci:///a",
            "oci://host",
            "oci://host/",
            "http://host/a",
            "oci://h/A",
            "oci://h/a/../b",
            "oci://h/a//b",
            "oci://h/a?x",
            "oci://h/a#x",
            "oci://h/a b",
            "oci://u:p@h/a",
            "oci://h:0/a",
            "oci://h:99999/a",
            "oci://h:/a",
            "oci://h..i/a",
            "oci://h/a:",
            "oci://h/a:b:c",
            "oci://h/a:b/c",
            "oci://h/a@sha256:00",
            "oci://h/%2e%2e",
            "oci://[::1/a",
            "oci://[x]/a",
            "oci://-h/a",
            "oci://h/a\n",
            "oci://h/a@md5:0@x",
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad}");
        }
        assert!(format!("oci://h/{}", "a".repeat(256)).parse::<Reference>().is_err());
    }

    #[test]
    fn this_machine_is_known_by_its_addresses() {
        for local in
            ["localhost", "localhost:5000", "127.0.0.1:80", "127.1.2.3", "[::1]", "[::1]:1"]
        {
            assert!(is_local(local), "{local}");
        }
        for other in ["localhost.example", "127.example", "128.0.0.1", "[::2]", "10.0.0.1:5000"] {
            assert!(!is_local(other), "{other}");
        }
    }
}
