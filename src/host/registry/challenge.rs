//! What a registry wants to see before it gives anything: `WWW-Authenticate` (RFC 7235), and the
//! token that others give for it.

use serde::Deserialize;

/// Where a token is had, and for what.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bearer {
    pub(super) realm: String,
    /// What the realm is asked with.
    pub(super) query: Vec<(&'static str, String)>,
}

impl Bearer {
    /// Reads a header; `None` for another way than tokens.
    pub(super) fn of(header: &str) -> Option<Self> {
        let (scheme, mut rest) = header.trim().split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let (mut realm, mut query) = (None, Vec::new());
        while let Some((key, value, more)) = parameter(rest) {
            match key.to_ascii_lowercase().as_str() {
                "realm" => realm = Some(value),
                "service" => query.push(("service", value)),
                "scope" => query.push(("scope", value)),
                _ => {}
            }
            rest = more;
        }
        Some(Self { realm: realm?, query })
    }
}

/// `key="value"`, and what is behind it and a comma.
fn parameter(text: &str) -> Option<(&str, String, &str)> {
    let (key, rest) = text.split_once('=')?;
    let (key, rest) = (key.trim_matches([' ', '\t', ',']), rest.trim_start());
    let Some(quoted) = rest.strip_prefix('"') else {
        let (value, rest) = rest.split_once(',').unwrap_or((rest, ""));
        return Some((key, value.trim().to_owned(), rest));
    };
    let (mut value, mut chars) = (String::new(), quoted.char_indices());
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((key, value, quoted.get(at.saturating_add(1)..)?)),
            '\\' => value.push(chars.next()?.1),
            char => value.push(char),
        }
    }
    None
}

/// What a realm answers.
#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
}

/// The token in an answer.
pub(super) fn token(json: &[u8]) -> Option<String> {
    let answer: Answer = serde_json::from_slice(json).ok()?;
    let token = answer.token.or(answer.access_token)?;
    let is_plain = token.bytes().all(|byte| byte.is_ascii_graphic());
    Some(token).filter(|token| is_plain && !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_read() {
        let header = r#"Bearer realm="https://auth.example/token",service="r.example",scope="repository:a/b:pull,push",error=invalid"#;
        let bearer = Bearer::of(header).expect("tokens");
        assert_eq!(bearer.realm, "https://auth.example/token");
        let query = [("service", "r.example"), ("scope", "repository:a/b:pull,push")];
        assert_eq!(bearer.query, query.map(|(key, value)| (key, value.to_owned())));
        assert!(Bearer::of(r#"bearer scope=a, realm = "x\"y""#).is_some());
        for bad in ["", "Bearer", "Basic realm=\"x\"", "Bearer realm=\"x", "Bearer service=\"x\""] {
            assert_eq!(Bearer::of(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_token_is_one_word() {
        assert_eq!(token(br#"{"token":"a.b-c","expires_in":1}"#).as_deref(), Some("a.b-c"));
        assert_eq!(token(br#"{"access_token":"x"}"#).as_deref(), Some("x"));
        for bad in [&b"{}"[..], br#"{"token":""}"#, br#"{"token":"a\r\nb"}"#, b"x"] {
            assert_eq!(token(bad), None);
        }
    }
}
