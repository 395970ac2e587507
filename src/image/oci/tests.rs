use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};

use super::*;
use crate::archive::testing::{MemTree, archive};
use crate::dev::{Dev, MemDev};
use crate::image::{Image, ImageFile};
use crate::pack::GzipWriter;
use crate::units::Bytes;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// A layout in memory.
#[derive(Clone, Default)]
struct Files(Arc<Mutex<BTreeMap<String, Vec<u8>>>>);

impl super::Files for Files {
    fn file(&self, path: &str) -> Result<Option<Box<dyn Read + Send>>> {
        let bytes = self.0.lock().expect("not poisoned").get(path).cloned();
        Ok(bytes.map(|bytes| -> Box<dyn Read + Send> { Box::new(io::Cursor::new(bytes)) }))
    }
}

impl Files {
    fn put(&self, path: &str, bytes: &[u8]) {
        self.0.lock().expect("not poisoned").insert(path.to_owned(), bytes.to_vec());
    }

    /// Keeps a blob, and gives what refers to it.
    fn blob(&self, media_type: &str, bytes: &[u8]) -> serde_json::Value {
        let digest = Digest::of(bytes);
        self.put(&format!("blobs/sha256/{}", digest.hex(32)), bytes);
        serde_json::json!({
            "mediaType": media_type, "digest": digest.to_string(), "size": bytes.len()
        })
    }

    fn json(&self, media_type: &str, value: &serde_json::Value) -> serde_json::Value {
        self.blob(media_type, value.to_string().as_bytes())
    }

    /// An image of these layers.
    fn image(&self, layers: &[(String, Vec<u8>, Digest)]) -> serde_json::Value {
        let unpacked: Vec<String> =
            layers.iter().map(|(_, _, digest)| digest.to_string()).collect();
        let config = self.json(
            CONFIG,
            &serde_json::json!({
                "os": "linux", "architecture": arch(),
                "rootfs": {"type": "layers", "diff_ids": unpacked}
            }),
        );
        let layers: Vec<_> =
            layers.iter().map(|(media_type, bytes, _)| self.blob(media_type, bytes)).collect();
        let manifest = serde_json::json!({"schemaVersion": 2, "config": config, "layers": layers});
        self.json(MANIFEST, &manifest)
    }

