//! Tables and status lines of the kernel, and names as users and metadata give them.

#![no_main]

use imgbase::dm::status::{PoolStatus, ThinStatus};
use imgbase::dm::table::Line;
use imgbase::layout::{BaseName, ImageName, LayerName};
use imgbase::name::{DmName, LvName, VgName};
use imgbase::units::Bytes;
use imgbase_fuzz::bounded;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    bounded(text.as_bytes(), || {
        for line in text.lines().take(64) {
            if let Some(read) = Line::parse(line) {
                let printed = read.to_string();
                assert_eq!(Line::parse(&printed), Some(read), "{line:?} printed as {printed:?}");
            }
            if let Ok(state) = PoolStatus::parse(line).and_then(PoolStatus::running) {
                let _ = (state.metadata_free(), state.metadata_used_bytes());
            }
            let _ = ThinStatus::parse(line);
            if let Ok(image) = line.parse::<ImageName>() {
                assert_eq!(image.to_string(), line);
                let lv = image.lv_name();
                let vg: VgName = "vg".parse().expect("a name");
                let _ = DmName::of_lv(&vg, &lv, None);
            }
            let _ = (line.parse::<BaseName>(), line.parse::<LayerName>());
            let _ = (line.parse::<LvName>(), line.parse::<VgName>(), line.parse::<DmName>());
            let _ = line.parse::<Bytes>();
        }
    });
});
