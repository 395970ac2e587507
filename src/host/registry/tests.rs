use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use super::*;
use crate::archive::testing::{MemTree, archive};
use crate::image::oci::{Layers, Wanted};
use crate::units::Bytes;

const TYPES: &str = "application/vnd.oci.image";

/// An image by its parts: paths behind the repository's, with their media types.
#[derive(Clone, Default)]
struct Parts(BTreeMap<String, (String, Vec<u8>)>);

impl Parts {
    fn put(&mut self, folder: &str, sort: &str, bytes: Vec<u8>) -> serde_json::Value {
        let (digest, media_type) = (Digest::of(&bytes).to_string(), format!("{TYPES}.{sort}"));
        let size = bytes.len();
        self.0.insert(format!("{folder}/{digest}"), (media_type.clone(), bytes));
        serde_json::json!({"mediaType": media_type, "digest": digest, "size": size})
    }

    /// Two layers, in an index that is tagged `1`; gives its digest.
    fn image() -> (Self, String) {
        let mut parts = Self::default();
        let large = "0123456789abcdef".repeat(200_000);
        let layers =
            [archive(&[("a", "1"), ("large", &large)]), archive(&[(".wh.a", ""), ("b", "2")])];
        let ids: Vec<String> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
        let layers = layers.map(|layer| parts.put("blobs", "layer.v1.tar", layer));
        let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        let config = serde_json::json!({
            "os": "linux", "architecture": arch, "rootfs": {"type": "layers", "diff_ids": ids}
        });
        let config = parts.put("blobs", "config.v1+json", config.to_string().into_bytes());
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": format!("{TYPES}.manifest.v1+json"),
            "config": config, "layers": layers
        });
        let mut manifest =
            parts.put("manifests", "manifest.v1+json", manifest.to_string().into_bytes());
        manifest["platform"] = serde_json::json!({"os": "linux", "architecture": arch});
        let index = serde_json::json!({
            "schemaVersion": 2, "mediaType": format!("{TYPES}.index.v1+json"),
            "manifests": [manifest]
        });
        let index = parts.put("manifests", "index.v1+json", index.to_string().into_bytes());
        let digest = index["digest"].as_str().expect("text").to_owned();
        let tagged = parts.0[&format!("manifests/{digest}")].clone();
        parts.0.insert("manifests/1".to_owned(), tagged);
        (parts, digest)
    }
}

fn open(address: &str, wanted: &str) -> Result<Layers<'static>> {
    let image: Reference = format!("oci://{address}/some/image{wanted}").parse().expect("one");
    Layers::open(Box::new(Remote::new(&image)?), &Wanted::default())
}

fn tree_of(layers: &Layers<'_>) -> Result<Vec<String>> {
    let mut tree = MemTree::default();
    layers.unpack(&mut tree, Bytes::gib(1), &mut |_| false)?;
    let lines = tree.lines().into_iter();
    Ok(lines.map(|line| line.chars().take(20).collect()).collect())
}

const WANTED: [&str; 2] = ["/b=2", "/large=0123456789abc"];

/// How a registry behaves.
#[derive(Clone, Copy, Default)]
struct Odd {
    /// It wants a token.
    token: bool,
    /// It breaks off blobs after so many bytes of each answer.
    breaks: Option<usize>,
    /// It does not know of parts.
    whole: bool,
    /// It sends elsewhere, in a circle.
    circle: bool,
    /// It is not well.
    status: Option<u16>,
}

/// A registry for as long as the test runs; gives its address.
fn registry(parts: Parts, odd: Odd) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it has one").to_string();
    let own = address.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Whoever asks may be gone.
            let _ = answer(stream, &parts, odd, &own);
        }
    });
    address
}