    fn index(&self, manifests: &[serde_json::Value]) {
        let index = serde_json::json!({"schemaVersion": 2, "manifests": manifests});
        self.put("index.json", index.to_string().as_bytes());
        self.put("oci-layout", br#"{"imageLayoutVersion": "1.0.0"}"#);
    }

    fn open(&self, wanted: &Wanted<'_>) -> Result<Layers<'static>> {
        Layers::open(Box::new(Layout::new("memory".to_owned(), self.clone())), wanted)
    }

    fn refused(&self) -> Error {
        let opened = self.open(&Wanted::default());
        match opened.map(|layers| tree_of(&layers)) {
            Ok(Err(error)) | Err(error) => error,
            Ok(Ok(lines)) => panic!("{lines:?}"),
        }
    }
}

fn arch() -> String {
    pick::this_machine().trim_start_matches("linux/").to_owned()
}

fn tree_of(layers: &Layers<'_>) -> Result<Vec<String>> {
    let mut tree = MemTree::default();
    let unpacked = layers.unpack(&mut tree, Bytes::gib(1), &mut |_| false)?;
    assert_eq!(layers.measure(&mut |_| false)?, unpacked);
    Ok(tree.lines())
}

fn plain(files: &[(&str, &str)]) -> (String, Vec<u8>, Digest) {
    let bytes = archive(files);
    let digest = Digest::of(&bytes);
    (LAYER.to_owned(), bytes, digest)
}

fn gzip(files: &[(&str, &str)]) -> (String, Vec<u8>, Digest) {
    let bytes = archive(files);
    let mut packed = GzipWriter::new(Vec::new());
    packed.write_all(&bytes).expect("memory");
    (format!("{LAYER}+gzip"), packed.finish().expect("memory"), Digest::of(&bytes))
}

fn with(mut value: serde_json::Value, key: &str, what: serde_json::Value) -> serde_json::Value {
    value[key] = what;
    value
}

fn named(value: serde_json::Value, name: &str) -> serde_json::Value {
    with(value, "annotations", serde_json::json!({"org.opencontainers.image.ref.name": name}))
}

fn on(value: serde_json::Value, arch: &str, variant: &str) -> serde_json::Value {
    let platform = match variant {
        "" => serde_json::json!({"os": "linux", "architecture": arch}),
        _ => serde_json::json!({"os": "linux", "architecture": arch, "variant": variant}),
    };
    with(value, "platform", platform)
}

fn sample() -> (Files, serde_json::Value) {
    let files = Files::default();
    let layers = [plain(&[("a", "1"), ("b/c", "1")]), gzip(&[(".wh.a", ""), ("b/d", "2")])];
    let image = files.image(&layers);
    files.index(std::slice::from_ref(&image));
    (files, image)
}

#[test]
fn layers_make_one_tree() {
    let (files, _) = sample();
    let layers = files.open(&Wanted::default()).expect("good");
    assert_eq!(tree_of(&layers).expect("good"), ["/b/", "/b/c=1", "/b/d=2"]);
    assert_eq!(layers.name(), "memory");
}

#[test]
fn what_is_not_as_its_digest_says_is_refused() {
    let (files, _) = sample();
    let paths: Vec<String> = files.0.lock().expect("not poisoned").keys().cloned().collect();
    let blobs = paths.iter().filter(|path| path.starts_with("blobs/"));
    let mut count = 0;
    for path in blobs {
        let good = files.0.lock().expect("not poisoned")[path].clone();
        let flipped: Vec<u8> = good.iter().map(|byte| byte ^ u8::from(*byte == b'1')).collect();
        let mut last = good.clone();
        *last.last_mut().expect("not empty") ^= 1;
        let longer = [good.as_slice(), b" "].concat();
        for bad in [flipped, last, longer, good[..good.len() - 1].to_vec(), Vec::new()] {
            if bad == good {
                continue;
            }
            files.put(path, &bad);
            let error = files.refused();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{path}: {error}");
            count += 1;
        }
        files.0.lock().expect("not poisoned").remove(path);
        assert_eq!(files.refused().kind(), ErrorKind::NotFound, "{path}");
        files.put(path, &good);
    }
    assert!(count >= 16, "{count}");
    assert!(files.open(&Wanted::default()).is_ok());
}

#[test]
fn sizes_and_unpacked_digests_hold_too() {
    let files = Files::default();
    let layer = plain(&[("a", "1")]);
    let image = files.image(std::slice::from_ref(&layer));
    for size in [0, 1, 1_u64 << 40] {
        files.index(&[with(image.clone(), "size", size.into())]);
        assert_eq!(files.refused().kind(), ErrorKind::Corrupt);
    }
    // The configuration knows another tree.
    for (media_type, bytes, _) in [layer, gzip(&[("a", "1")])] {
        let other = Digest::of(b"other");
        let image = files.image(&[(media_type, bytes, other)]);
        files.index(&[image]);
        let error = files.refused();
        assert!(error.to_string().contains(&other.to_string()), "{error}");
    }
}

#[test]
fn packing_is_what_the_media_type_says() {
    let files = Files::default();
    let ((plain_type, plain, digest), (gzip_type, packed, _)) =
        (plain(&[("a", "1")]), gzip(&[("a", "1")]));
    for (media_type, bytes) in [(plain_type, packed), (gzip_type, plain)] {
        files.index(&[files.image(&[(media_type, bytes, digest)])]);
        assert!(files.refused().to_string().contains("gzip"), "{}", files.refused());
    }
}

#[test]
fn types_that_are_not_known_are_refused_by_name() {
    let (files, image) = sample();
    let (_, bytes, digest) = plain(&[("a", "1")]);
    for odd in [
        "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "application/vnd.oci.image.layer.v1.tar+xz",
        "text/plain",
        "",
    ] {
        files.index(&[files.image(&[(odd.to_owned(), bytes.clone(), digest)])]);
        let error = files.refused();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{odd}");
        assert!(error.to_string().contains(&format!("'{odd}'")), "{error}");
        files.index(&[with(image.clone(), "mediaType", odd.into())]);
        assert!(files.refused().to_string().contains(&format!("'{odd}'")));
    }
    // A chart or a module is packed like an image.
    let config = files.blob("application/vnd.cncf.helm.config.v1+json", b"{}");
    let chart = serde_json::json!({"schemaVersion": 2, "config": config, "layers": []});
    files.index(&[files.json(MANIFEST, &chart)]);
    assert!(files.refused().to_string().contains("helm"));
}

#[test]
fn the_image_for_this_machine_is_taken() {
    let (files, ours) = sample();
    let other = files.image(&[plain(&[("other", "")])]);
    let arch = arch();
    let attestation = with(
        files.image(&[plain(&[("note", "")])]),
        "platform",
        serde_json::json!({"os": "unknown", "architecture": "unknown"}),
    );
    let lists = [
        vec![on(other.clone(), "elsewhere", ""), on(ours.clone(), &arch, ""), attestation.clone()],
        vec![on(other.clone(), &arch, "v99"), on(ours.clone(), &arch, "")],
        vec![ours.clone(), on(other.clone(), "elsewhere", "")],
        vec![named(ours.clone(), "a"), named(ours.clone(), "b")],
    ];
    for list in lists {
        files.index(&list);
        let layers = files.open(&Wanted::default()).expect("one fits");
        assert_eq!(tree_of(&layers).expect("good").len(), 3);
        // The same in an index of the index.
        let inner = serde_json::json!({"schemaVersion": 2, "manifests": list});
        files.index(&[files.json(INDEX, &inner)]);
        assert!(files.open(&Wanted::default()).is_ok());
    }
    for (list, kind) in [
        (vec![on(ours.clone(), "elsewhere", "v7"), attestation], ErrorKind::Unsupported),
        (vec![], ErrorKind::Unsupported),
        (vec![named(ours, "one"), named(other, "elsewhere")], ErrorKind::Invalid),
    ] {
        files.index(&list);
        let error = files.refused();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(list.is_empty() || error.to_string().contains("elsewhere"), "{error}");
    }
}

#[test]
fn an_image_for_another_machine_is_refused() {
    let files = Files::default();
    let (media_type, bytes, digest) = plain(&[("a", "1")]);
    let config = serde_json::json!({
        "os": "linux", "architecture": "elsewhere", "rootfs": {"diff_ids": [digest]}
    });
    let config = files.json(CONFIG, &config);
    let layers = [files.blob(&media_type, &bytes)];
    let manifest = serde_json::json!({"schemaVersion": 2, "config": config, "layers": layers});
    files.index(&[files.json(MANIFEST, &manifest)]);
    assert!(files.refused().to_string().contains("linux/elsewhere"));
}

#[test]
fn a_name_or_a_digest_says_which_is_meant() {
    let (files, one) = sample();
    let other = files.image(&[plain(&[("other", "")])]);
    files.index(&[named(one, "one"), named(other.clone(), "other")]);
    let reference = |reference| Wanted { reference: Some(reference), digest: None };
    let layers = files.open(&reference("other")).expect("there");
    assert_eq!(tree_of(&layers).expect("good"), ["/other="]);
    let error = files.open(&reference("third")).err().expect("not there");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("one, other"), "{error}");
    let digest = |text: &str| Wanted { reference: None, digest: text.parse().ok() };
    let named = digest(other["digest"].as_str().expect("text"));
    assert!(files.open(&named).is_ok());
    // Of what there is nothing else may be taken.
    files.index(&[other]);
    assert!(files.open(&named).is_ok());
    let error = files.open(&digest(&Digest::of(b"x").to_string())).err().expect("another");
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    // An index that leads to it is as good.
    let index = files.0.lock().expect("not poisoned")["index.json"].clone();
    files.index(&[files.blob(INDEX, &index)]);
    assert!(files.open(&digest(&Digest::of(&index).to_string())).is_ok());
}

#[test]
fn documents_are_bounded_and_told_apart() {
    let (files, image) = sample();
    let index = |manifests: serde_json::Value| serde_json::json!({"schemaVersion": 2, "manifests": manifests});
    // One in the other.
    let mut nested = image.clone();
    for _ in 0..DEPTH_MOST {
        nested = files.json(INDEX, &index(serde_json::json!([nested])));
    }
    files.index(&[nested]);
    assert!(files.refused().to_string().contains("indices"));
    // Too long, or too many.
    let long = [br#"{"schemaVersion":2,"x":""#.as_slice(), &vec![b' '; 5 << 20], br#""}"#].concat();
    files.index(&[files.blob(MANIFEST, &long)]);
    assert_eq!(files.refused().kind(), ErrorKind::Unsupported);
    files.put("index.json", &long);
    assert_eq!(files.refused().kind(), ErrorKind::Unsupported);
    files.index(&vec![image.clone(); 2000]);
    assert_eq!(files.refused().kind(), ErrorKind::Unsupported);
    let deep = "[".repeat(1 << 20);
    files.put("index.json", format!(r#"{{"schemaVersion":2,"x":{deep}"#).as_bytes());
    assert_eq!(files.refused().kind(), ErrorKind::Corrupt);
    // An index that is an image too could be read in two ways.
    let both = with(index(serde_json::json!([])), "layers", serde_json::json!([]));
    files.put("index.json", both.to_string().as_bytes());
    assert_eq!(files.refused().kind(), ErrorKind::Corrupt);
    let both = serde_json::json!({
        "schemaVersion": 2, "config": image, "layers": [], "manifests": []
    });
    files.index(&[files.json(MANIFEST, &both)]);
    assert_eq!(files.refused().kind(), ErrorKind::Corrupt);
    let old = serde_json::json!({"schemaVersion": 1, "manifests": []});
    files.put("index.json", old.to_string().as_bytes());
    assert_eq!(files.refused().kind(), ErrorKind::Unsupported);
    files.index(std::slice::from_ref(&image));
    files.put("oci-layout", br#"{"imageLayoutVersion": "2.0.0"}"#);
    assert_eq!(files.refused().kind(), ErrorKind::Unsupported);
    // No other digest leads anywhere.
    for digest in ["sha512:00", "sha256:../../../etc/shadow", ""] {
        files.index(&[with(image.clone(), "digest", digest.into())]);
        assert_eq!(files.refused().kind(), ErrorKind::Unsupported, "{digest}");
    }
}

/// The layout as an archive, in any order.
fn archived(files: &Files, order: fn(&mut Vec<(String, String)>)) -> Vec<u8> {
    let files = files.0.lock().expect("not poisoned");
    let text = |bytes: &[u8]| -> String { bytes.iter().map(|byte| char::from(*byte)).collect() };
    let mut entries: Vec<(String, String)> =
        files.iter().map(|(path, bytes)| (format!("./{path}"), text(bytes))).collect();
    order(&mut entries);
    let mut all = vec![("./", ""), ("blobs/", "")];
    all.extend(entries.iter().map(|(path, text)| (path.as_str(), text.as_str())));
    archive(&all)
}

fn opened(bytes: Vec<u8>) -> Result<Image> {
    let dev: Arc<dyn Dev> = Arc::new(MemDev::new("archive", bytes));
    Image::File(ImageFile::of(dev)).opened(None)
}

#[test]
fn an_archive_holds_its_parts_in_any_order() {
    let files = Files::default();
    files.index(&[files.image(&[plain(&[("a", "1")]), plain(&[("b", "2"), (".wh.a", "")])])]);
    for order in [|_: &mut Vec<_>| {}, |entries: &mut Vec<_>| entries.reverse()] {
        let plain = archived(&files, order);
        let mut packed = GzipWriter::new(Vec::new());
        packed.write_all(&plain).expect("memory");
        for bytes in [plain, packed.finish().expect("memory")] {
            let Image::Layout(store) = opened(bytes).expect("good") else { panic!("no layout") };
            let layers = Layers::open(store, &Wanted::default()).expect("good");
            assert_eq!(tree_of(&layers).expect("good"), ["/b=2"]);
        }
    }
}

#[test]
fn other_archives_are_no_layouts() {
    let system = archive(&[("./", ""), ("bin/sh", ""), ("oci-layout", "")]);
    assert!(matches!(opened(system.clone()).expect("an archive"), Image::Archive(_)));
    let mut tree = MemTree::default();
    let error = archive::unpack(system.as_slice(), &mut tree, Bytes::gib(1), &mut |_| false);
    assert!(error.expect_err("it has the mark").to_string().contains("OCI layout"));
    let error = archive::measure(system.as_slice(), &mut |_| false).expect_err("the mark");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    // Cut short after the mark.
    let (files, _) = sample();
    let whole = archived(&files, |entries| entries.reverse());
    for cut in [2000, 3000, whole.len() - 1500] {
        assert!(
            match opened(whole[..cut].to_vec()) {
                Err(_) | Ok(Image::Archive(_)) => true,
                Ok(Image::Layout(store)) => Layers::open(store, &Wanted::default()).is_err(),
                Ok(_) => false,
            },
            "{cut}"
        );
    }
}
