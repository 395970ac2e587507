//! A metadata text: what can be read can be printed and read again, judged and changed.

#![no_main]

use imgbase::layout::Layout;
use imgbase::lvm2::Vg;
use imgbase::lvm2::text::{Document, Style};
use imgbase::lvm2::validate::validate;
use imgbase_fuzz::bounded;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    bounded(text.as_bytes(), || {
        let Ok(document) = Document::parse(text) else { return };
        let printed = document.print(Style::Disk);
        let again = Document::parse(&printed).map(|again| again.print(Style::Disk));
        assert_eq!(again.ok().as_ref(), Some(&printed), "a text prints back as it was");
        // Volumes of a backup are not written as they were read.
        let backup = Document::parse(&document.print(Style::Backup)).expect("printed");
        let anew = Document::parse(&backup.print(Style::Disk));
        assert_eq!(anew.ok().as_ref(), Some(&document), "printed anew it says the same");
        let Ok(vg) = Vg::parse(text) else { return };
        let backup = vg.to_text(Style::Backup);
        let again = Vg::parse(&backup);
        assert!(again.is_ok(), "a backup of it can be read: {again:?}");
        let _ = vg.why_not_writable(&["host".to_owned()]);
        let _ = vg.why_not_activatable(&[]);
        let _ = Layout::of(&vg);
        if validate(&vg).is_err() {
            return;
        }
        let _ = vg.free_extents();
        for lv in &vg.lvs {
            let mut edit = vg.edit();
            let _ = edit.remove_lv(&lv.name);
            if let Some(pool) = lv.thin_pool() {
                let _ = vg.next_device_id(&lv.name);
                let _ = edit.set_transaction_id(&lv.name, pool.transaction_id.saturating_add(1));
            }
        }
    });
});