fn answer(stream: TcpStream, parts: &Parts, odd: Odd, own: &str) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let (mut line, mut headers) = (String::new(), BTreeMap::new());
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((key, value)) = header.trim().split_once(": ") else { break };
        headers.insert(key.to_ascii_lowercase(), value.to_owned());
    }
    let mut stream = reader.into_inner();
    let mut say = |status: &str, more: &str, body: &[u8], sent: usize| {
        let len = body.len();
        let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {len}\r\n");
        stream.write_all(format!("{head}{more}\r\n").as_bytes())?;
        stream.write_all(&body[..sent.min(len)])
    };
    if path.starts_with("/token?service=here&scope=repository%3Asome%2Fimage%3Apull") {
        return say("200 OK", "", br#"{"token":"let-me-in"}"#, usize::MAX);
    }
    let key = path.strip_prefix("/v2/some/image/").unwrap_or_default();
    if let Some(status) = odd.status {
        return say(&format!("{status} Odd"), "", b"", 0);
    }
    if odd.token && headers.get("authorization").map(String::as_str) != Some("Bearer let-me-in") {
        let scope = r#"scope="repository:some/image:pull""#;
        let more = format!(
            "WWW-Authenticate: Bearer realm=\"http://{own}/token\",service=\"here\",{scope}\r\n"
        );
        return say("401 Unauthorized", &more, b"{}", usize::MAX);
    }
    if odd.circle {
        return say("307 There", &format!("Location: {path}\r\n"), b"", 0);
    }
    let Some((media_type, bytes)) = parts.0.get(key) else {
        return say("404 Not Found", "", b"", 0);
    };
    let media_type = format!("Content-Type: {media_type}; charset=utf-8\r\n");
    let sent = odd.breaks.filter(|_| key.starts_with("blobs/")).unwrap_or(usize::MAX);
    let from =
        headers.get("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'));
    match from.and_then(|from| from.parse::<usize>().ok()) {
        Some(from) if !odd.whole => {
            let (last, all) = (bytes.len() - 1, bytes.len());
            let more = format!("{media_type}Content-Range: bytes {from}-{last}/{all}\r\n");
            say("206 Partial Content", &more, &bytes[from..], sent)
        }
        // Each answer gets further, or nothing would ever come of it.
        Some(from) => say("200 OK", &media_type, bytes, sent.saturating_add(from)),
        None => say("200 OK", &media_type, bytes, sent),
    }
}

#[test]
fn an_image_comes_from_a_registry() {
    let (parts, digest) = Parts::image();
    for odd in [Odd::default(), Odd { token: true, ..Odd::default() }] {
        let address = registry(parts.clone(), odd);
        for wanted in [":1".to_owned(), format!("@{digest}"), format!(":other@{digest}")] {
            let layers = open(&address, &wanted).expect(&wanted);
            assert_eq!(tree_of(&layers).expect("good"), WANTED);
        }
        let error = open(&address, "").err().expect("there is no latest");
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        assert!(error.to_string().contains("some/image: the registry has no"), "{error}");
    }
}

#[test]
fn what_breaks_off_goes_on_where_it_was() {
    let (parts, _) = Parts::image();
    for whole in [false, true] {
        let odd = Odd { breaks: Some(1_500_000), whole, ..Odd::default() };
        let layers = open(&registry(parts.clone(), odd), ":1").expect("documents are whole");
        assert_eq!(tree_of(&layers).expect("in three parts"), WANTED);
    }
    // Of which nothing comes is given up.
    let odd = Odd { breaks: Some(0), ..Odd::default() };
    let error = open(&registry(parts, odd), ":1").err().expect("the configuration is a blob");
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
}

#[test]
fn no_registry_is_believed() {
    let (parts, digest) = Parts::image();
    for key in parts.0.keys().filter(|key| key.contains("sha256:")) {
        let mut bad = parts.clone();
        let (_, bytes) = bad.0.get_mut(key).expect("there");
        *bytes.last_mut().expect("not empty") ^= 1;
        let layers = open(&registry(bad, Odd::default()), &format!("@{digest}"));
        let error = layers.and_then(|layers| tree_of(&layers)).expect_err(key);
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{key}: {error}");
    }
    let (kind, circle) = (ErrorKind::Io, Odd { circle: true, ..Odd::default() });
    assert_eq!(open(&registry(parts.clone(), circle), ":1").err().expect("endless").kind(), kind);
    for (status, kind) in
        [(403, ErrorKind::Denied), (404, ErrorKind::NotFound), (500, ErrorKind::Io)]
    {
        let odd = Odd { status: Some(status), ..Odd::default() };
        let error = open(&registry(parts.clone(), odd), ":1").err().expect("refused");
        assert_eq!(error.kind(), kind, "{error}");
    }
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("one");
    let error = open(&nobody.to_string(), ":1").err().expect("nobody listens");
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
}

/// A program that is ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Asks a registry to take something.
fn send(method: &str, url: &str, media_type: &str, body: &[u8]) -> ureq::http::HeaderMap {
    let request = ureq::http::Request::builder().method(method).uri(url);
    let request = request.header("content-type", media_type).body(body).expect("a request");
    let response = ureq::Agent::new_with_defaults().run(request).expect(url);
    response.headers().clone()
}

/// Debian's docker-registry, where `IMGBASE_REGISTRY` names that program: `cargo verify` does.
#[test]
fn an_image_comes_from_a_real_registry() {
    let Some(program) = std::env::var_os("IMGBASE_REGISTRY") else {
        eprintln!("IMGBASE_REGISTRY names no registry: nothing is tried");
        return;
    };
    let dir = tempfile::tempdir().expect("a folder");
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("one").port();
    let address = format!("localhost:{port}");
    let config = dir.path().join("config.yml");
    let text = format!(
        "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{port}\n",
        dir.path().display()
    );
    std::fs::write(&config, text).expect("written");
    let child = Command::new(program)
        .arg("serve")
        .arg(&config)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _running = Running(child.expect("it runs"));
    let is_up = || TcpStream::connect(("127.0.0.1", port)).is_ok();
    let up = (0..200).any(|_| {
        is_up() || {
            thread::sleep(Duration::from_millis(50));
            false
        }
    });
    assert!(up, "it does not listen");
    let (parts, digest) = Parts::image();
    let base = format!("http://{address}/v2/some/image");
    for (key, (_, bytes)) in parts.0.iter().filter(|(key, _)| key.starts_with("blobs/")) {
        let begun = send("POST", &format!("{base}/blobs/uploads/"), "text/plain", b"");
        let place = begun.get("location").expect("a place").to_str().expect("text").to_owned();
        let digest = key.trim_start_matches("blobs/");
        let place = format!("{place}&digest={digest}");
        send("PUT", &place, "application/octet-stream", bytes);
    }
    // A manifest after what it names, the index last.
    let mut manifests: Vec<_> =
        parts.0.iter().filter(|(key, _)| key.starts_with("manifests/")).collect();
    manifests.sort_by_key(|(_, (media_type, _))| media_type.contains("index"));
    for (key, (media_type, bytes)) in manifests {
        send("PUT", &format!("{base}/{key}"), media_type, bytes);
    }
    for wanted in [":1".to_owned(), format!("@{digest}")] {
        let layers = open(&address, &wanted).expect(&wanted);
        assert_eq!(tree_of(&layers).expect("good"), WANTED);
    }
    let error = open(&address, ":2").err().expect("there is no such tag");
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}
