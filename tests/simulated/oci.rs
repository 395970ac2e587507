//! Images of containers on the simulated machine.

use std::path::Path;

use crate::support::SimMachine;
use imgbase::ErrorKind;
use imgbase::dev::{Dev, MemDev};
use imgbase::ops::{AddBase, ImageRequest, ImageSource, Unwatched};
use sha2::{Digest, Sha256};

/// Puts a part of the layout under `/images/oci`, and gives what refers to it.
fn blob(sim: &SimMachine, media_type: &str, bytes: Vec<u8>) -> serde_json::Value {
    let digits: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let size = bytes.len();
    sim.put_bytes(&format!("oci/blobs/sha256/{digits}"), bytes);
    serde_json::json!({
        "mediaType": format!("application/vnd.oci.image.{media_type}"),
        "digest": format!("sha256:{digits}"), "size": size
    })
}

/// A layer of one file.
fn layer(name: &str) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_path(name).expect("short");
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    header.set_cksum();
    [header.as_bytes().as_slice(), &[0; 1024]].concat()
}

/// An image for this machine in `/images/oci`; gives the digests of its manifest and its last layer.
fn put_layout(sim: &SimMachine, names: &[&str]) -> [String; 2] {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let layers: Vec<_> = names.iter().map(|name| blob(sim, "layer.v1.tar", layer(name))).collect();
    let digest = |of: &serde_json::Value| of["digest"].as_str().expect("text").to_owned();
    let ids: Vec<_> = layers.iter().map(digest).collect();
    let config = serde_json::json!({
        "os": "linux", "architecture": arch, "rootfs": {"type": "layers", "diff_ids": ids}
    });
    let config = blob(sim, "config.v1+json", config.to_string().into_bytes());
    let manifest = serde_json::json!({"schemaVersion": 2, "config": config, "layers": layers});
    let manifest = blob(sim, "manifest.v1+json", manifest.to_string().into_bytes());
    let index = serde_json::json!({"schemaVersion": 2, "manifests": [manifest]});
    sim.put_bytes("oci/index.json", index.to_string().into_bytes());
    sim.put_bytes("oci/oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec());
    [digest(&manifest), ids.last().expect("a layer").clone()]
}

fn request(image: ImageRequest) -> AddBase {
    AddBase { nvr: "Box-1-0".parse().expect("a name"), image, size: None, share: true }
}

fn folder() -> ImageRequest {
    ImageSource::Path("/images/oci".into()).into()
}

fn with_pool() -> SimMachine {
    let sim = SimMachine::with_disks(1);
    sim.init();
    sim
}

#[test]
fn a_folder_with_a_layout_becomes_a_base() {
    let sim = with_pool();
    let [manifest, _] = put_layout(&sim, &["a", ".wh.a"]);
    let mut image = folder();
    image.digest = Some(manifest.parse().expect("a digest"));
    let added = sim.imgbase().add_base(&request(image), &mut Unwatched).expect("it is good");
    assert_eq!((added.nvr.as_str(), added.fs_type.as_str()), ("Box-1-0", "ext4"));
    assert_eq!(added.size_bytes, 1 << 30);
    let layout = sim.imgbase().layout().expect("it can be read");
    assert_eq!(layout.bases[0].digest.map(|digest| digest.to_string()), Some(manifest));
}

#[test]
fn a_bad_layout_changes_nothing() {
    let sim = with_pool();
    let [_, last] = put_layout(&sim, &["a", "b"]);
    let before = sim.bytes();
    let refused = |image: ImageRequest| {
        let error = sim.imgbase().add_base(&request(image), &mut Unwatched).expect_err("bad");
        assert!(sim.bytes() == before && error.unchanged().is_some(), "{error}");
        error
    };
    let mut image = folder();
    image.partition = Some("1".to_owned());
    assert_eq!(refused(image).kind(), ErrorKind::NotFound);
    let mut image = folder();
    image.image_ref = Some("latest".to_owned());
    assert_eq!(refused(image).kind(), ErrorKind::NotFound);
    let mut image = folder();
    image.digest = Some(last.parse().expect("a digest"));
    assert_eq!(refused(image).kind(), ErrorKind::Corrupt);
    let nameless = sim.imgbase().name_of_image(&folder(), &mut Unwatched).expect_err("it has none");
    assert!(nameless.to_string().contains("it has no /usr/share"), "{nameless}");
    // Another file where a layer should be.
    let path = format!("oci/blobs/sha256/{}", last.trim_start_matches("sha256:"));
    sim.put_bytes(&path, layer("c"));
    let error = refused(folder());
    assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains(&last), "{error}");
    sim.put_bytes("oci/index.json", b"{".to_vec());
    assert_eq!(refused(folder()).kind(), ErrorKind::Corrupt);
    // A name is of no use where there are none.
    let file = sim.put_image("plain");
    let mut image = ImageRequest::from(ImageSource::Path(file));
    image.image_ref = Some("latest".to_owned());
    assert!(refused(image).to_string().contains("no OCI layout"));
}

#[test]
fn an_archive_of_a_layout_has_the_digest_of_the_file() {
    let sim = with_pool();
    put_layout(&sim, &["a"]);
    let mut bytes = tar::Builder::new(Vec::new());
    for (path, dev) in sim.disks.images_below(Path::new("/images/oci")) {
        let mut header = tar::Header::new_gnu();
        header.set_size(dev.size().get());
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        let content = crate::support::bytes_of(dev.as_ref() as &MemDev);
        bytes.append_data(&mut header, path, content.as_slice()).expect("memory");
    }
    let bytes = bytes.into_inner().expect("memory");
    let digits: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let mut image = ImageRequest::from(ImageSource::Path(sim.put_bytes("oci.tar", bytes)));
    image.digest = Some(format!("sha256:{}", digits.replace('0', "1")).parse().expect("a digest"));
    let error = sim.imgbase().add_base(&request(image.clone()), &mut Unwatched).expect_err("other");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    image.digest = Some(format!("sha256:{digits}").parse().expect("a digest"));
    sim.imgbase().add_base(&request(image), &mut Unwatched).expect("it is good");
}
