//! Answers made by hand, printed, and compared with what users were promised.
//! JSON is read back into structures that refuse unknown and missing fields.

use imgbase::diff::{Change, ChangeKind, Difference, Differences};
use imgbase::ops::Progress;
use imgbase::report::*;
use imgbase::tree::{Kind, TreePath};
use imgbase::units::Bytes;
use imgbase::{Error, ErrorKind};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::json::Event;
use super::text::{Look, in_unit, note};
use super::{changes, json, printable, text};
use crate::cli::answer::{Answer, Commit, Document, Pin, Plan};
use crate::cli::args::Unit;
use crate::cli::progress::Pace;

fn as_text(answer: &Answer, look: Look) -> String {
    let mut out = Vec::new();
    text::print(&mut out, answer, look).expect("memory takes it");
    String::from_utf8(out).expect("UTF-8")
}

fn plain(answer: &Answer) -> String {
    as_text(answer, Look::default())
}

fn as_json(command: &str, answer: &Answer) -> String {
    let mut out = Vec::new();
    json::print(&mut out, command, answer).expect("memory takes it");
    let line = String::from_utf8(out).expect("UTF-8");
    assert_eq!(line.matches('\n').count(), 1, "one line: {line}");
    line
}

fn golden<T: DeserializeOwned>(command: &str, answer: &Answer) -> T {
    let line = as_json(command, answer);
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

fn layer(nvr: &str, device_id: u32) -> LayerReport {
    LayerReport {
        nvr: nvr.parse().expect("a layer"),
        size_bytes: 2 << 30,
        active: true,
        device_id,
        current: device_id == 2,
        default: device_id == 3,
        bootable: false,
    }
}

fn layout() -> LayoutReport {
    let base = BaseReport {
        nvr: "Base-1-0".parse().expect("a base"),
        size_bytes: 2 << 30,
        read_only: true,
        active: false,
        device_id: 1,
        digest: None,
        layers: vec![layer("Base-1-0+1", 2), layer("Base-1-0+2", 3)],
    };
    let other = BaseReport {
        nvr: "Other-10-1".parse().expect("a base"),
        device_id: 4,
        size_bytes: 512 << 20,
        layers: Vec::new(),
        ..base.clone()
    };
    LayoutReport {
        vg: "HostVG".parse().expect("a group"),
        vg_seqno: 12,
        pool: pool(),
        bases: vec![base, other],
        orphans: vec![OrphanReport {
            name: "x".parse().expect("a volume"),
            why: "bad\nname".into(),
        }],
        pending: vec!["New-1-0".parse().expect("a volume")],
        volumes: vec![VolumeReport {
            path: "/var/log".parse().expect("a path"),
            name: "var_log".parse().expect("a volume"),
            size_bytes: 8 << 30,
            active: true,
            device_id: 9,
            mounted: Some("/var/log".into()),
        }],
    }
}

fn pool() -> PoolReport {
    PoolReport {
        name: "ImagePool".parse().expect("a volume"),
        data_bytes: 10 << 30,
        data_used_bytes: Some(1 << 30),
        metadata_bytes: 64 << 20,
        metadata_used_bytes: None,
        chunk_bytes: 65536,
        transaction_id: 3,
        active: true,
    }
}

#[test]
fn the_tree_shows_bases_with_their_layers_and_marks() {
    let expected = "\
Base-1-0             2 GiB  read-only
 +- Base-1-0+1       2 GiB  active, current
 +- Base-1-0+2       2 GiB  active, default
Other-10-1         512 MiB  read-only
/var/log       8 GiB  volume var_log, mounted at /var/log
x  orphan: bad\\nname
New-1-0  unfinished
";
    assert_eq!(plain(&Answer::Layout(layout())), expected);
}

#[test]
fn the_verbose_tree_begins_with_group_and_pool() {
    let look = Look { verbose: true, colour: false };
    let tree = as_text(&Answer::Layout(layout()), look);
    let expected = "\
group HostVG, seqno 12
pool ImagePool, active, chunks of 64 KiB, transaction 3
data 10 GiB, 1 GiB used
metadata 64 MiB
Base-1-0             2 GiB  read-only, device 1
";
    assert!(tree.starts_with(expected), "{tree}");
}

#[test]
fn colour_is_only_where_it_was_asked_for() {
    let coloured = as_text(&Answer::Layout(layout()), Look { colour: true, verbose: false });
    assert!(coloured.contains("\x1b[1m +- Base-1-0+1 "));
    assert!(!plain(&Answer::Layout(layout())).contains('\x1b'));
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LayoutJson {
    schema: String,
    command: String,
    vg: String,
    vg_seqno: u64,
    pool: PoolJson,
    bases: Vec<BaseJson>,
    orphans: Vec<OrphanJson>,
    pending: Vec<String>,
    volumes: Vec<VolumeJson>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VolumeJson {
    path: String,
    name: String,
    size_bytes: u64,
    active: bool,
    device_id: u32,
    mounted: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PoolJson {
    name: String,
    data_bytes: u64,
    data_used_bytes: Option<u64>,
    metadata_bytes: u64,
    metadata_used_bytes: Option<u64>,
    chunk_bytes: u64,
    transaction_id: u64,
    active: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BaseJson {
    nvr: String,
    size_bytes: u64,
    read_only: bool,
    active: bool,
    device_id: u32,
    layers: Vec<LayerJson>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LayerJson {
    nvr: String,
    size_bytes: u64,
    active: bool,
    device_id: u32,
    current: bool,
    default: bool,
    bootable: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OrphanJson {
    name: String,
    why: String,
}

#[test]
fn layout_json_has_the_promised_keys() {
    let json: LayoutJson = golden("layout", &Answer::Layout(layout()));
    assert_eq!((json.schema.as_str(), json.command.as_str()), ("imgbase/1", "layout"));
    assert_eq!((json.vg.as_str(), json.vg_seqno), ("HostVG", 12));
    let pool = json.pool;
    assert_eq!((pool.name.as_str(), pool.active, pool.transaction_id), ("ImagePool", true, 3));
    assert_eq!((pool.data_bytes, pool.data_used_bytes), (10 << 30, Some(1 << 30)));
    assert_eq!((pool.metadata_bytes, pool.metadata_used_bytes), (64 << 20, None));
    assert_eq!(pool.chunk_bytes, 65536);
    let base = &json.bases[0];
    assert_eq!((base.nvr.as_str(), base.size_bytes, base.device_id), ("Base-1-0", 2 << 30, 1));
    assert!(base.read_only && !base.active);
    let layer = &base.layers[0];
    assert_eq!((layer.nvr.as_str(), layer.size_bytes), ("Base-1-0+1", 2 << 30));
    assert_eq!((layer.device_id, layer.active, layer.current), (2, true, true));
    assert_eq!((layer.default, layer.bootable), (false, false));
    assert_eq!((json.orphans[0].name.as_str(), json.orphans[0].why.as_str()), ("x", "bad\nname"));
    assert_eq!(json.pending, ["New-1-0"]);
    let volume = &json.volumes[0];
    assert_eq!((volume.path.as_str(), volume.name.as_str()), ("/var/log", "var_log"));
    assert_eq!((volume.size_bytes, volume.active, volume.device_id), (8 << 30, true, 9));
    assert_eq!(volume.mounted.as_deref(), Some("/var/log"));
}

/// The sample that users know, key by key, in its order.
#[test]
fn layout_json_keeps_its_order() {
    let line = as_json("layout", &Answer::Layout(layout()));
    let start = r#"{"schema":"imgbase/1","command":"layout","vg":"HostVG","vg_seqno":12,"#;
    assert!(line.starts_with(start), "{line}");
    let base = r#""bases":[{"nvr":"Base-1-0","size_bytes":2147483648,"read_only":true,"active":false,"device_id":1,"layers":[{"nvr":"Base-1-0+1","size_bytes":2147483648,"active":true,"device_id":2,"current":true,"default":false,"bootable":false}"#;
    assert!(line.contains(base), "{line}");
}

#[test]
fn free_space_is_in_the_unit_asked_for() {
    let bytes = (3 << 30) + (1 << 20) + 512;
    assert_eq!(in_unit(bytes, Unit::B), "3222274560b");
    assert_eq!(in_unit(bytes, Unit::K), "3146752.50k");
    assert_eq!(in_unit(bytes, Unit::M), "3073.00m");
    assert_eq!(in_unit(bytes, Unit::G), "3.00g");
    assert_eq!(in_unit(u64::MAX, Unit::K), "18014398509481983.99k");
    let report = FreeSpaceReport { data_free_bytes: bytes, metadata_free_bytes: 1 << 20 };
    let answer = Answer::FreeSpace(report, Unit::M);
    assert_eq!(plain(&answer), "3073.00m\n");
    let verbose = as_text(&answer, Look { verbose: true, colour: false });
    assert_eq!(verbose, "data 3073.00m\nmetadata 1.00m\n");
    assert_eq!(
        as_json("layout", &answer),
        "{\"schema\":\"imgbase/1\",\"command\":\"layout\",\"data_free_bytes\":3222274560,\
         \"metadata_free_bytes\":1048576}\n"
    );
}

#[test]
fn what_was_made_is_named_alone_on_standard_output() {
    let base = BaseAdded {
        nvr: "Base-1-0".parse().expect("a base"),
        size_bytes: 1,
        fs_type: "ext4".into(),
        written_bytes: 2,
        shares_with: None,
        vg_seqno: 3,
    };
    assert_eq!(plain(&Answer::BaseAdded(base.clone())), "Base-1-0\n");
    assert_eq!(
        as_json("base", &Answer::BaseAdded(base)),
        "{\"schema\":\"imgbase/1\",\"command\":\"base\",\"nvr\":\"Base-1-0\",\"size_bytes\":1,\
         \"fs_type\":\"ext4\",\"written_bytes\":2,\"shares_with\":null,\"vg_seqno\":3}\n"
    );
    let layer = Answer::LayerAdded(LayerAdded {
        nvr: "Base-1-0+1".parse().expect("a layer"),
        origin: "Base-1-0".parse().expect("an image"),
        fs_uuid: None,
        bootable: false,
        vg_seqno: 4,
    });
    assert_eq!(plain(&layer), "Base-1-0+1\n");
    assert!(as_json("layer", &layer).contains("\"origin\":\"Base-1-0\",\"fs_uuid\":null"));
}

#[test]
fn init_names_what_it_made_and_tells_people_the_sizes() {
    let answer = Answer::Init(InitReport {
        vg: "HostVG".parse().expect("a group"),
        devices: vec!["/dev/sdb".into()],
        pool: "ImagePool".parse().expect("a volume"),
        data_bytes: 19 << 30,
        metadata_bytes: 64 << 20,
        config_bytes: Some(64 << 20),
        base: Some("Base-1-0".parse().expect("a base")),
        layer: Some("Base-1-0+1".parse().expect("a layer")),
    });
    assert_eq!(plain(&answer), "HostVG\nBase-1-0\nBase-1-0+1\n");
    let said = "made HostVG on /dev/sdb: ImagePool of 19 GiB, metadata of 64 MiB, Config of 64 MiB";
    assert_eq!(note(&answer).as_deref(), Some(said));
}

#[test]
fn repeated_verbs_say_that_nothing_changed() {
    let nvr: imgbase::layout::BaseName = "Base-1-0".parse().expect("a base");
    let pin = |changed| Answer::Pin(Pin { nvr: nvr.clone(), pinned: true, changed });
    assert_eq!(note(&pin(false)).as_deref(), Some("Base-1-0 was pinned already"));
    assert_eq!((note(&pin(true)), plain(&pin(true))), (None, String::new()));
    assert_eq!(
        as_json("base", &pin(false)),
        "{\"schema\":\"imgbase/1\",\"command\":\"base\",\"nvr\":\"Base-1-0\",\"pinned\":true,\
         \"changed\":false}\n"
    );
}

#[test]
fn names_and_lists_are_one_a_line() {
    let image = |name: &str| name.parse().expect("an image");
    assert_eq!(plain(&Answer::Name(image("a-1-0"))), "a-1-0\n");
    assert_eq!(plain(&Answer::Here("a-1-0+2".parse().expect("a layer"))), "You are on a-1-0+2\n");
    let path = Answer::VolumePath(image("a-1-0+2"), "/dev/HostVG/a-1-0+2".into());
    assert_eq!(plain(&path), "/dev/HostVG/a-1-0+2\n");
    assert!(as_json("layer", &path).contains("\"nvr\":\"a-1-0+2\",\"path\":\"/dev/HostVG/a-1-0+2"));
    let removed = Removed { removed: vec![image("a-1-0+1"), image("a-1-0")], vg_seqno: 9 };
    assert_eq!(plain(&Answer::Removed(removed)), "a-1-0+1\na-1-0\n");
    let bases = Answer::Bases(vec!["a-1-0".parse().expect("a base")]);
    let expected = "{\"schema\":\"imgbase/1\",\"command\":\"layout\",\"bases\":[\"a-1-0\"]}\n";
    assert_eq!((plain(&bases).as_str(), as_json("layout", &bases).as_str()), ("a-1-0\n", expected));
    let document = Answer::Document(Document { format: "bash".into(), text: "x\ny".into() });
    assert_eq!(plain(&document), "x\ny");
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HealthJson {
    schema: String,
    command: String,
    health: String,
    checks: Vec<CheckJson>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckJson {
    name: String,
    health: String,
    detail: String,
}

#[test]
fn checks_are_one_a_line() {
    let check = |name: &str, health, detail: &str| CheckReport {
        name: name.into(),
        health,
        detail: detail.into(),
    };
    let answer = Answer::Health(HealthReport {
        health: Health::Failed,
        checks: vec![
            check("metadata", Health::Ok, "2 copies agree"),
            check("pool", Health::Warning, "nobody watches it"),
            check("base a-1-0", Health::Failed, ""),
        ],
    });
    let expected = "\
ok      metadata: 2 copies agree
warning pool: nobody watches it
failed  base a-1-0
";
    assert_eq!(plain(&answer), expected);
    let json: HealthJson = golden("check", &answer);
    assert_eq!((json.schema.as_str(), json.command.as_str()), ("imgbase/1", "check"));
    assert_eq!((json.health.as_str(), json.checks[1].health.as_str()), ("failed", "warning"));
    let last = &json.checks[2];
    assert_eq!((last.name.as_str(), last.detail.as_str()), ("base a-1-0", ""));
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanJson {
    #[serde(rename = "schema")]
    _schema: String,
    #[serde(rename = "command")]
    _command: String,
    dry_run: bool,
    steps: Vec<String>,
    commit_points: Vec<CommitJson>,
    needed_bytes: u64,
    result: serde_json::Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CommitJson {
    what: String,
    after_steps: usize,
}

#[test]
fn a_plan_has_its_commit_point_in_its_place() {
    let commit = |what: &str, after_steps| Commit { what: what.into(), after_steps };
    let answer = Answer::Plan(Plan {
        steps: vec!["write metadata of HostVG".into(), "load HostVG-a".into()],
        commits: vec![commit("a-1-0 exists", 1), commit("all done", 2)],
        needed_bytes: 2048,
        result: Box::new(Answer::Name("a-1-0".parse().expect("an image"))),
    });
    let expected = "\
would write metadata of HostVG
commit point: a-1-0 exists
would load HostVG-a
commit point: all done
needs 2048 bytes (2 KiB)
";
    assert_eq!(plain(&answer), expected);
    let json: PlanJson = golden("base", &answer);
    assert!(json.dry_run && json.needed_bytes == 2048 && json.steps.len() == 2);
    let first = &json.commit_points[0];
    assert_eq!((first.what.as_str(), first.after_steps), ("a-1-0 exists", 1));
    assert_eq!(json.result, serde_json::json!({"nvr": "a-1-0"}));
}

#[test]
fn changes_are_lines_or_items() {
    let change =
        |kind, name: &[u8]| Change { path: TreePath::root().join(name), entry: Kind::File, kind };
    let mut what = Differences::only(Difference::Content);
    what.note(Difference::Mode, true);
    let added = change(ChangeKind::Added, b"x y");
    let changed = change(ChangeKind::Changed(what), b"a\nb");
    let raw = change(ChangeKind::Removed, b"\xff");
    assert_eq!(changes::text_line(&added), "+ /x y");
    assert_eq!(changes::text_line(&changed), "~ /a\\x0ab (content, mode)");
    assert_eq!(changes::text_line(&raw), "- /\\xff");
    let item = r#"{"path":"/a\\x0ab","type":"file","change":"changed","what":["content","mode"]}"#;
    assert_eq!(json::compact(&changed), item);
    let item = r#"{"path":"/\\xff","type":"file","change":"removed"}"#;
    assert_eq!(json::compact(&raw), item);
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ErrorJson {
    schema: String,
    command: Option<String>,
    error: FailureJson,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FailureJson {
    kind: String,
    message: String,
    operation: Option<String>,
    object: Option<String>,
    unchanged: Option<String>,
    need_bytes: Option<u64>,
    have_bytes: Option<u64>,
    exit_code: u8,
}

#[test]
fn errors_are_objects_with_all_that_is_known() {
    let space = ErrorKind::NoSpace { need: Bytes::mib(2), have: Bytes::mib(1) };
    let error = Error::new(space, "too small").op("add the base").at("pool").kept("all as it was");
    let json: ErrorJson =
        serde_json::from_str(&json::error(Some("base"), &error)).expect("one object");
    assert_eq!((json.schema.as_str(), json.command.as_deref()), ("imgbase/1", Some("base")));
    let failure = json.error;
    assert_eq!((failure.kind.as_str(), failure.exit_code), ("no-space", 4));
    assert_eq!(failure.message, error.to_string());
    assert_eq!((failure.need_bytes, failure.have_bytes), (Some(2 << 20), Some(1 << 20)));
    assert_eq!(failure.operation.as_deref(), Some("add the base"));
    assert_eq!(failure.object.as_deref(), Some("pool"));
    assert_eq!(failure.unchanged.as_deref(), Some("all as it was"));
}

#[test]
fn events_are_lines_of_json() {
    let progress =
        Progress { done: Bytes::new(5), total: Some(Bytes::new(10)), written: Bytes::new(4) };
    let pace = Pace { bytes_per_second: Some(5), seconds_left: Some(1) };
    assert_eq!(
        Event::progress("copy", progress, pace).line(),
        "{\"schema\":\"imgbase/1\",\"event\":\"progress\",\"step\":\"copy\",\"done_bytes\":5,\
         \"total_bytes\":10,\"written_bytes\":4,\"bytes_per_second\":5,\"seconds_left\":1}"
    );
    let warning = r#"{"schema":"imgbase/1","event":"warning","message":"a\nb"}"#;
    assert_eq!(Event::Warning { message: "a\nb" }.line(), warning);
}

#[test]
fn control_characters_are_escaped() {
    assert_eq!(printable("a\u{1b}[2Jb\tc\u{9b}é"), "a\\u{1b}[2Jb\\tc\\u{9b}é");
}
