//! Tags, flags, access, messages and other small changes.

use super::*;
use crate::lvm2::model::{Message, Word};
use crate::lvm2::text::Item;
use crate::name::{LvmId, Tag};

/// Adds `word` where the order of `known` puts it, or takes it out.
fn toggled(list: &[Word], word: &'static str, on: bool, known: &[&str]) -> Vec<Word> {
    let mut list: Vec<_> = list.iter().filter(|entry| *entry != word).cloned().collect();
    if on {
        let rank = |word: &str| known.iter().position(|entry| *entry == word);
        let mine = rank(word);
        let before = list.iter().rposition(|entry| rank(entry).is_some_and(|r| Some(r) < mine));
        let place = before.map_or(0, |index| index.saturating_add(1));
        list.insert(place.min(list.len()), word.into());
    }
    list
}

/// Writes the list of tags; lvm2 leaves an empty one out.
fn put_tags(section: &mut Section, tags: Vec<String>, order: &[&str]) {
    if tags.is_empty() {
        section.remove("tags");
    } else {
        section.set("tags", words(tags), order);
    }
}

/// The tags of a section, those too that the typed view does not show.
fn tags_of(section: &Section) -> Vec<String> {
    let array = section.get("tags").and_then(Item::array);
    let scalars = array.map(Array::scalars).unwrap_or_default();
    scalars.iter().filter_map(|tag| Some(tag.as_str()?.into_owned())).collect()
}

/// Adds or removes a tag; a tag that is there already keeps its place.
fn toggle_tag(section: &mut Section, tag: &Tag, on: bool, order: &[&str]) {
    let mut tags = tags_of(section);
    let there = tags.iter().any(|entry| entry == tag.as_str());
    if there == on {
        return;
    }
    if on {
        tags.push(tag.to_string());
    } else {
        tags.retain(|entry| entry != tag.as_str());
    }
    put_tags(section, tags, order);
}

impl VgEdit {
    /// Tags the group.
    ///
    /// # Errors
    /// None that a checked group can give.
    pub fn add_vg_tag(&mut self, tag: &Tag) -> Result<()> {
        self.change(|vg| toggle_tag(vg, tag, true, &VG_KEYS))
    }

    /// Takes a tag off the group; none there is no failure.
    ///
    /// # Errors
    /// None that a checked group can give.
    pub fn remove_vg_tag(&mut self, tag: &Tag) -> Result<()> {
        self.change(|vg| toggle_tag(vg, tag, false, &VG_KEYS))
    }

    /// Tags a volume or a thin pool.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn add_tag(&mut self, lv: &LvName, tag: &Tag) -> Result<()> {
        self.change_lv(lv, |lv| toggle_tag(lv, tag, true, &LV_KEYS))
    }

    /// Takes a tag off a volume or a thin pool; none there is no failure.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn remove_tag(&mut self, lv: &LvName, tag: &Tag) -> Result<()> {
        self.change_lv(lv, |lv| toggle_tag(lv, tag, false, &LV_KEYS))
    }

    /// Makes a volume writable or read-only: WRITE in `status`, or WRITE_LOCKED in `flags` where
    /// the group has a system id.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn set_writable(&mut self, name: &LvName, on: bool) -> Result<()> {
        let locked = self.now.system_id.is_some();
        let lv = self.lv(name)?;
        let status = toggled(&lv.status, "WRITE", on && !locked, &LV_STATUS);
        let flags = toggled(&lv.flags, "WRITE_LOCKED", on && locked, &LV_FLAGS);
        self.change_lv(name, |lv| {
            lv.set("status", words(status), &LV_KEYS);
            lv.set("flags", words(flags), &LV_KEYS);
        })
    }

    /// Sets or clears ACTIVATION_SKIP: whether a volume is activated only on demand.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn set_activation_skip(&mut self, name: &LvName, on: bool) -> Result<()> {
        self.toggle_flag(name, "ACTIVATION_SKIP", on)
    }

    /// Sets a compatible flag: ACTIVATION_SKIP, NOAUTOACTIVATE or ERROR_WHEN_FULL.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for any other flag.
    pub fn add_flag(&mut self, name: &LvName, flag: &str) -> Result<()> {
        self.toggle_flag(name, flag, true)
    }

    /// Clears such a flag; none there is no failure.
    ///
    /// # Errors
    /// As [`Self::add_flag`].
    pub fn remove_flag(&mut self, name: &LvName, flag: &str) -> Result<()> {
        self.toggle_flag(name, flag, false)
    }

    fn toggle_flag(&mut self, name: &LvName, flag: &str, on: bool) -> Result<()> {
        let known = ["ACTIVATION_SKIP", "NOAUTOACTIVATE", "ERROR_WHEN_FULL"];
        let Some(flag) = known.into_iter().find(|known| *known == flag) else {
            return Err(self.error(ErrorKind::Invalid, name, Refused::Flag(flag.to_owned())));
        };
        let flags = toggled(&self.lv(name)?.flags, flag, on, &LV_FLAGS);
        self.change_lv(name, |lv| lv.set("flags", words(flags), &LV_KEYS))
    }

    /// Sets `transaction_id` of a thin pool.
    ///
    /// # Errors
    /// `NotFound`, `Invalid` where it is no pool.
    pub fn set_transaction_id(&mut self, pool: &LvName, id: u64) -> Result<()> {
        self.change_pool(pool, |segment| segment.set("transaction_id", number(id), &[]))
    }

    /// Replaces the messages that a thin pool is still to be told, in order.
    ///
    /// # Errors
    /// `NotFound`, `Invalid` where it is no pool.
    pub fn set_pool_messages(&mut self, pool: &LvName, messages: &[Message]) -> Result<()> {
        let made = message_items(messages)?;
        self.change_pool(pool, |segment| put_messages(segment, made))
    }

    /// Both at once: the messages and the transaction id that the pool has when it was told them.
    ///
    /// # Errors
    /// As [`Self::set_pool_messages`].
    pub fn announce(&mut self, pool: &LvName, messages: &[Message], id: u64) -> Result<()> {
        let made = message_items(messages)?;
        self.change_pool(pool, |segment| put_announcement(segment, made, id))
    }

    /// Removes all messages of a thin pool.
    ///
    /// # Errors
    /// As [`Self::set_pool_messages`].
    pub fn clear_messages(&mut self, pool: &LvName) -> Result<()> {
        self.set_pool_messages(pool, &[])
    }

    /// Removes all messages of a thin pool and takes a tag off these volumes, in one change.
    ///
    /// # Errors
    /// As [`Self::set_pool_messages`]; `NotFound` where one of the volumes is not there.
    pub fn settle_announced(&mut self, pool: &LvName, lvs: &[&LvName], tag: &Tag) -> Result<()> {
        self.pool(pool)?;
        lvs.iter().try_for_each(|lv| self.lv(lv).map(drop))?;
        self.change(|vg| {
            if let Some(segment) = lv_mut(vg, pool).and_then(|pool| segment_mut(pool, 1)) {
                put_messages(segment, Vec::new());
            }
            for lv in lvs {
                if let Some(lv) = lv_mut(vg, lv) {
                    toggle_tag(lv, tag, false, &LV_KEYS);
                }
            }
        })
    }

    /// Writes down where a physical volume was last seen.
    ///
    /// # Errors
    /// `NotFound` where the group has no such physical volume.
    pub fn set_device_hint(&mut self, pv: &LvmId, path: &str) -> Result<()> {
        let found = self.now.pvs.iter().find(|found| found.id == *pv);
        let label = found.map(|pv| pv.label.clone());
        let label = label.ok_or_else(|| self.vg_error(ErrorKind::NotFound, Refused::NoPv))?;
        self.change(|vg| {
            let pvs = vg.section_mut("physical_volumes");
            if let Some(pv) = pvs.and_then(|pvs| pvs.section_mut(&label)) {
                pv.set("device", string(path), &["id", "device"]);
            }
        })
    }
}

pub(super) fn put_announcement(segment: &mut Section, messages: Vec<Item>, id: u64) {
    put_messages(segment, messages);
    segment.set("transaction_id", number(id), &[]);
}

pub(super) fn message_items(messages: &[Message]) -> Result<Vec<Item>> {
    messages.iter().enumerate().map(message_item).collect()
}

fn put_messages(segment: &mut Section, messages: Vec<Item>) {
    let items = segment.items_mut();
    items.retain(|item| item.section().is_none());
    items.extend(messages);
}

/// `messageN { ... }`, an empty line before the first.
fn message_item((index, message): (usize, &Message)) -> Result<Item> {
    let order = match message {
        Message::Create(name) => format!("create = \"{name}\""),
        Message::Delete(id) => format!("delete = {id}"),
    };
    let number = index.saturating_add(1);
    let item = Item::parse(&format!("message{number} {{\n{order}\n}}\n"))?;
    Ok(item.behind_blanks(u16::from(index == 0)))
}
